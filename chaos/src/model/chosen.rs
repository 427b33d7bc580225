//! What somebody wants of chosen targets: that they are tried again, left out, or taken back further.

use skein_core::command::{Command, Extent};
use skein_core::ids::{Millis, RolloutId, TargetIx};
use skein_core::spec::Selector;
use skein_core::state::rollout::{Lane, Phase, Status};

use super::Sim;
use super::dice::Dice;
use super::operator::waivers;

impl Sim {
    /// The last rollout that was taken back, if it was.
    pub(super) fn is_back(&self) -> Option<RolloutId> {
        let mut rollouts = self.leader.ahead.rollouts.values().rev();
        let last = rollouts.find(|state| state.status != Status::Planned)?;
        (last.status == Status::RolledBack).then_some(last.id)
    }

    /// Targets that are tried again, or left out: those that failed, mostly.
    pub(super) fn on_some_targets(&mut self, dice: &mut Dice) -> Command {
        let fleet = &self.leader.ahead;
        let stopping = fleet.rollouts.values().find(|state| state.stopping && state.leased() > 0);
        let failed =
            |lane: &Lane| matches!(lane.phase, Phase::Failed | Phase::Stuck | Phase::Residual);
        let lanes = fleet.rollouts.values().flat_map(|state| {
            let lanes = state.lanes.iter().filter(|(_, lane)| failed(lane));
            lanes.map(|(_, lane)| (state.id, lane.target))
        });
        let lanes: Vec<(RolloutId, TargetIx)> = lanes.collect();
        let (rollout, target) = if lanes.is_empty() || dice.chance(100) {
            (self.some_rollout(dice), TargetIx(dice.below(4)))
        } else {
            lanes[dice.place(lanes.len())]
        };
        let target = fleet.targets.get(target).map(|target| target.id.0.clone());
        let selector = Selector { targets: target.into_iter().collect(), ..Selector::default() };
        if let Some(further) = self.further(dice).filter(|_| dice.chance(900)) {
            return further;
        }
        match (stopping, dice.below(10)) {
            (Some(stopping), 0..4) => {
                Command::RetryTargets { rollout: stopping.id, selector: Selector::default() }
            }
            (_, 0..7) => Command::RetryTargets { rollout, selector },
            _ => {
                let reason = if dice.chance(100) { "" } else { "merged" }.to_owned();
                // Some of them have passed.
                let away = u64::from(dice.below(8_000));
                let until = Millis((fleet.time.0 + away).saturating_sub(800));
                let until = dice.chance(300).then_some(until);
                Command::SkipTargets { rollout, selector, reason, until }
            }
        }
    }

    /// Further back than a target is being undone just now.
    pub(super) fn further(&self, dice: &mut Dice) -> Option<Command> {
        let fleet = &self.leader.ahead;
        let (rollout, target) = fleet.rollouts.values().find_map(|state| {
            let on_its_way = |lane: &Lane| lane.phase == Phase::UndoLeased && lane.keep > 0;
            let (_, lane) = state.lanes.iter().find(|(_, lane)| on_its_way(lane))?;
            Some((state.id, fleet.targets.get(lane.target)?.id.0.clone()))
        })?;
        let selector = Selector { targets: vec![target], ..Selector::default() };
        let extent = Extent { selector, ..Extent::default() };
        Some(Command::RollBackRollout { rollout, extent, waivers: waivers(dice) })
    }

    /// A target that a rollout goes on without, until a time that it may see.
    pub(super) fn leave_out_for_a_while(&self, dice: &mut Dice) -> Option<Command> {
        let fleet = &self.leader.ahead;
        let mut running = fleet.rollouts.values().filter(|state| state.status == Status::Running);
        let state = running.next()?;
        let idle = |lane: &Lane| {
            let between = lane.phase == Phase::Done && state.has_stages_left(lane);
            let waits = matches!(lane.phase, Phase::Waiting | Phase::Ready | Phase::Failed);
            lane.fence.is_none() && (waits || between)
        };
        let lanes = state.lanes.iter().map(|(_, lane)| lane).filter(|lane| idle(lane));
        let meant: Vec<TargetIx> =
            lanes.map(|lane| lane.target).chain(state.awaited.keys().copied()).collect();
        let target = fleet.targets.get(*meant.get(dice.place(meant.len()))?)?;
        let selector = Selector { targets: vec![target.id.0.clone()], ..Selector::default() };
        let until = Some(Millis(fleet.time.0 + dice.between(100, 3_000)));
        let reason = "it is busy".to_owned();
        Some(Command::SkipTargets { rollout: state.id, selector, reason, until })
    }
}
