//! Checks a MariaDB archive and puts it back.

use std::io;

use super::super::archive::{Archive, Listing};
use super::super::child::{Pipe, command, pipe, start};
use super::super::credentials::lend_mariadb;
use super::super::destination::{Destination, blocking};
use super::super::error::BackupError;
use super::super::restore::{Mode, Put};
use super::super::scope::Scope;
use super::super::source::Mariadb;
use super::super::stream::unpack;
use super::super::tool::{Found, Tool, find};
use super::script::{Script, Seen};
use super::{close, connect, empty, fit};

pub(in super::super) async fn check(
    archive: &Archive,
    destination: &Destination,
) -> Result<Listing, BackupError> {
    let stored = destination.open_whole(archive).await?;
    let archive = archive.clone();
    blocking("reading the archive", move || {
        let mut script = Script::new(io::sink(), false);
        let unpacked = unpack(stored, &archive, &mut script)?;
        let (bytes_dumped, seen) =
            unpacked.and_then(|bytes| Ok((bytes, script.finish()?))).map_err(|error| {
                BackupError::Unreadable { name: archive.location.clone(), why: error.to_string() }
            })?;
        if !seen.complete {
            return Err(BackupError::Unreadable {
                name: archive.location.clone(),
                why: "its last line is not \"-- Dump completed\", so the dump was cut short"
                    .to_owned(),
            });
        }
        Ok(seen.listing(bytes_dumped))
    })
    .await
}

pub(in super::super) async fn restore(
    archive: &Archive,
    destination: &Destination,
    place: &Mariadb,
    mode: Mode,
) -> Result<Put, BackupError> {
    let listing = check(archive, destination).await?;
    let mut connection = connect(place).await?;
    let fit = fit(&mut connection, place).await?;
    let client = find(Tool::Mariadb, fit).await?;
    let there = empty::look(&mut connection, place).await?;
    match mode {
        Mode::Empty | Mode::EmptyWithoutLedger if !there.is_empty() => {
            close(connection).await;
            return Err(BackupError::NotEmpty {
                target: place.to_string(),
                found: format!("{} tables, views and programs", there.len()),
            });
        }
        Mode::Replace if archive.scope == Scope::SchemaOnly => {
            close(connection).await;
            return Err(BackupError::Unsupported {
                what: format!(
                    "{} holds definitions only, and putting it in the place of {place} would lose every row; restore it into an empty database",
                    archive.location
                ),
            });
        }
        Mode::Empty | Mode::EmptyWithoutLedger | Mode::Replace => {}
    }
    // From here on MariaDB commits each statement.
    let half =
        |source| BackupError::HalfRestored { target: place.to_string(), source: Box::new(source) };
    if mode == Mode::Replace && archive.scope == Scope::Database {
        empty::empty(&mut connection, place, &there).await.map_err(half)?;
    }
    close(connection).await;
    let seen = run(archive, destination, place, (client, mode)).await.map_err(half)?;
    Ok(Put { listing, left_out: seen.left_out })
}

async fn run(
    archive: &Archive,
    destination: &Destination,
    place: &Mariadb,
    (client, mode): (Found, Mode),
) -> Result<Seen, BackupError> {
    let stored = destination.open_whole(archive).await?;
    let lent = lend_mariadb(place, client.is_mysql())?;
    let mut command = command(&client);
    // Binary mode takes the script's bytes as they are and no client command but DELIMITER. The
    // client drops comments unless told otherwise, those inside programs too.
    let options = ["--batch", "--binary-mode", "--comments", "--"];
    command.arg(lent.defaults_file()).args(options).arg(&place.database);
    let (stdin, to) = pipe()?;
    let running = start(&client, command, Pipe::Input(stdin), place.password.clone())?;
    let wanted = archive.clone();
    let spoken = blocking("writing the restore", move || {
        let mut script = Script::new(to, mode != Mode::Empty);
        let unpacked = unpack(stored, &wanted, &mut script)?;
        Ok(unpacked.and_then(|_| script.finish()))
    })
    .await;
    let finished = running.finish().await;
    drop(lent);
    // Changed bytes first, then what the server said, then the pipe that broke for it.
    let spoken = spoken?;
    finished?;
    spoken.map_err(|error| BackupError::io("piping", &destination.scratch(), error))
}
