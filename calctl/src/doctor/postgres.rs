//! PostgreSQL: the server, and what is in the database.

use bookings::store::{Inspection, StoreError};
use runtime::env::Env;

use super::finding::Finding;
use crate::database;

const SERVER: &str = "postgres";
const SCHEMA: &str = "postgres-schema";
/// The oldest release that the tests run on.
const OLDEST: i32 = 15;

pub(super) async fn check(env: &Env) -> Vec<Finding> {
    let store = match database::store(env) {
        Ok(store) => store,
        Err(error) => return vec![Finding::unreadable(SERVER, &error)],
    };
    match store.inspect().await {
        Ok(seen) => vec![of_server(&seen), of_schema(&seen)],
        Err(error) => {
            let unseen = Finding::skip(SCHEMA, "not looked at: PostgreSQL does not answer");
            vec![Finding::fail(SERVER, error.to_string(), advice(&error)), unseen]
        }
    }
}

fn advice(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unavailable(_) => "start it, or correct DATABASE_URL",
        _ => "correct DATABASE_URL, or the role's rights (OPERATIONS.md, Rights)",
    }
}

fn of_server(seen: &Inspection) -> Finding {
    let Inspection { version, major, is_encrypted, is_local, .. } = seen;
    if *major < OLDEST {
        let advice = format!("upgrade it to {OLDEST} or later");
        return Finding::fail(SERVER, format!("version {version} is too old"), advice);
    }
    match (is_encrypted, is_local) {
        (true, _) => Finding::ok(SERVER, format!("version {version}, over TLS")),
        (false, true) => Finding::ok(SERVER, format!("version {version}, on this machine")),
        (false, false) => {
            let advice = "add sslmode=verify-full to DATABASE_URL (OPERATIONS.md, The wire)";
            Finding::warn(SERVER, format!("version {version}, without TLS over a network"), advice)
        }
    }
}

fn of_schema(seen: &Inspection) -> Finding {
    let Inspection { pending, foreign, denied, .. } = seen;
    if !foreign.is_empty() {
        let detail = format!("holds what this release does not know: {}", foreign.join(", "));
        return Finding::fail(SCHEMA, detail, "use the release that made it, or restore the backup from before it");
    }
    if !pending.is_empty() {
        let detail = format!("migrations are not applied: {}", pending.join(", "));
        return Finding::fail(SCHEMA, detail, "run `calctl db migrate`");
    }
    if !denied.is_empty() {
        let detail = format!("this role may not read and write {}", denied.join(", "));
        return Finding::fail(SCHEMA, detail, "grant it (OPERATIONS.md, Rights), or use the processor's role");
    }
    Finding::ok(SCHEMA, "all migrations of this release are applied")
}
