//! Connections that can be cut while a request is being answered.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// The handle by which a handler cuts its own connection.
#[derive(Clone, Debug)]
pub(super) struct Conn {
    this: Arc<AtomicBool>,
    all: Arc<AtomicBool>,
}

impl Conn {
    /// Whatever is written from now on is lost, and the connection ends.
    pub(super) fn cut(&self) {
        self.this.store(true, Ordering::SeqCst);
    }

    fn is_cut(&self) -> bool {
        self.this.load(Ordering::SeqCst) || self.all.load(Ordering::SeqCst)
    }
}

/// A listener whose connections end together when `all` is set.
pub(super) struct CutListener {
    pub(super) tcp: TcpListener,
    pub(super) all: Arc<AtomicBool>,
}

impl Listener for CutListener {
    type Io = CutStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (CutStream, SocketAddr) {
        let (tcp, addr) = Listener::accept(&mut self.tcp).await;
        let conn = Conn { this: Arc::default(), all: Arc::clone(&self.all) };
        (CutStream { tcp, conn }, addr)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

impl Connected<IncomingStream<'_, CutListener>> for Conn {
    fn connect_info(stream: IncomingStream<'_, CutListener>) -> Self {
        stream.io().conn.clone()
    }
}

pub(super) struct CutStream {
    tcp: TcpStream,
    conn: Conn,
}

impl CutStream {
    fn check(&self) -> io::Result<()> {
        if self.conn.is_cut() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl AsyncRead for CutStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for CutStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
