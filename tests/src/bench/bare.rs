//! The yardstick of the machine: a bare axum server that checks the HMAC and no more, in a process of its own.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::server::{ROUND, Server, warm_up};
use crate::ports;
use crate::process::{Proc, Signal};
use crate::sandbox::CALENDLY_SIGNING_KEY;
use crate::wait::eventually;

/// With this and a port, the program is the yardstick.
pub const ARGUMENT: &str = "bare";
/// What 1,000 requests cost in CPU seconds on the machine that the absolute targets were set on (decision 44).
pub(super) const WHERE_TARGETS_WERE_SET: f64 = 0.009;
/// It remembers nothing, so these are sent again and again.
pub(super) const FOR_BARE: usize = 50_000;
const DEADLINE: Duration = Duration::from_secs(30);

/// Serves for ever.
///
/// # Panics
/// When the port is taken.
pub async fn serve(port: u16) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
    let router = Router::new().route("/webhooks/calendly", post(receive));
    axum::serve(listener, router).await.expect("the yardstick serves");
}

async fn receive(headers: HeaderMap, body: Bytes) -> (StatusCode, &'static str) {
    let header = headers.get("calendly-webhook-signature").and_then(|value| value.to_str().ok());
    let Some((time, signature)) = header.and_then(|header| header.strip_prefix("t=")?.split_once(",v1=")) else {
        return (StatusCode::UNAUTHORIZED, "{}");
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(CALENDLY_SIGNING_KEY.as_bytes()).expect("any key will do");
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(&body);
    let given = hex::decode(signature).unwrap_or_default();
    if mac.verify_slice(&given).is_ok() {
        (StatusCode::OK, r#"{"success":true}"#)
    } else {
        (StatusCode::UNAUTHORIZED, "{}")
    }
}

/// The running yardstick.
pub(super) struct Bare {
    process: Proc,
    addr: SocketAddr,
}

impl Bare {
    pub(super) async fn start() -> Self {
        let addr = SocketAddr::from(([127, 0, 0, 1], ports::free_port()));
        let program = std::env::current_exe().expect("this program has a path");
        let mut command = std::process::Command::new(program);
        command.args([ARGUMENT, &addr.port().to_string()]);
        let process = Proc::spawn(&mut command, Signal::Kill).expect("this program can be run");
        eventually(DEADLINE, "the yardstick", async || tokio::net::TcpStream::connect(addr).await.ok()).await;
        warm_up(addr).await;
        Self { process, addr }
    }

    pub(super) fn server(&self) -> Server {
        Server { name: "bare axum with HMAC", pid: self.process.pid(), addr: self.addr, broker: None }
    }

    /// How much slower this machine is now than the one that the absolute targets were set on.
    pub(super) async fn slowness(&self) -> f64 {
        self.server().measure((FOR_BARE, 0), ROUND, None).await.0.cpu_per_1000 / WHERE_TARGETS_WERE_SET
    }
}
