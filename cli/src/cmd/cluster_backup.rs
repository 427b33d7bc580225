//! `skein cluster backup`.

use std::path::Path;

use skein_coordinator::backup::{self, Receiving, Written};
use skein_proto::v1;

use super::with_session;
use crate::args::Global;
use crate::clock;
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::{Failure, chain};
use crate::render::cluster_backup::Backup;
use crate::screen::Screen;
use crate::session::{Need, Session};

/// A copy of what a running node keeps, as of one moment.
pub(super) async fn of_a_running_node(
    dir: &Path,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Log, screen, async |session, screen| {
        let written = receive(session, dir).await?;
        screen.show(&Backup::new(dir, &written))?;
        Ok(ExitCode::Done)
    })
    .await
}

async fn receive(session: &Session, dir: &Path) -> Result<Written, Failure> {
    let mut stream = session
        .link
        .ask(|channel| async move { connect::cluster(channel).backup(v1::BackupRequest {}).await })
        .await?;
    let first = stream.message().await?.unwrap_or_default();
    let mut receiving = Receiving::begin(dir, first).map_err(|error| failed(&error))?;
    while let Some(part) = stream.message().await? {
        receiving.take(part).map_err(|error| failed(&error))?;
    }
    receiving.finish().map_err(|error| failed(&error))
}

/// A copy of a data directory whose node is stopped.
pub(super) fn of_a_directory(
    data: &Path,
    dir: &Path,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    let written =
        backup::from_directory(data, dir, clock::now_ms()).map_err(|error| failed(&error))?;
    screen.show(&Backup::new(dir, &written))?;
    Ok(ExitCode::Done)
}

/// What went wrong with files, and which kind of wrong it is.
pub(super) fn failed(error: &backup::Error) -> Failure {
    use skein_coordinator::backup::Error;
    match error {
        Error::Refused(refusal) => {
            Failure::new(ExitCode::Refused, chain(error)).next(refusal.next.clone())
        }
        Error::Misfit(_) => Failure::new(ExitCode::Refused, chain(error))
            .next("mend coordinator.toml; nothing was changed"),
        Error::Malformed(_) | Error::Open { .. } => Failure::new(ExitCode::Internal, chain(error))
            .next("skein history verify --data DIR tells whether the data is whole"),
        Error::Backup(inner) if inner.is_damage() => Failure::new(ExitCode::Tampered, chain(error))
            .next("use another backup; keep this one for inspection"),
        Error::Backup(inner) if inner.is_refusal() => {
            Failure::new(ExitCode::Refused, chain(error)).next("nothing was changed")
        }
        Error::Backup(_) => Failure::new(ExitCode::Internal, chain(error)).next(
            "see whether the disk can be written, remove what is left over, and run it again",
        ),
    }
}
