//! A target gets a ledger by itself once: where that came to nothing, it is not tried again while neither its schema nor
//! the migrations are others.

use std::collections::BTreeMap;

use skein_core::event::Body;
use skein_core::ids::{Digest, RepairId, TargetId, Version};
use skein_core::state::repair::{Order, Phase, Verb};

use super::principals::SCHEDULER;
use super::{Held, Invariant, Past};
use crate::observation::Seen;

/// What was said, and of which schema.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    bundle: Digest,
    versions: Vec<Version>,
    schema: Option<Digest>,
}

/// Counted from the events: the state's own account is what is checked.
#[derive(Debug, Default)]
pub(super) struct Adoptions {
    ordered: BTreeMap<RepairId, BTreeMap<TargetId, Said>>,
    in_vain: BTreeMap<TargetId, Said>,
}

impl Adoptions {
    fn order(&mut self, repair: RepairId, order: &Order, (by_itself, past): (bool, &Past)) -> Held {
        let mut ordered = BTreeMap::new();
        for (target, _) in &order.targets {
            let known = past.fleet.target(target).map(|(_, target)| target);
            let said = Said {
                bundle: order.bundle,
                versions: order.versions.clone(),
                schema: known.and_then(|target| target.fingerprint),
            };
            if by_itself && self.in_vain.get(target) == Some(&said) {
                return Err(format!("{repair} tries once more what came to nothing on {target}"));
            }
            ordered.insert(target.clone(), said);
        }
        self.ordered.insert(repair, ordered);
        Ok(())
    }

    fn failed(&mut self, repair: RepairId, target: &TargetId) {
        let said = self.ordered.get_mut(&repair).and_then(|ordered| ordered.remove(target));
        self.in_vain.extend(said.map(|said| (target.clone(), said)));
    }
}

impl Invariant for Adoptions {
    fn sentence(&self) -> &'static str {
        "a ledger that a target did not get by itself is not tried again while nothing has changed"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Event(event) = seen else { return Ok(()) };
        match &event.body {
            Body::RepairOrdered { repair, order } if order.verb == Verb::Adopt => {
                return self.order(*repair, order, (event.actor == SCHEDULER, past));
            }
            Body::RepairFailed { repair, target, .. } => self.failed(*repair, target),
            Body::RepairWithdrawn { repair, .. } => {
                let lines = past.fleet.repairs.get(repair).map_or(&[][..], |state| &state.lines);
                let failed = lines.iter().filter(|line| line.phase == Phase::Failed);
                let failed = failed.filter_map(|line| past.fleet.targets.get(line.target));
                for target in failed.map(|target| target.id.clone()).collect::<Vec<_>>() {
                    self.failed(*repair, &target);
                }
            }
            Body::TargetMended { repair, target, .. } => {
                if let Some(ordered) = self.ordered.get_mut(repair) {
                    ordered.remove(target);
                }
                self.in_vain.remove(target);
            }
            Body::TargetRetired { target, .. } => {
                self.in_vain.remove(target);
            }
            _ => {}
        }
        Ok(())
    }
}
