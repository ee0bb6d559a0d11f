//! Addresses to listen on.

use std::fmt;
use std::str::FromStr;

use tokio::net::TcpListener;

use crate::env::{ConfigError, Env};

/// `host:port`; the host is an IP address or a name, the port may be 0 for any free one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddr(String);

impl FromStr for ListenAddr {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = text.rsplit_once(':').is_some_and(|(host, port)| {
            let bracketed = host.starts_with('[') && host.ends_with(']');
            !host.is_empty() && (bracketed || !host.contains(':')) && port.parse::<u16>().is_ok()
        });
        if valid { Ok(Self(text.to_owned())) } else { Err("must be host:port, for example 127.0.0.1:8080") }
    }
}

impl ListenAddr {
    /// Reads the address from `name`.
    pub fn from_env(env: &Env, name: &'static str, default: &str) -> Result<Self, ConfigError> {
        let text = env.optional(name)?.unwrap_or_else(|| default.to_owned());
        text.trim().parse().map_err(|error: <Self as FromStr>::Err| ConfigError::new(name, error.to_string()))
    }

    /// Where this machine reaches what listens here: every address includes the loopback one.
    pub(crate) fn to_connect(&self) -> String {
        match self.0.rsplit_once(':') {
            Some(("0.0.0.0", port)) => format!("127.0.0.1:{port}"),
            Some(("[::]", port)) => format!("[::1]:{port}"),
            _ => self.0.clone(),
        }
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{variable}: cannot listen on {addr} ({cause}); stop what uses it or choose another address")]
pub struct ListenError {
    variable: &'static str,
    addr: ListenAddr,
    cause: std::io::Error,
}

/// Listens on `addr`, which came from `variable`.
pub async fn listen(variable: &'static str, addr: &ListenAddr) -> Result<TcpListener, ListenError> {
    let wrap = |cause| ListenError { variable, addr: addr.clone(), cause };
    TcpListener::bind(&addr.0).await.map_err(wrap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["127.0.0.1:9464", "0.0.0.0:0", "localhost:80", "[::1]:80"] {
            assert!(good.parse::<ListenAddr>().is_ok(), "{good}");
        }
        for bad in ["", "9464", ":9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:80", "http://a:80", "a:b"] {
            assert!(bad.parse::<ListenAddr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn all_addresses_are_reached_by_loopback() {
        for (listen, connect) in
            [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("10.0.0.1:80", "10.0.0.1:80")]
        {
            assert_eq!(listen.parse::<ListenAddr>().unwrap().to_connect(), connect);
        }
    }

    #[tokio::test]
    async fn an_address_in_use_is_named_with_its_variable() {
        let first = listen("ADMIN_ADDR", &"127.0.0.1:0".parse().unwrap()).await.unwrap();
        let addr = first.local_addr().unwrap().to_string();
        let line = listen("ADMIN_ADDR", &addr.parse().unwrap()).await.unwrap_err().to_string();
        assert!(line.starts_with(&format!("ADMIN_ADDR: cannot listen on {addr}")), "{line}");
        assert!(!line.contains('\n'), "{line}");
    }
}
