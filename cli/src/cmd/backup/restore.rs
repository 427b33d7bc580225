//! `skein backup restore`: puts a target back to where an archive was taken. Never a part of a
//! rollback: every write since then is lost, and somebody has to say that this is accepted.

use skein_agent::backup::{BackupError, Mode, restore};
use skein_agent::db::{DbError, Session as Lock, Timeouts};
use skein_proto::v1;

use super::super::{plan, targets, with_session};
use super::failed;
use super::named::Named;
use crate::args::Global;
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::{Failure, chain};
use crate::render::look::rfc3339;
use crate::render::targets::Targets;
use crate::screen::Screen;
use crate::session::{Need, Session};
use crate::typed::quoted;

/// How long somebody who works on the target, or looks at it, is waited for.
const LOCK_WAIT_MS: u32 = 30_000;

pub(super) async fn run(
    what: &str,
    waive: Option<&str>,
    yes: bool,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Agent, screen, async |session, screen| {
        let named = Named::find(session, what).await?;
        let id = named.backup.target.clone();
        let taken = rfc3339(named.backup.at_ms);
        let command = |tail: &str| format!("skein backup restore {} {tail}", named.backup.archive);
        let Some(reason) = waive.filter(|reason| !reason.trim().is_empty()) else {
            return Err(Failure::new(
                ExitCode::Refused,
                format!("restoring {} loses every write to {id} since {taken}", named.backup.archive),
            )
            .next(command("--waive \"WHAT IS LOST SINCE THEN AND WHO AGREED\"")));
        };
        refuse_in_use(session, &id).await?;
        if !yes {
            if !screen.can_ask() {
                return Err(Failure::usage("nobody is there to confirm the restore; nothing was changed")
                    .next(command(&format!("--waive {} --yes", quoted(reason)))));
            }
            let question = format!(
                "Every write to {id} since {taken} is lost. To go on, type the target's name ({id}):"
            );
            if screen.ask(&question).unwrap_or_default() != id {
                return Err(Failure::new(ExitCode::Refused, "not confirmed; nothing was changed"));
            }
        }
        // Who looks at the target now waits until it is whole, and nobody works on it.
        let lock = lock(&named).await?;
        screen.note(&format!("restoring {id} from {}: {reason}", named.backup.archive));
        if let Err(failure) = record(session, &named, reason).await {
            lock.close().await;
            return Err(failure);
        }
        put_back(&named, lock, screen).await.map_err(|error| unrestored(&error, &id))?;
        // The log is to know at once what stands there now.
        let selector = v1::Selector { targets: vec![id.clone()], ..Default::default() };
        let seen = plan::observe(session, &selector, plan::LOOK).await?;
        screen.done(&format!("{id} stands where it stood at {taken}; its ledger was left as it is"));
        screen.show(&Targets::new(&seen.targets, &seen.silent))?;
        Ok(ExitCode::Done)
    })
    .await
}

/// The target's session lock, until the restore has ended: in the middle of it there is nothing to be seen that
/// stays.
async fn lock(named: &Named) -> Result<Lock, Failure> {
    let timeouts = Timeouts { session_lock_wait_ms: LOCK_WAIT_MS, ..Timeouts::default() };
    Lock::open(&named.location, &timeouts).await.map_err(|error| {
        let held = matches!(error, DbError::LockHeld { .. });
        let exit = if held { ExitCode::Refused } else { ExitCode::Internal };
        let id = &named.backup.target;
        Failure::new(exit, format!("{}; nothing was changed", chain(&error)))
            .next(format!("when {id} can be worked on, run the command again"))
    })
}

/// Puts the archive back, and lets go of the lock.
async fn put_back(named: &Named, mut lock: Lock, screen: &mut Screen) -> Result<(), BackupError> {
    let mut work =
        Box::pin(restore(&named.archive, &named.destination, &named.source, Mode::Replace));
    let restored = tokio::select! {
        restored = &mut work => restored,
        lost = lock.lost() => {
            // To stop in the middle would be worse.
            screen.warn(&format!(
                "the session lock of {} was lost ({}); nobody is to look at it before this has ended",
                named.backup.target, chain(&lost)
            ));
            work.await
        }
    };
    lock.close().await;
    restored.map(|_restored| ())
}

/// The log says what is about to be done, and why, before it is.
async fn record(session: &Session, named: &Named, reason: &str) -> Result<(), Failure> {
    let request = v1::StartRestoreRequest {
        asker: Some(session.asker()),
        target: named.backup.target.clone(),
        archive: named.backup.archive.clone(),
        reason: reason.to_owned(),
    };
    let ask = |channel| {
        let request = request.clone();
        async move { connect::fleet(channel).start_restore(request).await }
    };
    session.link.ask(ask).await.map(|_recorded| ())
}

async fn refuse_in_use(session: &Session, id: &str) -> Result<(), Failure> {
    let selector = v1::Selector { targets: vec![id.to_owned()], ..Default::default() };
    let known = targets::all(session, &selector).await?;
    match known.first() {
        Some(target) if !target.rollout.is_empty() => Err(Failure::new(
            ExitCode::Refused,
            format!("{id} is part of {}, which has not ended", target.rollout),
        )
        .next(format!("skein rollback {}, or wait for it to end", target.rollout))),
        Some(_) => Ok(()),
        None => Err(Failure::usage(format!("the log knows no target {id}")).next("skein targets")),
    }
}

fn unrestored(error: &BackupError, id: &str) -> Failure {
    if matches!(error, BackupError::HalfRestored { .. }) {
        return Failure::new(ExitCode::Inconsistent, chain(error))
            .next(format!("repair what it names and restore {id} again from the same archive"));
    }
    failed(error)
}
