//! Takes a PostgreSQL backup.

use super::super::child::{command, dump};
use super::super::credentials::lend_postgres;
use super::super::error::BackupError;
use super::super::scope::{Scope, Table};
use super::super::source::Postgres;
use super::super::take::{Taken, Taking};
use super::super::tool::{Tool, find};
use super::{close, connect, fit};

/// How long the dump waits for a table that somebody has locked. A leg that fails here is tried
/// again; one that waits for ever holds its lease for nothing.
const LOCK_WAIT: &str = "--lock-wait-timeout=60s";

pub(in super::super) async fn take(
    place: &Postgres,
    taking: &Taking<'_>,
) -> Result<Taken, BackupError> {
    let mut connection = connect(place).await?;
    let fit = fit(&mut connection, place).await;
    close(connection).await;
    let found = find(Tool::PgDump, fit?).await?;
    let mut command = command(&found);
    // Not compressed: zstd does it faster, and Debian 12's pg_dump has no zstd of its own.
    command.args(["--format=custom", "--compress=0", "--no-password", LOCK_WAIT]);
    command.args(arguments(place.schema.as_deref(), taking.scope));
    let _lent = lend_postgres(&mut command, place)?;
    let pending = taking.begin().await?;
    let filled = dump(&found, command, place.password.clone(), (pending, taking.progress)).await?;
    Ok(Taken { filled, tool: found.version, scope: taking.scope.clone() })
}

fn arguments(schema: Option<&str>, scope: &Scope) -> Vec<String> {
    let confined = schema.map(|schema| format!("--schema={}", quoted(schema)));
    match scope {
        Scope::Database => confined.into_iter().chain(strict(schema.is_some())).collect(),
        Scope::SchemaOnly => {
            let only = std::iter::once("--schema-only".to_owned());
            only.chain(confined).chain(strict(schema.is_some())).collect()
        }
        Scope::Tables(tables) => {
            let pattern = |table: &Table| match table.schema().or(schema) {
                Some(schema) => format!("--table={}.{}", quoted(schema), quoted(table.name())),
                None => format!("--table={}", quoted(table.name())),
            };
            tables.iter().map(pattern).chain(strict(true)).collect()
        }
    }
}

/// A name that is not there is an error, not a smaller backup.
fn strict(named: bool) -> Option<String> {
    named.then(|| "--strict-names".to_owned())
}

/// In double quotes a pattern has no wildcards, and case is kept.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_patterns_without_wildcards() {
        let tables = Scope::Tables(vec![Table::named("Or*ders"), Table::in_schema("a\"b", "x.y")]);
        assert_eq!(
            arguments(Some("tenant_1"), &tables),
            ["--table=\"tenant_1\".\"Or*ders\"", "--table=\"a\"\"b\".\"x.y\"", "--strict-names"]
        );
        assert_eq!(arguments(None, &Scope::Database), Vec::<String>::new());
    }
}
