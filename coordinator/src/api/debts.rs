//! What targets owe to rollouts that were completed without them, page by page.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::Fleet;
use skein_core::ids::{Millis, TargetId};
use skein_core::schedule::Presence;
use skein_core::state::target;
use skein_core::view::{self, Debt};

use crate::condition;

/// By target. A condition is asked anew: what it held of then is not in the log.
pub(super) fn of(
    fleet: &Fleet,
    targets: &[&target::State],
    (presence, now): (&Presence, Millis),
) -> BTreeMap<TargetId, Debt> {
    let mut debts = BTreeMap::new();
    let mut rest: BTreeMap<&TargetId, &target::State> =
        targets.iter().map(|target| (&target.id, *target)).collect();
    for state in view::creditors(fleet) {
        if rest.is_empty() {
            break;
        }
        let mut selector = state.plan.spec.selector.clone();
        let some: BTreeSet<&TargetId> = rest.keys().copied().collect();
        // One that cannot be asked of this fleet any more means nobody.
        drop(condition::settle_among(&mut selector, fleet, (presence, &some)));
        rest.retain(|id, target| {
            let meant = selector.matches(id, &target.description);
            let debt = if meant { view::owes(fleet, state, target, now) } else { None };
            debts.extend(debt.map(|debt| ((*id).clone(), debt)));
            !meant
        });
    }
    debts
}
