use super::*;

/// What the contract promises: name, type.
const CONTRACT: &[(&str, &str)] = &[
    ("webhook_requests_total", "counter"),
    ("webhook_request_duration_seconds", "histogram"),
    ("spool_records", "gauge"),
    ("spool_bytes", "gauge"),
    ("events_processed_total", "counter"),
    ("event_processing_duration_seconds", "histogram"),
    ("event_end_to_end_seconds", "histogram"),
    ("retries_scheduled_total", "counter"),
    ("retries_released_total", "counter"),
    ("retry_release_lateness_seconds", "histogram"),
    ("dead_letters_total", "counter"),
    ("stripe_requests_total", "counter"),
    ("stripe_request_duration_seconds", "histogram"),
    ("consumer_lag_records", "gauge"),
    ("calendly_subscription_active", "gauge"),
];

fn rendered(record: impl FnOnce()) -> String {
    let recorder = builder().unwrap().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        describe_all();
        record();
    });
    recorder.handle().render()
}

fn record_all() {
    for metric in ALL {
        match metric.kind {
            Kind::Counter => metrics::counter!(metric.name, "label" => "x").increment(1),
            Kind::Gauge => metrics::gauge!(metric.name).set(1.0),
            Kind::Histogram(_) => metrics::histogram!(metric.name, "label" => "x").record(0.2),
        }
    }
}

#[test]
fn names_types_and_help_are_the_contracts() {
    let text = rendered(record_all);
    for (name, kind) in CONTRACT {
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name} in\n{text}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} in\n{text}");
    }
    assert_eq!(text.matches("# TYPE ").count(), ALL.len(), "{text}");
}

#[test]
fn samples_have_the_exact_names() {
    let text = rendered(record_all);
    assert!(text.contains("\nwebhook_requests_total{label=\"x\"} 1\n"), "{text}");
    assert!(text.contains("\nwebhook_request_duration_seconds_bucket{label=\"x\",le=\"0.25\"} 1\n"), "{text}");
    assert!(text.contains("\nretry_release_lateness_seconds_bucket{label=\"x\",le=\"0.1\"} 0\n"), "{text}");
    assert!(text.contains("\nevent_end_to_end_seconds_bucket{label=\"x\",le=\"7200\"} 1\n"), "{text}");
    assert!(text.contains("\nspool_bytes 1\n"), "{text}");
}

#[test]
fn buckets_rise() {
    for metric in ALL {
        if let Kind::Histogram(buckets) = metric.kind {
            assert!(buckets.is_sorted_by(|a, b| a < b), "{}", metric.name);
        }
    }
}

#[test]
fn installing_twice_gives_the_same_recorder() {
    let (first, second) = (install().unwrap(), install().unwrap());
    metrics::counter!(DEAD_LETTERS, "error_class" => "twice").increment(1);
    assert!(first.render().contains("twice") && second.render().contains("twice"));
}
