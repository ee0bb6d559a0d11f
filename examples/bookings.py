"""Reads calendly.events and bookings.changes from their beginning, and prints what they tell, as JSON:
bookings made per day, and how many bookings there are now in each state.

    pip install -r examples/requirements.txt
    KAFKA_BROKERS=localhost:9092 python examples/bookings.py

Set TOPIC_PREFIX and SCHEMA_REGISTRY_URL if your installation has them.
"""

import collections
import io
import json
import os
import pathlib
import urllib.request

import confluent_kafka
import fastavro

SCHEMAS = pathlib.Path(__file__).parent.parent / "schemas" / "released"
REGISTRY = os.environ.get("SCHEMA_REGISTRY_URL", "").rstrip("/")
PREFIX = os.environ.get("TOPIC_PREFIX", "")

# Released schemas by the fingerprint that stands in a record; the files are named after it.
BY_FINGERPRINT = {path.name.split(".")[1]: fastavro.schema.load_schema(path) for path in SCHEMAS.glob("*.avsc")}
BY_ID = {}


def schema_of(value):
    """The schema that a value was written with, and where its body begins."""
    if value[:2] == b"\xc3\x01":  # Avro's single-object encoding
        return BY_FINGERPRINT[value[2:10].hex()], 10
    if value[:1] == b"\x00":  # Confluent's framing
        schema_id = int.from_bytes(value[1:5], "big")
        if schema_id not in BY_ID:
            with urllib.request.urlopen(f"{REGISTRY}/schemas/ids/{schema_id}") as answer:
                BY_ID[schema_id] = fastavro.parse_schema(json.loads(json.load(answer)["schema"]))
        return BY_ID[schema_id], 5
    raise ValueError("neither framing")


def decode(value):
    schema, begin = schema_of(value)
    return fastavro.schemaless_reader(io.BytesIO(value[begin:]), schema)


def records(topic):
    """All committed records that are in the topic now: key and value, None for a tombstone."""
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": os.environ["KAFKA_BROKERS"],
        "group.id": f"{PREFIX}example",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
    })
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    beginning = confluent_kafka.OFFSET_BEGINNING
    consumer.assign([confluent_kafka.TopicPartition(topic, partition, beginning) for partition in partitions])
    unread = set(partitions)
    while unread:
        record = consumer.poll(10)
        if record is None:
            raise TimeoutError(f"{topic} cannot be read")
        if record.error() is None:
            yield record.key().decode(), record.value()
        elif record.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
            unread.discard(record.partition())
        else:
            raise confluent_kafka.KafkaException(record.error())
    consumer.close()


def bookings_per_day():
    """From the events. One happening may be delivered several times: its event_id tells."""
    per_day, seen = collections.Counter(), set()
    for _, value in records(f"{PREFIX}calendly.events"):
        event = decode(value)
        is_new = event["event_id"] not in seen
        seen.add(event["event_id"])
        # A reschedule is an invitee.created too, and no new booking.
        if is_new and event["event_type"] == "invitee.created" and event["invitee"]["old_invitee"] is None:
            per_day[event["occurred_at"].date().isoformat()] += 1
    return dict(sorted(per_day.items()))


def bookings_by_state():
    """From the changes. The last record of a key counts; a tombstone takes the booking away."""
    bookings = {}
    for key, value in records(f"{PREFIX}bookings.changes"):
        if value is None:
            bookings.pop(key, None)
        else:
            bookings[key] = decode(value)
    states = collections.Counter(f"{booking['status']} {booking['payment_status']}" for booking in bookings.values())
    return dict(sorted(states.items()))


if __name__ == "__main__":
    print(json.dumps({"per_day": bookings_per_day(), "by_state": bookings_by_state()}, indent=2))
