//! What is served publicly: two webhooks, and nothing else.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::post;

use crate::config::{Config, LateDeliveries};
use crate::memory::Memory;
use crate::publish::Publisher;
use crate::signature::{Calendly, Stripe, Verifier};
use crate::webhook::{Endpoint, Publish};

/// What verifies deliveries.
pub(crate) struct Verifiers {
    pub(crate) calendly: Verifier<Calendly>,
    /// Without a secret there is no Stripe webhook.
    pub(crate) stripe: Option<Verifier<Stripe>>,
}

impl Verifiers {
    pub(crate) fn new(config: &Config) -> Self {
        // Stripe signs every retry afresh, so a late one is none of its own.
        let stripe = || Verifier::new(&config.stripe_secrets, config.tolerance, LateDeliveries::Reject);
        Self {
            calendly: Verifier::new(&config.calendly_keys, config.tolerance, config.late_deliveries),
            stripe: (!config.stripe_secrets.is_empty()).then(stripe),
        }
    }
}

/// The routes.
pub(crate) fn router(config: &Config, verifiers: Verifiers, publisher: &Publisher) -> Router {
    let memory = Memory::for_bodies_of(config.max_body_bytes);
    let router = Router::new();
    let router = route(router, "/webhooks/calendly", verifiers.calendly, config, publisher, &memory);
    match verifiers.stripe {
        Some(stripe) => route(router, "/webhooks/stripe", stripe, config, publisher, &memory),
        None => router,
    }
}

fn route<S: Publish>(
    router: Router,
    path: &str,
    verifier: Verifier<S>,
    config: &Config,
    publisher: &Publisher,
    memory: &Memory,
) -> Router {
    let endpoint = Endpoint::new(verifier, publisher.clone(), config.max_body_bytes, memory.clone());
    let endpoint = Arc::new(endpoint);
    router.route(
        path,
        post(move |request: Request<Body>| {
            let endpoint = endpoint.clone();
            async move { endpoint.receive(request).await }
        }),
    )
}

#[cfg(test)]
mod tests;
