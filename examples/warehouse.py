"""Copies bookings.changes into a DuckDB file, and asks it for bookings and income per day.

    pip install -r examples/requirements.txt
    KAFKA_BROKERS=localhost:9092 python examples/warehouse.py bookings.duckdb
"""

import json
import sys
import tempfile

import duckdb

from topics import decode, records

# The last record of a key counts; a tombstone takes the booking away. Only these fields are copied: personal data that
# is not in a copy need not be erased there.
FIELDS = [
    "reference", "status", "payment_status", "amount_minor", "currency", "event_type_uri", "start_time", "end_time",
    "no_show", "created_at", "updated_at",
]
LOAD = """
CREATE OR REPLACE TABLE bookings AS
SELECT booking_id, unnest(state)
FROM read_json(?, format = 'newline_delimited', columns = {
    booking_id: 'UUID',
    place: 'BIGINT',
    state: 'STRUCT(
        reference VARCHAR, status VARCHAR, payment_status VARCHAR, amount_minor BIGINT, currency VARCHAR,
        event_type_uri VARCHAR, start_time TIMESTAMP, end_time TIMESTAMP, no_show BOOLEAN,
        created_at TIMESTAMP, updated_at TIMESTAMP)'
})
QUALIFY row_number() OVER (PARTITION BY booking_id ORDER BY place DESC) = 1 AND state IS NOT NULL
"""

PER_DAY = """
SELECT strftime(created_at, '%Y-%m-%d') AS day, currency, count(*) AS bookings,
    coalesce(sum(amount_minor) FILTER (payment_status = 'PAID'), 0)::BIGINT AS paid_minor
FROM bookings GROUP BY ALL ORDER BY ALL
"""


def write_lines(file):
    for record in records("bookings.changes"):
        state = None if record.value() is None else decode(record.value())
        state = state and {field: state[field] for field in FIELDS}
        # All records of a booking are in one partition, so their offsets have its order.
        line = {"booking_id": record.key().decode(), "place": record.offset(), "state": state}
        file.write(json.dumps(line, default=str) + "\n")
    file.flush()


def main():
    database = duckdb.connect(sys.argv[1])
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as lines:
        write_lines(lines)
        database.execute(LOAD, [lines.name])
    answer = database.execute(PER_DAY)
    names = [column[0] for column in answer.description]
    for row in answer.fetchall():
        print(json.dumps(dict(zip(names, row))))


if __name__ == "__main__":
    main()
