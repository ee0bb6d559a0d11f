//! HTTP clients that cost next to nothing: requests that were written beforehand, over connections that are kept.

#![expect(clippy::cast_precision_loss, reason = "requests and connections are far fewer than 2^52")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How many connections send.
pub(super) const CONNECTIONS: usize = 64;

/// What one run of requests came to.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Requests that were answered with 200.
    pub(super) succeeded: usize,
    /// All other answers.
    pub(super) failed: usize,
    /// How long it went on.
    pub(super) took: Duration,
    /// Time of each successful request.
    pub(super) times: Vec<Duration>,
}

impl Run {
    /// Successful requests a second.
    pub(super) fn rate(&self) -> f64 {
        self.succeeded as f64 / self.took.as_secs_f64()
    }

    /// What 1,000 successful requests took of `cpu`, in seconds.
    pub(super) fn cpu_per_1000(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() / self.succeeded as f64 * 1000.0
    }
}

/// Sends `requests` in turn, and from the first again when there are no more, for `duration`; at `per_second` in all, or
/// as fast as they are answered.
pub(super) async fn send(
    addr: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    duration: Duration,
    per_second: Option<f64>,
) -> Run {
    send_observed(addr, requests, duration, per_second, Arc::new(|_| ())).await
}

/// The same; `about_to` is told the number of each request just before it is sent.
pub(super) async fn send_observed(
    addr: SocketAddr,
    requests: Arc<Vec<Vec<u8>>>,
    duration: Duration,
    per_second: Option<f64>,
    about_to: Arc<dyn Fn(usize) + Send + Sync>,
) -> Run {
    let (next, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let mut connections = Vec::new();
    for number in 0..CONNECTIONS {
        let pause = per_second.map(|rate| Duration::from_secs_f64(CONNECTIONS as f64 / rate));
        // Evenly, not all at once.
        let begin = pause.map(|pause| started + pause.mul_f64(number as f64 / CONNECTIONS as f64));
        let (requests, next, failed, stop) = (requests.clone(), next.clone(), failed.clone(), stop.clone());
        let about_to = about_to.clone();
        connections.push(tokio::spawn(async move {
            let take = || {
                let number = next.fetch_add(1, Ordering::Relaxed) % requests.len();
                about_to(number);
                requests[number].as_slice()
            };
            connection(addr, take, requests.len() / CONNECTIONS, &failed, &stop, begin.zip(pause)).await
        }));
    }
    tokio::time::sleep(duration).await;
    stop.store(true, Ordering::Relaxed);
    let took = started.elapsed();
    let mut times = Vec::new();
    for connection in connections {
        times.extend(connection.await.expect("the load does not panic"));
    }
    let failed = usize::try_from(failed.load(Ordering::Relaxed)).unwrap();
    Run { succeeded: times.len(), failed, took, times }
}

async fn connection<'a>(
    addr: SocketAddr,
    take: impl Fn() -> &'a [u8],
    share: usize,
    failed: &AtomicU64,
    stop: &AtomicBool,
    pace: Option<(Instant, Duration)>,
) -> Vec<Duration> {
    let mut stream = TcpStream::connect(addr).await.expect("the server listens");
    stream.set_nodelay(true).unwrap();
    let mut times = Vec::with_capacity(share * 2);
    let mut due = pace.map(|(begin, _)| begin);
    while !stop.load(Ordering::Relaxed) {
        if let (Some(at), Some((_, pause))) = (&mut due, pace) {
            tokio::time::sleep_until((*at).into()).await;
            *at += pause;
        }
        let request = take();
        let started = Instant::now();
        stream.write_all(request).await.expect("the server reads");
        if answer(&mut stream).await {
            times.push(started.elapsed());
        } else {
            failed.fetch_add(1, Ordering::Relaxed);
        }
    }
    times
}

/// Reads one answer, which is small. True when it is a 200.
async fn answer(stream: &mut TcpStream) -> bool {
    let (mut buffer, mut length) = ([0; 1024], 0);
    loop {
        length += stream.read(&mut buffer[length..]).await.expect("the server answers");
        let text = &buffer[..length];
        let head = text.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        // All bodies here end with a brace.
        if head.is_some_and(|head| length > head + 4) && text.ends_with(b"}") {
            return text.starts_with(b"HTTP/1.1 200");
        }
        assert!(length < buffer.len(), "an answer is small");
    }
}
