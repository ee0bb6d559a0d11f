"""What becomes of events, how long that takes, and what Stripe says."""

from grafana_foundation_sdk.builders import dashboard as build
from panels import ORANGE, RED, Panel, board, graph, logs, number, quantiles, traces

HERE = 'instance=~"$instance"'
THESE = f'event_type=~"$event_type", {HERE}'


def dashboard() -> build.Dashboard:
    return board(
        "processor", "Processor and Stripe", __doc__ or "", [*numbers(), *events(), *stripe(), *money(), *machine()]
    )


def numbers() -> list[Panel]:
    links = [traces("processor", "event"), logs("processor")]
    return [
        number(
            "Applied",
            "Events that took effect within the last hour.",
            "short",
            f'sum(increase(events_processed_total{{outcome="applied", {THESE}}}[1h]))',
            links,
            decimals=0,
        ),
        number(
            "Failed tries",
            "Events that failed and wait for a retry, or died, within the last hour.",
            "short",
            f'sum(increase(events_processed_total{{outcome=~"retried|dead", {THESE}}}[1h]))',
            links,
            steps=[(1, ORANGE), (50, RED)],
            decimals=0,
        ),
        number(
            "Oldest unfinished",
            "Age of the oldest record that was read and is not finished.",
            "s",
            f"max(consumer_oldest_unfinished_seconds{{{HERE}}})",
            links,
            steps=[(60, ORANGE), (600, RED)],
        ),
        number(
            "Held back by",
            "Why the breaker holds all events back, if it does.",
            "short",
            f"sum by (cause) (breaker_open{{{HERE}}}) > 0",
            links,
            base=RED,
            empty="nothing",
            legend="{{cause}}",
        ),
        number(
            "Oldest Stripe operation",
            "How long the oldest pending session, expiry or refund has been planned.",
            "s",
            "max(stripe_operations_oldest_pending_seconds)",
            [logs("processor")],
            steps=[(300, ORANGE), (1800, RED)],
        ),
        number(
            "Failed refunds",
            "Within 24 hours. Each is a customer without appointment and money.",
            "short",
            'sum(increase(refunds_total{outcome="failed"}[1d]))',
            [traces("processor", "stripe refund"), logs("processor")],
            steps=[(0.5, RED)],
            decimals=0,
        ),
    ]


def events() -> list[Panel]:
    links = [traces("processor", "event"), logs("processor")]
    return [
        graph(
            "Events by outcome",
            "Records finished a minute. Retried ones come back; dead ones wait for an operator.",
            "cpm",
            [(f"sum by (outcome) (60 * rate(events_processed_total{{{THESE}}}[$__rate_interval]))", "{{outcome}}")],
            links,
            stacked=True,
        ),
        graph(
            "Events by type",
            "Records finished a minute.",
            "cpm",
            [
                (
                    f"sum by (event_type) (60 * rate(events_processed_total{{{THESE}}}[$__rate_interval])) > 0",
                    "{{event_type}}",
                )
            ],
            links,
            stacked=True,
            empty="no events",
        ),
        graph(
            "Processing time",
            "What one try of an event takes, Stripe and database included.",
            "s",
            quantiles("event_processing_duration_seconds", THESE),
            links,
            empty="no events",
        ),
        graph(
            "End to end",
            "From the receipt of a delivery to its effect, retries included.",
            "s",
            quantiles("event_end_to_end_seconds", THESE),
            links,
            empty="no events",
        ),
    ]


def stripe() -> list[Panel]:
    links = [traces("processor", "stripe create_session"), traces("processor", "stripe refund"), logs("processor")]
    return [
        graph(
            "Stripe: requests by outcome",
            "A minute. Anything but ok is Stripe's refusal, its trouble, or the network's.",
            "cpm",
            [(f"sum by (outcome) (60 * rate(stripe_requests_total{{{HERE}}}[$__rate_interval]))", "{{outcome}}")],
            links,
            stacked=True,
            empty="no requests",
        ),
        graph(
            "Stripe: time of a request",
            "95th percentile by operation.",
            "s",
            [
                (
                    f"histogram_quantile(0.95, sum by (le, operation) "
                    f"(rate(stripe_request_duration_seconds_bucket{{{HERE}}}[$__rate_interval])))",
                    "{{operation}}",
                )
            ],
            links,
            empty="no requests",
        ),
        graph(
            "Waiting for our rate limit",
            "How long requests wait so that STRIPE_MAX_REQUESTS_PER_SECOND is kept.",
            "s",
            quantiles("stripe_throttle_seconds", HERE),
            links,
            empty="no requests",
        ),
        graph(
            "Stripe operations pending",
            "Sessions, expiries and refunds that are planned and not done.",
            "short",
            [("max(stripe_operations_pending)", "pending")],
            links,
        ),
    ]


def money() -> list[Panel]:
    links = [traces("processor", "stripe refund"), logs("processor")]
    return [
        graph(
            "Payments and refunds",
            "Number in an hour.",
            "short",
            [
                ("sum by (currency) (increase(payments_total[1h]))", "payments, {{currency}}"),
                ("sum by (outcome) (increase(refunds_total[1h]))", "refunds {{outcome}}"),
            ],
            links,
            empty="no money moved",
        ),
        graph(
            "Money",
            "In and out in an hour, in minor units (cents).",
            "short",
            [
                ("sum by (currency) (increase(payments_amount_minor_total[1h]))", "in, {{currency}}"),
                ("sum by (currency) (increase(refunds_amount_minor_total[1h]))", "out, {{currency}}"),
            ],
            links,
            empty="no money moved",
        ),
    ]


def machine() -> list[Panel]:
    links = [logs("processor")]
    return [
        graph(
            "Records in memory",
            "Read and not finished, running ones included.",
            "short",
            [(f"consumer_held_records{{{HERE}}}", "{{instance}}")],
            links,
            width=8,
        ),
        graph(
            "CPU",
            "Cores in use.",
            "short",
            [(f"rate(process_cpu_seconds_total{{{HERE}}}[$__rate_interval])", "{{job}} {{instance}}")],
            links,
            width=8,
        ),
        graph(
            "Memory",
            "Resident, of all services.",
            "bytes",
            [(f"process_resident_memory_bytes{{{HERE}}}", "{{job}} {{instance}}")],
            links,
            width=8,
        ),
    ]
