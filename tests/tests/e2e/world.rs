//! What most tests need: the three services, a Stripe double that sends its webhooks to ingest, and eyes on all of it.

use std::time::Duration;

use tests::calendly::{Delivery, Invitee, post};
use tests::kafka::{Isolation, Message, read_all, wait_for};
use tests::sandbox::{CALENDLY_SIGNING_KEY, Env, STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET};
use tests::stripe::{Options, StripeDouble};
use tests::{Binary, Sandbox, Service, eventually};
use tokio_postgres::Row;

/// Far more than anything here takes, for machines that are busy with something else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) stripe: StripeDouble,
    pub(crate) env: Env,
    pub(crate) database: tokio_postgres::Client,
    pub(crate) ingest: Service,
    pub(crate) processor: Service,
    pub(crate) retrier: Service,
}

impl World {
    /// All three services, ready, with a price of 50 dollars.
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_with(name, &[]).await
    }

    pub(crate) async fn start_with(name: &str, more: &[(&str, &str)]) -> Self {
        let sandbox = Sandbox::new(name).await;
        let stripe = StripeDouble::start_with(Options {
            secret_key: STRIPE_SECRET_KEY.to_owned(),
            webhook_url: Some(format!("{}/webhooks/stripe", sandbox.ingest_url())),
            webhook_secret: STRIPE_WEBHOOK_SECRET.to_owned(),
            ..Options::default()
        })
        .await;
        let mut env = sandbox.env(&stripe.url());
        env.insert("DEFAULT_PRICE".to_owned(), "5000 usd".to_owned());
        env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let [ingest, processor, retrier] =
            [Binary::Ingest, Binary::Processor, Binary::Retrier].map(|binary| Service::spawn(binary, &env));
        for service in [&ingest, &processor, &retrier] {
            service.wait_ready(PATIENCE).await;
        }
        let database = sandbox.database().await;
        Self { sandbox, stripe, env, database, ingest, processor, retrier }
    }

    /// Sends a delivery, and expects ingest to take it.
    pub(crate) async fn send(&self, delivery: &Delivery) {
        let answer = self.send_raw(&delivery.body()).await;
        assert_eq!(answer, (200, r#"{"success":true}"#.to_owned()));
    }

    pub(crate) async fn send_raw(&self, body: &[u8]) -> (u16, String) {
        let url = format!("{}/webhooks/calendly", self.sandbox.ingest_url());
        post(&url, CALENDLY_SIGNING_KEY, body).await.expect("ingest answers")
    }

    /// Sends an event as Stripe would, and expects ingest to take it.
    pub(crate) async fn send_stripe(&self, event: &serde_json::Value) {
        let body = event.to_string();
        let signature = tests::stripe::signature::header_now(STRIPE_WEBHOOK_SECRET, body.as_bytes());
        let request = tests::service::http_client()
            .post(format!("{}/webhooks/stripe", self.sandbox.ingest_url()))
            .header("Stripe-Signature", signature)
            .body(body);
        assert_eq!(request.send().await.unwrap().status(), 200);
    }

    /// The booking of an invitee, once it is as `wanted`: `status payment_status`.
    pub(crate) async fn booking(&self, invitee: &Invitee, wanted: &str) -> Row {
        let what = format!("the booking to be {wanted}");
        eventually(PATIENCE, what, async || {
            let row = self.row(invitee).await?;
            let found = format!("{} {}", row.get::<_, String>("status"), row.get::<_, String>("payment_status"));
            (found == wanted).then_some(row)
        })
        .await
    }

    /// The booking whose current invitee this is.
    pub(crate) async fn row(&self, invitee: &Invitee) -> Option<Row> {
        self.database.query_opt("SELECT * FROM bookings WHERE invitee_uri = $1", &[&invitee.uri]).await.unwrap()
    }

    /// A booking with an open Checkout session; the session's id.
    pub(crate) async fn open_session(&self, invitee: &Invitee) -> String {
        eventually(PATIENCE, "a checkout session", async || {
            self.row(invitee).await?.get::<_, Option<String>>("checkout_session_id")
        })
        .await
    }

    /// A booking that was created and paid; the payment.
    pub(crate) async fn paid(&self, invitee: &Invitee) -> String {
        self.send(&invitee.created()).await;
        let session = self.open_session(invitee).await;
        let payment = self.stripe.pay(&session).expect("an open session can be paid");
        self.booking(invitee, "CONFIRMED PAID").await;
        payment
    }

    pub(crate) async fn records(&self, topic: &str) -> Vec<Message> {
        read_all(self.sandbox.brokers(), &self.sandbox.topic(topic), Isolation::Committed).await
    }

    pub(crate) async fn wait_for_records(&self, topic: &str, count: usize) -> Vec<Message> {
        let topic = self.sandbox.topic(topic);
        wait_for(self.sandbox.brokers(), &topic, PATIENCE, move |found| found.len() >= count).await
    }

    /// Waits until the processor has finished `count` records with this outcome.
    pub(crate) async fn processed(&self, outcome: &str, count: f64) {
        let what = format!("{count} records to be {outcome}");
        eventually(PATIENCE, what, async || {
            let metrics = self.processor.metrics().await;
            (metrics.sum("events_processed_total", &[("outcome", outcome)]) >= count).then_some(())
        })
        .await;
    }
}
