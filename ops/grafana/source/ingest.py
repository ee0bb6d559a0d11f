"""Do deliveries reach us, and do we keep them?"""

from grafana_foundation_sdk.builders import dashboard as build
from panels import (
    GREEN,
    ORANGE,
    RED,
    Panel,
    board,
    graph,
    logs,
    number,
    quantiles,
    traces,
)

HERE = 'instance=~"$instance"'
REFUSED = "invalid_signature|stale_signature|invalid_payload|too_large|unavailable"


def dashboard() -> build.Dashboard:
    return board("ingest", "Ingest", __doc__ or "", [*numbers(), *requests(), *keeping()])


def numbers() -> list[Panel]:
    links = [traces("ingest", "webhook"), logs("ingest")]
    return [
        number(
            "Accepted",
            "Answered with 200 within the last hour.",
            "short",
            f'sum(increase(webhook_requests_total{{outcome=~"accepted|spooled", {HERE}}}[1h]))',
            links,
            decimals=0,
        ),
        number(
            "Refused",
            "Answered with anything else within the last hour, for the sender's fault or ours.",
            "short",
            f'sum(increase(webhook_requests_total{{outcome=~"{REFUSED}", {HERE}}}[1h]))',
            links,
            steps=[(1, ORANGE), (100, RED)],
            decimals=0,
        ),
        number(
            "Unavailable",
            "Answered with 503 within the last hour, because neither Kafka nor the spool took them.",
            "short",
            f'sum(increase(webhook_requests_total{{outcome="unavailable", {HERE}}}[1h]))',
            links,
            steps=[(0.5, RED)],
            decimals=0,
        ),
        number(
            "Oldest in the spool",
            "How long the oldest delivery has been waiting for Kafka.",
            "s",
            f"max(spool_oldest_record_seconds{{{HERE}}})",
            links,
            steps=[(30, ORANGE), (300, RED)],
        ),
        number(
            "Spool used",
            "Of the fullest spool, in relation to SPOOL_MAX_BYTES.",
            "percentunit",
            f"max(spool_bytes{{{HERE}}} / spool_limit_bytes{{{HERE}}})",
            links,
            steps=[(0.3, ORANGE), (0.7, RED)],
            decimals=1,
        ),
        number(
            "Subscription",
            "Whether Calendly's subscription is active: 1, or 0.",
            "short",
            "max(calendly_subscription_active)",
            links,
            base=RED,
            steps=[(1, GREEN)],
            empty="not watched",
        ),
    ]


def requests() -> list[Panel]:
    links = [traces("ingest", "webhook"), logs("ingest")]
    return [
        graph(
            "Requests by outcome",
            "A minute, by sender and by what became of them. Refused ones leave no line in the log.",
            "cpm",
            [
                (
                    f"sum by (source, outcome) (60 * rate(webhook_requests_total{{{HERE}}}[$__rate_interval])) > 0",
                    "{{source}}: {{outcome}}",
                )
            ],
            links,
            stacked=True,
            empty="no requests",
        ),
        graph(
            "Time of a request",
            "From its first byte to the answer. Calendly gives up after 15 s.",
            "s",
            quantiles("webhook_request_duration_seconds", HERE, "source"),
            links,
            empty="no requests",
        ),
        graph(
            "Signing keys",
            "Authentic deliveries a minute by the position of their key; a former key that nobody uses any "
            "more can be removed.",
            "cpm",
            [
                (
                    f"sum by (source, position) (60 * rate(webhook_key_matches_total{{{HERE}}}[$__rate_interval]))",
                    "{{source}}: key {{position}}",
                )
            ],
            links,
        ),
        graph(
            "Late deliveries",
            "Authentic ones that were older than the tolerance: refused, or taken (CALENDLY_LATE_DELIVERIES).",
            "short",
            [
                (
                    f'sum by (source) (increase(webhook_requests_total{{outcome="stale_signature", {HERE}}}[1h]))',
                    "{{source}}: refused",
                ),
                (f"sum by (source) (increase(webhook_late_deliveries_total{{{HERE}}}[1h]))", "{{source}}: taken"),
            ],
            links,
        ),
    ]


def keeping() -> list[Panel]:
    links = [traces("ingest", "spool"), logs("ingest")]
    return [
        graph(
            "Spool",
            "Deliveries that wait on the disk for Kafka.",
            "short",
            [(f"spool_records{{{HERE}}}", "{{instance}}")],
            links,
        ),
        graph(
            "Size of the spool",
            "Bytes of these deliveries, and the limit.",
            "bytes",
            [(f"spool_bytes{{{HERE}}}", "{{instance}}"), (f"max(spool_limit_bytes{{{HERE}}})", "limit")],
            links,
        ),
        graph(
            "Connections",
            "Open connections at the public address.",
            "short",
            [(f"webhook_connections{{{HERE}}}", "{{instance}}")],
            [logs("ingest")],
        ),
        graph(
            "Unusable bodies",
            "Authentic deliveries in an hour that are no event; their bodies are in the DLQ.",
            "short",
            [(f'sum(increase(dead_letters_total{{job="ingest", {HERE}}}[1h]))', "invalid payload")],
            [traces("ingest", "webhook"), logs("ingest")],
        ),
    ]
