//! SQLite: its own backup interface, which copies a consistent image page by page, `rowid`s and
//! all (`VACUUM INTO` would number the rows of tables without an integer key anew), and which
//! replaces a live database in one transaction.
//!
//! An image cannot be streamed while the database is in use, so a temporary copy is made beside
//! the archive first.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::archive::{Archive, Listing};
use super::destination::{Destination, blocking};
use super::error::BackupError;
use super::local::{self, Partial};
use super::restore::{Mode, Put};
use super::scope::Scope;
use super::stream::unpack;
use super::take::{Taken, Taking};

/// How long another process's transaction is waited for.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Pages copied between two looks at whether anybody still wants the backup: 16 MiB.
const PAGES: i32 = 4096;
const MAGIC: &[u8] = b"SQLite format 3\0";
/// What a path may have in a URI.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');

pub(super) async fn take(path: &Path, taking: &Taking<'_>) -> Result<Taken, BackupError> {
    let pending = taking.begin().await?;
    let (path, scratch) = (path.to_owned(), taking.destination.scratch());
    let cancelled = Cancelled::default();
    let watched = cancelled.watch();
    let image = blocking("copying the database", move || image(&path, &scratch, &watched)).await?;
    let filled = pending.fill(Whole(image), taking.progress).await?;
    let tool = format!("sqlite {}", rusqlite::version());
    // A part of a database is no database: all of it is there, whatever was asked.
    Ok(Taken { filled, tool, scope: Scope::Database })
}

pub(super) async fn check(
    archive: &Archive,
    destination: &Destination,
) -> Result<Listing, BackupError> {
    unpacked(archive, destination, destination.scratch()).await.map(|(listing, _)| listing)
}

pub(super) async fn restore(
    archive: &Archive,
    destination: &Destination,
    path: &Path,
    mode: Mode,
) -> Result<Put, BackupError> {
    let path = std::path::absolute(path)
        .map_err(|error| BackupError::io("finding the database", path, error))?;
    let beside = path.parent().map(Path::to_owned).unwrap_or_default();
    let (listing, image) = unpacked(archive, destination, beside).await?;
    let left_out = blocking("restoring the database", move || put(&image, &path, mode)).await?;
    Ok(Put { listing, left_out })
}

