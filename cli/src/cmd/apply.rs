//! `skein apply`.

use skein_proto::v1;

use super::{plan, status, with_session};
use crate::args::{ApplyArgs, ConfirmArgs, FollowArgs, Format, Global};
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::follow::{Following, follow};
use crate::render::plan::Plan;
use crate::render::words;
use crate::screen::Screen;
use crate::session::{Need, Session};

pub(crate) async fn run(
    args: &ApplyArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Agent, screen, async |session, screen| {
        if args.follow.detach {
            may_detach(session, "")?;
        }
        let planned = if let Some(id) = &args.id {
            known(session, id).await?
        } else {
            let spec = plan::spec(session, &args.plan, screen).await?;
            plan::planned(session, spec, false, screen).await?
        };
        if planned.is_empty() {
            screen.show(&planned)?;
            return Ok(ExitCode::Done);
        }
        if matches!(screen.format(), Format::Text | Format::Wide) {
            screen.show_on_stdout(&planned)?;
        }
        // A plan that is named is consent to exactly that plan.
        if args.id.is_none() {
            consent(&planned, &args.confirm, screen)?;
        }
        start(session, &planned, args.confirm.waive.as_deref(), &args.follow, screen).await
    })
    .await
}

async fn known(session: &Session, id: &str) -> Result<Plan, Failure> {
    let request = v1::GetPlanRequest { id: id.to_owned() };
    let reply = session
        .link
        .ask(|channel| {
            let request = request.clone();
            async move { connect::planner(channel).get_plan(request).await }
        })
        .await?;
    Ok(Plan::new(&reply))
}

/// Asks whoever is there; where nobody is, says which command to use.
fn consent(plan: &Plan, confirm: &ConfirmArgs, screen: &mut Screen) -> Result<(), Failure> {
    if confirm.yes {
        return Ok(());
    }
    if !screen.can_ask() {
        return Err(Failure::usage("nobody is there to confirm the plan; nothing was started")
            .next(plan.apply_command()));
    }
    let (question, wanted) =
        question(plan.targets, plan.destructive || !plan.irreversible.is_empty());
    let answer = screen.ask(&question).unwrap_or_default();
    if answer == wanted {
        return Ok(());
    }
    Err(Failure::new(ExitCode::Refused, "not confirmed; nothing was started")
        .next(plan.apply_command()))
}

/// What is asked, and the one answer that counts.
pub(crate) fn question(targets: u32, dangerous: bool) -> (String, String) {
    if dangerous {
        let question = format!(
            "This destroys data or cannot be undone. To go on, type the number of targets that it \
             changes ({targets}):"
        );
        return (question, targets.to_string());
    }
    let question =
        format!("Go on with {}? Only `yes` is accepted:", words::count(targets, "target"));
    (question, "yes".to_owned())
}

/// Starts a plan and watches it.
pub(crate) async fn start(
    session: &Session,
    plan: &Plan,
    waive: Option<&str>,
    follow_args: &FollowArgs,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    let request = v1::StartRequest {
        asker: Some(session.asker()),
        plan: plan.id.clone(),
        waivers: waivers(waive),
    };
    let started = session
        .link
        .ask(|channel| {
            let request = request.clone();
            async move { connect::rollouts(channel).start(request).await }
        })
        .await;
    let reply = started.map_err(|failure| unwaived(failure, plan))?;
    screen.done(&format!("{} started", reply.rollout));
    if follow_args.detach {
        return status::show(session, &reply.rollout, screen).await;
    }
    let following = Following {
        rollout: &reply.rollout,
        timeout: follow_args.timeout,
        is_result: false,
        undo: false,
    };
    follow(session, following, screen).await
}

pub(crate) fn waivers(reason: Option<&str>) -> Vec<v1::Waiver> {
    let waiver = |reason: &str| v1::Waiver { step: "*".to_owned(), reason: reason.to_owned() };
    reason.map(waiver).into_iter().collect()
}

/// A refusal for want of a waiver lists the steps and the whole command. Any other says by itself what to do.
fn unwaived(mut failure: Failure, plan: &Plan) -> Failure {
    if !failure.unwaived {
        return failure;
    }
    for step in &plan.irreversible {
        let targets = words::count(step.targets, "target");
        let line = format!("\n{} {} on {targets} ({})", step.version, step.name, step.file);
        failure.what.push_str(&line);
    }
    failure.next = format!("{} --waive \"WHY THIS IS ACCEPTED\"", plan.apply_command());
    failure
}

/// Without a coordinator elsewhere nobody goes on when this process ends.
pub(crate) fn may_detach(session: &Session, rollout: &str) -> Result<(), Failure> {
    if session.outlives_us() {
        return Ok(());
    }
    let next = if rollout.is_empty() { String::new() } else { format!("skein watch {rollout}") };
    Err(Failure::usage(
        "--detach needs a coordinator that goes on: in embedded mode the work rests when this process ends",
    )
    .next(if next.is_empty() { "leave --detach out, or name a coordinator".to_owned() } else { next }))
}

#[cfg(test)]
mod tests {
    use super::{question, waivers};

    #[test]
    fn danger_is_confirmed_by_its_size() {
        assert_eq!(question(12, true).1, "12");
        assert_eq!(question(12, false).1, "yes");
    }

    #[test]
    fn a_waiver_has_a_reason() {
        assert!(waivers(None).is_empty());
        assert_eq!(waivers(Some("agreed"))[0].reason, "agreed");
    }
}
