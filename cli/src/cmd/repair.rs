//! `skein repair`: says what it changes and on what evidence, then changes it.

use std::time::Duration;

use skein_proto::v1;
use tokio::time::Instant;

use super::{apply, plan, status, with_session};
use crate::args::{
    ConsentArgs, EditedArgs, Format, Global, LedgerArgs, RepairArgs, RepairVerb, RetryArgs,
    SelectionArgs, SkipArgs,
};
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::follow::{Following, follow};
use crate::render::repair::{Chosen, Edits, Repair, Repairs};
use crate::screen::Screen;
use crate::session::{Need, Session};
use crate::typed::again_with;

/// A repair is asked about in questions of this length.
const WAIT: Duration = Duration::from_secs(10);

pub(crate) async fn run(
    args: &RepairArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    let verb = &args.verb;
    let need = match verb {
        RepairVerb::List | RepairVerb::Show { .. } | RepairVerb::Withdraw { .. } => Need::Log,
        _ => Need::Agent,
    };
    with_session(global, need, screen, async |session, screen| match verb {
        RepairVerb::Applied(args) => {
            ledger(session, (v1::RepairVerb::RepairApplied, args), screen).await
        }
        RepairVerb::NotApplied(args) => {
            ledger(session, (v1::RepairVerb::RepairNotApplied, args), screen).await
        }
        RepairVerb::Adopt(args) => {
            ledger(session, (v1::RepairVerb::RepairAdopt, args), screen).await
        }
        RepairVerb::AcceptEdited(args) => edited(session, args, screen).await,
        RepairVerb::Retry(args) => retry(session, args, screen).await,
        RepairVerb::Skip(args) => skip(session, args, screen).await,
        RepairVerb::List => list(session, screen).await,
        RepairVerb::Show { repair } => {
            let reply = get(session, repair, Duration::ZERO).await?;
            screen.show(&Repair::new(&reply))?;
            Ok(ExitCode::Done)
        }
        RepairVerb::Withdraw { repair, reason } => {
            withdraw(session, (repair, reason), screen).await
        }
    })
    .await
}

/// Whoever repairs says where: nobody means the whole fleet by saying nothing.
fn somewhere(selection: &SelectionArgs) -> Result<(), Failure> {
    if selection.is_empty() {
        return Err(Failure::usage("no target is selected; nothing was changed")
            .next("name them: --on ID or --label NAME=VALUE; --on '*' is every target"));
    }
    Ok(())
}

/// Nothing is changed before somebody has agreed to it.
fn consent(consent: &ConsentArgs, targets: usize, screen: &mut Screen) -> Result<(), Failure> {
    if consent.yes {
        return Ok(());
    }
    if !screen.can_ask() {
        return Err(Failure::usage("nobody is there to confirm the repair; nothing was changed")
            .next(again_with("--yes")));
    }
    let targets = u32::try_from(targets).unwrap_or(u32::MAX);
    let (question, wanted) = apply::question(targets, false);
    if screen.ask(&question).unwrap_or_default() == wanted {
        return Ok(());
    }
    Err(Failure::new(ExitCode::Refused, "not confirmed; nothing was changed")
        .next(again_with("--yes")))
}

