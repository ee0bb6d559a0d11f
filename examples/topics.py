"""Reads the pipeline's topics, see docs/DATA.md. The environment says where they are:

KAFKA_BROKERS, and if your installation has them TOPIC_PREFIX, SCHEMA_REGISTRY_URL, KAFKA_SECURITY_PROTOCOL,
KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_SSL_CA_LOCATION.
"""

import io
import os
import pathlib

import confluent_kafka
import fastavro
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer

SCHEMAS = pathlib.Path(__file__).parent.parent / "schemas" / "released"
PREFIX = os.environ.get("TOPIC_PREFIX", "")
REGISTRY = os.environ.get("SCHEMA_REGISTRY_URL")
SECURITY = {
    name: os.environ["KAFKA_" + name.upper().replace(".", "_")]
    for name in ["security.protocol", "sasl.mechanism", "sasl.username", "sasl.password", "ssl.ca.location"]
    if os.environ.get("KAFKA_" + name.upper().replace(".", "_"))
}

# Released schemas by the fingerprint that stands in a record; the files are named after it.
BY_FINGERPRINT = {path.name.split(".")[1]: fastavro.schema.load_schema(path) for path in SCHEMAS.glob("*.avsc")}
# The registry's own deserializer, for records with its framing.
FROM_REGISTRY = AvroDeserializer(SchemaRegistryClient({"url": REGISTRY})) if REGISTRY else None


def decode(value):
    """A value of any of our topics, as a dictionary."""
    if value[:2] == b"\xc3\x01":  # Avro's single-object encoding
        return fastavro.schemaless_reader(io.BytesIO(value[10:]), BY_FINGERPRINT[value[2:10].hex()])
    if FROM_REGISTRY is None:
        raise ValueError("this value was written with a schema registry: set SCHEMA_REGISTRY_URL")
    return FROM_REGISTRY(value)


def records(name):
    """All committed records that are in a topic now, and no commit: whoever asks again gets them again."""
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": os.environ["KAFKA_BROKERS"],
        "group.id": f"{PREFIX}example",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        **SECURITY,
    })
    topic = PREFIX + name
    metadata = consumer.list_topics(topic, 10).topics[topic]
    if metadata.error is not None:  # no such topic, or no right to see it: not the same as an empty one
        raise confluent_kafka.KafkaException(metadata.error)
    partitions = metadata.partitions
    beginning = confluent_kafka.OFFSET_BEGINNING
    consumer.assign([confluent_kafka.TopicPartition(topic, partition, beginning) for partition in partitions])
    unread = set(partitions)
    while unread:
        record = consumer.poll(10)
        if record is None:
            raise TimeoutError(f"{topic} cannot be read")
        if record.error() is None:
            yield record
        elif record.error().code() == confluent_kafka.KafkaError._PARTITION_EOF:
            unread.discard(record.partition())
        else:
            raise confluent_kafka.KafkaException(record.error())
    consumer.close()
