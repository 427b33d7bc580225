//! At the end the databases are what the log says, but for targets that the log itself names as in
//! doubt, in the middle, or held.

use std::collections::BTreeSet;

use skein_core::ids::TargetIx;
use skein_core::state::rollout::Phase;

use super::{Held, Invariant, View};

#[derive(Debug)]
pub(super) struct Settled;

impl Invariant for Settled {
    fn sentence(&self) -> &'static str {
        "at the end the databases are what the log says, but for those that it names"
    }

    fn end(&mut self, view: View<'_>) -> Held {
        let mut named: BTreeSet<TargetIx> = BTreeSet::new();
        for state in view.fleet.rollouts.values() {
            let lanes = state.lanes.iter().map(|(_, lane)| lane);
            let open = lanes.filter(|lane| {
                lane.doubt || lane.partly || matches!(lane.phase, Phase::Stuck | Phase::Residual)
            });
            named.extend(open.map(|lane| lane.target));
        }
        for database in view.databases {
            let Some(ix) = view.fleet.targets.find(&database.id) else { continue };
            let Some(target) = view.fleet.targets.get(ix) else { continue };
            if named.contains(&ix) || !target.problem.is_empty() {
                continue;
            }
            if let Some(intent) = &database.intent {
                return Err(format!("{} has a half of {}", database.id, intent.entry.version));
            }
            if !view.fleet.entries.spell(&target.ledger).eq(&database.ledger) {
                let said: Vec<_> =
                    view.fleet.entries.spell(&target.ledger).map(|entry| &entry.version).collect();
                let is: Vec<_> = database.ledger.iter().map(|entry| &entry.version).collect();
                return Err(format!("{}: the log says {said:?}, and it is {is:?}", database.id));
            }
        }
        Ok(())
    }
}
