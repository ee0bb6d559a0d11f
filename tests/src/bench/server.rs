//! A server under the load of signed deliveries, and what it does in a round.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::clients::{Run, send};
use super::{Figure, Percentiles, Stopwatch};
use crate::calendly::{Invitee, Signer};
use crate::sandbox::CALENDLY_SIGNING_KEY;

const WARM_UP: Duration = Duration::from_secs(2);
/// How long a server has its turn.
pub(super) const ROUND: Duration = Duration::from_secs(2);

/// Tells the invitee's URI of a request by its number.
pub(super) type Uris = Box<dyn Fn(usize) -> String + Send + Sync>;

/// Distinct deliveries of 2 to 3 KiB, signed now, as HTTP requests.
pub(super) fn requests(count: usize, first: u64) -> (Uris, Arc<Vec<Vec<u8>>>) {
    let signer = Signer::new(CALENDLY_SIGNING_KEY);
    // Building the JSON anew for each would take longer than all the rest.
    let invitee = Invitee::new(first);
    let template = String::from_utf8(invitee.created().set("/payload/tracking/utm_source", "PADDING").body()).unwrap();
    let base = invitee.uri.clone();
    let uris = move |number: usize| format!("{base}{number:08x}");
    let request = |number: usize| {
        let uri = uris(number);
        let body =
            template.replace("PADDING", &"n".repeat(300 + number % 900)).replace(&invitee.uri, &uri).into_bytes();
        let head = format!(
            "POST /webhooks/calendly HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n\
             User-Agent: Calendly\r\nCalendly-Webhook-Signature: {}\r\nContent-Length: {}\r\n\r\n",
            signer.sign_now(&body),
            body.len()
        );
        [head.into_bytes(), body].concat()
    };
    let all = (0..count).map(request).collect();
    (Box::new(uris), Arc::new(all))
}

/// What is measured: a server, and the process that it is.
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) pid: u32,
    pub(super) addr: SocketAddr,
    /// The broker that it writes to.
    pub(super) broker: Option<u32>,
}

/// What a server did in one round, flat out.
#[derive(Clone, Copy)]
pub(super) struct Measured {
    pub(super) rate: f64,
    pub(super) cpu_per_1000: f64,
    /// What the clients took meanwhile, and the broker: they have the same cores.
    pub(super) clients_per_1000: f64,
    pub(super) broker_per_1000: Option<f64>,
}

impl Server {
    /// Sends `count` requests, numbered from `first`; again when they are too few for the time.
    pub(super) async fn measure(
        &self,
        (count, first): (usize, u64),
        duration: Duration,
        per_second: Option<f64>,
    ) -> (Measured, Run) {
        let made = tokio::task::spawn_blocking(move || requests(count, first)).await;
        let (_, requests) = made.expect("requests can be made");
        let (watch, clients) = (Stopwatch::start(self.pid), Stopwatch::start(std::process::id()));
        let broker = self.broker.map(Stopwatch::start);
        let run = send(self.addr, requests, duration, per_second).await;
        assert_eq!(run.failed, 0, "{}: requests failed", self.name);
        let measured = Measured {
            rate: run.rate(),
            cpu_per_1000: run.cpu_per_1000(watch.cpu()),
            clients_per_1000: run.cpu_per_1000(clients.cpu()),
            broker_per_1000: broker.map(|broker| run.cpu_per_1000(broker.cpu())),
        };
        (measured, run)
    }

    pub(super) fn figures(&self, rounds: &[Measured]) -> Vec<Figure> {
        let figure = |what: &str, of: fn(&Measured) -> Option<f64>, unit| {
            let values: Vec<f64> = rounds.iter().filter_map(of).collect();
            (!values.is_empty())
                .then(|| Figure::new(format!("{}: {what}", self.name), median(values.into_iter()), unit))
        };
        let figures = [
            figure("requests", |round| Some(round.rate), "/s"),
            figure("processor time for 1,000", |round| Some(round.cpu_per_1000), "CPU-s"),
            figure("processor time of the clients for 1,000", |round| Some(round.clients_per_1000), "CPU-s"),
            figure("processor time of the broker for 1,000", |round| round.broker_per_1000, "CPU-s"),
        ];
        figures.into_iter().flatten().collect()
    }
}

pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    Percentiles::new(values.collect()).at(50.0)
}

pub(super) async fn warm_up(addr: SocketAddr) {
    let (_, requests) = tokio::task::spawn_blocking(|| requests(50_000, 1 << 40)).await.expect("requests can be made");
    send(addr, requests, WARM_UP, None).await;
}
