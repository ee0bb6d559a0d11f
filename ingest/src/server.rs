//! The public HTTP server: two webhooks, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::post;
use runtime::shutdown::Shutdown;
use tokio::net::TcpListener;

use crate::config::{Config, LateDeliveries};
use crate::publish::Publisher;
use crate::signature::{Calendly, Stripe, Verifier};
use crate::webhook::{Endpoint, Publish};

/// How long open requests may take once the service stops: the longest a request can take, and no more.
const DRAIN: Duration = Duration::from_secs(15);

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
    let endpoint = Arc::new(Endpoint { verifier, publisher: publisher.clone(), max_body_bytes: config.max_body_bytes });
    router.route(
        path,
        post(move |request: Request<Body>| {
            let endpoint = endpoint.clone();
            async move { endpoint.receive(request).await }
        }),
    )
}

/// Serves until shutdown, then finishes the requests that are open.
pub async fn serve(listener: TcpListener, router: Router, shutdown: Shutdown) -> std::io::Result<()> {
    let stopping = shutdown.clone();
    let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned());
    let overdue = async move {
        stopping.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = serving => served,
        // A client that never ends its request must not keep the process.
        () = overdue => Ok(()),
    }
}
