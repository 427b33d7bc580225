//! What a driver's error means for us, whichever the engine.

use super::answer::Answer;

/// An error of the server or of the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The server's words: message, detail and hint.
    pub(crate) message: String,
    /// SQLSTATE on PostgreSQL, the error number on MariaDB, the result code on SQLite.
    pub(crate) code: Option<String>,
    /// One-based character of the text that was sent, where the server tells.
    pub(crate) position: Option<usize>,
    /// May pass when tried again: a lock timeout, a deadlock, a refused connection.
    pub(crate) transient: bool,
    /// The connection is gone; whatever was on its way may or may not have arrived.
    pub(crate) lost: bool,
}

impl Failure {
    pub(crate) fn lost(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: None, position: None, transient: true, lost: true }
    }

    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: None, position: None, transient: false, lost: false }
    }

    pub(crate) fn is(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }
}

/// A failure in the middle of several statements, with the answers before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) failure: Failure,
    pub(crate) done: Vec<Answer>,
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        broken.failure
    }
}

/// Errors that are no answer of the database: the way to it, or the driver.
pub(crate) fn of_driver(error: &sqlx::Error) -> Failure {
    match error {
        sqlx::Error::Io(source) => {
            let mut failure = Failure::lost(format!("the connection failed: {source}"));
            if source.kind() == std::io::ErrorKind::NotFound
                || source.kind() == std::io::ErrorKind::PermissionDenied
            {
                failure.transient = false;
            }
            failure
        }
        sqlx::Error::Tls(source) => {
            let mut failure = Failure::lost(format!("TLS failed: {source}"));
            failure.transient = false;
            failure
        }
        sqlx::Error::Protocol(text) => {
            let mut failure = Failure::lost(format!("the server spoke out of turn: {text}"));
            failure.transient = false;
            failure
        }
        sqlx::Error::WorkerCrashed => Failure::lost("the database's worker thread ended"),
        other => Failure::protocol(other.to_string()),
    }
}
