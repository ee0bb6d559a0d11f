//! Ports for servers that tests start, stop and start again.

use std::fs;
use std::net::TcpListener;

use crate::rundir;

/// Below the range from which the kernel takes the local ports of outgoing connections: a port that is free for a
/// moment, while its server restarts, cannot be taken by somebody's connection.
const FIRST: u16 = 11_000;
const LAST: u16 = 31_999;

/// A port of 127.0.0.1 that nobody listens on and that no other test gets.
pub fn free_port() -> u16 {
    let dir = rundir::shared_dir();
    let _counting = rundir::lock(&dir.join("ports.lock"));
    let counter = dir.join("ports.next");
    // Another clone on this machine counts for itself: start at different places.
    let start = || rand::random_range(FIRST..=LAST);
    let mut port = fs::read_to_string(&counter).ok().and_then(|text| text.parse().ok()).unwrap_or_else(start);
    loop {
        port = if port >= LAST { FIRST } else { port + 1 };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            fs::write(&counter, port.to_string()).expect("the port counter can be written");
            return port;
        }
    }
}
