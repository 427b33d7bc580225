//! The dump and restore programs on the agent's host: where they are, which version they are.
//!
//! A client older than the server may leave out what it does not know, so its major version must
//! not be below the server's. Of those that fit, the nearest is taken: a dump by a much newer
//! client sets things which the server does not know when it is restored.

use std::collections::BTreeSet;
use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::error::BackupError;

/// A program that is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Dumps PostgreSQL.
    PgDump,
    /// Reads PostgreSQL archives.
    PgRestore,
    /// Runs a restore on PostgreSQL.
    Psql,
    /// Dumps MariaDB or MySQL.
    MariadbDump,
    /// Runs a restore on MariaDB or MySQL.
    Mariadb,
}

/// Which server it has to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Postgres {
        major: u32,
    },
    Mariadb {
        major: u32,
    },
    /// MySQL proper; its own clients are preferred, MariaDB's are taken.
    Mysql {
        major: u32,
    },
}

/// A program that fits.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) tool: Tool,
    pub(super) path: PathBuf,
    /// As it is written down with the archive: `pg_dump 15.18`.
    pub(super) version: String,
    major: u32,
    family: Family,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Postgres,
    Mariadb,
    Mysql,
}

impl Tool {
    /// Names it goes by, the modern one first.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::PgDump => &["pg_dump"],
            Self::PgRestore => &["pg_restore"],
            Self::Psql => &["psql"],
            Self::MariadbDump => &["mariadb-dump", "mysqldump"],
            Self::Mariadb => &["mariadb", "mysql"],
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PgDump => "pg_dump",
            Self::PgRestore => "pg_restore",
            Self::Psql => "psql",
            Self::MariadbDump => "mariadb-dump",
            Self::Mariadb => "mariadb",
        })
    }
}

impl Found {
    /// Whether it is MySQL's own client, whose options differ.
    pub(super) fn is_mysql(&self) -> bool {
        self.family == Family::Mysql
    }
}

impl Fit {
    fn takes(self, found: &Found) -> bool {
        match (self, found.family) {
            (Self::Postgres { major }, Family::Postgres)
            | (Self::Mariadb { major }, Family::Mariadb)
            | (Self::Mysql { major }, Family::Mysql) => found.major >= major,
            // The two count their versions apart, so there is nothing to compare.
            (Self::Mysql { .. }, Family::Mariadb) => true,
            (Self::Postgres { .. } | Self::Mariadb { .. } | Self::Mysql { .. }, _) => false,
        }
    }

    fn distance(self, found: &Found) -> (bool, u32) {
        let (Self::Postgres { major } | Self::Mariadb { major } | Self::Mysql { major }) = self;
        let foreign = matches!((self, found.family), (Self::Mysql { .. }, Family::Mariadb));
        (foreign, found.major.abs_diff(major))
    }

    fn need(self) -> String {
        match self {
            Self::Postgres { major } => format!("PostgreSQL {major} or later"),
            Self::Mariadb { major } => format!("MariaDB {major} or later"),
            Self::Mysql { major } => format!("MySQL {major} or later"),
        }
    }

    fn package(self) -> String {
        match self {
            Self::Postgres { major } => format!("postgresql-client-{major}"),
            Self::Mariadb { .. } => "mariadb-client".to_owned(),
            Self::Mysql { .. } => "mysql-client or mariadb-client".to_owned(),
        }
    }
}

/// The nearest program on this host that fits.
pub(super) async fn find(tool: Tool, fit: Fit) -> Result<Found, BackupError> {
    find_in(tool, fit, &directories()).await
}

pub(super) async fn find_in(
    tool: Tool,
    fit: Fit,
    places: &[PathBuf],
) -> Result<Found, BackupError> {
    let mut seen = BTreeSet::new();
    let mut best: Option<Found> = None;
    let paths: Vec<PathBuf> =
        places.iter().flat_map(|dir| tool.names().iter().map(|name| dir.join(name))).collect();
    for path in paths {
        let Some(found) = ask(tool, &path).await else { continue };
        let _new = seen.insert(format!("{} is {}", path.display(), found.version));
        let nearer = best.as_ref().is_none_or(|best| fit.distance(&found) < fit.distance(best));
        if fit.takes(&found) && nearer {
            best = Some(found);
        }
    }
    best.ok_or_else(|| BackupError::ToolMissing {
        tool,
        need: fit.need(),
        found: if seen.is_empty() {
            "no such program is on the PATH".to_owned()
        } else {
            seen.into_iter().collect::<Vec<_>>().join(", ")
        },
        package: fit.package(),
    })
}

