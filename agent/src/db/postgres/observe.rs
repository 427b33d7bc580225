//! What a PostgreSQL server tells of itself.

use super::connect::PostgresConnection;
use crate::db::answer::{Keep, text};
use crate::db::failure::Broken;
use crate::db::identity::Identity;
use crate::db::observe::Server;

/// The timeline of a primary is in the name of its current log file; a standby has it in its
/// control file only.
const QUERY: &str = "SELECT pg_catalog.version(), \
     (SELECT system_identifier FROM pg_catalog.pg_control_system()), \
     CASE WHEN pg_catalog.pg_is_in_recovery() \
       THEN (SELECT timeline_id::text FROM pg_catalog.pg_control_checkpoint()) \
       ELSE pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) \
     END, \
     (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()), \
     pg_catalog.current_database(), pg_catalog.pg_is_in_recovery(), \
     pg_catalog.current_setting('transaction_read_only'), \
     pg_catalog.pg_database_size(pg_catalog.current_database());";

/// Where the account may not call the functions above: all that is left to tell servers apart is
/// where they listen and when they started.
const QUERY_UNPRIVILEGED: &str = "SELECT pg_catalog.version(), \
     'at ' || COALESCE(host(pg_catalog.inet_server_addr()), 'socket') || ' port ' \
     || pg_catalog.current_setting('port'), \
     '0', (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()), \
     pg_catalog.current_database(), pg_catalog.pg_is_in_recovery(), \
     pg_catalog.current_setting('transaction_read_only'), NULL;";

impl PostgresConnection {
    pub(in crate::db) async fn server(&mut self) -> Result<Server, Broken> {
        let told = self.send(QUERY.to_owned(), Keep::All).await;
        self.tells_log = told.is_ok();
        let answers = match told {
            Err(broken) if broken.failure.is(&["42501", "0A000", "42883"]) => {
                self.send(QUERY_UNPRIVILEGED.to_owned(), Keep::All).await?
            }
            done => done?,
        };
        let row = answers.first().and_then(|answer| answer.rows.first()).cloned();
        let row = row.unwrap_or_default();
        let part = |at| text(&row, at).unwrap_or_default();
        let timeline = u32::from_str_radix(part(2), 16).unwrap_or_default();
        let mut database = format!("{} ({})", part(3), part(4));
        if self.one_schema {
            database = format!("{database} schema {}", self.schema);
        }
        let read_only = match (part(5), part(6)) {
            ("t", _) => Some("the server is a standby".to_owned()),
            (_, "on") => Some("the server or the account only allows reading".to_owned()),
            _ => None,
        };
        Ok(Server {
            version: part(0).split(" on ").next().unwrap_or_default().to_owned(),
            identity: Identity { server: format!("postgres:{}/{timeline}", part(1)), database },
            read_only,
            size_bytes: part(7).parse().ok(),
        })
    }
}
