-- Set when the person was removed: nothing personal that is heard later is kept, and the topic has a tombstone. First of
-- all here, since it takes the strongest lock: taken after another, it could meet a transaction that waits for that one.
ALTER TABLE bookings ADD COLUMN erased_at timestamptz;

-- The outbox of bookings.changes: which bookings have changed since their state was last published. Written by the
-- statement that changes the row, whoever sends it, so in the same transaction. Only ever added to and taken from:
-- nobody waits here for a publisher.
CREATE TABLE booking_changes (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    booking_id uuid NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
-- Rows live for less than a second, and their index is read from its beginning.
ALTER TABLE booking_changes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- SECURITY DEFINER: who may write a booking need not be granted the outbox. So names must not be looked up among the
-- caller's temporary tables first.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);
CREATE FUNCTION note_booking_changes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO booking_changes (booking_id) SELECT id FROM changed;
    RETURN NULL;
END
$$;
CREATE TRIGGER bookings_inserted AFTER INSERT ON bookings REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_booking_changes();
CREATE TRIGGER bookings_updated AFTER UPDATE ON bookings REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_booking_changes();
CREATE TRIGGER bookings_deleted AFTER DELETE ON bookings REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION note_booking_changes();
