//! What a MariaDB database holds, and how it is emptied for a restore.

use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, raw_sql};

use super::super::error::BackupError;
use super::super::source::Mariadb;
use super::failed;

/// An object and the word that drops it.
#[derive(Debug)]
pub(super) struct Object {
    kind: &'static str,
    name: String,
}

/// Everything in the database.
pub(super) async fn look(
    connection: &mut MySqlConnection,
    place: &Mariadb,
) -> Result<Vec<Object>, BackupError> {
    // The names of the catalogue's columns come as bytes or text, as the server likes.
    let asked = "
        SELECT CONVERT(TABLE_TYPE USING utf8mb4), CONVERT(TABLE_NAME USING utf8mb4)
          FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()
        UNION ALL SELECT CONVERT(ROUTINE_TYPE USING utf8mb4), CONVERT(ROUTINE_NAME USING utf8mb4)
          FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()
        UNION ALL SELECT 'EVENT', CONVERT(EVENT_NAME USING utf8mb4)
          FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()";
    let rows: Vec<(String, String)> = sqlx::query_as(asked)
        .fetch_all(connection)
        .await
        .map_err(|error| failed("looking at what is there", place, error))?;
    let object = |(kind, name): (String, String)| Object {
        kind: match kind.as_str() {
            "VIEW" | "SYSTEM VIEW" => "VIEW",
            "SEQUENCE" => "SEQUENCE",
            "PROCEDURE" => "PROCEDURE",
            "FUNCTION" => "FUNCTION",
            "PACKAGE" => "PACKAGE",
            "PACKAGE BODY" => "PACKAGE BODY",
            "EVENT" => "EVENT",
            _ => "TABLE",
        },
        name,
    };
    Ok(rows.into_iter().map(object).collect())
}

/// Drops all of `objects` but the tables named `_skein_…`. Triggers go with their tables.
pub(super) async fn empty(
    connection: &mut MySqlConnection,
    place: &Mariadb,
    objects: &[Object],
) -> Result<(), BackupError> {
    let drops = objects.iter().filter(|object| !object.name.starts_with("_skein_")).map(|object| {
        format!("DROP {} IF EXISTS `{}`", object.kind, object.name.replace('`', "``"))
    });
    let first = ["SET SESSION foreign_key_checks = 0", "SET SESSION lock_wait_timeout = 60"];
    for statement in first.map(str::to_owned).into_iter().chain(drops) {
        raw_sql(AssertSqlSafe(statement))
            .execute(&mut *connection)
            .await
            .map_err(|error| failed("emptying the database", place, error))?;
    }
    Ok(())
}
