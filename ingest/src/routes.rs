//! What is served publicly: two webhooks, and nothing else.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::post;

use crate::config::{Config, LateDeliveries};
use crate::publish::Publisher;
use crate::signature::{Calendly, Stripe, Verifier};
use crate::webhook::{Endpoint, Publish};

/// The routes. Without a secret there is no Stripe webhook.
pub fn router(config: &Config, publisher: &Publisher) -> Router {
    let calendly = Verifier::<Calendly>::new(&config.calendly_keys, config.tolerance, config.late_deliveries);
    let router = Router::new();
    let router = route(router, "/webhooks/calendly", calendly, config, publisher);
    if config.stripe_secrets.is_empty() {
        return router;
    }
    // Stripe signs every retry afresh, so a late one is none of its own.
    let stripe = Verifier::<Stripe>::new(&config.stripe_secrets, config.tolerance, LateDeliveries::Reject);
    route(router, "/webhooks/stripe", stripe, config, publisher)
}

fn route<S: Publish>(
    router: Router,
    path: &str,
    verifier: Verifier<S>,
    config: &Config,
    publisher: &Publisher,
) -> Router {
    let endpoint = Arc::new(Endpoint::new(verifier, publisher.clone(), config.max_body_bytes));
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
