//! A rollout that was chosen by a condition has every target of which it holds, and no other: those that were there
//! when it was planned, and those that came later.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};
use skein_core::event::{Body, Event};
use skein_core::ids::{Seq, TargetId};
use skein_core::plan::Plan;
use skein_core::spec::Selector;
use skein_core::state::{Fleet, target};

use crate::condition::{Condition, known};

/// A condition is evaluated before the plan is decided: targets that came in the last events may be missing.
const JUST_NOW: u64 = 300;

#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// When each target came.
    came: BTreeMap<TargetId, Seq>,
}

fn condition(selector: &Selector) -> Result<Option<&'static Condition>> {
    let Some(asked) = &selector.condition else { return Ok(None) };
    let Some(condition) = known(&asked.text) else {
        bail!("the log has the condition `{}`, and nobody has said that", asked.text)
    };
    Ok(Some(condition))
}

impl Chosen {
    /// An event, and the fleet before it.
    pub(super) fn see(&mut self, event: &Event, fleet: &Fleet) -> Result<()> {
        match &event.body {
            Body::TargetRegistered { target, .. } => {
                self.came.entry(target.clone()).or_insert(event.seq);
            }
            Body::RolloutPlanned { plan, .. } => self.planned(plan, event.seq, fleet)?,
            Body::ArrivalsSettled { rollout, joined, .. } => {
                let Some(state) = fleet.rollouts.get(rollout) else { return Ok(()) };
                let selector = &state.plan.spec.selector;
                let Some(condition) = condition(selector)? else { return Ok(()) };
                for (id, ..) in joined {
                    let meant =
                        fleet.target(id).is_some_and(|(_, it)| means(selector, condition, it));
                    ensure!(
                        meant,
                        "{id} joined {rollout}, of which `{}` is asked",
                        condition.words
                    );
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn planned(&self, plan: &Plan, at: Seq, fleet: &Fleet) -> Result<()> {
        let selector = &plan.spec.selector;
        let Some(condition) = condition(selector)? else { return Ok(()) };
        let there = fleet.targets.iter().map(|(_, target)| target);
        let meant = there.filter(|target| !target.retired && means(selector, condition, target));
        let meant: BTreeSet<&TargetId> = meant.map(|target| &target.id).collect();
        let waves = plan.waves.iter().flat_map(|wave| &wave.targets).map(|(id, _)| id);
        let has: BTreeSet<&TargetId> =
            waves.chain(plan.absent.iter().map(|absent| &absent.target)).collect();
        let words = condition.words;
        let wrong: Vec<_> = has.difference(&meant).collect();
        ensure!(wrong.is_empty(), "`{words}` holds not of {wrong:?}, which were planned");
        let old =
            |id: &&&TargetId| self.came.get(**id).is_some_and(|came| came.0 + JUST_NOW < at.0);
        let (least, most) = (meant.iter().filter(old).count(), meant.len());
        let count = has.len() + usize::try_from(plan.up_to_date)?;
        ensure!(
            (least..=most).contains(&count),
            "`{words}` holds of {most} targets, {least} of which were there long before, and {count} were planned or \
             are where they should be"
        );
        Ok(())
    }
}

fn means(selector: &Selector, condition: &Condition, target: &target::State) -> bool {
    selector.names(&target.id, &target.description)
        && (condition.holds)(&target.id, &target.description)
}
