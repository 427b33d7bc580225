//! What a SQLite file tells of itself.

use std::os::unix::fs::MetadataExt;

use super::connect::SqliteConnection;
use crate::db::answer::Keep;
use crate::db::batch::{At, answer};
use crate::db::failure::Broken;
use crate::db::identity::Identity;
use crate::db::observe::Server;

impl SqliteConnection {
    /// Version, file identity and size. A file that was copied or restored has another inode.
    pub(in crate::db) async fn server(&mut self) -> Result<Server, Broken> {
        let sql = "SELECT sqlite_version();\
                   SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size();";
        let answers = self.send(sql.to_owned(), Keep::All).await?;
        let file = std::fs::metadata(&self.path);
        let server = match &file {
            Ok(file) => format!("sqlite:{}:{}", file.dev(), file.ino()),
            Err(_) => "sqlite:unknown".to_owned(),
        };
        let read_only = file
            .is_ok_and(|file| file.permissions().readonly())
            .then(|| "the file's mode forbids writing".to_owned());
        let version = answer(&answers, At(0)).scalar().unwrap_or_default().to_owned();
        Ok(Server {
            version: format!("SQLite {version}"),
            identity: Identity { server, database: "main".to_owned() },
            read_only,
            size_bytes: answer(&answers, At(1)).number(),
        })
    }

    #[expect(clippy::unused_self, reason = "the same question to all three dialects")]
    pub(in crate::db) fn find_tables(&self) -> String {
        "SELECT name FROM main.sqlite_master WHERE type = 'table' \
         AND name IN ('_skein_fence', '_skein_ledger', '_skein_intent');"
            .to_owned()
    }
}
