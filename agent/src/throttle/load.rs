//! Statements that a server runs now, other than the one that asks where the server can tell.

use super::{Asked, Held, figure, over, unread, value};
use crate::db::Engine;

const POSTGRES: &str = "SELECT count(*) FILTER (WHERE state = 'active' AND pid <> pg_catalog.pg_backend_pid()) AS active, \
     count(*) FILTER (WHERE query = '<insufficient privilege>') AS hidden \
     FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend' OR backend_type IS NULL;";
const MYSQL: &str = "SHOW GLOBAL STATUS LIKE 'Threads_running'";

pub(super) async fn measure(asked: &Asked<'_>, limit: u64) -> Result<(), Held> {
    let location = asked.location().await?;
    let (sql, column, what) = match location.engine() {
        Engine::Postgres => (POSTGRES, "active", "active backends"),
        Engine::Mysql => (MYSQL, "Value", "running threads"),
        Engine::Sqlite => return unread("an SQLite file has no server"),
    };
    let rows = asked.rows(&location, sql).await?;
    let Some(row) = rows.first() else { return unread("the server answers no row") };
    if value(row, |name| name == "hidden").is_some_and(|hidden| hidden != "0") {
        return unread("sessions of others are hidden from this user; GRANT pg_monitor TO it");
    }
    let count = value(row, |name| name == column).and_then(|count| count.parse::<u64>().ok());
    let Some(count) = count else { return unread("the server answers no number") };
    if count.saturating_mul(1_000) < limit {
        return Ok(());
    }
    over(format!("{what} {count} >= {}", figure::thousandths(limit)))
}
