//! `skein approve ROLLOUT`.

use skein_proto::v1;

use super::with_session;
use crate::args::{ApproveArgs, Global};
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::Need;

pub(crate) async fn run(
    args: &ApproveArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Log, screen, async |session, screen| {
        let request = v1::ApproveRequest {
            asker: Some(session.asker()),
            rollout: args.rollout.clone(),
            wave: args.wave,
            reason: args.reason.clone(),
        };
        let reply = session
            .link
            .ask(|channel| {
                let request = request.clone();
                async move { connect::rollouts(channel).approve(request).await }
            })
            .await?;
        screen.done(&format!("the wave of {} may open", reply.rollout));
        super::status::show(session, &reply.rollout, screen).await
    })
    .await
}
