//! What the error numbers of MariaDB and MySQL mean for us.

use sqlx::mysql::MySqlDatabaseError;

use crate::db::failure::{Failure, of_driver};

/// Lock wait timeout, deadlock, statement time (MariaDB, MySQL), too many connections.
const TRANSIENT: [u16; 5] = [1205, 1213, 1969, 3024, 1040];

/// Shutdown, killed, gone, lost, disconnected for inactivity.
const ENDED: [u16; 5] = [1053, 1927, 2006, 2013, 4031];

pub(super) fn of(error: &sqlx::Error) -> Failure {
    let sqlx::Error::Database(database) = error else { return of_driver(error) };
    let Some(error) = database.try_downcast_ref::<MySqlDatabaseError>() else {
        return of_driver(error);
    };
    let number = error.number();
    let lost = ENDED.contains(&number);
    Failure {
        message: error.message().to_owned(),
        code: Some(number.to_string()),
        position: None,
        transient: lost || TRANSIENT.contains(&number),
        lost,
    }
}
