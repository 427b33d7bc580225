//! Gives the core the commands of a transcript again. Where some were left out, fences and rollouts
//! have other numbers; what speaks of one that is not there is left out as well.

use std::collections::BTreeMap;
use std::sync::Arc;

use skein_core::command::{Command, Request};
use skein_core::decide::{Decision, decide};
use skein_core::event::Body;
use skein_core::evolve::evolve;
use skein_core::ids::{Digest, Fence, RepairId, RolloutId};
use skein_core::outbox::outbox;
use skein_core::plan;
use skein_core::schedule::{Presence, schedule};
use skein_core::spec::Direction;
use skein_core::state::Fleet;

use super::transcript::{Asked, Entry};
use crate::invariants::{Broken, Watch};
use crate::model::SOURCE;
use crate::observation::{Effect, Mended, Seen};

/// What numbers have become.
#[derive(Debug, Default)]
struct Numbers {
    fences: BTreeMap<Fence, Fence>,
    rollouts: BTreeMap<RolloutId, RolloutId>,
    repairs: BTreeMap<RepairId, RepairId>,
    plans: BTreeMap<Digest, Digest>,
}

/// The first promise that the transcript breaks. Executors `keep_order`: an effect for which the leg's
/// earlier steps are missing, because they were left out, is left out as well; else leaving out would
/// break promises by itself.
pub fn replay(entries: &[Entry], keep_order: bool) -> Option<Broken> {
    let (mut fleet, mut watch, mut numbers) =
        (Fleet::default(), Watch::default(), Numbers::default());
    for entry in entries {
        let held = match entry {
            Entry::Asked(asked) => ask(&mut fleet, &mut watch, &mut numbers, asked),
            Entry::Effect(effect) => match numbers.fences.get(&effect.fence) {
                Some(fence) => {
                    let effect = Effect { fence: *fence, ..effect.clone() };
                    if keep_order && !follows(&fleet, &watch, &effect) {
                        continue;
                    }
                    watch.see(Seen::Effect(&effect))
                }
                None => Ok(()),
            },
            Entry::Fence(target, old, new) => {
                let now = |fence: &Fence| numbers.fences.get(fence).copied();
                match (now(old).or((old.0 == 0).then_some(*old)), now(new)) {
                    (Some(old), Some(new)) => watch.see(Seen::Fence { target, old, new }),
                    _ => Ok(()),
                }
            }
            Entry::Mended(mended) => match numbers.fences.get(&mended.fence) {
                Some(fence) => watch.see(Seen::Mended(&Mended { fence: *fence, ..mended.clone() })),
                None => Ok(()),
            },
            Entry::Restored(database) => watch.see(Seen::Restored(database)),
        };
        if let Err(broken) = held {
            return Some(broken);
        }
    }
    None
}

/// Every step of its leg that comes before it is done.
fn follows(fleet: &Fleet, watch: &Watch, effect: &Effect) -> bool {
    let lease = fleet.target(&effect.target).and_then(|(_, target)| target.lease.as_ref());
    let Some(lease) = lease.filter(|lease| lease.fence == effect.fence) else { return true };
    let legs = outbox(fleet, &lease.agent);
    let Some(leg) = legs.iter().find(|leg| leg.fence == effect.fence) else { return true };
    let ledger = watch.ledger(&effect.target);
    let mut before = leg.steps.iter().take_while(|step| {
        step.entry.version != effect.entry.version || step.script != effect.script
    });
    before.all(|step| {
        let there = ledger.iter().any(|row| row.version == step.entry.version);
        there == (step.script == Direction::Up)
    })
}

