//! Puts a PostgreSQL archive back.
//!
//! ```text
//! archive → zstd → pg_restore --file=- → BEGIN, (fence, empty,) script, COMMIT → psql
//! ```
//!
//! `pg_restore --dbname` cannot empty the database in its own transaction, so its script goes
//! through `psql`. The `COMMIT` is sent only when the archive was read to its end, with the right
//! digest: until then nobody sees anything, and a failure leaves the database as it was.
//!
//! The transaction holds the row of the target's fence: `psql` may go on for a while when whoever started it, and
//! with it the session lock, is gone, and until it has ended nobody raises the fence.

use std::io::{self, Write};

use super::super::archive::Archive;
use super::super::child::{Pipe, command, pipe, start};
use super::super::credentials::lend_postgres;
use super::super::destination::{Destination, blocking};
use super::super::error::BackupError;
use super::super::restore::{Mode, Put};
use super::super::scope::Scope;
use super::super::source::Postgres;
use super::super::stream::unpack;
use super::super::tool::{Fit, Tool, find};
use super::empty::{self, There};
use super::listing::{Entry, read, tool_major};
use super::{close, connect, fit};

pub(in super::super) async fn restore(
    archive: &Archive,
    destination: &Destination,
    place: &Postgres,
    mode: Mode,
) -> Result<Put, BackupError> {
    let contents = read(archive, destination).await?;
    let mut connection = connect(place).await?;
    let fit = fit(&mut connection, place).await?;
    let there = empty::look(&mut connection, place).await;
    close(connection).await;
    let there = there?;
    refuse(archive, place, mode, &there)?;

    let (chosen, left_out) = choose(&contents.entries, archive, mode, &there);
    let begin = beginning(archive, mode, &contents.entries, &there);
    run(archive, destination, place, (fit, mode, chosen, begin)).await?;
    Ok(Put { listing: contents.listing, left_out })
}

fn refuse(
    archive: &Archive,
    place: &Postgres,
    mode: Mode,
    there: &There,
) -> Result<(), BackupError> {
    match mode {
        Mode::Empty | Mode::EmptyWithoutLedger if there.objects > 0 => Err(BackupError::NotEmpty {
            target: place.to_string(),
            found: format!("{} relations, indexes and routines", there.objects),
        }),
        Mode::Replace if archive.scope == Scope::SchemaOnly => Err(BackupError::Unsupported {
            what: format!(
                "{} holds definitions only, and putting it in the place of {place} would lose every row; restore it into an empty database",
                archive.location
            ),
        }),
        Mode::Replace if archive.schema != place.schema => Err(BackupError::Unsupported {
            what: format!(
                "{} was taken of {}, and {place} is something else; name the same schema, or restore into an empty database",
                archive.location,
                archive
                    .schema
                    .as_deref()
                    .map_or("a whole database".to_owned(), |it| format!("schema {it}")),
            ),
        }),
        Mode::Empty | Mode::EmptyWithoutLedger | Mode::Replace => Ok(()),
    }
}

/// Which entries are restored, and which are left out on purpose.
fn choose(
    entries: &[Entry],
    archive: &Archive,
    mode: Mode,
    there: &There,
) -> (Vec<String>, Vec<String>) {
    let (mut chosen, mut left_out) = (Vec::new(), Vec::new());
    for entry in entries {
        // What a table refers to is not in a backup of tables.
        let dangling = entry.kind == "FK CONSTRAINT"
            && matches!(archive.scope, Scope::Tables(_))
            && mode != Mode::Replace;
        if dangling || (entry.is_ledger() && mode != Mode::Empty) {
            left_out.push(format!("{} {}", entry.kind, entry.rest));
            continue;
        }
        let exists = entry.created_schema().is_some_and(|name| there.schemas.contains(name))
            || entry.extension().is_some_and(|name| there.extensions.contains(name));
        if !exists {
            chosen.push(entry.line.clone());
        }
    }
    (chosen, left_out)
}

fn beginning(archive: &Archive, mode: Mode, entries: &[Entry], there: &There) -> String {
    let mut begin = String::from(
        "BEGIN;\nSET LOCAL client_min_messages = warning;\nSET LOCAL search_path = pg_catalog;\nSET LOCAL lock_timeout = '60s';\n",
    );
    if mode == Mode::Replace {
        for fence in &there.fences {
            begin.extend(["SELECT FROM ", fence, " FOR UPDATE;\n"]);
        }
    }
    if mode == Mode::Replace && archive.scope == Scope::Database {
        let named = |schema: &&String| entries.iter().any(|entry| entry.is_of(schema));
        let kept = there.schemas.iter().filter(named).cloned().collect();
        begin.push_str(&empty::script(archive.schema.as_deref(), &kept));
    }
    begin
}

async fn run(
    archive: &Archive,
    destination: &Destination,
    place: &Postgres,
    (fit, mode, chosen, begin): (Fit, Mode, Vec<String>, String),
) -> Result<(), BackupError> {
    let reader = find(Tool::PgRestore, Fit::Postgres { major: tool_major(archive) }).await?;
    let writer = find(Tool::Psql, fit).await?;
    let stored = destination.open_whole(archive).await?;

    let scratch = std::env::temp_dir();
    let mut list = tempfile::NamedTempFile::new_in(&scratch)
        .map_err(|error| BackupError::io("creating the list of objects", &scratch, error))?;
    list.write_all(chosen.join("\n").as_bytes())
        .and_then(|()| list.write_all(b"\n"))
        .map_err(|error| BackupError::io("writing the list of objects", &scratch, error))?;

    let mut psql = command(&writer);
    psql.args(["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1"]);
    let _lent = lend_postgres(&mut psql, place)?;
    let mut pg_restore = command(&reader);
    pg_restore.args(["--file=-", "--no-owner"]);
    if mode == Mode::Replace {
        pg_restore.args(["--clean", "--if-exists"]);
    }
    let mut listed = std::ffi::OsString::from("--use-list=");
    listed.push(list.path());
    pg_restore.arg(listed);

    let (psql_stdin, mut to_psql) = pipe()?;
    let (restore_stdin, to_restore) = pipe()?;
    let (mut script, restore_stdout) = pipe()?;
    let psql = start(&writer, psql, Pipe::Input(psql_stdin), place.password.clone())?;
    let pg_restore = start(&reader, pg_restore, Pipe::Both(restore_stdin, restore_stdout), None)?;
    let wanted = archive.clone();
    let unpacking = blocking("reading the archive", move || unpack(stored, &wanted, to_restore));
    let speaking = blocking("writing the restore", move || {
        let said = to_psql
            .write_all(begin.as_bytes())
            .and_then(|()| io::copy(&mut script, &mut to_psql))
            .map(|_| ());
        Ok((said, to_psql))
    });
    let (unpacked, spoken) = tokio::join!(unpacking, speaking);
    let restored = pg_restore.finish().await;
    let (said, mut to_psql) = spoken?;
    let complete = matches!(unpacked, Ok(Ok(_))) && restored.is_ok() && said.is_ok();
    let committed = blocking("committing the restore", move || {
        // Without it the session ends inside its transaction, and the server rolls back.
        Ok(if complete { to_psql.write_all(b"\nCOMMIT;\n") } else { Ok(()) })
    })
    .await?;
    let finished = psql.finish().await;
    // The first cause: changed bytes, then what the server said, then what followed from it.
    let unpacked = unpacked?;
    finished?;
    restored?;
    let pipe_failed = |error| BackupError::io("piping", destination.scratch().as_path(), error);
    unpacked.map_err(pipe_failed)?;
    said.and(committed).map_err(pipe_failed)
}
