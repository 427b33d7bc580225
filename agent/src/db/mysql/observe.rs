//! What a MariaDB or MySQL server tells of itself.

use super::connect::MysqlConnection;
use crate::db::answer::{Answer, Keep, text};
use crate::db::batch::{At, answer};
use crate::db::failure::Broken;
use crate::db::identity::Identity;
use crate::db::ledger::PREFIX;
use crate::db::location::Engine;
use crate::db::observe::Server;
use crate::db::tables::Tables;

/// `SHOW VARIABLES` leaves out what a server does not know, where `@@name` would fail.
const VARIABLES: &str = "SHOW VARIABLES WHERE Variable_name IN ('server_uuid', 'server_id', \
     'hostname', 'port', 'datadir', 'version', 'version_comment', 'read_only', \
     'super_read_only', 'innodb_read_only');";

/// Bytes and rows as InnoDB keeps them beside its tables: in one question, for which the server opens each table.
const TABLES: &str = "SELECT table_name, table_rows, data_length + index_length, table_type \
     FROM information_schema.tables WHERE table_schema = DATABASE();";

fn sizes(told: &Answer) -> (Option<u64>, Tables) {
    let bytes = told.rows.iter().filter_map(|row| text(row, 2)?.parse::<u64>().ok());
    let bytes = bytes.reduce(u64::saturating_add);
    let rows = told.rows.iter().filter(|row| text(row, 3) == Some("BASE TABLE"));
    let rows = rows.filter_map(|row| {
        let name = text(row, 0).filter(|name| !name.starts_with(PREFIX))?;
        Some((name.to_owned(), text(row, 1)?.parse().ok()?))
    });
    (bytes, Tables::new(Engine::Mysql, rows))
}

/// An account above plain `read_only` may still write; for others the first write tells.
fn read_only(variables: &Answer) -> Option<String> {
    let on = |row: &&Vec<Option<String>>| {
        let name = text(row, 0).unwrap_or_default();
        (name.eq_ignore_ascii_case("super_read_only")
            || name.eq_ignore_ascii_case("innodb_read_only"))
            && text(row, 1) == Some("ON")
    };
    let found = variables.rows.iter().find(on)?;
    Some(format!("the server is set to {}", text(found, 0).unwrap_or_default()))
}

impl MysqlConnection {
    /// Why nothing can be written, if nothing can.
    pub(super) async fn read_only(&mut self) -> Result<Option<String>, Broken> {
        let answers = self.send(VARIABLES.to_owned(), Keep::All).await?;
        Ok(read_only(&answer(&answers, At(0))))
    }

    pub(in crate::db) async fn server(&mut self) -> Result<Server, Broken> {
        let answers = self.send(format!("{VARIABLES} {TABLES}"), Keep::All).await?;
        let (size_bytes, tables) = sizes(&answer(&answers, At(1)));
        let variables = answer(&answers, At(0));
        let variable = |name: &str| {
            variables
                .rows
                .iter()
                .find(|row| text(row, 0).is_some_and(|found| found.eq_ignore_ascii_case(name)))
                .and_then(|row| text(row, 1))
                .unwrap_or_default()
        };
        // A copied data directory carries MySQL's uuid along, so where it listens counts too. MariaDB's
        // `server_uid` says nothing of the server: it is made of a network card's address and the port,
        // and another one after a restart on a host whose cards have changed.
        let own = Some(variable("server_uuid")).filter(|uuid| !uuid.is_empty());
        let own = own.unwrap_or(variable("server_id"));
        let server = format!(
            "mysql:{own}@{}:{}:{}",
            variable("hostname"),
            variable("port"),
            variable("datadir")
        );
        Ok(Server {
            version: format!("{} {}", variable("version_comment"), variable("version")),
            identity: Identity { server, database: self.database.clone() },
            read_only: read_only(&variables),
            size_bytes,
            tables: Some(tables),
        })
    }
}