fn ask(
    fleet: &mut Fleet,
    watch: &mut Watch,
    numbers: &mut Numbers,
    asked: &Asked,
) -> Result<(), Broken> {
    let Some(command) = numbers.renumber(fleet, asked) else { return Ok(()) };
    let request = Request {
        id: asked.id.map(|(id, _)| id),
        digest: asked.id.map_or(0, |(_, body)| body),
        actor: asked.actor.clone(),
        charter: asked.charter,
        now: asked.now,
        command,
    };
    let events = match decide(fleet, &request) {
        Ok(Decision::Events(events)) => events,
        Ok(Decision::Repeated(_)) => return Ok(()),
        Err(refusal) if asked.first.is_none() && scheduled(fleet, &request) => {
            return Err(Broken {
                invariant: "accepted",
                sentence: "what is scheduled is accepted",
                what: format!("{refusal}"),
            });
        }
        Err(_) => return Ok(()),
    };
    for event in events.into_iter().map(Arc::new) {
        match &event.body {
            Body::LegAssigned { .. } | Body::RepairAssigned { .. } | Body::GateAsked { .. } => {
                numbers.fences.extend(asked.fence.map(|fence| (fence, Fence(event.seq.0))));
            }
            Body::RepairOrdered { repair, .. } => {
                numbers.repairs.extend(asked.repair.map(|asked| (asked, *repair)));
            }
            Body::RolloutPlanned { rollout, .. } => {
                numbers.rollouts.extend(asked.planned.map(|planned| (planned, *rollout)));
            }
            _ => {}
        }
        // What cannot be applied is the watch's to say.
        drop(evolve(fleet, &event));
        watch.see(Seen::Event(&event))?;
    }
    Ok(())
}

/// The schedule asks for it, with everybody there.
fn scheduled(fleet: &Fleet, request: &Request) -> bool {
    let presence = Presence {
        slots: fleet.agents.keys().map(|id| (id.clone(), 64)).collect(),
        gates: fleet.agents.keys().map(|id| (id.clone(), [SOURCE.to_owned()].into())).collect(),
        throttles: fleet.agents.keys().cloned().collect(),
        ..Presence::default()
    };
    let wanted = format!("{:?}", request.command);
    let next = schedule(fleet, &presence, request.now);
    next.commands.iter().any(|command| format!("{command:?}") == wanted)
}

impl Numbers {
    /// The command in the words of this run; `None`: it speaks of what is not there.
    fn renumber(&mut self, fleet: &Fleet, asked: &Asked) -> Option<Command> {
        let mut command = asked.command.clone();
        match &mut command {
            Command::PauseRollout { rollout, .. }
            | Command::ResumeRollout { rollout, .. }
            | Command::SetKnobs { rollout, .. }
            | Command::ApproveWave { rollout, .. }
            | Command::HoldLanes { rollout, .. }
            | Command::ReleaseLanes { rollout, .. }
            | Command::AbortRollout { rollout, .. }
            | Command::AbortLanes { rollout, .. }
            | Command::CancelLanes { rollout, .. }
            | Command::SoakWave { rollout }
            | Command::OpenGates { rollout }
            | Command::AskGate { rollout, .. }
            | Command::RollBackRollout { rollout, .. }
            | Command::RetryTargets { rollout, .. }
            | Command::SkipTargets { rollout, .. }
            | Command::SettleArrivals { rollout, .. }
            | Command::StartWave { rollout }
            | Command::AssignLeg { rollout, .. }
            | Command::UnwindRollout { rollout }
            | Command::FinishRollout { rollout }
            | Command::HaltRollout { rollout, .. } => *rollout = *self.rollouts.get(rollout)?,
            Command::ExpireLease { fence, .. }
            | Command::RecordOverrun { fence, .. }
            | Command::Report { fence, .. }
            | Command::ReleaseGate { fence, .. }
            | Command::JudgeGate { fence, .. } => {
                *fence = *self.fences.get(fence)?;
            }
            Command::PlanRollout { spec, plan, id } => {
                *plan = Arc::new(plan::make(fleet, spec).ok()?);
                self.plans.insert(*id, *id);
            }
            Command::StartRollout { plan, .. } => *plan = *self.plans.get(plan)?,
            Command::WithdrawRepair { repair, .. } => *repair = *self.repairs.get(repair)?,
            Command::Repair(_)
            | Command::AcceptEdited(_)
            | Command::AssignRepair { .. }
            | Command::FormCluster { .. }
            | Command::RestoreCluster { .. }
            | Command::AdoptCharter { .. }
            | Command::JoinAgent { .. }
            | Command::RecordObservation { .. }
            | Command::RetireTarget { .. }
            | Command::StartRestore { .. }
            | Command::StoreBundle { .. }
            | Command::Freeze { .. }
            | Command::Thaw { .. } => {}
        }
        Some(command)
    }
}
