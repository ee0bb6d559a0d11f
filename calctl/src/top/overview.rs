//! What an operator wants to know, from two looks at the services' metrics.

use std::collections::BTreeMap;

use runtime::metrics as names;
use schemas::duration::parse_duration;
use serde::Serialize;

use super::scrape::{Scrape, Series};

/// One service, or an address where none answers.
#[derive(Debug, Serialize)]
pub(super) struct Service {
    pub(super) address: String,
    /// Absent when it does not answer.
    pub(super) name: Option<String>,
    pub(super) ready: bool,
    /// What it misses.
    pub(super) down: Vec<String>,
}

/// What waits in a topic or tier.
#[derive(Debug, Default, Serialize)]
pub(super) struct Waiting {
    pub(super) records: f64,
    /// Age of the oldest in seconds; in a tier, for how long it has been due.
    pub(super) seconds: f64,
}

/// Seconds that half, 95 % and 99 % of the events took.
#[derive(Debug, Serialize)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
}

/// Money since the services started, in minor units by currency.
#[derive(Debug, Default, Serialize)]
pub(super) struct Money {
    pub(super) received: BTreeMap<String, f64>,
    pub(super) returned: BTreeMap<String, f64>,
    pub(super) refunds_failed: f64,
}

/// The overview. Rates are per second, over the time between the two looks.
#[derive(Debug, Serialize)]
pub(super) struct Overview {
    pub(super) seconds: f64,
    pub(super) services: Vec<Service>,
    /// Webhook requests, by outcome.
    pub(super) requests: BTreeMap<String, f64>,
    pub(super) spool: Waiting,
    /// Finished records, by outcome.
    pub(super) processed: BTreeMap<String, f64>,
    /// Of the events in this time, else since the services started.
    pub(super) end_to_end_seconds: Option<Quantiles>,
    /// By topic.
    pub(super) lag: BTreeMap<String, Waiting>,
    /// By tier, the shortest first.
    pub(super) waiting: Vec<(String, Waiting)>,
    /// Records in the DLQ; absent when nobody tells.
    pub(super) dead: Option<f64>,
    /// New dead letters, by error class.
    pub(super) dying: BTreeMap<String, f64>,
    /// Why all events are held back, if they are.
    pub(super) breaker_open: Vec<String>,
    /// Requests to Stripe, by outcome.
    pub(super) stripe: BTreeMap<String, f64>,
    pub(super) money: Money,
}

impl Overview {
    pub(super) fn between(before: &Scrape, now: &Scrape) -> Self {
        let two = Two { seconds: now.at.duration_since(before.at).as_secs_f64().max(0.001), before, now };
        let tiers = two.waiting((names::RETRY_WAITING, names::RETRY_OVERDUE), "tier");
        let mut waiting: Vec<_> = tiers.into_iter().collect();
        waiting.sort_by_key(|(tier, _)| parse_duration(tier).unwrap_or_default());
        Self {
            seconds: two.seconds,
            services: services(now),
            requests: two.rates(names::WEBHOOK_REQUESTS, "outcome"),
            spool: Waiting {
                records: two.sum(names::SPOOL_RECORDS),
                seconds: two.most(names::SPOOL_OLDEST).unwrap_or(0.0),
            },
            processed: two.rates(names::EVENTS_PROCESSED, "outcome"),
            end_to_end_seconds: two.quantiles(names::EVENT_END_TO_END),
            lag: two.waiting((names::CONSUMER_LAG, names::CONSUMER_OLDEST), "topic"),
            waiting,
            dead: two.most(names::DLQ_RECORDS),
            dying: two.rates(names::DEAD_LETTERS, "error_class"),
            breaker_open: two
                .now_of(names::BREAKER_OPEN)
                .filter(|s| s.value > 0.0)
                .map(|s| s.label("cause").to_owned())
                .collect(),
            stripe: two.rates(names::STRIPE_REQUESTS, "outcome"),
            money: Money {
                received: two.sums(names::PAYMENTS_AMOUNT, "currency"),
                returned: two.sums(names::REFUNDS_AMOUNT, "currency"),
                refunds_failed: two.sums(names::REFUNDS, "outcome").get("failed").copied().unwrap_or(0.0),
            },
        }
    }

    /// Whether anybody answered.
    pub(super) fn has_services(&self) -> bool {
        self.services.iter().any(|service| service.name.is_some())
    }
}

