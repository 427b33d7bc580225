//! Which repairs of ledgers are handed to whom: brief, asked for by somebody who waits, and so before the legs
//! of rollouts.

use std::collections::BTreeSet;

use super::{Next, assign::Free};
use crate::command::Command;
use crate::ids::TargetIx;
use crate::state::Fleet;

/// The heads of what waits for each agent, as far as its slots go.
pub(super) fn legs(fleet: &Fleet, free: &mut Free<'_>, next: &mut Next) {
    // Two agents may serve one target.
    let mut given: BTreeSet<TargetIx> = BTreeSet::new();
    for (id, slots) in free.slots() {
        let Some(agent) = fleet.agents.get(id) else { continue };
        for ix in &agent.mends {
            if *slots == 0 {
                break;
            }
            let Some(target) = fleet.targets.get(*ix).filter(|_| given.insert(*ix)) else {
                continue;
            };
            next.commands
                .push(Command::AssignRepair { target: target.id.clone(), agent: id.clone() });
            *slots -= 1;
        }
    }
}
