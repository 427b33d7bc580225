//! Nothing is planned where another text ran than the migrations have now, unless it differs in comments and white
//! space alone, or somebody said before that both come to the same.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use skein_core::event::{Body, Event};
use skein_core::ids::{Digest, Version};
use skein_core::plan::Plan;
use skein_core::state::Fleet;

/// What was said, counted from the events: the state's own account is what is checked.
#[derive(Debug, Default)]
pub(super) struct Edits {
    /// Of a version, the text that ran, and what runs of the other.
    accepted: BTreeSet<(Version, Digest, Digest)>,
    /// A planted bug: nobody is told of what was said.
    deaf: bool,
    /// Targets that were planned by another text than ran there.
    pub(super) spared: usize,
}

impl Edits {
    pub(super) fn go_deaf(&mut self) {
        self.deaf = true;
    }

    /// An event, and the fleet before it.
    pub(super) fn see(&mut self, event: &Event, fleet: &Fleet) -> Result<()> {
        match &event.body {
            Body::EditAccepted { version, ran, normalised, .. } if !self.deaf => {
                let each = ran.iter().map(|ran| (version.clone(), *ran, *normalised));
                self.accepted.extend(each);
                Ok(())
            }
            Body::RolloutPlanned { plan, .. } => self.planned(plan, fleet),
            _ => Ok(()),
        }
    }

    fn planned(&mut self, plan: &Plan, fleet: &Fleet) -> Result<()> {
        let Some(manifest) = fleet.bundles.get(&plan.spec.bundle) else { return Ok(()) };
        for (id, _) in plan.waves.iter().flat_map(|wave| &wave.targets) {
            let Some((_, target)) = fleet.target(id) else { continue };
            for ran in fleet.entries.spell(target.in_force()) {
                let now = manifest.migrations.iter().find(|one| one.version == ran.version);
                let Some(now) = now.map(|now| &now.up) else { continue };
                let comes_to = fleet.normalised.get(&ran.digest);
                if now.raw == ran.digest || comes_to == Some(&now.normalised) {
                    continue;
                }
                let both = (ran.version.clone(), ran.digest, now.normalised);
                ensure!(
                    self.accepted.contains(&both),
                    "{id} was planned with another text of {} than the one that ran there, and nobody said that they \
                     come to the same",
                    ran.version
                );
                self.spared += 1;
            }
        }
        Ok(())
    }
}
