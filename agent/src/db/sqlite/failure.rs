//! What SQLite's result codes mean for us.

use crate::db::failure::{Failure, of_driver};

pub(super) fn of(error: &sqlx::Error) -> Failure {
    let sqlx::Error::Database(database) = error else { return of_driver(error) };
    let code = database.code();
    // The primary result code is the low byte: 5 is SQLITE_BUSY, 6 is SQLITE_LOCKED.
    let primary = code.as_deref().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 255);
    let transient = matches!(primary, Some(5 | 6));
    Failure {
        message: database.message().to_owned(),
        code: code.map(std::borrow::Cow::into_owned),
        position: None,
        transient,
        lost: false,
    }
}

/// Whether the file system has failed, so that what was committed may not be on the disk: 10 is `SQLITE_IOERR`, 13
/// `SQLITE_FULL`.
pub(super) fn is_of_the_disk(failure: &Failure) -> bool {
    let code = failure.code.as_deref().and_then(|code| code.parse::<u32>().ok());
    matches!(code.map(|code| code & 255), Some(10 | 13))
}
