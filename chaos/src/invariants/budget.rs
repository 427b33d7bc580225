//! When the failure budget is exceeded, no further leg forward is leased in that rollout, but for targets that
//! somebody tries again.

use skein_core::event::{Body, LegKind};
use skein_core::spec::Scope;
use skein_core::state::rollout::{Lane, Phase};

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Budget;

impl Invariant for Budget {
    fn sentence(&self) -> &'static str {
        "no leg forward is leased once the failure budget of the open wave is exceeded"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Event(event) = seen else { return Ok(()) };
        let Body::LegAssigned { rollout, target, kind, .. } = &event.body else { return Ok(()) };
        if *kind == LegKind::Undo {
            return Ok(());
        }
        let Some(state) = past.fleet.rollouts.get(rollout).filter(|state| !state.turned) else {
            return Ok(());
        };
        // Somebody has asked for just this target.
        if past.fleet.targets.find(target).is_some_and(|ix| state.again(ix)) {
            return Ok(());
        }
        let Some(wave) = state.wave() else { return Ok(()) };
        // Counted here, and not taken from the state's own counters: those are what is checked.
        let (mut failed, mut size) = (0_u64, 0_u64);
        let counts = |lane: &Lane| lane.wave == wave || state.budget().scope == Scope::Rollout;
        for (_, lane) in state.lanes.iter().filter(|(_, lane)| counts(lane)) {
            size += 1;
            failed += u64::from(matches!(lane.phase, Phase::Failed | Phase::Stuck));
        }
        let budget = state.budget();
        let share = size * u64::from(budget.percent) / 100;
        let most = u64::from(budget.failed);
        let within = match (budget.percent, budget.failed) {
            (0, _) => failed <= most,
            (_, 0) => failed <= share,
            (_, _) => failed <= share && failed <= most,
        };
        if within {
            return Ok(());
        }
        Err(format!("{target} was leased with {failed} of {size} failed, budget {budget:?}"))
    }
}