async fn ledger(
    session: &Session,
    (verb, args): (v1::RepairVerb, &LedgerArgs),
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    somewhere(&args.selection)?;
    if args.follow.detach {
        apply::may_detach(session, "")?;
    }
    let bundle = session.project.bundle(args.migrations.as_deref(), screen)?;
    plan::put(session, &bundle).await?;
    let selector = args.selection.selector();
    if !args.no_observe {
        let seen = plan::observe(session, &selector, plan::LOOK).await?;
        for silent in &seen.silent {
            screen.warn(&format!(
                "{silent} was not looked at in time: the repair goes by what is known of it"
            ));
        }
    }
    let request = v1::RepairRequest {
        asker: Some(session.asker()),
        verb: verb.into(),
        versions: args.versions.iter().map(|version| bundle.version(version)).collect(),
        bundle: bundle.digest.to_vec().into(),
        selector: Some(selector),
        waiver: args.consent.waive.clone().unwrap_or_default(),
        dry: true,
    };
    let draft = Repair::new(&ask(session, &request).await?);
    if args.consent.dry_run {
        screen.show(&draft)?;
        return Ok(if draft.lacks_evidence() { ExitCode::Refused } else { ExitCode::Done });
    }
    if matches!(screen.format(), Format::Text | Format::Wide) && !draft.targets.is_empty() {
        screen.show_on_stdout(&draft)?;
    }
    if !draft.targets.is_empty() && !draft.lacks_evidence() {
        consent(&args.consent, draft.targets.len(), screen)?;
    }
    // Where evidence lacks, the refusal says what to do.
    let request = v1::RepairRequest { asker: Some(session.asker()), dry: false, ..request };
    let reply = ask(session, &request).await?;
    if args.follow.detach {
        screen.show(&Repair::new(&reply))?;
        return Ok(ExitCode::Done);
    }
    let reply = end_of(session, reply, args.follow.timeout).await?;
    let repair = Repair::new(&reply);
    screen.show(&repair)?;
    Ok(repair.exit())
}

async fn ask(session: &Session, request: &v1::RepairRequest) -> Result<v1::RepairReply, Failure> {
    session
        .link
        .ask(|channel| {
            let request = request.clone();
            async move { connect::repairs(channel).repair(request).await }
        })
        .await
}

async fn get(session: &Session, repair: &str, wait: Duration) -> Result<v1::RepairReply, Failure> {
    let request = v1::GetRepairRequest {
        repair: repair.to_owned(),
        wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
    };
    session
        .link
        .ask_for(wait, |channel| {
            let request = request.clone();
            async move { connect::repairs(channel).get_repair(request).await }
        })
        .await
}

/// Asks until the repair has ended, or the time allowed has passed.
async fn end_of(
    session: &Session,
    first: v1::RepairReply,
    timeout: Option<Duration>,
) -> Result<v1::RepairReply, Failure> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut reply = first;
    while !reply.ended {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            break;
        }
        let settled = reply.settled;
        reply = get(session, &reply.repair, left.unwrap_or(WAIT).min(WAIT)).await?;
        reply.settled = settled;
    }
    Ok(reply)
}

async fn edited(
    session: &Session,
    args: &EditedArgs,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    let bundle = session.project.bundle(args.migrations.as_deref(), screen)?;
    plan::put(session, &bundle).await?;
    let request = v1::AcceptEditedRequest {
        asker: Some(session.asker()),
        versions: args.versions.iter().map(|version| bundle.version(version)).collect(),
        bundle: bundle.digest.to_vec().into(),
        selector: Some(args.selection.selector()),
        waiver: args.consent.waive.clone().unwrap_or_default(),
        dry: true,
    };
    let edits = Edits::new(&accept(session, &request).await?);
    if args.consent.dry_run || edits.all.is_empty() {
        screen.show(&edits)?;
        return Ok(ExitCode::Done);
    }
    if request.waiver.trim().is_empty() {
        // The refusal says what is missing.
        let request = v1::AcceptEditedRequest { dry: false, ..request };
        accept(session, &request).await?;
        return Ok(ExitCode::Done);
    }
    if matches!(screen.format(), Format::Text | Format::Wide) {
        screen.show_on_stdout(&edits)?;
    }
    consent(&args.consent, edits.targets(), screen)?;
    let request = v1::AcceptEditedRequest { asker: Some(session.asker()), dry: false, ..request };
    let edits = Edits::new(&accept(session, &request).await?);
    screen.show(&Edits { accepted: true, ..edits })?;
    Ok(ExitCode::Done)
}

async fn accept(
    session: &Session,
    request: &v1::AcceptEditedRequest,
) -> Result<v1::AcceptEditedReply, Failure> {
    session
        .link
        .ask(|channel| {
            let request = request.clone();
            async move { connect::repairs(channel).accept_edited(request).await }
        })
        .await
}

