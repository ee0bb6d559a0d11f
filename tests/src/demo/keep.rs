//! `make up`: the stack keeps running, with a sample booking in it, and says where everything is.

use std::fs;
use std::path::PathBuf;

use super::case::Case;
use super::progress::Progress;
use super::stack::{FREE_EVENT_TYPE, RETRY_DELAYS, Stack};
use super::stage::Stage;
use crate::calendly::Invitee;
use crate::sandbox::{CALENDLY_SIGNING_KEY, DEFAULT_PRICE};
use crate::service::{Binary, run_calctl};
use crate::stripe::RefundMode;

/// Runs until a service ends, which it should not: the sentence tells of it.
pub(super) async fn keep(stack: &Stack, progress: &Progress) -> String {
    let sample = sample(stack, progress).await;
    println!("{}", guide(stack, &sample));
    println!("{}", overview(stack).await);
    progress.say("Everything runs. Ctrl-C stops it.");
    stack.service_ended().await
}

/// A first booking to look at. Gives the page to pay it on, or what went wrong.
async fn sample(stack: &Stack, progress: &Progress) -> String {
    stack.double.refund_mode(RefundMode::Instant);
    let stage = Stage::new(stack, progress);
    let person = Invitee::random().email("sample@example.com");
    let booked = async {
        stage.deliver(&mut Case::new("sample"), &person.created()).await?;
        stage.booking_that(&person, "payable", |booking| booking.session.is_some()).await
    };
    match booked.await {
        Ok(booking) => format!("{}/c/pay/{}", stack.double.url(), booking.session.unwrap_or_default()),
        Err(problem) => format!("not there: {problem}"),
    }
}

/// Where `calctl top` finds the services.
fn admin_urls(stack: &Stack) -> String {
    stack.services().map(|(_, service)| service.admin_url()).join(",")
}

/// What the guide's `calctl top` shows at first.
async fn overview(stack: &Stack) -> String {
    let output = run_calctl(&["top", "--once", "--from", &admin_urls(stack)], &stack.env).await;
    let shown = if output.status.success() { output.stdout } else { output.stderr };
    String::from_utf8_lossy(&shown).into_owned()
}

/// Writes the services' environment to a file for a shell to read.
fn variables(stack: &Stack) -> PathBuf {
    let path = stack.dir.join("environment");
    let lines: Vec<String> = stack.env.iter().map(|(name, value)| format!("{name}='{value}'\n")).collect();
    fs::write(&path, lines.concat()).expect("the run folder is writable");
    path
}

fn guide(stack: &Stack, sample: &str) -> String {
    let admin: Vec<String> = stack
        .services()
        .map(|(name, service)| {
            let (url, log) = (service.admin_url(), service.log().display());
            format!("  {name:<15} {url}/metrics  {url}/readyz\n  {:<15} log {log}\n", "")
        })
        .into();
    let delays = RETRY_DELAYS.map(|(label, _)| label).join(", ");
    let (ingest, double, kafka) = (&stack.ingest_url, stack.double.url(), stack.kafka.brokers());
    let postgres = stack.postgres.url("calendly");
    let (calctl, variables) = (Binary::Calctl.path(), variables(stack));
    let (calctl, variables) = (calctl.display(), variables.display());
    format!(
        r#"
  webhooks        {ingest}/webhooks/calendly  {ingest}/webhooks/stripe
{admin}  Stripe double   {double}/_double/state (POST {double}/_double/refund_mode and others)
  PostgreSQL      {postgres}
  Kafka           {kafka}
  signing key     {CALENDLY_SIGNING_KEY}
  prices          {DEFAULT_PRICE} (minor units); event type {FREE_EVENT_TYPE} is free
  retries         after {delays}; then calendly.events.dlq
  sample booking  {sample}
  overview        {calctl} top --from {admin_urls}
  calctl          set -a; . {variables}; set +a; {calctl} bookings show sample@example.com

Deliver a booking of your own:

  t=$(date +%s)
  body='{{"event":"invitee.created","payload":{{"uri":"https://api.calendly.com/invitees/'$t'","email":"you@example.com","name":"You"}}}}'
  v1=$(printf '%s' "$t.$body" | openssl dgst -sha256 -hmac '{CALENDLY_SIGNING_KEY}' | sed 's/.* //')
  curl -i -H "Calendly-Webhook-Signature: t=$t,v1=$v1" --data-binary "$body" {ingest}/webhooks/calendly
  psql '{postgres}' -c 'SELECT invitee_email, status, payment_status, checkout_url FROM bookings'
"#,
        admin = admin.concat(),
        admin_urls = admin_urls(stack),
    )
}
