//! `calctl simulate`: sends signed sample deliveries to an ingest, to see a new installation at work.

mod story;

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use runtime::env::{ConfigError, Env};
use schemas::duration::parse_duration;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use sha2::Sha256;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use self::story::{Sample, story};
use crate::output::{Printer, table};
use crate::progress::Progress;

const PATH: &str = "/webhooks/calendly";
const HEADER: &str = "Calendly-Webhook-Signature";
/// As long as Calendly waits.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(15);
/// Between two tries of a delivery. Calendly waits longer, and nobody watches it.
const PAUSE: Duration = Duration::from_millis(500);

/// What to send, and where.
#[derive(Clone, Debug, Args)]
pub(crate) struct Simulation {
    /// Ingest's address, such as `http://127.0.0.1:8080`; without a path, the one of Calendly's webhook.
    #[arg(long, value_name = "URL")]
    url: reqwest::Url,
    /// Sample customers; every four of them make eight deliveries.
    #[arg(long, default_value = "8")]
    count: NonZeroUsize,
    /// Deliveries a second.
    #[arg(long, default_value = "10")]
    rate: NonZeroU32,
    /// Sends the deliveries in any order.
    #[arg(long)]
    shuffle: bool,
    /// Tries a delivery that is not accepted again for this long, as Calendly does for a day.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    retry_for: Duration,
}

#[derive(Serialize)]
struct Row {
    event: &'static str,
    invitee: String,
    /// The status of the answer; none when there was none.
    status: Option<u16>,
    answer: String,
}

pub(crate) async fn run(env: &Env, printer: &Printer, simulation: &Simulation) -> anyhow::Result<()> {
    let key = env.secrets("CALENDLY_SIGNING_KEYS")?.into_iter().next();
    let key = key.ok_or_else(|| ConfigError::new("CALENDLY_SIGNING_KEYS", "is missing; ingest's first key signs"))?;
    let mut url = simulation.url.clone();
    if url.path() == "/" {
        url.set_path(PATH);
    }
    let client = reqwest::Client::builder().connect_timeout(CONNECT).timeout(ANSWER).build();
    let client = client.context("the HTTP client cannot be built")?;
    let samples = samples(simulation);
    let mut progress = Progress::new("sending deliveries", u64::try_from(samples.len())?);
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / simulation.rate.get());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut rows = Vec::with_capacity(samples.len());
    for sample in samples {
        ticks.tick().await;
        let began = Instant::now();
        let mut row = deliver(&client, &url, &key, &sample).await?;
        while row.status != Some(200) && began.elapsed() < simulation.retry_for {
            tokio::time::sleep(PAUSE).await;
            row = deliver(&client, &url, &key, &sample).await?;
        }
        rows.push(row);
        progress.step();
    }
    drop(progress);
    printer.print(&rows, |rows| text(rows))?;
    match rows.iter().filter(|row| row.status != Some(200)).count() {
        0 => Ok(()),
        refused => bail!("{refused} of {} deliveries were not accepted", rows.len()),
    }
}

fn samples(simulation: &Simulation) -> Vec<Sample> {
    let now = Timestamp::now();
    let mut samples: Vec<Sample> = (0..simulation.count.get()).flat_map(|number| story(number, now)).collect();
    if simulation.shuffle {
        samples.sort_by_cached_key(|_| Uuid::new_v4());
    }
    samples
}

async fn deliver(
    client: &reqwest::Client,
    url: &reqwest::Url,
    key: &SecretString,
    sample: &Sample,
) -> anyhow::Result<Row> {
    let Sample { event, invitee, body } = sample;
    let signature = sign(key, Timestamp::now().as_second(), body)?;
    let request = client.post(url.clone()).header("Content-Type", "application/json").header(HEADER, signature);
    let (status, answer) = match request.body(body.clone()).send().await {
        Ok(response) => (Some(response.status().as_u16()), response.text().await.unwrap_or_default()),
        Err(error) => (None, format!("{:#}", anyhow::Error::from(error.without_url()))),
    };
    Ok(Row { event, invitee: invitee.clone(), status, answer })
}

/// As Calendly does: HMAC-SHA256 over time, a dot and the body.
fn sign(key: &SecretString, seconds: i64, body: &str) -> anyhow::Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).context("the key cannot be used")?;
    mac.update(format!("{seconds}.{body}").as_bytes());
    Ok(format!("t={seconds},v1={}", hex::encode(mac.finalize().into_bytes())))
}

fn text(rows: &[Row]) -> String {
    let status = |row: &Row| row.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
    let cells = |row: &Row| vec![row.event.to_owned(), row.invitee.clone(), status(row), row.answer.clone()];
    table(&["EVENT", "INVITEE", "STATUS", "ANSWER"], &rows.iter().map(cells).collect::<Vec<_>>())
}
