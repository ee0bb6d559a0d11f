use std::time::{Duration, Instant};

use super::super::scrape::Endpoint;
use super::*;

fn series(name: &str, labels: &[(&str, &str)], value: f64) -> Series {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Series { name: name.to_owned(), labels, value }
}

fn scrape(at: Instant, endpoints: Vec<Option<Vec<Series>>>) -> Scrape {
    let named = endpoints.into_iter().enumerate();
    let endpoints = named.map(|(n, series)| Endpoint { address: format!("a:{n}"), series }).collect();
    Scrape { at, endpoints }
}

fn processor(applied: f64) -> Vec<Series> {
    vec![
        series("build_info", &[("service", "processor")], 1.0),
        series("service_ready", &[], 1.0),
        series("dependency_up", &[("dependency", "breaker")], 0.0),
        series("events_processed_total", &[("event_type", "a"), ("outcome", "applied")], applied),
        series("events_processed_total", &[("event_type", "b"), ("outcome", "applied")], applied),
        series("consumer_lag_records", &[("topic", "t")], 3.0),
        series("consumer_oldest_unfinished_seconds", &[("topic", "t")], applied),
        series("retry_waiting_records", &[("tier", "15m")], 1.0),
        series("retry_waiting_records", &[("tier", "1m")], 2.0),
        series("dlq_records", &[], 4.0),
    ]
}

#[test]
fn rates_are_between_the_looks_and_over_all_instances() {
    let (start, two) = (Instant::now(), Duration::from_secs(2));
    let before = scrape(start, vec![Some(processor(10.0)), Some(processor(100.0)), None, None]);
    let now = scrape(start + two, vec![Some(processor(14.0)), Some(processor(1.0)), Some(processor(7.0)), None]);
    let overview = Overview::between(&before, &now);
    // Four more of each type, one of each since a restart, and nothing of who was not there before.
    assert_eq!(overview.processed.get("applied"), Some(&5.0));
    assert_eq!((overview.lag["t"].records, overview.lag["t"].seconds), (9.0, 14.0));
    assert_eq!(overview.dead, Some(4.0), "every instance tells of the whole topic");
    let tiers: Vec<_> = overview.waiting.iter().map(|(tier, waiting)| (tier.as_str(), waiting.records)).collect();
    assert_eq!(tiers, [("1m", 6.0), ("15m", 3.0)]);
    assert_eq!(overview.services[0].down, ["breaker"]);
    assert_eq!(overview.services[3].name, None);
    assert!(overview.has_services());
}

#[test]
fn quantiles_are_prometheus_own() {
    let buckets = [(1.0, 50.0), (2.0, 90.0), (4.0, 100.0), (f64::INFINITY, 100.0)];
    assert_eq!(quantile(&buckets, 0.5), Some(1.0));
    assert_eq!(quantile(&buckets, 0.95), Some(3.0));
    assert_eq!(quantile(&[(1.0, 0.0), (f64::INFINITY, 2.0)], 0.5), Some(1.0), "no more is known than the last bound");
    assert_eq!(quantile(&[(1.0, 0.0)], 0.5), None);
    assert_eq!(quantile(&[], 0.5), None);
}
