//! Tells every part of a service to stop.

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A flag that is raised once; clones share it. What stops in which order is up to who holds the children.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// A flag that is not raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the flag here and in all children.
    pub fn trigger(&self) {
        self.token.cancel();
    }

    /// Whether the flag is raised.
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until the flag is raised.
    pub async fn cancelled(&self) {
        self.token.cancelled().await;
    }

    /// The same wait, for where a future must own what it waits for.
    pub fn cancelled_owned(&self) -> WaitForCancellationFutureOwned {
        self.token.clone().cancelled_owned()
    }

    /// A flag that is raised together with this one and can be raised alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_parent_stops_its_children() {
        let parent = Shutdown::new();
        let (first, second) = (parent.child(), parent.child());
        parent.trigger();
        first.cancelled().await;
        second.cancelled_owned().await;
    }

    #[test]
    fn a_child_stops_alone() {
        let parent = Shutdown::new();
        let (first, second) = (parent.child(), parent.child());
        first.clone().trigger();
        assert!(first.is_cancelled());
        assert!(!parent.is_cancelled());
        assert!(!second.is_cancelled());
    }
}
