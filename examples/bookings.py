"""Prints, as JSON, the bookings made per day, from calendly.events, and how many there are now in each state, from
bookings.changes.

    pip install -r examples/requirements.txt
    KAFKA_BROKERS=localhost:9092 python examples/bookings.py
"""

import collections
import json

from topics import decode, records


def bookings_per_day():
    """From the events. One happening may be delivered several times: its event_id tells."""
    per_day, seen = collections.Counter(), set()
    for record in records("calendly.events"):
        event = decode(record.value())
        is_new = event["event_id"] not in seen
        seen.add(event["event_id"])
        # A reschedule is an invitee.created too, and no new booking.
        if is_new and event["event_type"] == "invitee.created" and event["invitee"]["old_invitee"] is None:
            per_day[event["occurred_at"].date().isoformat()] += 1
    return dict(sorted(per_day.items()))


def bookings_by_state():
    """From the changes. The last record of a key counts; a tombstone takes the booking away."""
    bookings = {}
    for record in records("bookings.changes"):
        if record.value() is None:
            bookings.pop(record.key(), None)
        else:
            bookings[record.key()] = decode(record.value())
    states = collections.Counter(f"{booking['status']} {booking['payment_status']}" for booking in bookings.values())
    return dict(sorted(states.items()))


if __name__ == "__main__":
    print(json.dumps({"per_day": bookings_per_day(), "by_state": bookings_by_state()}, indent=2))
