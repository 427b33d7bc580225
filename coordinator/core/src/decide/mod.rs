//! The rules: a request in, events or a refusal out. Changes nothing. One family of commands a file.

mod again;
mod baseline;
mod cancel;
mod draft;
mod edit;
mod fleet;
mod forward;
mod freeze;
mod gate;
mod knob;
mod late;
mod leg;
mod part;
mod repair;
mod report;
mod restore;
mod rollout;
mod unwind;

use crate::command::{Command, Request};
use crate::event::{Body, Event};
use crate::ids::{Millis, RolloutId, Seq, TargetId, TargetIx};
use crate::refusal::{Kind, Refusal};
use crate::state::requests::Answer;
use crate::state::{Fleet, rollout as run, target};

pub use again::{retries, skips};
pub use draft::{Draft, draft};
pub use edit::{Edit, edits};
pub use forward::{Resumption, Way, resumption};
pub use unwind::{Line, lines};

/// What a request comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// These events, to be made durable together. Empty: it is so already.
    Events(Vec<Event>),
    /// The request was accepted before; this was the answer.
    Repeated(Answer),
}

/// Decides one request on the state that it finds.
///
/// # Errors
/// The refusal, with what to do next. Nothing was changed.
pub fn decide(fleet: &Fleet, request: &Request) -> Result<Decision, Refusal> {
    if let Some(id) = &request.id
        && let Some(answer) = fleet.requests.get(id)
    {
        if answer.digest == request.digest {
            return Ok(Decision::Repeated(*answer));
        }
        return Err(Refusal::new(
            Kind::Invalid,
            "this request id was used for another request",
            "give each request an id of its own",
        ));
    }
    charter(fleet, request)?;
    let bodies = bodies(fleet, request)?;
    let at = Millis(request.now.0.max(fleet.time.0));
    let events = (fleet.seq.0..)
        .zip(bodies)
        .map(|(seq, body)| Event {
            seq: Seq(seq),
            at,
            actor: request.actor.clone(),
            charter: request.charter,
            request: request.id.map(|id| (id, request.digest)),
            body,
        })
        .collect();
    Ok(Decision::Events(events))
}

/// Nothing runs outside of the charter in force.
fn charter(fleet: &Fleet, request: &Request) -> Result<(), Refusal> {
    let forming = matches!(request.command, Command::FormCluster { .. });
    match &fleet.cluster {
        None if forming => Ok(()),
        None => Err(Refusal::new(
            Kind::Conflict,
            "the cluster is not formed yet",
            "try again in a moment",
        )),
        Some(cluster) if request.charter == cluster.charter => Ok(()),
        Some(cluster) => Err(Refusal::new(
            Kind::Denied,
            format!(
                "made under charter {}, and {} is in force",
                request.charter.short(),
                cluster.charter.short()
            ),
            "use the charter file that the cluster was formed with (`project.charter` in skein.toml)",
        )),
    }
}

