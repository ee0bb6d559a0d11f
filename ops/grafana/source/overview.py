"""Do bookings flow, and if not, where do they stop?"""

from grafana_foundation_sdk.builders import dashboard as build
from panels import (
    GREEN,
    ORANGE,
    RED,
    SERVICES,
    Panel,
    board,
    go,
    graph,
    logs,
    number,
    quantiles,
    traces,
)

ACCEPTED = 'webhook_requests_total{outcome=~"accepted|spooled"}'
TYPE = 'event_type=~"$event_type"'


def dashboard() -> build.Dashboard:
    return board("overview", "Overview", __doc__ or "", [*numbers(), *graphs()])


def numbers() -> list[Panel]:
    ingest, processor, retries = go("Ingest", "ingest"), go("Processor", "processor"), go("Retries", "retries")
    return [
        number(
            "Accepted",
            "Deliveries that were answered with 200 within the last hour.",
            "short",
            f"sum(increase({ACCEPTED}[1h]))",
            [ingest, traces("ingest", "webhook"), logs("ingest")],
            decimals=0,
        ),
        number(
            "Applied",
            "Events that took effect within the last hour, of all that were accepted.",
            "short",
            'sum(increase(events_processed_total{outcome="applied"}[1h]))',
            [processor, traces("processor", "event"), logs("processor")],
            decimals=0,
        ),
        number(
            "Success rate",
            "Of the events that came to an end within the last hour, those that did not end in the DLQ, "
            "nor were refused with 503. The objective is 99.9%.",
            "percentunit",
            "1 - pipeline:events_failed:rate1h / (pipeline:events_finished:rate1h > 0)",
            [retries, logs("processor")],
            base=RED,
            steps=[(0.99, ORANGE), (0.999, GREEN)],
            empty="no events",
            decimals=2,
        ),
        number(
            "End to end, p95",
            "Nineteen of twenty events took effect faster than this after their receipt; last hour.",
            "s",
            "histogram_quantile(0.95, sum by (le) (rate(event_end_to_end_seconds_bucket[1h]))) >= 0",
            [traces("processor", "event")],
            steps=[(5, ORANGE), (60, RED)],
            empty="no events",
        ),
        number(
            "Oldest unfinished",
            "Age of the oldest record that was read and is not finished.",
            "s",
            "max(consumer_oldest_unfinished_seconds)",
            [processor, logs("processor")],
            steps=[(60, ORANGE), (600, RED)],
        ),
        number(
            "Alerts",
            "Alerts that fire now; the runbook has a section for each.",
            "short",
            'count(ALERTS{alertstate="firing"})',
            [],
            steps=[(1, RED)],
            empty="none",
        ),
        number(
            "Lag",
            "Records of the event topics that are not finished.",
            "short",
            "sum(topic:consumer_lag_records:sum)",
            [go("Kafka and PostgreSQL", "servers"), traces("processor", "event"), logs("processor")],
            steps=[(100, ORANGE), (1000, RED)],
        ),
        number(
            "Waiting for a retry",
            "Events in the retry tiers.",
            "short",
            "sum(tier:retry_waiting_records:sum)",
            [retries, logs("retrier")],
            steps=[(10, ORANGE), (50, RED)],
        ),
        number(
            "Dead today",
            "Events that ended in the dead-letter topic within 24 hours.",
            "short",
            "sum(increase(dead_letters_total[1d]))",
            [retries, logs("processor")],
            steps=[(0.5, RED)],
            decimals=0,
        ),
        number(
            "In the spool",
            "Deliveries that wait on ingest's disks because Kafka does not take them.",
            "short",
            "sum(spool_records)",
            [ingest, logs("ingest")],
            steps=[(1, ORANGE), (1000, RED)],
        ),
        number(
            "Held back by",
            "Why the breaker holds all events back, if it does.",
            "short",
            "sum by (cause) (breaker_open) > 0",
            [processor, logs("processor")],
            base=RED,
            empty="nothing",
            legend="{{cause}}",
        ),
        number(
            "Subscription",
            "Whether Calendly's subscription is active: 1, or 0.",
            "short",
            "max(calendly_subscription_active)",
            [ingest, logs("ingest")],
            base=RED,
            steps=[(1, GREEN)],
            empty="not watched",
        ),
    ]


def graphs() -> list[Panel]:
    return [
        graph(
            "Deliveries",
            "Requests to the webhooks a minute, by what became of them.",
            "cpm",
            [("sum by (outcome) (60 * rate(webhook_requests_total[$__rate_interval]))", "{{outcome}}")],
            [go("Ingest", "ingest"), traces("ingest", "webhook"), logs("ingest")],
            stacked=True,
        ),
        graph(
            "Events",
            "Records that the processor finished a minute, by what became of them.",
            "cpm",
            [(f"sum by (outcome) (60 * rate(events_processed_total{{{TYPE}}}[$__rate_interval]))", "{{outcome}}")],
            [go("Processor", "processor"), traces("processor", "event"), logs("processor")],
            stacked=True,
        ),
        graph(
            "End to end",
            "From the receipt of a delivery to its effect, retries included.",
            "s",
            quantiles("event_end_to_end_seconds", TYPE),
            [traces("processor", "event")],
            empty="no events",
        ),
        graph(
            "Backlog",
            "What waits: unfinished records by topic, events in retry tiers, deliveries in the spool.",
            "short",
            [
                ("topic:consumer_lag_records:sum", "lag of {{topic}}"),
                ("sum(tier:retry_waiting_records:sum)", "for a retry"),
                ("sum(spool_records)", "in the spool"),
            ],
            [go("Retries", "retries"), go("Kafka and PostgreSQL", "servers"), logs("processor")],
        ),
        graph(
            "Money",
            "Payments that came in and refunds that went out in an hour, in minor units (cents).",
            "short",
            [
                ("sum by (currency) (increase(payments_amount_minor_total[1h]))", "in, {{currency}}"),
                ("sum by (currency) (increase(refunds_amount_minor_total[1h]))", "out, {{currency}}"),
            ],
            [traces("processor", "stripe refund"), logs("processor")],
            empty="no money moved",
        ),
        graph(
            "Dead letters",
            "Events that ended in the dead-letter topic in an hour, by class.",
            "short",
            [("sum by (error_class) (increase(dead_letters_total[1h]))", "{{error_class}}")],
            [go("Retries", "retries"), logs("processor")],
            stacked=True,
        ),
        graph(
            "Dependencies",
            "1 while the service can use it, 0 while not.",
            "short",
            [('min by (job, dependency) (dependency_up{instance=~"$instance"})', "{{job}}: {{dependency}}")],
            [logs("ingest"), logs("processor"), logs("retrier")],
            most=1,
        ),
        graph(
            "Instances",
            "Processes that answer Prometheus.",
            "short",
            [(f"sum by (job) (up{{{SERVICES}}})", "{{job}}")],
            [logs("ingest"), logs("processor"), logs("retrier")],
        ),
    ]