fn choice(
    session: &Session,
    (rollout, selection): (&str, &SelectionArgs),
    (reason, dry): (&str, bool),
) -> v1::ChosenTargetsRequest {
    v1::ChosenTargetsRequest {
        asker: Some(session.asker()),
        rollout: rollout.to_owned(),
        selector: Some(selection.selector()),
        reason: reason.to_owned(),
        dry,
        until_ms: 0,
    }
}

async fn retry(
    session: &Session,
    args: &RetryArgs,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    somewhere(&args.selection)?;
    let request = choice(session, (&args.rollout, &args.selection), ("", args.dry_run));
    let reply = session
        .link
        .ask(|channel| {
            let request = request.clone();
            async move { connect::repairs(channel).retry_targets(request).await }
        })
        .await?;
    if args.dry_run {
        screen.show(&Chosen::new(&reply, "would be tried again"))?;
        return Ok(ExitCode::Done);
    }
    screen.done(&format!("{} tries {} again", reply.rollout, reply.targets.join(", ")));
    if args.follow.detach {
        apply::may_detach(session, &reply.rollout)?;
        return status::show(session, &reply.rollout, screen).await;
    }
    let request = v1::StatusRequest { rollout: reply.rollout.clone(), ..Default::default() };
    let now = status::ask(session, request).await?;
    let now = status::only(&now, &reply.rollout)?.state();
    if now == v1::RolloutState::Paused {
        // It stays so, and has no end to wait for.
        return status::show(session, &reply.rollout, screen).await;
    }
    let following = Following {
        rollout: &reply.rollout,
        timeout: args.follow.timeout,
        is_result: false,
        undo: now == v1::RolloutState::Unwinding,
    };
    follow(session, following, screen).await
}

async fn skip(
    session: &Session,
    args: &SkipArgs,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    somewhere(&args.selection)?;
    let reason = args.consent.waive.clone().unwrap_or_default();
    let of = (args.rollout.as_str(), &args.selection);
    let until_ms = args.until.unwrap_or_default();
    let asked = |dry| v1::ChosenTargetsRequest { until_ms, ..choice(session, of, (&reason, dry)) };
    let wanted = left_out(session, asked(true)).await?;
    if args.consent.dry_run {
        screen.show(&Chosen::new(&wanted, "would be left out"))?;
        return Ok(ExitCode::Done);
    }
    if !reason.trim().is_empty() {
        if matches!(screen.format(), Format::Text | Format::Wide) {
            screen.show_on_stdout(&Chosen::new(&wanted, "would be left out"))?;
        }
        consent(&args.consent, wanted.targets.len(), screen)?;
    }
    let reply = left_out(session, asked(false)).await?;
    screen.show(&Chosen::new(&reply, "left out, as it is"))?;
    Ok(ExitCode::Done)
}

async fn left_out(
    session: &Session,
    request: v1::ChosenTargetsRequest,
) -> Result<v1::ChosenTargetsReply, Failure> {
    session
        .link
        .ask(|channel| {
            let request = request.clone();
            async move { connect::repairs(channel).skip_targets(request).await }
        })
        .await
}

async fn list(session: &Session, screen: &mut Screen) -> Result<ExitCode, Failure> {
    let reply = session
        .link
        .ask(|channel| async move {
            connect::repairs(channel).list_repairs(v1::ListRepairsRequest {}).await
        })
        .await?;
    screen.show(&Repairs::new(&reply))?;
    Ok(ExitCode::Done)
}

async fn withdraw(
    session: &Session,
    (repair, reason): (&str, &str),
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    let request = v1::WithdrawRequest {
        asker: Some(session.asker()),
        repair: repair.to_owned(),
        reason: reason.to_owned(),
    };
    let reply = session
        .link
        .ask(|channel| {
            let request = request.clone();
            async move { connect::repairs(channel).withdraw(request).await }
        })
        .await?;
    screen.show(&Repair::new(&reply))?;
    Ok(ExitCode::Done)
}
