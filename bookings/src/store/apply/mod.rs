//! Applying requests to bookings, many bookings in one transaction: resolve, record, fold, plan and claim, or settle.
//!
//! The transaction reads everything about the bookings concerned, decides in memory ([`case`]) and writes one statement
//! for each table. What is planned is claimed in the same transaction by whoever asked, so there is no moment at which
//! an operation is planned and nobody has it.

mod case;
mod checkout;
mod erase;
mod load;
mod names;
mod operation;
mod request;
mod sql;
mod write;

use std::collections::HashMap;
use std::time::Duration;

use deadpool_postgres::Transaction;
use futures_util::future::{try_join, try_join3};
use jiff::Timestamp;
use uuid::Uuid;

use self::case::{Case, Rules};
pub use self::checkout::CheckoutRequest;
pub use self::erase::ErasedBooking;
use self::load::Loaded;
use self::names::{Found, Group, Name};
pub use self::request::{Applied, ClaimedOperation, Failure, LEASE, Report, Request, Subject, TryEnd};
use self::write::Decided;
use super::Store;
use super::error::StoreError;
use crate::fact::Fact;
use crate::fold::Turnover;
use crate::price::Price;

/// How often the bookings may have changed hands while we waited for their locks.
const MAX_LOOKS: usize = 5;

/// One answer for each request, in their order.
pub type Answers = Vec<Result<Applied, StoreError>>;

/// What was read before the bookings are known.
struct Looked {
    found: Found,
    strays: HashMap<String, Vec<Fact>>,
    prices: HashMap<String, Price>,
    now: Timestamp,
}

impl Store {
    /// Applies requests in one transaction, which waits for somebody's lock for no longer than `patience`. An error means
    /// that nothing of it remains.
    ///
    /// Locks are taken in one order, names by hash and then bookings by id, so that two transactions wait for each other
    /// and never deadlock.
    pub async fn apply(&self, requests: &[Request], patience: Duration) -> Result<Answers, StoreError> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        sql::prepare(&tx).await?;
        let mentioned: Vec<Vec<Name>> = requests.iter().map(names::names).collect();
        let ((), mut looked) = try_join(limit_waiting(&tx, patience), look(&tx, requests, &mentioned)).await?;
        let (groups, loaded) = lock(&tx, requests, &mentioned, &mut looked).await?;
        let mut answers: Answers = requests.iter().map(|request| Err(unknown(request))).collect();
        let mut cases = self.cases(&tx, requests, groups, loaded, &looked, &mut answers).await?;
        self.find_missing_prices(&tx, &cases, &mut looked.prices).await?;
        let rules =
            Rules { terms: &self.terms, default_price: &self.default_price, prices: &looked.prices, now: looked.now };
        for decided in &mut cases {
            for (place, applied) in decided.case.decide(&rules) {
                if let Some(answer) = answers.get_mut(place) {
                    *answer = Ok(applied);
                }
            }
        }
        write::write(&tx, &cases).await?;
        crate::failpoint::hit("before-commit");
        tx.commit().await?;
        crate::failpoint::hit("after-commit");
        Ok(answers)
    }

    /// The bookings concerned, with what the requests add. Facts about unknown payments are set aside.
    async fn cases<'a>(
        &self,
        tx: &Transaction<'_>,
        requests: &'a [Request],
        groups: Vec<Group>,
        mut loaded: Loaded,
        looked: &Looked,
        answers: &mut Answers,
    ) -> Result<Vec<Decided<'a>>, StoreError> {
        let mut decided = Vec::with_capacity(groups.len());
        for group in groups {
            if group.bookings.is_empty() && !group.names.iter().any(|name| matches!(name, Name::Invitee(_))) {
                set_aside(tx, requests, &group, answers).await?;
                continue;
            }
            let booking_id = case::survivor(&group.bookings, &loaded.rows).unwrap_or_else(Uuid::now_v7);
            let others: Vec<Uuid> = group.bookings.iter().copied().filter(|id| *id != booking_id).collect();
            // Who is one with a person that was removed is that person.
            let is_erased = group.bookings.iter().filter_map(|id| loaded.rows.get(id)).any(|row| row.is_erased);
            if !others.is_empty() {
                write::merge(tx, booking_id, &others).await?;
                if is_erased {
                    write::mark_erased(tx, &[booking_id]).await?;
                }
            }
            let facts: Vec<Fact> = group.bookings.iter().filter_map(|id| loaded.facts.remove(id)).flatten().collect();
            let mut ledger: Vec<_> =
                group.bookings.iter().filter_map(|id| loaded.ledgers.remove(id)).flatten().collect();
            ledger.sort_by_key(|entry| (entry.created_at, entry.id));
            let mine = group.requests.iter().filter_map(|place| Some((*place, requests.get(*place)?))).collect();
            let case = Case::new(booking_id, facts, ledger, mine);
            let mut case = if is_erased { case.erased() } else { case };
            let strays = group.names.iter().filter_map(|name| match name {
                Name::Payment(intent) => looked.strays.get(intent),
                _ => None,
            });
            case.take_in(strays.flatten(), looked.now);
            case.is_touched |= !others.is_empty();
            decided.push(Decided { case, names: group.names });
        }
        Ok(decided)
    }

    /// Prices of event types that only the history names.
    async fn find_missing_prices(
        &self,
        tx: &Transaction<'_>,
        cases: &[Decided<'_>],
        prices: &mut HashMap<String, Price>,
    ) -> Result<(), StoreError> {
        let wanted: Vec<&str> = cases
            .iter()
            .filter_map(|decided| decided.case.unpriced())
            .filter(|event_type| !prices.contains_key(*event_type))
            .collect();
        if !wanted.is_empty() {
            prices.extend(load::prices(tx, &wanted).await?);
        }
        Ok(())
    }
}

