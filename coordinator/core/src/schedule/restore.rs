//! What ends when the cluster begins again from a backup: what happened after that was taken the log does not
//! know. No lease of before counts, and no rollout goes on by itself.

use crate::command::Command;
use crate::state::{Fleet, repair};

const WHY: &str = "the cluster was restored from a backup";

/// To be decided in this order, right after the cluster was restored.
pub fn after_restore(fleet: &Fleet) -> Vec<Command> {
    let leases = fleet.targets.iter().filter_map(|(_, target)| {
        target.lease.as_ref().map(|lease| Command::ExpireLease {
            target: target.id.clone(),
            fence: lease.fence,
            why: WHY.to_owned(),
        })
    });
    let rollouts =
        fleet.rollouts.values().filter(|state| state.is_open()).map(|state| Command::HaltRollout {
            rollout: state.id,
            reason: format!("{WHY}: what it did after that is not in the log"),
        });
    let waits = |line: &repair::Line| {
        line.phase != repair::Phase::Mended && line.phase != repair::Phase::Failed
    };
    let repairs = fleet
        .repairs
        .values()
        .filter(move |state| state.lines.iter().any(waits))
        .map(|state| Command::WithdrawRepair { repair: state.id, reason: WHY.to_owned() });
    leases.chain(rollouts).chain(repairs).collect()
}
