//! What PostgreSQL's SQLSTATEs mean for us.

use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use crate::db::failure::{Failure, of_driver};

/// Lock not available, deadlock, serialization failure, too many connections, starting up.
const TRANSIENT: [&str; 5] = ["55P03", "40P01", "40001", "53300", "57P03"];

/// The server ended the session: shutdown, crash of a neighbour, dropped database, idle and
/// transaction timeouts.
const ENDED: [&str; 6] = ["57P01", "57P02", "57P04", "57P05", "25P03", "25P04"];

pub(super) fn of(error: &sqlx::Error) -> Failure {
    let sqlx::Error::Database(database) = error else { return of_driver(error) };
    let Some(error) = database.try_downcast_ref::<PgDatabaseError>() else {
        return of_driver(error);
    };
    let code = error.code();
    let lost = ENDED.contains(&code) || code.starts_with("08");
    // 57014 is a timeout or somebody's pg_cancel_backend; only the first is worth another try.
    let timed_out = code == "57014" && !error.message().contains("user request");
    let mut message = error.message().to_owned();
    for (name, part) in [("detail", error.detail()), ("hint", error.hint())] {
        if let Some(part) = part {
            message = format!("{message} ({name}: {part})");
        }
    }
    Failure {
        message,
        code: Some(code.to_owned()),
        position: match error.position() {
            Some(PgErrorPosition::Original(position)) => Some(position),
            Some(PgErrorPosition::Internal { .. }) | None => None,
        },
        transient: TRANSIENT.contains(&code) || timed_out || lost,
        lost,
    }
}
