-- What was there before the outbox is published too. By itself, for it takes long where there are many, and nobody waits for
-- it: what changes meanwhile has triggers.
INSERT INTO booking_changes (booking_id) SELECT id FROM bookings ORDER BY created_at;
