//! `skein backup`.

mod check;
mod list;
mod named;
mod restore;
mod scratch;

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

/// A backup that is not there, has other bytes, or cannot be read.
fn unusable(error: &dyn std::error::Error) -> Failure {
    Failure::new(ExitCode::BackupUnusable, chain(error)).next(
        "skein backup list shows the others; treat the steps behind this one as not restorable",
    )
}
