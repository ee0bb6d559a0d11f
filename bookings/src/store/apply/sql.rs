//! The statements of [`super`], and a way to have them ready.

use deadpool_postgres::Transaction;

use super::super::error::StoreError;

/// Locks names, in one order for all.
pub(super) const LOCK_NAMES: &str = "SELECT pg_advisory_xact_lock(key) FROM (SELECT DISTINCT hashtextextended(name, 0) AS key \
             FROM unnest($1::text[]) AS name ORDER BY key) AS keys";

/// Who has which name.
pub(super) const FIND: &str = "SELECT 0, invitee_uri, booking_id FROM booking_invitees WHERE invitee_uri = ANY($1) \
             UNION ALL SELECT 1, reference, id FROM bookings WHERE reference = ANY($2) \
             UNION ALL SELECT 2, payment_intent, booking_id FROM booking_payments WHERE payment_intent = ANY($3) \
             UNION ALL SELECT 3, id::text, id FROM bookings WHERE id = ANY($4) \
             UNION ALL SELECT 3, alias::text, booking_id FROM booking_aliases WHERE alias = ANY($4)";

/// Locks rows, in one order for all.
pub(super) const LOCK_BOOKINGS: &str =
    "SELECT id, reference, created_at, erased_at IS NOT NULL FROM bookings WHERE id = ANY($1) ORDER BY id FOR UPDATE";

/// The histories of bookings.
pub(super) const FACTS: &str =
    "SELECT booking_id, event_id, event_type, occurred_at, fact FROM booking_events WHERE booking_id = ANY($1)";

/// What was asked of Stripe for bookings. The fields only where somebody may need them.
pub(super) const LEDGERS: &str = "SELECT booking_id, id, kind, target, idempotency_key, state, attempts, keys_used, first_tried_at, \
             last_tried_at, look_up, in_doubt, lease, lease_until, error, created_at, settled_at, \
             CASE WHEN state IN ('pending', 'failed') THEN params END \
             FROM stripe_operations WHERE booking_id = ANY($1) ORDER BY created_at, id";

/// What was set aside for payments.
pub(super) const STRAYS: &str =
    "SELECT payment_intent, event_id, event_type, occurred_at, fact FROM stray_facts WHERE payment_intent = ANY($1)";

/// Not the transaction's time, which may be seconds old after waiting for a lock.
pub(super) const CLOCK: &str = "SELECT clock_timestamp()";

/// Listed prices.
pub(super) const PRICES: &str =
    "SELECT amount_minor, currency, event_type_uri FROM prices WHERE event_type_uri = ANY($1)";

/// The computed columns. What the caller wrote stays, and `updated_at` tells of changes only, and in their order:
/// transactions that wait for one another need not end in the order in which they began.
pub(super) const WRITE_BOOKINGS: &str = "INSERT INTO bookings AS old (id, reference, invitee_uri, event_uri, event_type_uri, event_name, invitee_email, \
             invitee_name, start_time, end_time, status, payment_status, amount_minor, currency, checkout_session_id, \
             checkout_url, payment_intent_id, no_show) \
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
             $8::text[], $9::timestamptz[], $10::timestamptz[], $11::text[], $12::text[], $13::bigint[], $14::text[], \
             $15::text[], $16::text[], $17::text[], $18::boolean[]) \
             ON CONFLICT (id) DO UPDATE SET reference = coalesce(old.reference, excluded.reference), \
             invitee_uri = excluded.invitee_uri, event_uri = excluded.event_uri, event_type_uri = excluded.event_type_uri, \
             event_name = excluded.event_name, invitee_email = excluded.invitee_email, invitee_name = excluded.invitee_name, \
             start_time = excluded.start_time, end_time = excluded.end_time, status = excluded.status, \
             payment_status = excluded.payment_status, amount_minor = excluded.amount_minor, currency = excluded.currency, \
             checkout_session_id = excluded.checkout_session_id, checkout_url = excluded.checkout_url, \
             payment_intent_id = excluded.payment_intent_id, no_show = excluded.no_show, \
             updated_at = greatest(old.updated_at, clock_timestamp()) \
             WHERE (coalesce(old.reference, excluded.reference), excluded.invitee_uri, excluded.event_uri, \
             excluded.event_type_uri, excluded.event_name, excluded.invitee_email, excluded.invitee_name, \
             excluded.start_time, excluded.end_time, excluded.status, excluded.payment_status, excluded.amount_minor, \
             excluded.currency, excluded.checkout_session_id, excluded.checkout_url, excluded.payment_intent_id, \
             excluded.no_show) IS DISTINCT FROM (old.reference, old.invitee_uri, old.event_uri, old.event_type_uri, \
             old.event_name, old.invitee_email, old.invitee_name, old.start_time, old.end_time, old.status, \
             old.payment_status, old.amount_minor, old.currency, old.checkout_session_id, old.checkout_url, \
             old.payment_intent_id, old.no_show)";

