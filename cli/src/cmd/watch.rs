//! `skein watch [ROLLOUT]`.

use skein_proto::v1;

use super::{status, with_session};
use crate::args::{Global, WatchArgs};
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::follow::{Following, follow};
use crate::render::rollout::Rollout;
use crate::screen::Screen;
use crate::session::{Need, Session};

pub(crate) async fn run(
    args: &WatchArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Agent, screen, async |session, screen| {
        let rollout = match &args.rollout {
            Some(rollout) => rollout.clone(),
            None => newest(session).await?,
        };
        let following =
            Following { rollout: &rollout, timeout: args.timeout, is_result: true, undo: false };
        follow(session, following, screen).await
    })
    .await
}

/// The newest rollout that has not ended, else the newest.
async fn newest(session: &Session) -> Result<String, Failure> {
    let reply = status::ask(session, v1::StatusRequest::default()).await?;
    let mut rollouts: Vec<Rollout> = reply.rollouts.iter().map(Rollout::new).collect();
    rollouts.sort_by(|a, b| b.id.cmp(&a.id));
    let started = |rollout: &&Rollout| rollout.now != v1::RolloutState::Planned;
    let open = rollouts.iter().filter(started).find(|rollout| !rollout.ended());
    open.or_else(|| rollouts.iter().find(started)).map(|rollout| rollout.id.clone()).ok_or_else(
        || {
            Failure::usage("no rollout has been started yet")
                .next("`skein plan` shows what there is to do")
        },
    )
}
