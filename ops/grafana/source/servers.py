"""Kafka and PostgreSQL as our clients see them; they are not asked themselves."""

from grafana_foundation_sdk.builders import dashboard as build
from panels import ORANGE, RED, Panel, board, graph, logs, number, quantiles, traces

HERE = 'instance=~"$instance"'


def dashboard() -> build.Dashboard:
    return board("servers", "Kafka and PostgreSQL", __doc__ or "", [*numbers(), *kafka(), *postgres()])


def numbers() -> list[Panel]:
    processor, ingest = [logs("processor")], [logs("ingest")]
    return [
        number(
            "Lag",
            "Records of the event topics that are not finished.",
            "short",
            "sum(topic:consumer_lag_records:sum)",
            processor,
            steps=[(100, ORANGE), (1000, RED)],
            width=5,
        ),
        number(
            "Brokers that are away",
            "Of those that our clients need: none of them is connected.",
            "short",
            f"count(max by (broker) (kafka_broker_up{{{HERE}}}) == 0)",
            [*ingest, *processor],
            steps=[(1, RED)],
            empty="none",
            width=5,
        ),
        number(
            "Failed sends",
            "Records that Kafka did not acknowledge within the last hour; ingest spools them, the processor "
            "tries on.",
            "short",
            f"sum(increase(kafka_send_failures_total{{{HERE}}}[1h]))",
            [*ingest, *processor],
            steps=[(1, ORANGE), (100, RED)],
            width=5,
            decimals=0,
        ),
        number(
            "Stuck clients",
            "Clients that were built anew within 24 hours.",
            "short",
            f"sum(increase(kafka_client_rebuilds_total{{{HERE}}}[1d]))",
            processor,
            steps=[(0.5, ORANGE), (3, RED)],
            width=5,
            decimals=0,
        ),
        number(
            "Connections in use",
            "Of the pool of the busiest processor.",
            "percentunit",
            f'max(database_pool_connections{{state="in_use", {HERE}}} / on (instance) database_pool_limit)',
            processor,
            steps=[(0.8, ORANGE), (1, RED)],
            width=4,
            decimals=0,
        ),
    ]


def kafka() -> list[Panel]:
    links = [traces("ingest", "publish"), logs("ingest"), logs("processor"), logs("retrier")]
    return [
        graph(
            "Lag by topic",
            "Records that are not finished.",
            "short",
            [("topic:consumer_lag_records:sum", "{{topic}}")],
            links,
        ),
        graph(
            "Oldest unfinished record",
            "Age by topic.",
            "s",
            [(f"max by (topic) (consumer_oldest_unfinished_seconds{{{HERE}}})", "{{topic}}")],
            links,
        ),
        graph(
            "Round trip to brokers",
            "Of the last seconds, 99th percentile, slowest of all instances.",
            "s",
            [
                (
                    f'max by (client, broker) (kafka_broker_round_trip_seconds{{percentile="99", {HERE}}})',
                    "{{client}} to {{broker}}",
                )
            ],
            links,
        ),
        graph(
            "Brokers that are connected",
            "1 while the connection stands.",
            "short",
            [(f"min by (job, client, broker) (kafka_broker_up{{{HERE}}})", "{{job}}: {{client}} to {{broker}}")],
            links,
            most=1,
        ),
        graph(
            "Sends that failed",
            "A minute, by reason.",
            "cpm",
            [
                (
                    f"sum by (job, reason) (60 * rate(kafka_send_failures_total{{{HERE}}}[$__rate_interval]))",
                    "{{job}}: {{reason}}",
                )
            ],
            links,
        ),
        graph(
            "Errors of connections",
            "Timeouts and broken connections a minute.",
            "cpm",
            [
                (
                    f"sum by (client, broker) (60 * rate(kafka_broker_errors_total{{{HERE}}}[$__rate_interval]))",
                    "{{client}} to {{broker}}",
                )
            ],
            links,
        ),
        graph(
            "Queues of clients",
            "Producers: records that wait to be sent. Consumers: records read ahead.",
            "short",
            [(f"sum by (job, client) (kafka_client_queue_messages{{{HERE}}})", "{{job}}: {{client}}")],
            links,
        ),
        graph(
            "Assigned partitions",
            "Who reads how many. A step is a rebalance.",
            "short",
            [(f"kafka_consumer_assigned_partitions{{{HERE}}}", "{{job}} {{instance}}")],
            links,
        ),
    ]


def postgres() -> list[Panel]:
    links = [traces("processor", "transaction"), logs("processor")]
    return [
        graph(
            "Connections",
            "Of the processors' pools, by state; those who wait for one; and the limit of one pool.",
            "short",
            [
                (f"sum by (state) (database_pool_connections{{{HERE}}})", "{{state}}"),
                (f"sum(database_pool_waiting{{{HERE}}})", "waiting"),
                (f"max(database_pool_limit{{{HERE}}})", "limit"),
            ],
            links,
            width=8,
        ),
        graph(
            "Time of a transaction",
            "Of the booking engine, waiting for a connection and for locks included.",
            "s",
            quantiles("database_transaction_duration_seconds", HERE),
            links,
            width=8,
            empty="no transactions",
        ),
        graph(
            "Failed transactions",
            "A minute. They are taken apart or tried again.",
            "cpm",
            [
                (
                    f'sum(60 * rate(database_transaction_duration_seconds_count{{outcome="failed", {HERE}}}'
                    "[$__rate_interval]))",
                    "failed",
                )
            ],
            links,
            width=8,
            empty="none",
        ),
    ]
