//! The public HTTP server: accepts connections, bounds what a slow or silent client can cost, and drains.

mod activity;
mod crowd;
mod tls;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Response;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use runtime::metrics::WEBHOOK_CONNECTIONS;
use runtime::shutdown::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;

use self::activity::Activity;
use self::crowd::Crowd;
pub(crate) use self::tls::Tls;

/// A client that has not sent a request's head by then is not going to.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// How long a connection may be idle between requests, and the head of a later request take: longer than the 60 s of
/// common load balancers, which else send requests into a connection that we are just closing.
const IDLE: Duration = Duration::from_secs(75);
/// The largest head of a request. Calendly's is below 1 KiB.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Requests that one HTTP/2 connection may have open at once.
const MAX_STREAMS: u32 = 128;
/// How long a connection without an open request may take to close when the service stops.
const LINGER: Duration = Duration::from_millis(500);
/// How long open requests may take then: the longest that a request can take, and no more.
const DRAIN: Duration = Duration::from_secs(15);
/// Pause after the system refused a connection, as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until shutdown, then finishes the requests that are open.
pub(crate) async fn serve(listener: TcpListener, tls: Tls, router: Router, shutdown: Shutdown) {
    let connections = TaskTracker::new();
    metrics::gauge!(WEBHOOK_CONNECTIONS).set(0.0);
    let server = Server { builder: builder(), tls, router, crowd: Crowd::of_this_process(), shutdown };
    let server = Arc::new(server);
    loop {
        let (place, stream) = tokio::select! {
            () = server.shutdown.cancelled() => break,
            accepted = accept(&listener, &server.crowd) => accepted,
        };
        let (server, open) = (server.clone(), metrics::gauge!(WEBHOOK_CONNECTIONS));
        connections.spawn(async move {
            open.increment(1.0);
            server.connection(stream).await;
            open.decrement(1.0);
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "connections are closed with their requests unanswered");
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(MAX_HEAD_BYTES);
    let head_bytes = u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(IDLE).max_header_list_size(head_bytes);
    builder.http2().max_concurrent_streams(MAX_STREAMS);
    builder
}

async fn accept(listener: &TcpListener, crowd: &Crowd) -> (Option<OwnedSemaphorePermit>, TcpStream) {
    let place = crowd.place().await;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (place, stream),
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What every connection needs.
struct Server {
    builder: Builder<TokioExecutor>,
    tls: Tls,
    router: Router,
    crowd: Crowd,
    shutdown: Shutdown,
}

impl Server {
    async fn connection(&self, stream: TcpStream) {
        // Answers are small and whole: waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = self.tls.acceptor() else { return self.http(stream).await };
        let handshake = tokio::select! {
            handshake = tokio::time::timeout(FIRST_REQUEST, acceptor.accept(stream)) => handshake,
            () = self.shutdown.cancelled() => return,
        };
        // A client that speaks no TLS, or none of ours, is its own affair.
        if let Ok(Ok(stream)) = handshake {
            self.http(stream).await;
        }
    }

    async fn http(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let activity = Arc::new(Activity::default());
        let counted = activity.clone();
        let service = TowerToHyperService::new(self.router.clone());
        let service = service_fn(move |request: axum::http::Request<Incoming>| {
            let open = counted.begin();
            let answer = service.call(request);
            async move {
                let answer: Result<Response<Body>, Infallible> = answer.await;
                drop(open);
                answer
            }
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            // How a client ended its connection is its own affair.
            _ = connection.as_mut() => return,
            () = activity.outstays(FIRST_REQUEST, || self.crowd.is_dense()) => return,
            () = self.shutdown.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        let patience = if activity.is_busy() { DRAIN } else { LINGER };
        let _ = tokio::time::timeout(patience, connection).await;
    }
}

#[cfg(test)]
mod tests;
