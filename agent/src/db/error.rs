//! Why a target could not be opened, observed or fenced.

use super::failure::Failure;
use super::fence::{StaleFence, Token};

/// What went wrong outside of any step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DbError {
    #[error("connect to {location}: {message}")]
    Connect {
        location: String,
        message: String,
        /// May pass when tried again.
        retryable: bool,
    },
    #[error(
        "connect to {location}: the account signs in by caching_sha2_password, which would send \
         its password readable over a connection without TLS; use TLS (ssl-mode=REQUIRED in the \
         URL) or a unix socket"
    )]
    NeedsTls { location: String },
    #[error(
        "take the session lock of {location}: waited {waited_ms} ms, and it is still held by \
         {holder} (an agent whose statement still runs holds it until that ends); try again later"
    )]
    LockHeld {
        location: String,
        waited_ms: u64,
        /// The server's number of the session that holds it and what it does, where the server
        /// tells.
        holder: String,
    },
    #[error(
        "open {location}: a connection pooler changes the server session between statements, so \
         neither locks nor settings hold; give a URL of the server itself, or of a pool in \
         session mode"
    )]
    Pooled { location: String },
    #[error("open {location}: {why}; name the writable server in the target's URL")]
    ReadOnly { location: String, why: String },
    #[error(
        "open {location}: its ledger tables have form {found}, this agent knows form {known}; \
         upgrade the agent"
    )]
    LedgerFormat { location: String, found: u64, known: u64 },
    #[error("open {location}: {what}; a person must look at the table before anything is run")]
    LedgerDamaged { location: String, what: String },
    #[error("open {location}: schema {schema} does not exist; create it first")]
    NoSchema { location: String, schema: String },
    #[error(transparent)]
    Fence(#[from] StaleFence),
    #[error("the token {token} is above what a database can store ({max})", max = i64::MAX)]
    TokenTooLarge { token: Token },
    #[error("{action} on {location}: {message}")]
    Database {
        action: &'static str,
        location: String,
        message: String,
        /// SQLSTATE, error number or result code.
        code: Option<String>,
        retryable: bool,
        /// The session cannot be used any further; open another.
        session_lost: bool,
    },
    #[error(
        "use the session of {location}: an earlier call was dropped in the middle, so its state \
         is not known; open another session"
    )]
    Interrupted { location: String },
}

impl DbError {
    pub(crate) fn database(action: &'static str, location: &str, failure: Failure) -> Self {
        Self::Database {
            action,
            location: location.to_owned(),
            message: failure.message,
            code: failure.code,
            retryable: failure.transient,
            session_lost: failure.lost,
        }
    }

    /// May pass when tried again, possibly on another session.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { retryable, .. } | Self::Database { retryable, .. } => *retryable,
            Self::LockHeld { .. } | Self::Interrupted { .. } => true,
            Self::NeedsTls { .. }
            | Self::Pooled { .. }
            | Self::ReadOnly { .. }
            | Self::LedgerFormat { .. }
            | Self::LedgerDamaged { .. }
            | Self::NoSchema { .. }
            | Self::Fence(_)
            | Self::TokenTooLarge { .. } => false,
        }
    }
}
