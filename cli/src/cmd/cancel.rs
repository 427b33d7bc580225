//! `skein cancel ROLLOUT [TARGET…]`.

use skein_proto::v1;

use super::with_session;
use crate::args::{CancelArgs, Global};
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::Need;

pub(crate) async fn run(
    args: &CancelArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Log, screen, async |session, screen| {
        let part = args.part();
        let request = v1::CancelRequest {
            asker: Some(session.asker()),
            rollout: args.rollout.clone(),
            reason: args.reason.clone(),
            part: part.clone(),
        };
        let reply = session
            .link
            .ask(|channel| {
                let request = request.clone();
                async move { connect::rollouts(channel).cancel(request).await }
            })
            .await?;
        let id = &reply.rollout;
        screen.done(&match part {
            Some(_) => format!(
                "the statements on the selected targets of {id} are being killed, and the targets held · \
                 skein explain {id} TARGET says what was left · skein resume {id} with the same selection"
            ),
            None => format!(
                "the statements of {id} are being killed, and it hands out no more work · \
                 skein status {id} says what was left · skein resume {id} · skein rollback {id}"
            ),
        });
        super::status::show(session, &reply.rollout, screen).await
    })
    .await
}