/// PostgreSQL's versioned directories first: what Debian has on the PATH is a wrapper around them
/// that picks by local clusters.
fn directories() -> Vec<PathBuf> {
    let mut versioned: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    versioned.sort();
    let path = env::var_os("PATH").unwrap_or_default();
    versioned.into_iter().chain(env::split_paths(&path)).filter(|dir| dir.is_absolute()).collect()
}

async fn ask(tool: Tool, path: &Path) -> Option<Found> {
    if !path.is_file() {
        return None;
    }
    let said = Command::new(path)
        .arg("--version")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .ok()?;
    let (family, version) = read(&String::from_utf8_lossy(&said.stdout))?;
    let major = version.split(['.', '-']).next()?.parse().ok()?;
    let name = path.file_name()?.to_string_lossy();
    Some(Found { tool, path: path.to_owned(), version: format!("{name} {version}"), major, family })
}

/// `pg_dump (PostgreSQL) 15.18 (Debian …)`, `mariadb-dump from 11.8.2-MariaDB, client 10.19 …`,
/// `mysqldump  Ver 10.19 Distrib 10.11.14-MariaDB, for …`, `mysqldump  Ver 8.0.36 for Linux …`.
fn read(said: &str) -> Option<(Family, String)> {
    let mut words = said.split_whitespace();
    if let Some((_, rest)) = said.split_once("(PostgreSQL) ") {
        let version = rest.split_whitespace().next()?;
        // A beta is `17beta1`.
        let digits: String =
            version.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        return Some((Family::Postgres, digits));
    }
    if let Some(word) = words.clone().find(|word| word.contains("-MariaDB")) {
        return Some((Family::Mariadb, word.split("-MariaDB").next()?.to_owned()));
    }
    let _before = words.find(|word| *word == "Ver")?;
    Some((Family::Mysql, words.next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn versions_are_read_from_what_the_tools_say() {
        for (said, family, version) in [
            ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Family::Postgres, "15.18"),
            ("pg_dump (PostgreSQL) 18beta2\n", Family::Postgres, "18"),
            (
                "mysqldump  Ver 10.19 Distrib 10.11.14-MariaDB, for debian-linux-gnu (x86_64)\n",
                Family::Mariadb,
                "10.11.14",
            ),
            (
                "mariadb-dump from 11.8.2-MariaDB, client 10.19 for debian-linux-gnu (x86_64)\n",
                Family::Mariadb,
                "11.8.2",
            ),
            (
                "mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)\n",
                Family::Mysql,
                "8.0.36",
            ),
        ] {
            assert_eq!(read(said), Some((family, version.to_owned())), "{said}");
        }
        assert_eq!(read("hello"), None);
    }

    fn fake(dir: &Path, name: &str, says: &str) -> PathBuf {
        std::fs::create_dir_all(dir).unwrap();
        let path = dir.join(name);
        std::fs::write(&path, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        dir.to_owned()
    }

    #[tokio::test]
    async fn the_nearest_client_that_is_not_older_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let dirs: Vec<PathBuf> = [13, 15, 17]
            .map(|major| {
                let says = format!("pg_dump (PostgreSQL) {major}.4");
                fake(&root.path().join(major.to_string()), "pg_dump", &says)
            })
            .into();
        for (server, version) in [(12, "13.4"), (14, "15.4"), (15, "15.4"), (16, "17.4")] {
            let fit = Fit::Postgres { major: server };
            let found = find_in(Tool::PgDump, fit, &dirs).await.unwrap();
            assert_eq!(found.version, format!("pg_dump {version}"));
        }
        let error = find_in(Tool::PgDump, Fit::Postgres { major: 18 }, &dirs).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("pg_dump 17.4"), "{text}");
        assert!(text.contains("postgresql-client-18"), "{text}");
        let error = find_in(Tool::Mariadb, Fit::Mariadb { major: 10 }, &dirs).await.unwrap_err();
        assert!(error.to_string().contains("install mariadb-client"), "{error}");
    }

    #[tokio::test]
    async fn the_older_name_is_taken_where_the_newer_is_missing() {
        let root = tempfile::tempdir().unwrap();
        let says = "mysqldump  Ver 10.19 Distrib 10.3.39-MariaDB, for debian-linux-gnu";
        let dirs = [fake(root.path(), "mysqldump", says)];
        let found = find_in(Tool::MariadbDump, Fit::Mariadb { major: 10 }, &dirs).await.unwrap();
        assert_eq!(found.version, "mysqldump 10.3.39");
        let newer = find_in(Tool::MariadbDump, Fit::Mariadb { major: 11 }, &dirs).await;
        assert!(matches!(newer, Err(BackupError::ToolMissing { .. })), "{newer:?}");
    }
}