/// A consistent copy of the database in a file that is removed with the value.
fn image(path: &Path, scratch: &Path, cancelled: &AtomicBool) -> Result<Partial, BackupError> {
    let failed = |error| BackupError::sqlite("copying the database", path, error);
    let copy = Partial::create(scratch)?;
    let from = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // One read transaction over all pages: other connections' commits do not start it again.
    from.execute_batch("BEGIN").map_err(failed)?;
    from.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(failed)?;
    {
        let failed = |error| BackupError::sqlite("copying the database", copy.path(), error);
        let mut to = open(copy.path(), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // A copy that is interrupted is thrown away, so it needs neither journal nor fsync.
        to.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF").map_err(failed)?;
        copy_pages(&from, &mut to, copy.path(), cancelled)?;
    }
    Ok(copy)
}

fn copy_pages(
    from: &Connection,
    to: &mut Connection,
    shown: &Path,
    cancelled: &AtomicBool,
) -> Result<(), BackupError> {
    let failed = |error| BackupError::sqlite("copying pages", shown, error);
    let copying = Backup::new(from, to).map_err(failed)?;
    loop {
        match copying.step(PAGES).map_err(failed)? {
            StepResult::Done => return Ok(()),
            StepResult::More if !cancelled.load(Ordering::Relaxed) => {}
            // Nobody is there to read the error.
            StepResult::More => {
                return Err(BackupError::Unsupported { what: "cancelled".to_owned() });
            }
            // The busy timeout has passed.
            _ => {
                return Err(BackupError::SqliteLocked {
                    path: shown.to_owned(),
                    waited_ms: BUSY_TIMEOUT.as_millis(),
                });
            }
        }
    }
}

/// The database in the archive, checked, as a temporary file in `beside`.
async fn unpacked(
    archive: &Archive,
    destination: &Destination,
    beside: PathBuf,
) -> Result<(Listing, Partial), BackupError> {
    let stored = destination.open_whole(archive).await?;
    let archive = archive.clone();
    blocking("reading the archive", move || {
        let mut image = Partial::create(&beside)?;
        let bytes_dumped = unpack(stored, &archive, &mut image)?
            .map_err(|error| BackupError::io("unpacking the database", image.path(), error))?;
        let listing = look(&archive, &image, bytes_dumped)?;
        Ok((listing, image))
    })
    .await
}

fn look(archive: &Archive, image: &Partial, bytes_dumped: u64) -> Result<Listing, BackupError> {
    let unreadable = |why: String| BackupError::Unreadable { name: archive.location.clone(), why };
    let mut begins = Vec::new();
    File::open(image.path())
        .and_then(|file| file.take(16).read_to_end(&mut begins))
        .map_err(|error| BackupError::io("reading", image.path(), error))?;
    if begins != MAGIC {
        return Err(unreadable("it does not begin like a SQLite database".to_owned()));
    }
    let looking = || -> rusqlite::Result<(Vec<String>, BTreeSet<String>, u64)> {
        let database = open_image(image)?;
        let found = database
            .prepare("PRAGMA quick_check(5)")?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<String>>>()?;
        let tables = database
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'")?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<BTreeSet<String>>>()?;
        let entries: i64 =
            database.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok((found, tables, u64::try_from(entries).unwrap_or_default()))
    };
    let (found, tables, entries) = looking().map_err(|error| unreadable(error.to_string()))?;
    if found != ["ok"] {
        return Err(unreadable(format!("SQLite finds it damaged: {}", found.join("; "))));
    }
    Ok(Listing { tables: tables.into_iter().collect(), entries, bytes_dumped })
}

/// Puts a checked image in the place of `path`, and returns what was left out.
fn put(image: &Partial, path: &Path, mode: Mode) -> Result<Vec<String>, BackupError> {
    let existed = path.exists();
    if existed && mode != Mode::Replace {
        let there: i64 = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(|error| BackupError::sqlite("looking at what is there", path, error))?;
        if there > 0 {
            return Err(BackupError::NotEmpty {
                target: path.display().to_string(),
                found: format!("{there} tables, indexes, views and triggers"),
            });
        }
    }
    let live = (existed && mode == Mode::Replace).then_some(path);
    let left_out = match mode {
        Mode::Empty => Vec::new(),
        Mode::EmptyWithoutLedger | Mode::Replace => change_ledger(image, live)
            .map_err(|error| BackupError::sqlite("keeping the ledger", path, error))?,
    };
    let from = open_image(image)
        .map_err(|error| BackupError::sqlite("reading the image", image.path(), error))?;
    let create = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut to = open(path, create)?;
    to.execute_batch("PRAGMA synchronous = FULL")
        .map_err(|error| BackupError::sqlite("opening", path, error))?;
    copy_pages(&from, &mut to, path, &AtomicBool::new(false))?;
    drop(to);
    local::sync_up(path, path.parent().unwrap_or(path))?;
    Ok(left_out)
}

/// Replaces the ledger's tables in the image by those of the live database, or by none.
fn change_ledger(image: &Partial, live: Option<&Path>) -> rusqlite::Result<Vec<String>> {
    const OWN: &str = "tbl_name LIKE '~_skein~_%' ESCAPE '~' AND sql IS NOT NULL";
    let path = image.path();
    let mut database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    database.busy_timeout(BUSY_TIMEOUT)?;
    // In the image only: the live database keeps its own mode.
    database.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA foreign_keys = OFF")?;
    if let Some(live) = live {
        database.execute("ATTACH ?1 AS live", [live.to_string_lossy()])?;
    }
    let change = database.transaction()?;
    let names = |place: &str| -> rusqlite::Result<Vec<(String, String, String)>> {
        // Tables before what stands on them.
        let asked = format!(
            "SELECT type, name, sql FROM {place}.sqlite_schema WHERE {OWN} ORDER BY type <> 'table', rowid"
        );
        let mut asking = change.prepare(&asked)?;
        asking.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
    };
    let mut left_out = Vec::new();
    for (kind, name, _) in names("main")? {
        if kind == "table" {
            change.execute_batch(&format!("DROP TABLE main.{}", quoted(&name)))?;
            left_out.push(name);
        }
    }
    if live.is_some() {
        for (kind, name, sql) in names("live")? {
            // The definition names no database, and `main` comes first.
            change.execute_batch(&sql)?;
            if kind == "table" {
                let name = quoted(&name);
                change
                    .execute_batch(&format!("INSERT INTO main.{name} SELECT * FROM live.{name}"))?;
            }
        }
    }
    change.commit()?;
    Ok(left_out)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, BackupError> {
    let failed = |error| BackupError::sqlite("opening the database", path, error);
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    Ok(connection)
}

/// Read as it lies there: no journal, no lock, no side files, even where its header asks for a
/// write-ahead log.
fn open_image(image: &Partial) -> rusqlite::Result<Connection> {
    let path = percent_encode(image.path().as_os_str().as_bytes(), PATH);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{path}?immutable=1"), flags)
}

/// The image from its beginning; it is removed when it has been read.
struct Whole(Partial);

impl Read for Whole {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.as_file().read(into)
    }
}

/// Set when the future that waits for a copy is dropped.
#[derive(Debug, Default)]
struct Cancelled(Arc<AtomicBool>);

impl Cancelled {
    fn watch(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
