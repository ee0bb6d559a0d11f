//! Signing and sending deliveries.

use crate::stripe::{http_client, signature};

/// The header that carries the signature.
pub const SIGNATURE_HEADER: &str = "Calendly-Webhook-Signature";

/// Signs deliveries as Calendly does.
#[derive(Clone, Debug)]
pub struct Signer {
    key: String,
}

impl Signer {
    /// With the subscription's signing key.
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into() }
    }

    /// The hex signature alone.
    pub fn digest(&self, timestamp: i64, body: &[u8]) -> String {
        signature::digest(&self.key, timestamp, body)
    }

    /// The header's value for a delivery made at a time (Unix seconds).
    pub fn header(&self, timestamp: i64, body: &[u8]) -> String {
        signature::header(&self.key, timestamp, body)
    }

    /// The header's value for a delivery made now.
    pub fn sign_now(&self, body: &[u8]) -> String {
        signature::header_now(&self.key, body)
    }
}

/// Delivers to one URL; keeps its connections, so use one for many deliveries.
#[derive(Clone, Debug)]
pub struct Sender {
    client: reqwest::Client,
    url: String,
    signer: Signer,
}

impl Sender {
    /// To the whole URL, signed with the key.
    pub fn new(url: &str, key: &str) -> Self {
        Self { client: http_client(), url: url.to_owned(), signer: Signer::new(key) }
    }

    /// Delivers a body, signed now. Gives status and body of the answer.
    pub async fn send(&self, body: impl Into<Vec<u8>>) -> reqwest::Result<(u16, String)> {
        let body = body.into();
        let header = self.signer.sign_now(&body);
        self.send_with_header(Some(&header), body).await
    }

    /// Delivers a body with any signature header, or none.
    pub async fn send_with_header(
        &self,
        header: Option<&str>,
        body: impl Into<Vec<u8>>,
    ) -> reqwest::Result<(u16, String)> {
        let mut request = self.client.post(&self.url).header("Content-Type", "application/json").body(body.into());
        if let Some(header) = header {
            request = request.header(SIGNATURE_HEADER, header);
        }
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }
}

/// Delivers one body, signed now, to the whole URL. Gives status and body of the answer.
pub async fn post(url: &str, key: &str, body: impl Into<Vec<u8>>) -> reqwest::Result<(u16, String)> {
    Sender::new(url, key).send(body).await
}
