//! `skein plan`.

use std::time::Duration;

use skein_proto::v1;

use super::{blocks, with_session};
use crate::args::{Global, PlanArgs, PlanVerbArgs};
use crate::connect;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::project::Bundle;
use crate::render::plan::Plan;
use crate::render::words;
use crate::screen::Screen;
use crate::session::{Need, Session};

/// Chunks stay below the limit of one message.
const CHUNK: usize = 1024 * 1024;
/// How long agents may look at their targets before planning goes on with what is known.
pub(crate) const LOOK: Duration = Duration::from_secs(30);

pub(crate) async fn run(
    args: &PlanVerbArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    with_session(global, Need::Agent, screen, async |session, screen| {
        let spec = spec(session, &args.plan, screen).await?;
        let plan = planned(session, spec, args.dry_run, screen).await?;
        screen.show(&plan)?;
        Ok(if args.detailed_exitcode && !plan.is_empty() {
            ExitCode::ChangesPresent
        } else {
            ExitCode::Done
        })
    })
    .await
}

/// Sends the migrations, has the targets looked at, and says what is asked.
pub(crate) async fn spec(
    session: &Session,
    args: &PlanArgs,
    screen: &mut Screen,
) -> Result<v1::PlanSpec, Failure> {
    let bundle = session.project.bundle(args.migrations.as_deref(), screen)?;
    put(session, &bundle).await?;
    let selector = args.selection.selector();
    if !args.no_observe {
        let seen = observe(session, &selector, LOOK).await?;
        for silent in &seen.silent {
            screen.warn(&format!(
                "{silent} was not looked at in time: the plan goes by what is known of it"
            ));
        }
    }
    Ok(v1::PlanSpec {
        bundle: bundle.digest.to_vec().into(),
        selector: Some(selector),
        direction: args.direction.wire().into(),
        goal: Some(args.target.goal(|version| bundle.version(version))),
        strategy: Some(
            args.strategy.over(session.project.strategy(args.strategy.file.as_deref())?),
        ),
        out_of_order: args.out_of_order,
        accept_drift: args.accept_drift,
    })
}

/// A plan for people. Where targets stand apart, with what is different in them: those that are accepted beside
/// the plan, the others before the refusal.
pub(crate) async fn planned(
    session: &Session,
    spec: v1::PlanSpec,
    dry: bool,
    screen: &mut Screen,
) -> Result<Plan, Failure> {
    match make(session, spec.clone(), dry).await {
        Ok(reply) => {
            for earlier in &reply.unfinished {
                screen.note(&goes_on_from(earlier));
            }
            let mut plan = Plan::new(&reply);
            blocks::compare(session, &mut plan.accepted).await;
            Ok(plan)
        }
        Err(failure) => {
            if matches!(failure.exit, ExitCode::Drift | ExitCode::Refused) {
                blocks::show(session, spec, screen).await;
            }
            Err(failure)
        }
    }
}

/// The plan works on what another rollout was not done with.
fn goes_on_from(earlier: &v1::Unfinished) -> String {
    let v1::Unfinished { rollout, targets, forward_again } = earlier;
    let count = words::count(*targets, "target");
    let same = if *forward_again {
        format!(
            "; where its files are right, `skein resume {rollout}` takes the same rollout forward again"
        )
    } else {
        String::new()
    };
    format!(
        "{rollout} ended before it was done with {count} of these: this plan goes on where they are{same}"
    )
}

pub(crate) async fn make(
    session: &Session,
    spec: v1::PlanSpec,
    dry: bool,
) -> Result<v1::PlanReply, Failure> {
    let gates = |spec: Option<&v1::PlanSpec>| {
        spec.and_then(|spec| spec.strategy.as_ref()).map_or(0, |strategy| strategy.gates.len())
    };
    let asked = gates(Some(&spec));
    let request = v1::PlanRequest { asker: Some(session.asker()), spec: Some(spec), dry };
    let reply = session
        .link
        .ask_for(LOOK, |channel| {
            let request = request.clone();
            async move { connect::planner(channel).plan(request).await }
        })
        .await?;
    // A coordinator that does not know gates leaves them out without a word.
    if gates(reply.plan.as_ref().and_then(|plan| plan.spec.as_ref())) < asked {
        return Err(Failure::new(
            ExitCode::Refused,
            "the coordinator is of a release that asks no gates, and the strategy has some",
        )
        .next("bring all coordinator nodes to this release, or take the gates out"));
    }
    Ok(reply)
}

pub(crate) async fn observe(
    session: &Session,
    selector: &v1::Selector,
    timeout: Duration,
) -> Result<v1::ObserveReply, Failure> {
    let request = v1::ObserveRequest {
        asker: Some(session.asker()),
        selector: Some(selector.clone()),
        timeout_ms: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
    };
    session
        .link
        .ask_for(timeout, |channel| {
            let request = request.clone();
            async move { connect::fleet(channel).observe(request).await }
        })
        .await
}

pub(crate) async fn put(session: &Session, bundle: &Bundle) -> Result<(), Failure> {
    let total_bytes = bundle.bytes.len() as u64;
    let mut chunks: Vec<v1::PutBundleRequest> = bundle
        .bytes
        .chunks(CHUNK)
        .map(|data| v1::PutBundleRequest { data: data.to_vec().into(), ..Default::default() })
        .collect();
    if chunks.is_empty() {
        chunks.push(v1::PutBundleRequest::default());
    }
    if let Some(first) = chunks.first_mut() {
        first.asker = Some(session.asker());
        first.digest = bundle.digest.to_vec().into();
        first.total_bytes = total_bytes;
    }
    session
        .link
        .ask(|channel| {
            let chunks = tokio_stream::iter(chunks.clone());
            async move { connect::fleet(channel).put_bundle(chunks).await }
        })
        .await?;
    Ok(())
}
