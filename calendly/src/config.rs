//! The variables about Calendly's API, read once at start.

use reqwest::Url;
use runtime::env::{ConfigError, Env};
use secrecy::SecretString;

const API: &str = "https://api.calendly.com";
/// Where ingest takes Calendly's deliveries.
const PATH: [&str; 2] = ["webhooks", "calendly"];

/// How to reach Calendly's API.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// `CALENDLY_TOKEN`.
    pub token: SecretString,
    /// `CALENDLY_API_BASE`.
    pub base: Url,
}

impl ApiConfig {
    /// Reads it; none without `CALENDLY_TOKEN`.
    pub fn from_env(env: &Env) -> Result<Option<Self>, ConfigError> {
        let text = env.optional("CALENDLY_API_BASE")?.unwrap_or_else(|| API.to_owned());
        let problem = "must be an http or https address such as https://api.calendly.com";
        let base = address(&text).ok_or_else(|| ConfigError::new("CALENDLY_API_BASE", problem))?;
        let Some(token) = env.optional("CALENDLY_TOKEN")? else { return Ok(None) };
        let token = token.trim();
        // It travels in a header; and a token with a blank in it is two things pasted together.
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ConfigError::new("CALENDLY_TOKEN", "must be printable ASCII without blanks"));
        }
        Ok(Some(Self { token: SecretString::from(token), base }))
    }
}

/// Where Calendly is to deliver: `PUBLIC_URL` with the path of ingest's webhook; none without `PUBLIC_URL`.
pub fn callback_url(env: &Env) -> Result<Option<Url>, ConfigError> {
    let Some(text) = env.optional("PUBLIC_URL")? else { return Ok(None) };
    let problem = "must be ingest's address as Calendly reaches it, such as https://hooks.example.com";
    let url = address(&text).ok_or_else(|| ConfigError::new("PUBLIC_URL", problem))?;
    Ok(Some(below(&url, &PATH)))
}

/// `base` with these segments after its path.
pub(crate) fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    // An error is for addresses without a host, which `address` does not let pass.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

fn address(text: &str) -> Option<Url> {
    let url = Url::parse(text.trim()).ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let ends_with_path = url.query().is_none() && url.fragment().is_none();
    (matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain && ends_with_path).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str, value: &str) -> Env {
        Env::from_pairs([(name, value)])
    }

    #[test]
    fn the_webhook_is_below_the_public_address() {
        for (public, expected) in [
            ("https://hooks.example.com", "https://hooks.example.com/webhooks/calendly"),
            ("https://hooks.example.com/", "https://hooks.example.com/webhooks/calendly"),
            (" http://a:8080/b/ ", "http://a:8080/b/webhooks/calendly"),
        ] {
            assert_eq!(callback_url(&env("PUBLIC_URL", public)).unwrap().unwrap().as_str(), expected);
        }
        assert_eq!(callback_url(&env("PUBLIC_URL", " ")).unwrap(), None);
        for wrong in ["hooks.example.com", "ftp://a", "https://", "https://u:p@a", "https://a?b=c", "https://a#b"] {
            assert_eq!(callback_url(&env("PUBLIC_URL", wrong)).unwrap_err().variable(), "PUBLIC_URL", "{wrong}");
        }
    }

    #[test]
    fn the_api_needs_a_token_which_is_never_shown() {
        assert!(ApiConfig::from_env(&env("CALENDLY_TOKEN", "")).unwrap().is_none());
        let config = ApiConfig::from_env(&env("CALENDLY_TOKEN", " secret \n")).unwrap().unwrap();
        assert_eq!(config.base.as_str(), "https://api.calendly.com/");
        assert!(!format!("{config:?}").contains("secret"));
        let wrong = ApiConfig::from_env(&env("CALENDLY_TOKEN", "secret one")).unwrap_err();
        assert_eq!(wrong.variable(), "CALENDLY_TOKEN");
        assert!(!wrong.to_string().contains("secret"));
        let wrong = ApiConfig::from_env(&env("CALENDLY_API_BASE", "calendly")).unwrap_err();
        assert_eq!(wrong.variable(), "CALENDLY_API_BASE");
    }
}
