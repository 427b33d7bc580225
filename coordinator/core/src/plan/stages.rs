//! Cuts a plan into stages: all of one is verified before any of the next begins. Each goes through all waves.

use std::collections::BTreeMap;

use super::waves::{self, Members};
use super::{Class, Plan, Stage, Wave};
use crate::bundle::Manifest;
use crate::ids::{ClassIx, TargetId, WaveIx};
use crate::refusal::{Kind, Refusal};
use crate::spec::{self, Direction, Spec};
use crate::state::Fleet;

/// In which waves targets go through each stage.
#[derive(Debug)]
pub struct Homes<'a> {
    plan: &'a Plan,
    waves: BTreeMap<(u32, &'a TargetId), WaveIx>,
}

impl<'a> Homes<'a> {
    /// Costs as much as the plan is long, where it has stages.
    pub fn of(plan: &'a Plan) -> Self {
        let waves = plan.waves.iter().zip((0..).map(WaveIx)).filter(|_| !plan.stages.is_empty());
        let waves = waves.flat_map(|(wave, ix)| {
            wave.targets.iter().map(move |(target, _)| ((wave.stage, target), ix))
        });
        Self { plan, waves: waves.collect() }
    }

    /// Where a target goes on of which so many steps are in force, and that is in `wave` now: in the first stage that
    /// it lacks something of. Who came late goes through each stage with its last wave.
    pub fn home(
        &self,
        (target, class): (&TargetId, &Class),
        (wave, applied): (WaveIx, u32),
    ) -> WaveIx {
        let now = self.plan.stage_of(wave);
        let stages = self.plan.waves.iter().map(|wave| wave.stage).take_while(|stage| *stage < now);
        let mut lacking = stages.filter(|stage| self.plan.reach(class, *stage) > applied);
        let Some(stage) = lacking.next() else { return wave };
        let last = || self.plan.waves.iter().zip(0..).filter(|(it, _)| it.stage == stage).last();
        let home = self.waves.get(&(stage, target)).copied();
        home.or_else(|| last().map(|(_, ix)| WaveIx(ix))).unwrap_or(wave)
    }
}

/// What lies behind the last stage that was asked for.
const REST: &str = "rest";

pub(super) fn cut(
    (fleet, spec, manifest): (&Fleet, &Spec, &Manifest),
    plan: &mut Plan,
    members: Members,
) -> Result<Vec<Wave>, Refusal> {
    let wanted = &spec.strategy.stages;
    if wanted.is_empty() {
        return Ok(waves::cut(fleet, spec, members));
    }
    if spec.direction != Direction::Up {
        plan.notes.push("stages are for the way forward: here all steps are one".to_owned());
        return Ok(waves::cut(fleet, spec, members));
    }
    plan.stages = stages(wanted, manifest)?;
    let mut cut = Vec::new();
    let mut done = vec![0; plan.classes.len()];
    for (stage, number) in plan.stages.iter().zip(0..) {
        let reach = plan.classes.iter().map(|class| class.steps_through(stage.through));
        let reach: Vec<u32> = reach.collect();
        let has_steps = |class: ClassIx| {
            let class = usize::try_from(class.0).unwrap_or(usize::MAX);
            done.get(class) < reach.get(class)
        };
        let part = members.iter().filter(|(_, class)| has_steps(*class)).cloned().collect();
        let stage = number;
        cut.extend(waves::cut(fleet, spec, part).into_iter().map(|wave| Wave { stage, ..wave }));
        done = reach;
    }
    Ok(cut)
}

fn stages(wanted: &[spec::Stage], manifest: &Manifest) -> Result<Vec<Stage>, Refusal> {
    let mut stages: Vec<Stage> = Vec::new();
    for stage in wanted {
        let wrong = |what: &str, next: &str| {
            Refusal::new(Kind::Invalid, format!("stage `{}` {what}", stage.name), next)
        };
        if stage.name.is_empty()
            || stage.name == REST
            || stages.iter().any(|other| other.name == stage.name)
        {
            let what = "has no name of its own";
            return Err(wrong(
                what,
                "give each stage another name, such as `expand` and `contract`",
            ));
        }
        let Some(place) = manifest.position(&stage.to) else {
            let what = format!("ends with version {}, which the bundle does not have", stage.to);
            return Err(wrong(&what, "name the version of its last migration: `to = …`"));
        };
        let through = u32::try_from(place).unwrap_or(u32::MAX);
        if stages.last().is_some_and(|before| before.through >= through) {
            let what =
                format!("ends with version {}, which is not behind the stage before it", stage.to);
            return Err(wrong(&what, "list stages in the order in which they are gone through"));
        }
        stages.push(Stage { name: stage.name.clone(), through });
    }
    let last = u32::try_from(manifest.migrations.len()).unwrap_or(u32::MAX);
    if stages.last().is_some_and(|stage| stage.through + 1 < last) {
        stages.push(Stage { name: REST.to_owned(), through: last });
    }
    Ok(stages)
}