fn services(scrape: &Scrape) -> Vec<Service> {
    let of = |address: &str, series: Option<&[Series]>| {
        let named = |name: &'static str| series.into_iter().flatten().filter(move |series| series.name == name);
        let name = named(names::BUILD_INFO).next().map(|build| build.label("service").to_owned());
        let down = named(names::DEPENDENCY_UP).filter(|series| series.value < 1.0);
        Service {
            address: address.to_owned(),
            name: name.or_else(|| series.map(|_| "unknown".to_owned())),
            ready: named(names::SERVICE_READY).any(|series| series.value > 0.0),
            down: down.map(|series| series.label("dependency").to_owned()).collect(),
        }
    };
    scrape.endpoints.iter().map(|endpoint| of(&endpoint.address, endpoint.series.as_deref())).collect()
}

/// The sum, which of nothing is 0; the standard library's is -0, and would be shown as such.
pub(super) fn total(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.fold(0.0, |sum, number| sum + number)
}

/// Two looks.
struct Two<'a> {
    seconds: f64,
    before: &'a Scrape,
    now: &'a Scrape,
}

impl<'a> Two<'a> {
    fn now_of(&self, name: &str) -> impl Iterator<Item = &'a Series> {
        let all = self.now.endpoints.iter().flat_map(|endpoint| endpoint.series.iter().flatten());
        all.filter(move |series| series.name == name)
    }

    /// Over all instances.
    fn sum(&self, name: &str) -> f64 {
        total(self.now_of(name).map(|series| series.value))
    }

    /// Of what every instance tells of the whole.
    fn most(&self, name: &str) -> Option<f64> {
        self.now_of(name).map(|series| series.value).max_by(f64::total_cmp)
    }

    fn sums(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for series in self.now_of(name) {
            *sums.entry(series.label(label).to_owned()).or_default() += series.value;
        }
        sums
    }

    /// What came on top of each series since the look before; a service that was restarted meanwhile began at zero.
    fn increases(&self, name: &str) -> Vec<(&'a Series, f64)> {
        let mut increases = Vec::new();
        for endpoint in &self.now.endpoints {
            let former = self.before.endpoints.iter().find(|former| former.address == endpoint.address);
            let former = former.and_then(|former| former.series.as_ref());
            for series in endpoint.series.iter().flatten().filter(|series| series.name == name) {
                // Whoever was not there before cannot tell how much of it is new.
                let Some(former) = former else { continue };
                let same = former.iter().find(|other| other.name == series.name && other.labels == series.labels);
                let start = same.map_or(0.0, |other| other.value);
                increases.push((series, if series.value < start { series.value } else { series.value - start }));
            }
        }
        increases
    }

    fn rates(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut rates = BTreeMap::new();
        for (series, increase) in self.increases(name) {
            *rates.entry(series.label(label).to_owned()).or_default() += increase / self.seconds;
        }
        rates
    }

    fn waiting(&self, (records, seconds): (&str, &str), label: &str) -> BTreeMap<String, Waiting> {
        let sums = self.sums(records, label).into_iter();
        let mut waiting: BTreeMap<_, _> =
            sums.map(|(name, records)| (name, Waiting { records, seconds: 0.0 })).collect();
        for series in self.now_of(seconds) {
            let entry: &mut Waiting = waiting.entry(series.label(label).to_owned()).or_default();
            entry.seconds = entry.seconds.max(series.value);
        }
        waiting
    }

    fn quantiles(&self, histogram: &str) -> Option<Quantiles> {
        let name = format!("{histogram}_bucket");
        let recent = buckets(self.increases(&name));
        let ever = || buckets(self.now_of(&name).map(|series| (series, series.value)).collect());
        let buckets = if recent.last().is_some_and(|(_, count)| *count > 0.0) { recent } else { ever() };
        let of = |share| quantile(&buckets, share);
        Some(Quantiles { p50: of(0.5)?, p95: of(0.95)?, p99: of(0.99)? })
    }
}

/// Upper bounds in order, each with how many observations are not above it.
fn buckets(series: Vec<(&Series, f64)>) -> Vec<(f64, f64)> {
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for (series, count) in series {
        let bound = series.label("le").parse().unwrap_or(f64::INFINITY);
        match buckets.iter_mut().find(|(known, _)| known.total_cmp(&bound).is_eq()) {
            Some((_, sum)) => *sum += count,
            None => buckets.push((bound, count)),
        }
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    buckets
}

/// As Prometheus does: within a bucket, observations count as spread evenly. `None` without observations.
fn quantile(buckets: &[(f64, f64)], share: f64) -> Option<f64> {
    let wanted = buckets.last().map(|(_, count)| *count).filter(|total| *total > 0.0)? * share;
    let (mut below, mut before) = (0.0, 0.0);
    for (bound, count) in buckets {
        if *count >= wanted {
            let part = if *count > before { (wanted - before) / (count - before) } else { 1.0 };
            return Some(if bound.is_finite() { below + (bound - below) * part } else { below });
        }
        (below, before) = (*bound, *count);
    }
    None
}

#[cfg(test)]
#[path = "overview_tests.rs"]
mod tests;
