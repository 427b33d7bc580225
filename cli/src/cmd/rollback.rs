//! `skein rollback ROLLOUT`: says what it undoes, then undoes it.

use std::num::NonZeroU32;

use skein_proto::v1;

use super::apply::{may_detach, question, waivers};
use super::{status, with_session};
use crate::args::{Format, Global, RollbackArgs};
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::follow::{Following, follow};
use crate::render::undo::Undo;
use crate::screen::Screen;
use crate::session::{Need, Session};
use crate::typed::again_with;

pub(crate) async fn run(
    args: &RollbackArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Agent, screen, async |session, screen| {
        if args.follow.detach {
            may_detach(session, "")?;
        }
        let undo = Undo::new(&ask(session, args, true).await?);
        // Where work is under way, what is not applied yet may be a moment later.
        if args.dry_run || (undo.is_empty() && !undo.forward) {
            screen.show(&undo)?;
            return Ok(ExitCode::Done);
        }
        if matches!(screen.format(), Format::Text | Format::Wide) {
            screen.show_on_stdout(&undo)?;
        }
        consent(&undo, args, screen)?;
        let reply = ask(session, args, false).await?;
        screen.done(&format!("{} is being undone", reply.rollout));
        if args.follow.detach {
            return status::show(session, &reply.rollout, screen).await;
        }
        let following = Following {
            rollout: &reply.rollout,
            timeout: args.follow.timeout,
            is_result: false,
            undo: true,
        };
        follow(session, following, screen).await
    })
    .await
}

async fn ask(
    session: &Session,
    args: &RollbackArgs,
    dry: bool,
) -> Result<v1::RollBackReply, Failure> {
    let selector = (!args.selection.is_empty()).then(|| args.selection.selector());
    let wave = args.wave.map_or(0, NonZeroU32::get);
    let (to_version, to_time_ms) =
        (args.to.clone().unwrap_or_default(), args.to_time.unwrap_or_default());
    let partly = wave > 0 || !to_version.is_empty() || to_time_ms > 0;
    let (selector, part) = if partly {
        let nobody = v1::Selector { labels: vec![v1::LabelMatch::default()], ..Default::default() };
        (Some(nobody), Some(v1::Part { selector, wave }))
    } else {
        (selector, None)
    };
    let request = v1::RollBackRequest {
        asker: Some(session.asker()),
        rollout: args.rollout.clone(),
        selector,
        steps: args.step,
        waivers: waivers(args.confirm.waive.as_deref()),
        dry,
        part,
        to_version,
        to_time_ms,
    };
    session
        .link
        .ask(|channel| {
            let request = request.clone();
            async move { connect::rollouts(channel).roll_back(request).await }
        })
        .await
}

fn consent(undo: &Undo, args: &RollbackArgs, screen: &mut Screen) -> Result<(), Failure> {
    if args.confirm.yes {
        return Ok(());
    }
    let command = again_with("--yes");
    if !screen.can_ask() {
        return Err(Failure::usage("nobody is there to confirm the undo; nothing was started")
            .next(command));
    }
    let targets = u32::try_from(undo.targets.len()).unwrap_or(u32::MAX);
    let (question, wanted) = question(targets, true);
    let answer = screen.ask(&question).unwrap_or_default();
    if answer == wanted {
        return Ok(());
    }
    Err(Failure::new(ExitCode::Refused, "not confirmed; nothing was started").next(command))
}
