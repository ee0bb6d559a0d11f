//! `DATABASE_URL`: what tokio-postgres reads of it, and how far the server's certificate is to be trusted.
//!
//! `sslmode` and `sslrootcert` mean what they mean to libpq, but for two things. Without `sslrootcert` the system's
//! authorities count, not a file in the home folder; and an authority that nobody would look at is an error.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use super::error::UrlError;
use super::tls::{Authority, Trust};

/// Reads the whole of it.
pub(super) fn read(url: &str) -> Result<(Config, Trust), UrlError> {
    let Parameters { rest, mode, root } = Parameters::take(url)?;
    let mut config: Config = rest.parse().map_err(|_| UrlError::Malformed)?;
    if config.get_hosts().is_empty() {
        return Err(UrlError::Malformed);
    }
    let authority = || root.as_deref().map_or(Authority::System, Authority::named);
    let (mode, trust) = match (mode.as_deref(), &root) {
        (None | Some("disable" | "prefer"), Some(_)) => return Err(UrlError::UnusedRoot),
        (None, None) => (config.get_ssl_mode(), Trust::Anyone),
        (Some("disable"), None) => (SslMode::Disable, Trust::Anyone),
        (Some("prefer"), None) => (SslMode::Prefer, Trust::Anyone),
        (Some("require"), None) => (SslMode::Require, Trust::Anyone),
        (Some("require" | "verify-ca"), _) => match authority() {
            Authority::System => return Err(UrlError::WeakSystem),
            own @ Authority::File(_) => (SslMode::Require, Trust::Chain(own)),
        },
        (Some("verify-full"), _) => (SslMode::Require, Trust::ChainAndName(authority())),
        (Some(_), _) => return Err(UrlError::Mode),
    };
    config.ssl_mode(mode);
    Ok((config, trust))
}

/// The address without the parameters that tokio-postgres does not know, or knows half.
struct Parameters<'a> {
    rest: String,
    mode: Option<Cow<'a, str>>,
    root: Option<Cow<'a, str>>,
}

impl<'a> Parameters<'a> {
    fn take(url: &'a str) -> Result<Self, UrlError> {
        // Before the first @ there may be a password, with any signs in it.
        let host = url.find('@').map_or(0, |at| at + 1);
        let query = url.get(host..).and_then(|after| after.find('?')).map(|at| host + at);
        let Some((base, parameters)) = query.and_then(|at| Some((url.get(..at)?, url.get(at + 1..)?))) else {
            return Ok(Self { rest: url.to_owned(), mode: None, root: None });
        };
        let (mut mode, mut root, mut others) = (None, None, Vec::new());
        for parameter in parameters.split('&') {
            let taken = match parameter.split_once('=') {
                Some(("sslmode", value)) => mode.replace(decoded(value)?).is_some(),
                Some(("sslrootcert", value)) => root.replace(decoded(value)?).is_some(),
                _ => {
                    others.push(parameter);
                    false
                }
            };
            if taken {
                return Err(UrlError::Malformed);
            }
        }
        let rest = if others.is_empty() { base.to_owned() } else { format!("{base}?{}", others.join("&")) };
        Ok(Self { rest, mode, root })
    }
}

fn decoded(value: &str) -> Result<Cow<'_, str>, UrlError> {
    percent_decode_str(value).decode_utf8().map_err(|_| UrlError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "postgres://me:p%40ss?&word@db.example:5433/bookings";

    fn read_with(parameters: &str) -> Result<(SslMode, Trust), UrlError> {
        let (config, trust) = read(&format!("{BASE}{parameters}"))?;
        assert_eq!(config.get_password(), Some(&b"p@ss?&word"[..]));
        assert_eq!((config.get_ports(), config.get_dbname()), (&[5433][..], Some("bookings")));
        Ok((config.get_ssl_mode(), trust))
    }

    #[test]
    fn modes_are_libpqs() {
        let file = || Authority::File("/etc/my ca.pem".into());
        let root = "sslrootcert=/etc/my%20ca.pem";
        for (parameters, mode, trust) in [
            ("", SslMode::Prefer, Trust::Anyone),
            ("?sslmode=prefer", SslMode::Prefer, Trust::Anyone),
            ("?sslmode=disable", SslMode::Disable, Trust::Anyone),
            ("?connect_timeout=3&sslmode=require", SslMode::Require, Trust::Anyone),
            (&format!("?{root}&sslmode=require"), SslMode::Require, Trust::Chain(file())),
            (&format!("?sslmode=verify-ca&{root}"), SslMode::Require, Trust::Chain(file())),
            (&format!("?sslmode=verify-full&{root}"), SslMode::Require, Trust::ChainAndName(file())),
            ("?sslmode=verify-full", SslMode::Require, Trust::ChainAndName(Authority::System)),
            ("?sslmode=verify-full&sslrootcert=system", SslMode::Require, Trust::ChainAndName(Authority::System)),
        ] {
            assert_eq!(read_with(parameters).unwrap(), (mode, trust), "{parameters}");
        }
        assert_eq!(read("host=db user=me sslmode=require").unwrap().0.get_ssl_mode(), SslMode::Require);
    }

    #[test]
    fn what_would_not_protect_is_an_error() {
        for (parameters, error) in [
            ("?sslmode=verify_full", UrlError::Mode),
            ("?sslmode=", UrlError::Mode),
            ("?sslrootcert=/ca.pem", UrlError::UnusedRoot),
            ("?sslmode=prefer&sslrootcert=/ca.pem", UrlError::UnusedRoot),
            ("?sslmode=verify-ca", UrlError::WeakSystem),
            ("?sslmode=verify-ca&sslrootcert=system", UrlError::WeakSystem),
            ("?sslmode=require&sslrootcert=system", UrlError::WeakSystem),
            ("?sslmode=verify-full&sslmode=disable", UrlError::Malformed),
            ("?sslcert=/me.pem", UrlError::Malformed),
        ] {
            assert_eq!(read_with(parameters).unwrap_err(), error, "{parameters}");
        }
        for url in ["", "mysql://x", "postgres://", "db"] {
            assert_eq!(read(url).unwrap_err(), UrlError::Malformed, "{url}");
        }
    }
}
