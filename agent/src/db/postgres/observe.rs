//! What a PostgreSQL server tells of itself.

use super::connect::PostgresConnection;
use crate::db::answer::{Keep, text};
use crate::db::failure::Broken;
use crate::db::identity::Identity;
use crate::db::location::Engine;
use crate::db::observe::Server;
use crate::db::sql::literal;
use crate::db::tables::Tables;

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

/// By the last `ANALYZE` or `VACUUM`, or by what was counted since the statistics began, whichever says more: one is
/// missing before the first of those, the other begins anew after a crash. No table is opened or locked. A partition
/// counts for the table that it is a part of.
const TABLES: &str = "SELECT COALESCE((SELECT whole.relname FROM pg_catalog.pg_class whole \
       WHERE c.relispartition AND whole.oid = pg_catalog.pg_partition_root(c.oid)), c.relname), \
     sum(GREATEST(c.reltuples::bigint, pg_catalog.pg_stat_get_live_tuples(c.oid), 0)) \
     FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' \
     AND left(c.relname, 7) <> '_skein_' AND @SPACES@ GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 16;";

impl PostgresConnection {
    fn count_rows(&self) -> String {
        let spaces = if self.one_schema {
            format!(
                "c.relnamespace = (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname = {})",
                literal(Engine::Postgres, &self.schema)
            )
        } else {
            // The server's own have lower numbers.
            "c.oid >= 16384".to_owned()
        };
        TABLES.replace("@SPACES@", &spaces)
    }

    pub(in crate::db) async fn server(&mut self) -> Result<Server, Broken> {
        const FORBIDDEN: [&str; 3] = ["42501", "0A000", "42883"];
        let told = self.send(format!("{QUERY}\n{}", self.count_rows()), Keep::All).await;
        // What a server is does not hang on whether it tells of its tables.
        let told = match told {
            Err(broken) if broken.failure.is(&FORBIDDEN) => {
                self.send(QUERY.to_owned(), Keep::All).await
            }
            done => done,
        };
        self.tells_log = told.is_ok();
        let answers = match told {
            Err(broken) if broken.failure.is(&FORBIDDEN) => {
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
            tables: answers.get(1).map(|answer| Tables::read(Engine::Postgres, answer)),
        })
    }
}
