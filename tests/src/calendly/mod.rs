//! Calendly as the pipeline sees it: people who book, move and cancel, and the signed deliveries that tell of it.

mod delivery;
mod invitee;
mod sign;

pub use self::delivery::Delivery;
pub use self::invitee::Invitee;
pub use self::sign::{SIGNATURE_HEADER, Sender, Signer, post};
