//! Which requests are about one booking, and which booking that is: invitees linked by reschedules form one booking,
//! whichever link comes first.

use std::collections::HashMap;

use deadpool_postgres::Transaction;
use futures_util::future::try_join;
use uuid::Uuid;

use super::super::error::StoreError;
use super::request::{Request, Subject};
use super::sql;
use crate::fact::{Details, Fact, FactKind};

/// What a booking goes by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Name {
    Invitee(String),
    Reference(String),
    Payment(String),
    Id(Uuid),
}

impl Name {
    /// The text that is locked while the name may be given to a booking for the first time.
    fn lock(&self) -> Option<String> {
        match self {
            Self::Invitee(uri) => Some(uri.clone()),
            Self::Reference(reference) => Some(format!("reference {reference}")),
            Self::Payment(intent) => Some(format!("payment {intent}")),
            // Nobody gives a booking an id later.
            Self::Id(_) => None,
        }
    }
}

/// Every name that a request mentions.
pub(super) fn names(request: &Request) -> Vec<Name> {
    let mut names = match &request.subject {
        Subject::Invitee(details) => of_details(details),
        Subject::Booking(id) | Subject::Perhaps(id) => vec![Name::Id(*id)],
        Subject::Payment(intent) => vec![Name::Payment(intent.clone())],
    };
    names.extend(payments(&request.facts).map(|intent| Name::Payment(intent.to_owned())));
    names
}

fn of_details(details: &Details) -> Vec<Name> {
    let invitees = [Some(&details.invitee_uri), details.old_invitee.as_ref(), details.new_invitee.as_ref()];
    let invitees = invitees.into_iter().flatten().map(|uri| Name::Invitee(uri.clone()));
    invitees.chain(details.reference.clone().map(Name::Reference)).collect()
}

/// The payments that these facts tie to their booking.
pub(super) fn payments<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> impl Iterator<Item = &'a str> {
    facts.into_iter().filter_map(|fact| match &fact.kind {
        FactKind::SessionPaid { payment_intent, .. } => Some(payment_intent.as_str()),
        _ => None,
    })
}

/// Which booking has which name.
pub(super) type Found = HashMap<Name, Uuid>;

/// Locks the names against everybody who may give one of them to a booking, in one order for all, and then looks who has
/// them. The look sees what others did while we waited: each statement has a snapshot of its own.
pub(super) async fn lock_and_find(tx: &Transaction<'_>, names: &[Name]) -> Result<Found, StoreError> {
    let locks: Vec<String> = names.iter().filter_map(Name::lock).collect();
    if locks.is_empty() {
        return find(tx, names).await;
    }
    let statement = tx.prepare_cached(sql::LOCK_NAMES).await?;
    let locking = async { tx.execute(&statement, &[&locks]).await.map_err(StoreError::from) };
    let (_, found) = try_join(locking, find(tx, names)).await?;
    Ok(found)
}

/// Looks who has the names.
pub(super) async fn find(tx: &Transaction<'_>, names: &[Name]) -> Result<Found, StoreError> {
    let (mut invitees, mut references, mut payments, mut ids) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for name in names {
        match name {
            Name::Invitee(uri) => invitees.push(uri),
            Name::Reference(reference) => references.push(reference),
            Name::Payment(intent) => payments.push(intent),
            Name::Id(id) => ids.push(*id),
        }
    }
    let statement = tx.prepare_cached(sql::FIND).await?;
    let rows = tx.query(&statement, &[&invitees, &references, &payments, &ids]).await?;
    let found = rows.iter().filter_map(|row| {
        let (kind, text): (i32, String) = (row.get(0), row.get(1));
        let name = match kind {
            0 => Name::Invitee(text),
            1 => Name::Reference(text),
            2 => Name::Payment(text),
            _ => Name::Id(text.parse().ok()?),
        };
        Some((name, row.get(2)))
    });
    Ok(found.collect())
}

