//! Where the registry is, read from the environment.

use std::fmt;

use reqwest::Url;

use crate::env::{ConfigError, Env};

const URL: &str = "SCHEMA_REGISTRY_URL";

/// `SCHEMA_REGISTRY_URL` and `SCHEMA_REGISTRY_REGISTER`.
#[derive(Clone)]
pub struct RegistryConfig {
    /// The base of Confluent's API, with a slash at its end. May hold user and password.
    pub(super) url: Url,
    /// Whether schemas that are missing are registered, and compatibility is set.
    pub register: bool,
}

impl fmt::Debug for RegistryConfig {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryConfig").field("register", &self.register).finish_non_exhaustive()
    }
}

impl RegistryConfig {
    /// `None` when there is no registry.
    pub fn from_env(env: &Env) -> Result<Option<Self>, ConfigError> {
        let register = env.parse("SCHEMA_REGISTRY_REGISTER", true)?;
        let Some(text) = env.optional(URL)? else { return Ok(None) };
        let problem =
            || ConfigError::new(URL, "must be like http://registry:8081 or http://registry:8080/apis/ccompat/v7");
        let mut url = Url::parse(text.trim()).map_err(|_| problem())?;
        let is_base = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none();
        if !is_base {
            return Err(problem());
        }
        let path = format!("{}/", url.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(Some(Self { url, register }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<RegistryConfig>, ConfigError> {
        RegistryConfig::from_env(&Env::from_pairs(pairs.iter().copied()))
    }

    #[test]
    fn an_address_or_nothing() {
        assert!(read(&[(URL, " ")]).unwrap().is_none());
        for (text, base) in [
            ("http://registry:8081", "http://registry:8081/"),
            ("https://registry/apis/ccompat/v7/", "https://registry/apis/ccompat/v7/"),
        ] {
            let config = read(&[(URL, text)]).unwrap().unwrap();
            assert_eq!((config.url.as_str(), config.register), (base, true));
        }
        assert!(!read(&[(URL, "http://r"), ("SCHEMA_REGISTRY_REGISTER", "false")]).unwrap().unwrap().register);
        for wrong in ["registry:8081", "registry", "http://", "ftp://registry", "http://registry/?a=b"] {
            assert_eq!(read(&[(URL, wrong)]).unwrap_err().variable(), URL, "{wrong}");
        }
        assert_eq!(read(&[("SCHEMA_REGISTRY_REGISTER", "no")]).unwrap_err().variable(), "SCHEMA_REGISTRY_REGISTER");
    }

    #[test]
    fn a_password_is_not_shown() {
        let config = read(&[(URL, "https://me:secret@registry")]).unwrap().unwrap();
        assert!(!format!("{config:?}").contains("secret"));
    }
}
