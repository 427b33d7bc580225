//! `skein backup`.

mod check;
mod list;
mod named;
mod restore;
mod scratch;

use skein_agent::backup::BackupError;

use crate::args::{BackupArgs, BackupVerb, Global};
use crate::exit::ExitCode;
use crate::failure::{Failure, chain};
use crate::screen::Screen;

pub(crate) async fn run(
    args: &BackupArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    match &args.verb {
        BackupVerb::List { target, rollout } => {
            list::run(target.as_deref(), rollout.as_deref(), global, screen).await
        }
        BackupVerb::Verify { what } => check::run(what, global, screen).await,
        BackupVerb::Restore { what, waive, yes } => {
            restore::run(what, waive.as_deref(), *yes, global, screen).await
        }
    }
}

/// Why an archive could not be put anywhere. Only where it lies with the archive is the backup worth nothing.
fn failed(error: &BackupError) -> Failure {
    if is_lost(error) {
        return unusable(error);
    }
    Failure::new(ExitCode::Internal, chain(error)).next(
        "this says nothing against the archive: mend what is named, and run the command again",
    )
}

/// Whether it is not there, has other bytes, or cannot be read.
fn is_lost(error: &BackupError) -> bool {
    match error {
        BackupError::Missing { .. }
        | BackupError::SizeDiffers { .. }
        | BackupError::DigestDiffers { .. }
        | BackupError::Unreadable { .. } => true,
        BackupError::HalfRestored { source, .. } => is_lost(source),
        _ => false,
    }
}

/// A backup that is worth nothing.
fn unusable(error: &dyn std::error::Error) -> Failure {
    Failure::new(ExitCode::BackupUnusable, chain(error)).next(
        "skein backup list shows the others; treat the steps behind this one as not restorable",
    )
}
