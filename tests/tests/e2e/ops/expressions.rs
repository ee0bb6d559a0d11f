//! What the expressions of panels and rules are made of.

use std::collections::BTreeSet;

/// Panels that show nothing while all is well, or without something that this test has not: why.
pub(super) const MAY_BE_EMPTY: &[(&str, &str)] = &[
    ("overview.json: Held back by", "the breaker is closed"),
    ("processor.json: Held back by", "the breaker is closed"),
    ("servers.json: Brokers that are away", "none is"),
    ("servers.json: Failed transactions", "none failed"),
];

/// Metrics that no service reports here, so that what asks for them may be empty: nobody watches a subscription.
pub(super) const NOT_REPORTED: &[&str] = &[
    "calendly_backfill_open",
    "calendly_backfilled_events_total",
    "calendly_subscription_active",
    "calendly_subscription_failing_seconds",
    "calendly_subscription_checks_total",
];

/// An expression of a panel as Grafana sends it, with all event types and instances.
pub(super) fn concrete(expression: &str) -> String {
    let expression = expression.replace("$__rate_interval", "1m");
    let expression = expression.replace("$event_type", ".*").replace("$instance", ".*");
    assert!(!expression.contains('$'), "{expression} has a variable that this test does not know");
    expression
}

/// Words of PromQL that stand where a metric could.
const WORDS: &[&str] = &[
    "and",
    "bool",
    "by",
    "group_left",
    "group_right",
    "ignoring",
    "offset",
    "on",
    "or",
    "unless",
    "without",
    "inf",
    "nan",
];
/// Of these, the ones before a list of labels.
const BEFORE_LABELS: &[&str] = &["by", "group_left", "group_right", "ignoring", "on", "without"];

/// The names of the metrics that an expression asks for. Recorded ones (with a colon) and those of Prometheus itself are
/// left out.
pub(super) fn metrics_in(expression: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let (mut found, mut rest, mut skip_labels) = (BTreeSet::new(), expression, false);
    while let Some(first) = rest.chars().next() {
        let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        if length == 0 {
            // Matchers, ranges, and the labels after `by` and its like hold no metric.
            let end = match first {
                '{' => rest.find('}'),
                '[' => rest.find(']'),
                '(' if skip_labels => rest.find(')'),
                _ => None,
            };
            skip_labels = skip_labels && first == ' ';
            rest = &rest[end.unwrap_or(0) + first.len_utf8()..];
            continue;
        }
        let (word, after) = rest.split_at(length);
        let lower = word.to_ascii_lowercase();
        skip_labels = BEFORE_LABELS.contains(&lower.as_str());
        let is_function = after.trim_start().starts_with('(') && !WORDS.contains(&lower.as_str());
        // `sum by (x) (…)`: an aggregation, whose parenthesis comes later.
        let next = after.trim_start().split(|c| !is_name(c)).next().unwrap_or_default();
        let is_aggregation = matches!(next, "by" | "without");
        let is_metric =
            !is_function && !WORDS.contains(&lower.as_str()) && !word.starts_with(|c: char| c.is_ascii_digit());
        let is_own = word.contains(':') || word == "up" || word == "ALERTS";
        if is_metric && !is_own && !is_aggregation {
            found.insert(word.to_owned());
        }
        rest = after;
    }
    found
}

#[test]
fn finds_the_metrics_of_an_expression() {
    let names = |expression: &str| metrics_in(expression).into_iter().collect::<Vec<_>>();
    assert_eq!(names("sum by (job, a) (rate(x_total{b=\"c\"}[5m] offset 1w)) > 2.5"), ["x_total"]);
    assert_eq!(names("max(a) / on (i) group_left (v) b unless on () (max by (c) (d) == 1)"), ["a", "b", "d"]);
    assert_eq!(names("tier:a:sum > 1 or vector(0) and absent(up{job=\"x\"}) or max by(le)(e_bucket)"), ["e_bucket"]);
}
