//! PostgreSQL: the server, and what is in the database.

use bookings::store::{Inspection, Reach, StoreError};
use runtime::env::Env;

use super::finding::Finding;
use crate::database;

const SERVER: &str = "postgres";
const WIRE: &str = "postgres-tls";
const SCHEMA: &str = "postgres-schema";
/// The oldest release that the tests run on.
const OLDEST: i32 = 15;

pub(super) async fn check(env: &Env) -> Vec<Finding> {
    let store = match database::store(env) {
        Ok(store) => store,
        Err(error) => return vec![Finding::unreadable(SERVER, &error)],
    };
    match store.inspect().await {
        Ok(seen) => [Some(of_server(&seen)), declined(&seen), Some(of_schema(&seen))].into_iter().flatten().collect(),
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
    let Inspection { version, major, is_encrypted, reach, .. } = seen;
    if *major < OLDEST {
        let advice = format!("upgrade it to {OLDEST} or later");
        return Finding::fail(SERVER, format!("version {version} is too old"), advice);
    }
    if *is_encrypted {
        Finding::ok(SERVER, format!("version {version}, over TLS"))
    } else if *reach == Reach::Machine {
        Finding::ok(SERVER, format!("version {version}, on this machine"))
    } else if declines_tls(seen) {
        Finding::ok(SERVER, format!("version {version}, without TLS on a private network"))
    } else {
        let advice = "add sslmode=verify-full to DATABASE_URL; or sslmode=disable, on a private network where nobody \
                      listens (OPERATIONS.md, The wire)";
        Finding::warn(SERVER, format!("version {version}, without TLS over a network"), advice)
    }
}

/// Whoever wrote `sslmode=disable` for a private network knows who is on it. It is said, and not found wrong.
fn declines_tls(seen: &Inspection) -> bool {
    seen.declines_tls && seen.reach == Reach::PrivateNetwork && !seen.is_encrypted
}

fn declined(seen: &Inspection) -> Option<Finding> {
    declines_tls(seen).then(|| Finding::skip(WIRE, "not wanted (sslmode=disable in DATABASE_URL)"))
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::finding::Status;
    use super::*;

    #[test]
    fn no_tls_over_a_network_is_yellow_unless_it_was_decided() {
        let seen = |is_encrypted, reach, declines_tls| Inspection {
            version: "17.2".to_owned(),
            major: 17,
            is_encrypted,
            declines_tls,
            reach,
            clock: Timestamp::UNIX_EPOCH,
            pending: Vec::new(),
            foreign: Vec::new(),
            denied: Vec::new(),
        };
        for (seen, server, is_told) in [
            (seen(true, Reach::Internet, false), Status::Ok, false),
            (seen(false, Reach::Machine, false), Status::Ok, false),
            (seen(false, Reach::Machine, true), Status::Ok, false),
            (seen(false, Reach::PrivateNetwork, false), Status::Warn, false),
            (seen(false, Reach::PrivateNetwork, true), Status::Ok, true),
            (seen(false, Reach::Internet, true), Status::Warn, false),
        ] {
            assert_eq!(of_server(&seen).status, server, "{seen:?}");
            let told = declined(&seen);
            assert_eq!(told.is_some(), is_told, "{seen:?}");
            assert!(told.is_none_or(|finding| finding.status == Status::Skip));
        }
    }
}
