//! Bounds the bytes of all bodies in memory: what does not fit is told to come again, before the machine swaps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What bodies may take together. Beside each there is a record that is made of it, and the producer's copy of that.
const LEAST_BYTES: usize = 64 * 1024 * 1024;

/// The bytes that are left. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    free: Arc<AtomicUsize>,
}

/// Bytes that are taken until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    free: Arc<AtomicUsize>,
    bytes: usize,
}

impl Memory {
    /// Room for at least two of the largest bodies.
    pub(crate) fn for_bodies_of(max_bytes: usize) -> Self {
        Self { free: Arc::new(AtomicUsize::new(LEAST_BYTES.max(2 * max_bytes))) }
    }

    /// Nothing yet.
    pub(crate) fn hold(&self) -> Held {
        Held { free: self.free.clone(), bytes: 0 }
    }
}

impl Held {
    /// Takes so much more; false when it is not there.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let taken =
            self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(bytes)).is_ok();
        if taken {
            self.bytes += bytes;
        }
        taken
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.free.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_free_again() {
        let memory = Memory::for_bodies_of(1);
        let (mut first, mut second) = (memory.hold(), memory.hold());
        assert!(first.grow(LEAST_BYTES - 10) && second.grow(10));
        assert!(!second.grow(1) && second.grow(0));
        drop(first);
        assert!(second.grow(LEAST_BYTES - 10));
    }
}
