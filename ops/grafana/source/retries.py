"""Do failed events come back in time, and what died?"""

from grafana_foundation_sdk.builders import dashboard as build
from panels import ORANGE, RED, Panel, board, graph, logs, number, traces

HERE = 'instance=~"$instance"'


def dashboard() -> build.Dashboard:
    return board("retries", "Retries and DLQ", __doc__ or "", [*numbers(), *tiers(), *dead()])


def numbers() -> list[Panel]:
    retrier, processor = (
        [traces("retrier", "release"), logs("retrier")],
        [traces("processor", "event"), logs("processor")],
    )
    return [
        number(
            "Waiting",
            "Events in all tiers.",
            "short",
            "sum(tier:retry_waiting_records:sum)",
            retrier,
            steps=[(10, ORANGE), (50, RED)],
            width=5,
        ),
        number(
            "Overdue",
            "How long the most overdue record should have left its tier. Up to a second is as designed.",
            "s",
            f"max(retry_oldest_overdue_seconds{{{HERE}}})",
            retrier,
            steps=[(1, ORANGE), (10, RED)],
            width=5,
        ),
        number(
            "Succeeded after retries",
            "Of the events that were retried within the last hour, the share that did not die. All pass the first tier, "
            "which so has the most.",
            "percentunit",
            '1 - sum(increase(dead_letters_total{error_class="exhausted"}[1h]))'
            " / (max(sum by (tier) (increase(retries_scheduled_total[1h]))) > 0)",
            processor,
            base=RED,
            steps=[(0.5, ORANGE), (0.9, "green")],
            empty="no retries",
            width=5,
            decimals=1,
        ),
        number(
            "Dead today",
            "Events that ended in the dead-letter topic within 24 hours.",
            "short",
            "sum(increase(dead_letters_total[1d]))",
            processor,
            steps=[(0.5, RED)],
            width=5,
            decimals=0,
        ),
        number(
            "In the DLQ",
            "Records in the dead-letter topic, replayed ones included: nothing leaves it before its time.",
            "short",
            "max(dlq_records)",
            processor,
            width=4,
        ),
    ]


def tiers() -> list[Panel]:
    links = [traces("retrier", "release"), logs("retrier")]
    return [
        graph(
            "Waiting by tier",
            "Events in each tier; waiting is its purpose, growing is not.",
            "short",
            [("tier:retry_waiting_records:sum", "{{tier}}")],
            links,
            stacked=True,
        ),
        graph(
            "In and out",
            "Events that go into tiers and come out, a minute.",
            "cpm",
            [
                ("sum(60 * rate(retries_scheduled_total[$__rate_interval]))", "scheduled"),
                (f"sum(60 * rate(retries_released_total{{{HERE}}}[$__rate_interval]))", "released"),
            ],
            links,
        ),
        graph(
            "Scheduled by class",
            "Why events are retried, in an hour.",
            "short",
            [("sum by (error_class) (increase(retries_scheduled_total[1h])) > 0", "{{error_class}}")],
            [traces("processor", "event"), logs("processor")],
            stacked=True,
            empty="no retries",
        ),
        graph(
            "Lateness of releases",
            "How long after its due time a record left its tier, 99th percentile.",
            "s",
            [
                (
                    f"histogram_quantile(0.99, sum by (le, tier) "
                    f"(rate(retry_release_lateness_seconds_bucket{{{HERE}}}[$__rate_interval])))",
                    "{{tier}}",
                )
            ],
            links,
            empty="nothing released",
        ),
    ]


def dead() -> list[Panel]:
    links = [traces("processor", "event"), logs("processor")]
    return [
        graph(
            "Dead letters by class",
            "In an hour. permanent: will never pass; exhausted: all retries used; "
            "invalid_payload: no event that we know.",
            "short",
            [("sum by (error_class) (increase(dead_letters_total[1h]))", "{{error_class}}")],
            links,
            stacked=True,
        ),
        graph(
            "Dead letters by type",
            "In an hour, those of the processor.",
            "short",
            [
                (
                    "sum by (event_type) "
                    '(increase(events_processed_total{outcome="dead", event_type=~"$event_type"}[1h])) > 0',
                    "{{event_type}}",
                )
            ],
            links,
            stacked=True,
            empty="none",
        ),
    ]