async fn limit_waiting(tx: &Transaction<'_>, patience: Duration) -> Result<(), StoreError> {
    tx.batch_execute(&format!("SET LOCAL lock_timeout = {}", patience.as_millis())).await?;
    Ok(())
}

/// Locks the names and reads what does not depend on the bookings behind them.
async fn look(tx: &Transaction<'_>, requests: &[Request], mentioned: &[Vec<Name>]) -> Result<Looked, StoreError> {
    let mut names: Vec<Name> = mentioned.iter().flatten().cloned().collect();
    names.sort_unstable();
    names.dedup();
    let mut types: Vec<&str> = requests.iter().filter_map(case::likely_event_type).collect();
    types.sort_unstable();
    types.dedup();
    let payments: Vec<&str> = requests.iter().flat_map(|request| names::payments(&request.facts)).collect();
    let (found, strays, (prices, now)) =
        try_join3(names::lock_and_find(tx, &names), load::strays(tx, &payments), load::prices_and_time(tx, &types))
            .await?;
    Ok(Looked { found, strays, prices, now })
}

/// Locks the bookings and reads them. While we wait for a lock, a merge may change what belongs together: then we look
/// again, until what is locked is what is found. Leases begin when the wait is over.
async fn lock(
    tx: &Transaction<'_>,
    requests: &[Request],
    mentioned: &[Vec<Name>],
    looked: &mut Looked,
) -> Result<(Vec<Group>, Loaded), StoreError> {
    for _ in 0..MAX_LOOKS {
        let groups = names::group(mentioned, requests, &looked.found);
        let mut ids: Vec<Uuid> = groups.iter().flat_map(|group| group.bookings.iter().copied()).collect();
        ids.sort_unstable();
        if ids.is_empty() {
            return Ok((groups, Loaded::default()));
        }
        let names: Vec<Name> = groups.iter().flat_map(|group| group.names.iter().cloned()).collect();
        let (loaded, again, now) =
            try_join3(load::lock_and_load(tx, &ids), names::find(tx, &names), load::time(tx)).await?;
        looked.now = now;
        let is_same = names.iter().all(|name| looked.found.get(name) == again.get(name));
        if is_same && loaded.rows.len() == ids.len() {
            return Ok((groups, loaded));
        }
        looked.found = again;
    }
    Err(StoreError::Raced("bookings changed hands again and again".to_owned()))
}

async fn set_aside(
    tx: &Transaction<'_>,
    requests: &[Request],
    group: &Group,
    answers: &mut Answers,
) -> Result<(), StoreError> {
    for place in &group.requests {
        let (Some(request), Some(answer)) = (requests.get(*place), answers.get_mut(*place)) else { continue };
        if let Subject::Payment(intent) = &request.subject {
            let strays: Vec<(&str, &Fact)> = request.facts.iter().map(|fact| (intent.as_str(), fact)).collect();
            write::set_aside(tx, &strays).await?;
            let turnover = Turnover::default();
            *answer = Ok(Applied { booking_id: None, is_new: true, operation: None, busy: None, turnover });
        }
    }
    Ok(())
}

/// The answer to a request that no booking was found for.
fn unknown(request: &Request) -> StoreError {
    match request.subject {
        Subject::Booking(id) | Subject::Perhaps(id) => StoreError::UnknownBooking(id),
        // These always get an answer of their own.
        Subject::Invitee(_) | Subject::Payment(_) => {
            StoreError::Raced("a request was left without an answer".to_owned())
        }
    }
}