fn bodies(fleet: &Fleet, request: &Request) -> Result<Vec<Body>, Refusal> {
    match &request.command {
        Command::FormCluster { cluster, charter, bound } => {
            fleet::form(fleet, *cluster, *charter, bound)
        }
        Command::AdoptCharter { policy, text } => Ok(fleet::adopt(fleet, *policy, text)),
        Command::RestoreCluster { incarnation, fence, taken, reason } => {
            restore::cluster(fleet, *incarnation, *fence, (*taken, reason))
        }
        Command::JoinAgent { agent, version, targets, whole } => {
            Ok(fleet::join(fleet, agent, version, (targets, *whole)))
        }
        Command::RecordObservation { agent, target, seen, as_of } => {
            fleet::observe(fleet, agent, target, (seen, *as_of))
        }
        Command::RetireTarget { target, reason } => fleet::retire(fleet, target, reason),
        Command::StartRestore { target, archive, reason } => {
            fleet::restore(fleet, target, archive, reason)
        }
        Command::StoreBundle { manifest } => fleet::store(fleet, manifest),
        Command::PlanRollout { spec, plan, id } => rollout::plan(fleet, spec, plan, *id),
        Command::StartRollout { plan, waivers } => rollout::start(fleet, *plan, waivers),
        Command::PauseRollout { rollout, reason, stop } => {
            rollout::pause(fleet, *rollout, (reason, *stop))
        }
        Command::SetKnobs { rollout, knobs } => knob::set(fleet, *rollout, knobs),
        Command::ApproveWave { rollout, wave, reason } => {
            knob::approve(fleet, *rollout, *wave, reason)
        }
        Command::HoldLanes { rollout, selector, wave, reason, stop } => {
            part::hold(fleet, *rollout, (selector, *wave), (reason, *stop))
        }
        Command::ReleaseLanes { rollout, selector, wave } => {
            part::release(fleet, *rollout, (selector, *wave))
        }
        Command::AbortLanes { rollout, selector, wave, reason } => {
            part::abort(fleet, *rollout, (selector, *wave), reason)
        }
        Command::Freeze { selector, until, reason } => {
            let now = Millis(request.now.0.max(fleet.time.0));
            freeze::declare(fleet, selector, (*until, now), reason)
        }
        Command::Thaw { freezes, selector, reason } => {
            let now = Millis(request.now.0.max(fleet.time.0));
            freeze::lift(fleet, (freezes, selector), now, reason)
        }
        Command::CancelLanes { rollout, part, reason } => {
            cancel::cancel(fleet, *rollout, part.as_ref(), reason)
        }
        Command::AbortRollout { rollout, reason } => knob::abort(fleet, *rollout, reason),
        Command::SoakWave { rollout } => rollout::soak(fleet, *rollout),
        Command::ResumeRollout { rollout, all } => forward::resume(fleet, *rollout, *all),
        Command::RollBackRollout { rollout, extent, waivers } => {
            unwind::on_request(fleet, *rollout, extent, waivers)
        }
        Command::StartWave { rollout } => {
            rollout::start_wave(fleet, *rollout, Millis(request.now.0.max(fleet.time.0)))
        }
        Command::Repair(ask) => repair::on_request(fleet, ask),
        Command::WithdrawRepair { repair, reason } => repair::withdraw(fleet, *repair, reason),
        Command::AcceptEdited(ask) => edit::accept(fleet, ask),
        Command::RetryTargets { rollout, selector } => again::retry(fleet, *rollout, selector),
        Command::SkipTargets { rollout, selector, reason, until } => {
            let now = Millis(request.now.0.max(fleet.time.0));
            again::skip(fleet, *rollout, selector, (reason, *until, now))
        }
        Command::OpenGates { rollout } => gate::open(fleet, *rollout),
        Command::AskGate { rollout, ask, agent } => {
            gate::ask(fleet, *rollout, (*ask, agent), Millis(request.now.0.max(fleet.time.0)))
        }
        Command::ReleaseGate { agent, fence, why } => {
            Ok(gate::release(fleet, agent, (*fence, why)))
        }
        Command::JudgeGate { agent, fence, judgement } => {
            gate::judge(fleet, agent, *fence, judgement)
        }
        Command::SettleArrivals { rollout, meant } => {
            late::settle(fleet, *rollout, meant, Millis(request.now.0.max(fleet.time.0)))
        }
        Command::AssignRepair { target, agent } => repair::assign(fleet, target, agent),
        Command::AssignLeg { rollout, target, agent } => {
            leg::assign(fleet, *rollout, (target, agent), Millis(request.now.0.max(fleet.time.0)))
        }
        Command::UnwindRollout { rollout } => unwind::on_breach(fleet, *rollout),
        Command::FinishRollout { rollout } => {
            rollout::finish(fleet, *rollout, Millis(request.now.0.max(fleet.time.0)))
        }
        Command::HaltRollout { rollout, reason } => restore::halt(fleet, *rollout, reason),
        Command::ExpireLease { target, fence, why } => leg::expire(fleet, target, *fence, why),
        Command::RecordOverrun { target, fence, held } => {
            let now = Millis(request.now.0.max(fleet.time.0));
            Ok(leg::overran(fleet, target, *fence, (*held, now)))
        }
        Command::Report { agent: _, target, fence, outcome } => report::decide(
            fleet,
            Millis(request.now.0.max(fleet.time.0)),
            target,
            (*fence, outcome),
        ),
    }
}

fn rollout(fleet: &Fleet, id: RolloutId) -> Result<&run::State, Refusal> {
    fleet.rollouts.get(&id).ok_or_else(|| {
        Refusal::new(
            Kind::Missing,
            format!("there is no rollout {id}"),
            "`skein status` lists them",
        )
    })
}

fn target<'a>(fleet: &'a Fleet, id: &TargetId) -> Result<(TargetIx, &'a target::State), Refusal> {
    fleet.target(id).ok_or_else(|| {
        Refusal::new(
            Kind::Missing,
            format!("there is no target {id}"),
            "`skein targets` lists them",
        )
    })
}
