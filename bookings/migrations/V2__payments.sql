-- Which booking a payment belongs to. A refund made in Stripe's dashboard names the payment and nothing else.
CREATE TABLE booking_payments (
    payment_intent text PRIMARY KEY,
    booking_id     uuid NOT NULL REFERENCES bookings (id)
);
CREATE INDEX booking_payments_booking ON booking_payments (booking_id);

INSERT INTO booking_payments (payment_intent, booking_id)
    SELECT DISTINCT fact ->> 'payment_intent', booking_id FROM booking_events WHERE fact ->> 'kind' = 'session_paid'
    ON CONFLICT DO NOTHING;

-- What Stripe said of payments that no booking is known for: of another product on the same account, or of ours and too
-- early. The booking takes them over when its payment becomes known; what is not ours goes after a while.
CREATE TABLE stray_facts (
    event_id       uuid PRIMARY KEY,
    payment_intent text NOT NULL,
    event_type     text NOT NULL,
    occurred_at    timestamptz NOT NULL,
    fact           jsonb NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX stray_facts_payment ON stray_facts (payment_intent);
CREATE INDEX stray_facts_recorded ON stray_facts (recorded_at);