/// Which invitee leads to which booking.
pub(super) const WRITE_LINKS: &str = "INSERT INTO booking_invitees (invitee_uri, booking_id) SELECT * FROM unnest($1::text[], $2::uuid[]) \
             ON CONFLICT (invitee_uri) DO NOTHING";

/// Which payment leads to which booking.
pub(super) const WRITE_PAYMENTS: &str = "INSERT INTO booking_payments (payment_intent, booking_id) SELECT * FROM unnest($1::text[], $2::uuid[]) \
             ON CONFLICT (payment_intent) DO NOTHING";

/// Forgets what was set aside: it is among a booking's facts by now.
pub(super) const ADOPT_STRAYS: &str = "DELETE FROM stray_facts WHERE payment_intent = ANY($1)";

/// Facts that are new, and known ones of which an earlier report has come.
pub(super) const WRITE_FACTS: &str = "INSERT INTO booking_events (event_id, booking_id, event_type, occurred_at, fact) \
             SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::jsonb[]) \
             ON CONFLICT (event_id) DO UPDATE SET occurred_at = excluded.occurred_at, fact = excluded.fact";

/// Keeps a fact for a booking that may turn up.
pub(super) const SET_ASIDE: &str = "INSERT INTO stray_facts (event_id, payment_intent, event_type, occurred_at, fact) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (event_id) DO NOTHING";

/// New operations.
pub(super) const PLAN_OPERATIONS: &str = "INSERT INTO stripe_operations (id, booking_id, kind, target, idempotency_key, params, attempts, keys_used, \
             first_tried_at, last_tried_at, in_doubt, lease, lease_until, created_at) \
             SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::jsonb[], $7::int[], \
             $8::int[], $9::timestamptz[], $10::timestamptz[], $11::boolean[], $12::uuid[], $13::timestamptz[], \
             $14::timestamptz[])";

/// What became of operations. Their bookings are locked, so nobody else has changed them since they were read.
pub(super) const CHANGE_OPERATIONS: &str = "UPDATE stripe_operations AS op SET state = new.state, idempotency_key = new.key, \
             params = coalesce(new.params, op.params), attempts = new.attempts, keys_used = new.keys_used, \
             first_tried_at = new.first_tried_at, last_tried_at = new.last_tried_at, look_up = new.look_up, \
             in_doubt = new.in_doubt, lease = new.lease, lease_until = new.lease_until, error = new.error, \
             settled_at = new.settled_at FROM unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::int[], $6::int[], \
             $7::timestamptz[], $8::timestamptz[], $9::boolean[], $10::boolean[], $11::uuid[], $12::timestamptz[], \
             $13::text[], $14::timestamptz[]) AS new (id, state, key, params, attempts, keys_used, first_tried_at, \
             last_tried_at, look_up, in_doubt, lease, lease_until, error, settled_at) WHERE op.id = new.id";

const ALL: &[&str] = &[
    LOCK_NAMES,
    FIND,
    LOCK_BOOKINGS,
    FACTS,
    LEDGERS,
    STRAYS,
    CLOCK,
    PRICES,
    WRITE_BOOKINGS,
    WRITE_LINKS,
    WRITE_PAYMENTS,
    ADOPT_STRAYS,
    WRITE_FACTS,
    SET_ASIDE,
    PLAN_OPERATIONS,
    CHANGE_OPERATIONS,
];

/// Prepares what this connection has not prepared yet.
///
/// Statements that are sent together must not wait for being prepared: then they would not arrive in their order.
pub(super) async fn prepare(tx: &Transaction<'_>) -> Result<(), StoreError> {
    for statement in ALL {
        tx.prepare_cached(statement).await?;
    }
    Ok(())
}