/// Requests that turn out to be about one booking.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Their places in the batch, in order.
    pub(super) requests: Vec<usize>,
    /// Everything that they mention.
    pub(super) names: Vec<Name>,
    /// The bookings that have these names, sorted. None: a new one. Several: they turn out to be one.
    pub(super) bookings: Vec<Uuid>,
}

/// Puts together what belongs together: requests that share a name, or whose names belong to one booking.
///
/// Requests for a booking that is not there are left out; they have nothing to tell about others.
pub(super) fn group(mentioned: &[Vec<Name>], requests: &[Request], found: &Found) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut of_name: HashMap<&Name, usize> = HashMap::new();
    let mut of_booking: HashMap<Uuid, usize> = HashMap::new();
    for (number, names) in mentioned.iter().enumerate() {
        if requests.get(number).is_none_or(|request| is_unknown(request, found)) {
            continue;
        }
        let bookings: Vec<Uuid> = names.iter().filter_map(|name| found.get(name).copied()).collect();
        let mut others: Vec<usize> = names.iter().filter_map(|name| of_name.get(name).copied()).collect();
        others.extend(bookings.iter().filter_map(|id| of_booking.get(id).copied()));
        others.sort_unstable();
        others.dedup();
        let mut all = Group { requests: vec![number], names: names.clone(), bookings };
        for other in &others {
            let other = groups.get_mut(*other).map(std::mem::take).unwrap_or_default();
            all.requests.extend(other.requests);
            all.names.extend(other.names);
            all.bookings.extend(other.bookings);
        }
        // A group that was taken over stays behind, empty; whoever pointed to it now points to its successor.
        let successor = groups.len();
        for place in of_name.values_mut().chain(of_booking.values_mut()).filter(|place| others.contains(place)) {
            *place = successor;
        }
        of_name.extend(names.iter().map(|name| (name, successor)));
        of_booking.extend(all.bookings.iter().map(|id| (*id, successor)));
        groups.push(all);
    }
    groups.retain(|group| !group.requests.is_empty());
    for group in &mut groups {
        group.requests.sort_unstable();
        group.names.sort_unstable();
        group.names.dedup();
        group.bookings.sort_unstable();
        group.bookings.dedup();
    }
    groups
}

/// Only an invitee makes a booking, and a payment's facts can wait for one.
fn is_unknown(request: &Request, found: &Found) -> bool {
    match request.subject {
        Subject::Booking(id) | Subject::Perhaps(id) => !found.contains_key(&Name::Id(id)),
        Subject::Invitee(_) | Subject::Payment(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invitee(uri: &str, old: Option<&str>) -> Request {
        let details =
            Details { invitee_uri: uri.to_owned(), old_invitee: old.map(str::to_owned), ..Details::default() };
        Request { subject: Subject::Invitee(Box::new(details)), ..Request::work(Uuid::nil(), &[]) }
    }

    fn grouped(requests: &[Request], found: &Found) -> Vec<(Vec<usize>, usize)> {
        let mentioned: Vec<Vec<Name>> = requests.iter().map(names).collect();
        let groups = group(&mentioned, requests, found);
        groups.into_iter().map(|group| (group.requests, group.bookings.len())).collect()
    }

    #[test]
    fn what_shares_a_name_or_a_booking_is_one_group() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let requests = [
            invitee("a", None),
            invitee("x", None),
            invitee("c", Some("b")),
            Request::work(one, &[]),
            // Ties the first and the third together.
            invitee("b", Some("a")),
            Request::work(two, &[]),
        ];
        let mut found = Found::new();
        found.insert(Name::Invitee("x".to_owned()), one);
        found.insert(Name::Id(one), one);
        let mut groups = grouped(&requests, &found);
        groups.sort_unstable();
        // The last one's booking is not there.
        assert_eq!(groups, [(vec![0, 2, 4], 0), (vec![1, 3], 1)]);
        // Names of two bookings in one request: they are one.
        found.insert(Name::Invitee("a".to_owned()), two);
        found.insert(Name::Invitee("c".to_owned()), one);
        assert_eq!(grouped(&requests, &found), [(vec![0, 1, 2, 3, 4], 2)]);
    }
}
