//! `skein backup list`.

use skein_proto::v1;

use super::super::{history, with_session};
use crate::args::Global;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::render::backups::{Backup, Backups};
use crate::screen::Screen;
use crate::session::{Need, Session};

pub(super) async fn run(
    target: Option<&str>,
    rollout: Option<&str>,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Log, screen, async |session, screen| {
        let backups =
            recorded(session, target.unwrap_or_default(), rollout.unwrap_or_default()).await?;
        screen.show(&Backups { backups })?;
        Ok(ExitCode::Done)
    })
    .await
}

/// Backups in the log, oldest first.
pub(super) async fn recorded(
    session: &Session,
    target: &str,
    rollout: &str,
) -> Result<Vec<Backup>, Failure> {
    let request = v1::EventsRequest {
        target: target.to_owned(),
        rollout: rollout.to_owned(),
        ..Default::default()
    };
    let events = history::all(session, request).await?;
    Ok(events.iter().filter_map(Backup::new).collect())
}
