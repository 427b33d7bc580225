//! What the tests of backups share: databases of their own, and archives that are damaged.

use std::path::{Path, PathBuf};
use std::process::Command;

use skein_agent::backup::{
    Archive, BackupError, Destination, Progress, Request, Scope, Source, check, take,
};
use tempfile::TempDir;
use tokio::runtime;

pub(crate) const FINGERPRINT: [u8; 32] = [7; 32];

/// A database of a real server, dropped with the value.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) name: String,
    admin: String,
}

impl Database {
    /// A new database on the server that `variable` names, or `None` after saying so.
    pub(crate) async fn on(variable: &str, test: &str) -> Option<Self> {
        let Ok(admin) = std::env::var(variable) else {
            skein_tests::skip(test, &format!("{variable} names no server"));
            return None;
        };
        let name = format!("skein_backup_{}", uuid::Uuid::now_v7().simple());
        run(&admin, &format!("CREATE DATABASE {name}")).await;
        Some(Self { name, admin })
    }

    pub(crate) async fn postgres(test: &str) -> Option<Self> {
        Self::on("SKEIN_TEST_POSTGRES", test).await
    }

    pub(crate) async fn mariadb(test: &str) -> Option<Self> {
        Self::on("SKEIN_TEST_MARIADB", test).await
    }

    /// The URL of this database.
    pub(crate) fn url(&self) -> String {
        let mut url = url::Url::parse(&self.admin).unwrap();
        url.set_path(&self.name);
        url.to_string()
    }

    /// The URL for another user.
    pub(crate) fn url_as(&self, user: &str, password: &str) -> String {
        let mut url = url::Url::parse(&self.url()).unwrap();
        url.set_username(user).unwrap();
        url.set_password(Some(password)).unwrap();
        url.to_string()
    }

    pub(crate) fn source(&self) -> Source {
        Source::from_url(&self.url(), None).unwrap()
    }

    pub(crate) fn schema(&self, schema: &str) -> Source {
        Source::from_url(&self.url(), Some(schema)).unwrap()
    }

    /// Runs statements.
    pub(crate) async fn run(&self, sql: &str) {
        run(&self.url(), sql).await;
    }

    /// Runs a statement of the server.
    pub(crate) async fn admin(&self, sql: &str) {
        run(&self.admin, sql).await;
    }

    /// One text of one row.
    pub(crate) async fn text(&self, sql: &str) -> String {
        text(&self.url(), sql).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (admin, name) = (self.admin.clone(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let force = if admin.starts_with("postgres") { " WITH (FORCE)" } else { "" };
            runtime.block_on(run(&admin, &format!("DROP DATABASE IF EXISTS {name}{force}")));
        });
        assert!(dropping.join().is_ok() || std::thread::panicking(), "the database stays");
    }
}

async fn run(url: &str, sql: &str) {
    use sqlx::{AssertSqlSafe, Connection, Executor, raw_sql};
    let sql = AssertSqlSafe(sql.to_owned());
    if url.starts_with("postgres") {
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        connection.execute(raw_sql(sql)).await.unwrap();
    } else {
        let mut connection = sqlx::MySqlConnection::connect(url).await.unwrap();
        connection.execute(raw_sql(sql)).await.unwrap();
    }
}

async fn text(url: &str, sql: &str) -> String {
    use sqlx::{AssertSqlSafe, Connection, query_scalar};
    let sql = AssertSqlSafe(sql.to_owned());
    if url.starts_with("postgres") {
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        query_scalar(sql).fetch_one(&mut connection).await.unwrap()
    } else {
        let mut connection = sqlx::MySqlConnection::connect(url).await.unwrap();
        query_scalar(sql).fetch_one(&mut connection).await.unwrap()
    }
}

/// A directory for archives.
pub(crate) fn directory() -> (TempDir, Destination) {
    let dir = tempfile::tempdir().unwrap();
    let destination = Destination::directory(dir.path());
    (dir, destination)
}

/// Takes and checks.
pub(crate) async fn taken(source: &Source, scope: &Scope, destination: &Destination) -> Archive {
    let request =
        Request { source, scope, destination, name: "a/backup.zst", fingerprint: FINGERPRINT };
    let archive = take(&request, &Progress::none()).await.unwrap();
    let listing = check(&archive, destination).await.unwrap();
    assert_eq!(listing.bytes_dumped, archive.bytes_dumped);
    assert_eq!(archive.fingerprint, FINGERPRINT);
    archive
}

/// Files below a directory.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Every way of damage that a check has to find, each on the archive as it was.
pub(crate) async fn damage_is_found(archive: &Archive, dir: &Path, destination: &Destination) {
    let path = dir.join(&archive.location);
    let whole = std::fs::read(&path).unwrap();
    for at in [0, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        std::fs::write(&path, flipped).unwrap();
        let found = check(archive, destination).await;
        assert!(matches!(found, Err(BackupError::DigestDiffers { .. })), "byte {at}: {found:?}");
    }
    for kept in [0, 1, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..kept]).unwrap();
        let found = check(archive, destination).await;
        assert!(matches!(found, Err(BackupError::SizeDiffers { .. })), "{kept}: {found:?}");
    }
    // A writer who lies about the digest still has to write something readable.
    for text in [&b"hello"[..], b"", b"PGDMP and then nothing", b"SQLite format 3\0 not really"] {
        let (packed, lying) = pretend(archive, text);
        std::fs::write(&path, packed).unwrap();
        let found = check(&lying, destination).await;
        assert!(matches!(found, Err(BackupError::Unreadable { .. })), "{text:?}: {found:?}");
    }
    std::fs::remove_file(&path).unwrap();
    let found = check(archive, destination).await;
    assert!(matches!(found, Err(BackupError::Missing { .. })), "{found:?}");
    std::fs::write(&path, whole).unwrap();
    check(archive, destination).await.unwrap();
}

/// An archive of `text`, and a record of it that agrees.
pub(crate) fn pretend(archive: &Archive, text: &[u8]) -> (Vec<u8>, Archive) {
    use sha2::Digest;
    let packed = zstd::encode_all(text, 1).unwrap();
    let sha256 = skein_agent::backup::Sha256(sha2::Sha256::digest(&packed).into());
    let bytes = u64::try_from(packed.len()).unwrap();
    (packed, Archive { sha256, bytes, ..archive.clone() })
}

/// The bytes of an archive before compression.
pub(crate) fn unpacked(archive: &Archive, dir: &Path) -> Vec<u8> {
    zstd::decode_all(&std::fs::read(dir.join(&archive.location)).unwrap()[..]).unwrap()
}

/// Process ids whose program is `program` and whose environment or arguments name `database`.
pub(crate) fn processes(program: &str, database: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let (arguments, environment) = (read("cmdline"), read("environ"));
        let name = String::from_utf8_lossy(&arguments);
        let named = name.split('\0').next().is_some_and(|path| path.ends_with(program));
        if named && (contains(&arguments, database) || contains(&environment, database)) {
            found.push(id);
        }
    }
    found
}

pub(crate) fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Waits until `holds`, looking again whenever the runtime comes round, for half a minute at most.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "{what} did not come about");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// The output of a tool, for comparing two databases.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Compares two long texts line by line.
#[track_caller]
pub(crate) fn same(found: &str, expected: &str) {
    let mut lines = found.lines().zip(expected.lines()).enumerate();
    if let Some((at, (found, expected))) = lines.find(|(_, (a, b))| a != b) {
        panic!("line {at} differs\n   found: {found}\nexpected: {expected}");
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "one has more lines");
}
