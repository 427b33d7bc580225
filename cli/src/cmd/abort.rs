//! `skein abort ROLLOUT`.

use skein_proto::v1;

use super::with_session;
use crate::args::{AbortArgs, Global};
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::Need;

pub(crate) async fn run(
    args: &AbortArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Log, screen, async |session, screen| {
        let request = v1::AbortRequest {
            asker: Some(session.asker()),
            rollout: args.rollout.clone(),
            reason: args.reason.clone(),
            part: args.part.part(),
        };
        let reply = session
            .link
            .ask(|channel| {
                let request = request.clone();
                async move { connect::rollouts(channel).abort(request).await }
            })
            .await?;
        let id = &reply.rollout;
        screen.done(&match args.part.part() {
            Some(_) => format!(
                "the selected targets of {id} are given up: steps under way are finished, everything stays as \
                 it stands then, and {id} goes on without them · a new plan brings them along when it has ended"
            ),
            None => format!(
                "{id} is given up: when its last step has ended, it is halted as it stands · \
                 skein rollback {id} · skein resume {id}"
            ),
        });
        super::status::show(session, &reply.rollout, screen).await
    })
    .await
}
