//! `skein resume ROLLOUT`.

use skein_proto::v1;

use super::{status, with_session};
use crate::args::{Global, ResumeArgs};
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::follow::{Following, follow};
use crate::screen::Screen;
use crate::session::Need;

pub(crate) async fn run(
    args: &ResumeArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Agent, screen, async |session, screen| {
        let request = v1::ResumeRequest {
            asker: Some(session.asker()),
            rollout: args.rollout.clone(),
            part: args.part.part(),
        };
        let reply = session
            .link
            .ask(|channel| {
                let request = request.clone();
                async move { connect::rollouts(channel).resume(request).await }
            })
            .await?;
        screen.done(&format!("{} goes on", reply.rollout));
        if args.follow.detach {
            super::apply::may_detach(session, &reply.rollout)?;
            return status::show(session, &reply.rollout, screen).await;
        }
        let following = Following {
            rollout: &reply.rollout,
            timeout: args.follow.timeout,
            is_result: false,
            undo: false,
        };
        follow(session, following, screen).await
    })
    .await
}
