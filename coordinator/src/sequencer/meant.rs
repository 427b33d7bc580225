//! Whom the conditions of a rollout mean of the targets that came later: asked here, as the core does not read
//! them.

use std::collections::BTreeSet;

use skein_core::Fleet;
use skein_core::command::{Command, Meant};
use skein_core::ids::TargetId;
use skein_core::schedule::Presence;

use crate::condition;

/// The command, with what the conditions hold of now.
pub(super) fn found(command: Command, fleet: &Fleet, presence: &Presence) -> Command {
    let Command::SettleArrivals { rollout, meant: Meant::AsPlanned } = command else {
        return command;
    };
    let Some(state) = fleet.rollouts.get(&rollout) else {
        return Command::SettleArrivals { rollout, meant: Meant::AsPlanned };
    };
    let mut spec = state.plan.spec.clone();
    if spec.selectors_mut().all(|selector| selector.condition.is_none()) {
        return Command::SettleArrivals { rollout, meant: Meant::AsPlanned };
    }
    let arrived = state.arrived().filter_map(|ix| fleet.targets.get(ix));
    let arrived: BTreeSet<&TargetId> = arrived.map(|target| &target.id).collect();
    for selector in spec.selectors_mut() {
        if let Err(refusal) = condition::settle_among(selector, fleet, (presence, &arrived)) {
            return Command::SettleArrivals { rollout, meant: Meant::Unknown(refusal.what) };
        }
    }
    let asked = arrived.into_iter().cloned().collect();
    Command::SettleArrivals { rollout, meant: Meant::Found(Box::new(spec), asked) }
}
