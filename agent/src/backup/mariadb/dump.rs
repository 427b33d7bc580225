//! Takes a MariaDB backup.

use super::super::child::{command, dump};
use super::super::credentials::lend_mariadb;
use super::super::error::BackupError;
use super::super::scope::Scope;
use super::super::source::Mariadb;
use super::super::take::{Taken, Taking};
use super::super::tool::{Tool, find};
use super::{close, connect, fit};

pub(in super::super) async fn take(
    place: &Mariadb,
    taking: &Taking<'_>,
) -> Result<Taken, BackupError> {
    let mut connection = connect(place).await?;
    let fit = fit(&mut connection, place).await;
    close(connection).await;
    let found = find(Tool::MariadbDump, fit?).await?;
    let lent = lend_mariadb(place, found.is_mysql())?;
    let mut command = command(&found);
    command.arg(lent.defaults_file());
    // Consistent for InnoDB without locking anybody out. The date is skipped so that the same
    // rows make the same bytes.
    command.args([
        "--single-transaction",
        "--quick",
        "--triggers",
        "--hex-blob",
        "--skip-dump-date",
        "--no-tablespaces",
    ]);
    if found.is_mysql() {
        // Else the dump could only be restored on a server without a history of its own.
        command.arg("--set-gtid-purged=OFF");
    }
    match taking.scope {
        Scope::Database => {
            command.args(["--routines", "--events", "--"]).arg(&place.database);
        }
        Scope::SchemaOnly => {
            command.args(["--routines", "--events", "--no-data", "--"]).arg(&place.database);
        }
        Scope::Tables(tables) => {
            command.arg("--").arg(&place.database);
            command.args(tables.iter().map(super::super::scope::Table::name));
        }
    }
    let pending = taking.begin().await?;
    let filled = dump(&found, command, place.password.clone(), (pending, taking.progress)).await?;
    drop(lent);
    Ok(Taken { filled, tool: found.version, scope: taking.scope.clone() })
}
