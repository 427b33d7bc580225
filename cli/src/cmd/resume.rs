//! `skein resume ROLLOUT`: says what goes forward again, where it had turned back, and lets it go on.

use skein_proto::v1;
use skein_proto::v1::resumption_reply::Way;
use tonic::{Code, Response};

use super::{status, with_session};
use crate::args::{Format, Global, ResumeArgs};
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::follow::{Following, follow};
use crate::render::resumption::Resumption;
use crate::screen::Screen;
use crate::session::{Need, Session};

pub(crate) async fn run(
    args: &ResumeArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Agent, screen, async |session, screen| {
        let part = args.part.part();
        let found = if part.is_none() { before(session, args).await? } else { None };
        if args.dry_run {
            screen.show(&Resumption::new(found.unwrap_or_default()))?;
            return Ok(ExitCode::Done);
        }
        if let Some(found) = found.filter(|it| matches!(it.way(), Way::Back | Way::Forward))
            && matches!(screen.format(), Format::Text | Format::Wide)
        {
            screen.show_on_stdout(&Resumption::new(found))?;
        }
        let request = v1::ResumeRequest {
            asker: Some(session.asker()),
            rollout: args.rollout.clone(),
            part,
            rolled_back: args.rolled_back,
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

/// What it would come to. `None`: the coordinator is of a release that takes nothing forward again, and so
/// has nothing to say.
async fn before(
    session: &Session,
    args: &ResumeArgs,
) -> Result<Option<v1::ResumptionReply>, Failure> {
    let request = v1::ResumptionRequest {
        asker: Some(session.asker()),
        rollout: args.rollout.clone(),
        rolled_back: args.rolled_back,
    };
    let told = session
        .link
        .ask(|channel| {
            let request = request.clone();
            async move {
                match connect::rollouts(channel).resumption(request).await {
                    Err(status) if status.code() == Code::Unimplemented => Ok(Response::new(None)),
                    told => Ok(told?.map(Some)),
                }
            }
        })
        .await?;
    if told.is_none() && (args.dry_run || args.rolled_back) {
        let what = "the coordinator is of an earlier release, which takes nothing forward again";
        return Err(Failure::new(ExitCode::Refused, what)
            .next("bring all nodes to this release; until then plan anew: `skein plan`"));
    }
    Ok(told)
}
