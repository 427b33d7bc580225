//! The gate before a forward leg's first step: an archive that was checked, or the exemption from
//! it, in the log.

use bytes::Bytes;
use skein_proto::agent::v1::BackedUp;
use skein_proto::agent::v1::report::Outcome;
use skein_proto::v1::BackupScope;

use super::hold::Hold;
use super::stop::Stop;
use super::{Task, affected, name};
use crate::backup::{self, Archive, BackupError, Progress, Request, Scope, Source};
use crate::db::{Fingerprint, Order};
use crate::session::{Answer, Lease, Over};
use crate::text::chain;

/// Archives of one leg: more agents than this do not die in a row with the same lease.
const NAMES_MAX: u32 = 9;

/// Takes the backup, checks it and reports it, or reports the exemption from it; waits until that is in the
/// log.
pub(super) async fn pass(
    task: &Task<'_>,
    hold: &mut Hold<'_>,
    lease: &mut Lease,
    orders: &[Order],
) -> Result<(), Stop> {
    let first = task.step(0);
    let before = task.seen.fingerprint;
    let scope = match task.leg.backup() {
        BackupScope::BackupNone => None,
        BackupScope::BackupSchema => Some(Scope::SchemaOnly),
        BackupScope::BackupTables => Some(tables(task, hold, orders).await?),
        BackupScope::BackupDatabase | BackupScope::Unspecified => Some(Scope::Database),
    };
    let backed_up = if let Some(scope) = scope {
        // Nothing may change between the dump and the first step. Without a dump the first step raises the
        // fence by itself: before the exemption is in the log nobody can have begun this leg.
        hold.raise_fence(task.token()).await.map_err(|error| error.stop(first))?;
        lease.may_start().await?;
        take(task, hold, lease, (scope, before)).await?
    } else {
        exemption(before)
    };
    let target_bytes = task.seen.size_bytes.unwrap_or_default();
    let wait = task.reports.ask(Outcome::BackedUp(BackedUp { target_bytes, ..backed_up }));
    let answer = tokio::select! {
        // A refusal is acted upon here.
        biased;
        answer = wait => answer,
        over = lease.ended() => return Err(over.into()),
    };
    match answer {
        Ok(Answer::Taken) => Ok(()),
        Ok(Answer::LeaseLost { why }) => Err(Over::Lost(why).into()),
        Ok(Answer::Refused { why }) => {
            Err(Stop::refused(first, format!("the backup's report was refused: {why}")))
        }
        Err(_) => Err(Stop::Lost("the session of this agent has ended".to_owned())),
    }
}

fn exemption(before: Fingerprint) -> BackedUp {
    BackedUp {
        scope: BackupScope::BackupNone.into(),
        fingerprint: Bytes::copy_from_slice(&before.0),
        exemption: "the plan asks for no backup, which only the charter's exemption allows"
            .to_owned(),
        ..BackedUp::default()
    }
}

/// The tables that the leg can change, as far as they can be told.
async fn tables(task: &Task<'_>, hold: &mut Hold<'_>, orders: &[Order]) -> Result<Scope, Stop> {
    let (first, engine) = (task.step(0), hold.engine());
    let session = hold.session().await.map_err(|error| error.stop(first))?;
    let schema = session.schema().await.map_err(|error| Stop::database(first, &error))?;
    let (scope, why) = affected::scope(engine, &schema, orders);
    if let Some(why) = why {
        tracing::info!(target = task.leg.target, why, "the whole database is backed up");
    }
    Ok(scope)
}

async fn take(
    task: &Task<'_>,
    hold: &Hold<'_>,
    lease: &mut Lease,
    (scope, before): (Scope, Fingerprint),
) -> Result<BackedUp, Stop> {
    let first = task.step(0);
    let failed = |error: &BackupError| {
        let message = format!("the backup before the first step failed: {}", chain(error));
        Stop::never(first, message, may_pass(error))
    };
    let source = Source::from_url(hold.url().expose(), task.target.schema.as_deref())
        .map_err(|error| failed(&error))?;
    let taken = tokio::select! {
        taken = take_and_check(task, hold, &source, (&scope, before)) => taken,
        // What was written of it is removed when the future is dropped.
        over = lease.ended() => return Err(over.into()),
    };
    let archive = taken.map_err(|error| failed(&error))?;
    tracing::info!(
        target = task.leg.target,
        archive = archive.location,
        bytes = archive.bytes,
        ms = archive.ms,
        "the backup was taken and checked"
    );
    Ok(BackedUp {
        archive: archive.location,
        sha256: Bytes::copy_from_slice(&archive.sha256.0),
        bytes: archive.bytes,
        tool: archive.tool,
        scope: scope_of(&archive.scope).into(),
        ms: archive.ms,
        fingerprint: Bytes::copy_from_slice(&archive.fingerprint),
        exemption: String::new(),
        target_bytes: 0,
    })
}

async fn take_and_check(
    task: &Task<'_>,
    hold: &Hold<'_>,
    source: &Source,
    (scope, before): (&Scope, Fingerprint),
) -> Result<Archive, BackupError> {
    let destination = &task.site.destination;
    let mut again = 0;
    let archive = loop {
        let name = name::archive(task.leg, hold.engine(), again);
        let request = Request { source, scope, destination, name: &name, fingerprint: before.0 };
        match Box::pin(backup::take(&request, &Progress::none())).await {
            Err(BackupError::NameTaken { .. }) if again < NAMES_MAX => again += 1,
            taken => break taken?,
        }
    };
    Box::pin(backup::check(&archive, destination)).await?;
    Ok(archive)
}

fn scope_of(scope: &Scope) -> BackupScope {
    match scope {
        Scope::Database => BackupScope::BackupDatabase,
        Scope::Tables(_) => BackupScope::BackupTables,
        Scope::SchemaOnly => BackupScope::BackupSchema,
    }
}

/// Whether another try may end better without anybody's help.
fn may_pass(error: &BackupError) -> bool {
    !matches!(
        error,
        BackupError::Source { .. }
            | BackupError::Destination { .. }
            | BackupError::Name { .. }
            | BackupError::NoSpace { .. }
            | BackupError::ToolMissing { .. }
            | BackupError::ToolNotStarted { .. }
            | BackupError::Unsupported { .. }
    )
}
