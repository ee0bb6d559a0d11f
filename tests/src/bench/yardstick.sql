-- What a booking with a Stripe session costs PostgreSQL at the least, as one transaction: booking, invitee, fact, the
-- operation, and what comes back from Stripe.
\set n random(1, 1000000000000)
BEGIN;
INSERT INTO bookings (id, invitee_uri, event_uri, event_type_uri, event_name, invitee_email, invitee_name, start_time, end_time, amount_minor, currency)
    VALUES (md5('b' || :n)::uuid, 'https://api.calendly.com/scheduled_events/AAAAAAAAAAAAAAAA/invitees/' || :n, 'https://api.calendly.com/scheduled_events/' || :n, 'https://api.calendly.com/event_types/AAAAAAAAAAAAAAAA', '30 Minute Meeting', 'someone' || :n || '@example.com', 'Some One', now(), now(), 5000, 'usd');
INSERT INTO booking_invitees VALUES ('https://api.calendly.com/scheduled_events/AAAAAAAAAAAAAAAA/invitees/' || :n, md5('b' || :n)::uuid);
INSERT INTO booking_events (event_id, booking_id, event_type, occurred_at, fact)
    VALUES (md5('e' || :n)::uuid, md5('b' || :n)::uuid, 'invitee.created', now(), '{"kind":"booked","invitee_uri":"https://api.calendly.com/scheduled_events/AAAAAAAAAAAAAAAA/invitees/BBBBBBBBBBBBBBBB","event_uri":"https://api.calendly.com/scheduled_events/AAAAAAAAAAAAAAAA","event_type_uri":"https://api.calendly.com/event_types/AAAAAAAAAAAAAAAA","event_name":"30 Minute Meeting","email":"someone@example.com","name":"Some One","start_time":"2026-11-24T10:00:00Z","end_time":"2026-11-24T10:30:00Z"}');
INSERT INTO stripe_operations (id, booking_id, kind, target, idempotency_key, params)
    VALUES (md5('o' || :n)::uuid, md5('b' || :n)::uuid, 'create_session', '0.0#0', 'key' || :n, '[["mode","payment"],["client_reference_id","0193-"],["line_items[0][price_data][currency]","usd"],["line_items[0][price_data][unit_amount]","5000"],["success_url","https://shop.example/paid"],["cancel_url","https://shop.example/cancelled"],["expires_at","1764000000"],["metadata[booking_id]","0193"],["metadata[operation_id]","0193"]]');
UPDATE stripe_operations SET state = 'done', settled_at = now() WHERE id = md5('o' || :n)::uuid;
UPDATE bookings SET checkout_session_id = 'cs_test_' || :n, checkout_url = 'https://checkout.example/' || :n WHERE id = md5('b' || :n)::uuid;
COMMIT;
