//! `skein pause ROLLOUT`.

use skein_proto::v1;

use super::with_session;
use crate::args::{Global, PauseArgs};
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::Need;

pub(crate) async fn run(
    args: &PauseArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Log, screen, async |session, screen| {
        let request = v1::PauseRequest {
            asker: Some(session.asker()),
            rollout: args.rollout.clone(),
            reason: args.reason.clone(),
            now: args.now,
            after_batch: args.after_batch,
            part: args.part.part(),
        };
        let reply = session
            .link
            .ask(|channel| {
                let request = request.clone();
                async move { connect::rollouts(channel).pause(request).await }
            })
            .await?;
        let id = &reply.rollout;
        screen.done(&match (args.part.part(), args.now) {
            (None, _) if args.after_batch => format!(
                "{id} stops after the steps and the batches that are under way · skein resume {id} goes on with \
                 the next batch"
            ),
            (Some(_), _) if args.after_batch => format!(
                "the selected targets of {id} stop after the steps and the batches that are under way, and get no \
                 more work · skein resume {id} with the same selection goes on with the next batch"
            ),
            (Some(_), true) => format!(
                "the selected targets of {id} stop after the steps that are under way, and get no more work · \
                 skein resume {id} with the same selection"
            ),
            (Some(_), false) => format!(
                "the selected targets of {id} get no more work; those under way go on to their last step, and \
                 --now stops them, too · skein resume {id} with the same selection"
            ),
            (None, true) => format!(
                "{id} stops after the steps that are under way · skein resume {id} · skein rollback {id}"
            ),
            (None, false) => format!(
                "{id} hands out no more work; targets under way go on to their last step · \
                 skein pause {id} --now stops them, too · skein resume {id} · skein rollback {id}"
            ),
        });
        super::status::show(session, &reply.rollout, screen).await
    })
    .await
}
