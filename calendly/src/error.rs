//! What a request to Calendly can come to. Each text says what to do.

use std::time::Duration;

/// A request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalendlyError {
    /// No connection: nothing was sent.
    #[error("Calendly cannot be reached ({operation}); check the network and CALENDLY_API_BASE")]
    Unreachable {
        /// What was tried.
        operation: &'static str,
    },
    /// The connection broke or the time ran out: whether it was done is unknown.
    #[error("Calendly's answer did not come ({operation}); try again")]
    Broken {
        /// What was tried.
        operation: &'static str,
    },
    /// 429, for as long as was waited. Nothing was done.
    #[error("Calendly's rate limit is used up ({operation}); try again in {} s", wait.as_secs().max(1))]
    RateLimited {
        /// What was tried.
        operation: &'static str,
        /// Until there is room again, as far as Calendly says.
        wait: Duration,
    },
    /// 5xx: whether it was done is unknown.
    #[error("Calendly failed with {status} ({operation}); try again later")]
    Server {
        /// What was tried.
        operation: &'static str,
        /// HTTP status.
        status: u16,
    },
    /// 401.
    #[error(
        "Calendly does not accept the token ({operation}); make a personal access token (Calendly's Integrations, API \
         and webhooks) and set CALENDLY_TOKEN to it"
    )]
    Token {
        /// What was tried.
        operation: &'static str,
    },
    /// 403 because of the plan.
    #[error("this Calendly account's plan has no webhooks ({operation}); Calendly says: {message}")]
    Plan {
        /// What was tried.
        operation: &'static str,
        /// Calendly's words.
        message: String,
    },
    /// Any other 403.
    #[error(
        "Calendly does not allow this to the token's owner ({operation}); the scope organization is for its owner and \
         administrators, others have the scope user (CALENDLY_SCOPE); Calendly says: {message}"
    )]
    Forbidden {
        /// What was tried.
        operation: &'static str,
        /// Calendly's words.
        message: String,
    },
    /// 404.
    #[error("Calendly knows of no such thing ({operation}); calctl webhooks list shows what there is in a scope")]
    NotFound {
        /// What was tried.
        operation: &'static str,
    },
    /// 409.
    #[error(
        "a subscription with this address exists already ({operation}); look for it in the other scopes with calctl \
         webhooks list --scope user (or organization), and delete it"
    )]
    Exists {
        /// What was tried.
        operation: &'static str,
    },
    /// Any other 4xx, or a redirect.
    #[error("Calendly refuses with {status} ({operation}): {problem}")]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// HTTP status.
        status: u16,
        /// Calendly's words, with the parameters that it dislikes.
        problem: String,
    },
    /// A success without what it should hold.
    #[error("Calendly's answer cannot be read ({operation}): {problem}; check CALENDLY_API_BASE")]
    Unreadable {
        /// What was tried.
        operation: &'static str,
        /// What is wrong with it; quotes nothing of it.
        problem: &'static str,
    },
}

/// What another try can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Nothing was done, and the same request may succeed later.
    NotDone,
    /// It may have been done.
    MayBeDone,
    /// It is answered, and will be answered so again.
    Answered,
}

impl CalendlyError {
    /// Whether the same request may succeed later, without anybody changing anything.
    pub fn may_pass(&self) -> bool {
        self.doubt() != Doubt::Answered
    }

    pub(crate) fn doubt(&self) -> Doubt {
        match self {
            Self::Unreachable { .. } | Self::RateLimited { .. } => Doubt::NotDone,
            Self::Broken { .. } | Self::Server { .. } => Doubt::MayBeDone,
            Self::Token { .. }
            | Self::Plan { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Exists { .. }
            | Self::Refused { .. }
            | Self::Unreadable { .. } => Doubt::Answered,
        }
    }
}
