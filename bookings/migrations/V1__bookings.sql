-- The current state of every booking. A caller may create a row with only id and reference before the first event.
CREATE TABLE bookings (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    reference           text UNIQUE,
    invitee_uri         text,
    event_uri           text,
    event_type_uri      text,
    event_name          text,
    invitee_email       text,
    invitee_name        text,
    start_time          timestamptz,
    end_time            timestamptz,
    status              text NOT NULL DEFAULT 'PENDING_PAYMENT'
                        CHECK (status IN ('PENDING_PAYMENT', 'CONFIRMED', 'CANCELED')),
    payment_status      text NOT NULL DEFAULT 'UNPAID'
                        CHECK (payment_status IN ('NOT_REQUIRED', 'UNPAID', 'PAID', 'REFUND_PENDING', 'REFUNDED', 'REFUND_FAILED')),
    amount_minor        bigint,
    currency            text,
    checkout_session_id text,
    checkout_url        text,
    payment_intent_id   text,
    no_show             boolean NOT NULL DEFAULT false,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX bookings_invitee_email ON bookings (lower(invitee_email));
CREATE INDEX bookings_invitee_uri ON bookings (invitee_uri);

-- Which booking an invitee belongs to. A reschedule adds a link; a merge moves links.
CREATE TABLE booking_invitees (
    invitee_uri text PRIMARY KEY,
    booking_id  uuid NOT NULL REFERENCES bookings (id)
);
CREATE INDEX booking_invitees_booking ON booking_invitees (booking_id);

-- Ids of bookings that turned out to be part of another one. Stripe's metadata may still name them.
CREATE TABLE booking_aliases (
    alias      uuid PRIMARY KEY,
    booking_id uuid NOT NULL REFERENCES bookings (id)
);
CREATE INDEX booking_aliases_booking ON booking_aliases (booking_id);

-- Everything that happened to a booking, as a set: bookings is a pure function of these rows.
CREATE TABLE booking_events (
    event_id    uuid PRIMARY KEY,
    booking_id  uuid NOT NULL REFERENCES bookings (id),
    event_type  text NOT NULL,
    occurred_at timestamptz NOT NULL,
    fact        jsonb NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX booking_events_booking ON booking_events (booking_id, occurred_at);

-- What we ask of Stripe: written with its key and exact parameters before the first try, settled after.
CREATE TABLE stripe_operations (
    id              uuid PRIMARY KEY,
    booking_id      uuid NOT NULL REFERENCES bookings (id),
    kind            text NOT NULL CHECK (kind IN ('create_session', 'expire_session', 'refund')),
    target          text NOT NULL,
    idempotency_key text NOT NULL UNIQUE,
    params          jsonb NOT NULL,
    state           text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'failed', 'abandoned')),
    attempts        integer NOT NULL DEFAULT 0,
    keys_used       integer NOT NULL DEFAULT 1,
    first_tried_at  timestamptz,
    look_up         boolean NOT NULL DEFAULT false,
    -- A try's outcome is unknown: Stripe may have done it.
    in_doubt        boolean NOT NULL DEFAULT false,
    last_tried_at   timestamptz,
    lease_until     timestamptz,
    lease           uuid,
    next_sweep_at   timestamptz,
    error           text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    settled_at      timestamptz
);
CREATE INDEX stripe_operations_booking ON stripe_operations (booking_id, created_at);
CREATE INDEX stripe_operations_pending ON stripe_operations (created_at) WHERE state = 'pending';
-- One refund of a payment, one expiry of a session: whatever races, the second is refused.
CREATE UNIQUE INDEX stripe_operations_once ON stripe_operations (kind, target)
    WHERE kind <> 'create_session' AND state <> 'abandoned';

-- Bookings for which an operator asked for a new Checkout session; the processor plans it.
CREATE TABLE checkout_requests (
    booking_id   uuid PRIMARY KEY REFERENCES bookings (id) ON DELETE CASCADE,
    requested_at timestamptz NOT NULL DEFAULT now()
);

-- Prices by Calendly event type; NULL amount is free. Event types that are not here have DEFAULT_PRICE.
CREATE TABLE prices (
    event_type_uri text PRIMARY KEY,
    amount_minor   bigint CHECK (amount_minor > 0),
    currency       text CHECK (currency ~ '^[a-z]{3}$'),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CHECK ((amount_minor IS NULL) = (currency IS NULL))
);
