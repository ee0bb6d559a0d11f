//! A TCP proxy that simulates outages: cut, refuse, stall, delay.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::ports::free_port;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Pass(Duration),
    Stall,
    Refuse,
}

#[derive(Clone, Copy, Debug)]
struct State {
    mode: Mode,
    /// Connections of an older generation are closed.
    generation: u64,
}

/// Forwards connections to one upstream address until told otherwise; stops when dropped.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    state: Arc<watch::Sender<State>>,
    listener: AbortHandle,
}

impl Proxy {
    /// A proxy before `upstream` on a free port.
    pub async fn start(upstream: SocketAddr) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], free_port())), upstream).await
    }

    /// A proxy before `upstream` on the address `addr`.
    pub async fn start_at(addr: SocketAddr, upstream: SocketAddr) -> Self {
        let state = Arc::new(watch::Sender::new(State { mode: Mode::Pass(Duration::ZERO), generation: 0 }));
        let bound = TcpListener::bind(addr).await.unwrap_or_else(|error| panic!("cannot listen on {addr}: {error}"));
        let listener = tokio::spawn(listen(bound, addr, upstream, state.subscribe())).abort_handle();
        Proxy { addr, state, listener }
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes every connection; new ones are welcome.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.generation += 1);
    }

    /// Closes every connection and refuses new ones, as a stopped server does.
    pub async fn refuse(&self) {
        self.set(Mode::Refuse);
        self.cut();
        // Returns only when the port is closed: a test that goes on must not find the door still open.
        while TcpStream::connect(self.addr).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Keeps connections open and accepts new ones, but moves no byte, as a hung server or a lost route does.
    pub fn stall(&self) {
        self.set(Mode::Stall);
    }

    /// Holds every chunk of bytes back for `delay`, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.set(Mode::Pass(delay));
    }

    /// Ends [`Proxy::refuse`], [`Proxy::stall`] and [`Proxy::delay`].
    pub fn restore(&self) {
        self.set(Mode::Pass(Duration::ZERO));
    }

    fn set(&self, mode: Mode) {
        self.state.send_modify(|state| state.mode = mode);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.cut();
    }
}

async fn listen(bound: TcpListener, addr: SocketAddr, upstream: SocketAddr, mut state: watch::Receiver<State>) {
    let mut bound = Some(bound);
    loop {
        let refusing = state.borrow_and_update().mode == Mode::Refuse;
        if refusing {
            bound = None;
        } else if bound.is_none() {
            bound = Some(TcpListener::bind(addr).await.expect("nobody else takes the proxy's port"));
        }
        let accept = async {
            match &bound {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok((client, _)) = accept => {
                tokio::spawn(forward(client, upstream, state.clone()));
            }
            changed = state.changed() => if changed.is_err() { return },
        }
    }
}

async fn forward(client: TcpStream, upstream: SocketAddr, mut state: watch::Receiver<State>) {
    let generation = state.borrow().generation;
    let (for_requests, for_answers) = (state.clone(), state.clone());
    let both_ways = async {
        let server = TcpStream::connect(upstream).await?;
        let (client_read, client_write) = client.into_split();
        let (server_read, server_write) = server.into_split();
        tokio::try_join!(copy(client_read, server_write, for_requests), copy(server_read, client_write, for_answers))
    };
    tokio::select! {
        _ = both_ways => {}
        _ = state.wait_for(|state| state.generation != generation) => {}
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        let passing = state.wait_for(|state| state.mode != Mode::Stall).await;
        let mode = passing.map_or(Mode::Refuse, |state| state.mode);
        if let Mode::Pass(delay) = mode
            && !delay.is_zero()
        {
            tokio::time::sleep(delay).await;
        }
        to.write_all(&buffer[..count]).await?;
    }
}
