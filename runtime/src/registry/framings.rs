//! What stands in front of the events that are written now.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use schemas::codec::{self, Framing, Kind};

/// No id is known yet. Ids are kept with one added.
const UNKNOWN: u64 = 0;

/// The framing of each kind of event. Clones share it; asking costs an atomic read.
#[derive(Clone, Debug, Default)]
pub struct Framings {
    /// Without a registry every record tells its schema by the fingerprint.
    ids: Option<Arc<Ids>>,
}

#[derive(Debug, Default)]
struct Ids {
    calendly: AtomicU64,
    stripe: AtomicU64,
    booking: AtomicU64,
}

impl Framings {
    /// For a registry that has not told any id yet.
    pub fn of_registry() -> Self {
        Self { ids: Some(Arc::default()) }
    }

    /// What to encode with. While no id is known that is the encoding that tells its schema by itself; such a value
    /// [must wait](Self::must_wait) for [`Self::apply`].
    pub fn get(&self, kind: Kind) -> Framing {
        self.id(kind).map_or(Framing::SingleObject, Framing::Confluent)
    }

    /// What each kind is encoded with, to see that it has changed.
    pub fn all(&self) -> [Framing; 2] {
        [Kind::Calendly, Kind::Stripe].map(|kind| self.get(kind))
    }

    /// Whether the value must not reach the topics as it is: their readers expect the registry's framing.
    pub fn must_wait(&self, value: &[u8]) -> bool {
        self.ids.is_some() && codec::is_single_object(value)
    }

    /// A value that had to wait, as it may go now; `None` while its kind's id is unknown. Any other comes back unchanged.
    #[must_use]
    pub fn apply<'v>(&self, value: Cow<'v, [u8]>) -> Option<Cow<'v, [u8]>> {
        if !self.must_wait(&value) {
            return Some(value);
        }
        let mut is_known = true;
        let reframed = codec::reframe(&value, |kind| {
            // Asked once: an id that comes meanwhile must not let the value go as it is.
            let framing = self.get(kind);
            is_known = framing != Framing::SingleObject;
            framing
        });
        is_known.then(|| reframed.map_or(value, Cow::Owned))
    }

    pub(super) fn set(&self, kind: Kind, id: u32) {
        if let Some(ids) = &self.ids {
            ids.slot(kind).store(u64::from(id) + 1, Ordering::Relaxed);
        }
    }

    fn id(&self, kind: Kind) -> Option<u32> {
        match self.ids.as_ref()?.slot(kind).load(Ordering::Relaxed) {
            UNKNOWN => None,
            known => u32::try_from(known - 1).ok(),
        }
    }
}

impl Ids {
    fn slot(&self, kind: Kind) -> &AtomicU64 {
        match kind {
            Kind::Calendly => &self.calendly,
            Kind::Stripe => &self.stripe,
            Kind::Booking => &self.booking,
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::codec::{CALENDLY_SCHEMA, STRIPE_SCHEMA, WriterSchema};

    use super::*;

    #[test]
    fn without_a_registry_nothing_waits() {
        let framings = Framings::default();
        assert_eq!(framings.get(Kind::Calendly), Framing::SingleObject);
        assert!(!framings.must_wait(&[0xC3, 1]));
    }

    #[test]
    fn with_one_values_wait_for_their_id() {
        let framings = Framings::of_registry();
        framings.clone().set(Kind::Calendly, 0);
        assert_eq!(framings.get(Kind::Calendly), Framing::Confluent(0));
        assert_eq!(framings.get(Kind::Stripe), Framing::SingleObject);
        framings.set(Kind::Stripe, u32::MAX);
        assert_eq!(framings.get(Kind::Stripe), Framing::Confluent(u32::MAX));
        assert!(framings.must_wait(&[0xC3, 1, 7]) && !framings.must_wait(b"{}") && !framings.must_wait(&[0, 0]));
        let unreadable = &[0xC3, 1, 7][..];
        assert_eq!(framings.apply(unreadable.into()).as_deref(), Some(unreadable), "left alone");
    }

    #[test]
    fn only_values_of_a_kind_without_an_id_wait() {
        let [calendly, stripe] = [CALENDLY_SCHEMA, STRIPE_SCHEMA].map(|schema| {
            let fingerprint = WriterSchema::parse(schema).unwrap().fingerprint();
            [&[0xC3, 1][..], &fingerprint, b"body"].concat()
        });
        let framings = Framings::of_registry();
        framings.set(Kind::Stripe, 7);
        assert_eq!(framings.apply(stripe.into()).as_deref(), Some(&b"\0\0\0\0\x07body"[..]));
        assert_eq!(framings.apply((&calendly).into()), None);
        assert_eq!(framings.apply(b"{}"[..].into()).as_deref(), Some(&b"{}"[..]));
        framings.set(Kind::Calendly, 8);
        assert_eq!(framings.apply(calendly.into()).as_deref(), Some(&b"\0\0\0\0\x08body"[..]));
    }
}
