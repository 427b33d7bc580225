//! What a SQLite file tells of itself.

use std::os::unix::fs::MetadataExt;

use super::connect::SqliteConnection;
use super::{schema, tables};
use crate::db::answer::Keep;
use crate::db::batch::{Batch, answer};
use crate::db::failure::Broken;
use crate::db::identity::Identity;
use crate::db::observe::{Look, Server, made};

const FIND_TABLES: &str = "SELECT name FROM main.sqlite_master WHERE type = 'table' \
     AND name IN ('_skein_fence', '_skein_ledger', '_skein_intent');";

impl SqliteConnection {
    /// Everything in one message, and another one for rows: each wakes the connection's thread.
    pub(in crate::db) async fn look(&mut self) -> Result<Look, Broken> {
        let mut batch = Batch::default();
        let at_version = batch.add("SELECT sqlite_version();");
        let at_size = batch
            .add("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size();");
        let at_schema = batch.add(&format!("{};", schema::QUERY));
        let at_tables = batch.add(FIND_TABLES);
        let at_list = batch.add(tables::LIST);
        let answers = self.send(batch.into_sql(), Keep::All).await?;
        let (version, size) = (answer(&answers, at_version), answer(&answers, at_size).number());
        let rows = self.rows_of(&answer(&answers, at_list), size).await;
        let server = self.server(version.scalar().unwrap_or_default(), size);
        Ok(Look {
            server: Server { tables: rows, ..server },
            schema: schema::read(answers.get(at_schema.0)),
            made: made(answers.get(at_tables.0)),
        })
    }

    /// File identity: a file that was copied or restored has another inode.
    fn server(&self, version: &str, size_bytes: Option<u64>) -> Server {
        let file = std::fs::metadata(&self.path);
        let server = match &file {
            Ok(file) => format!("sqlite:{}:{}", file.dev(), file.ino()),
            Err(_) => "sqlite:unknown".to_owned(),
        };
        let read_only = file
            .is_ok_and(|file| file.permissions().readonly())
            .then(|| "the file's mode forbids writing".to_owned());
        Server {
            version: format!("SQLite {version}"),
            identity: Identity { server, database: "main".to_owned() },
            read_only,
            size_bytes,
            tables: None,
        }
    }

    #[expect(clippy::unused_self, reason = "the same question to all three dialects")]
    pub(in crate::db) fn find_tables(&self) -> String {
        FIND_TABLES.to_owned()
    }
}
