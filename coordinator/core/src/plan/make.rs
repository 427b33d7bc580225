//! The planner: question and observed state in, plan or refusal out.

use std::collections::BTreeMap;

use super::{
    Absent, Class, Plan, Step, Undo, apart, down, gates, heavy, late, stages, throttles, up, waves,
};
use crate::bundle::{Manifest, Migration, Script};
use crate::ids::{ClassIx, TargetId};
use crate::refusal::{Kind, Refusal};
use crate::spec::{Direction, Engine, Spec};
use crate::state::Fleet;
use crate::state::ledger::{Entry, EntryIx};

/// Makes the plan that `spec` asks for against the state that `fleet` has.
///
/// # Errors
/// The bundle is not stored; nothing is selected; no selected target was looked at, or one is held; a file
/// was changed after it was applied; versions are missing or out of order; a step cannot run on an
/// engine, or cannot be taken back. Nothing is ever left out in silence.
pub fn make(fleet: &Fleet, spec: &Spec) -> Result<Plan, Refusal> {
    let manifest = fleet.bundles.get(&spec.bundle).ok_or_else(|| {
        Refusal::new(
            Kind::Missing,
            format!("bundle {} is not stored", spec.bundle.short()),
            "store it first: `skein plan` does so by itself",
        )
    })?;
    fleet.policy().allows(spec)?;
    if spec.strategy.parallelism == 0 {
        return Err(Refusal::new(
            Kind::Invalid,
            "parallelism is 0: no leg could ever run",
            "set `parallelism` to 1 or more",
        ));
    }
    waves::check(&spec.strategy)?;
    gates::check(&spec.strategy)?;
    throttles::check(&spec.strategy)?;
    heavy::check(&spec.strategy, manifest)?;
    if !spec.accept_drift {
        apart::check(fleet, spec)?;
    }
    let mut plan = Plan {
        spec: spec.as_written(),
        classes: Vec::new(),
        stages: Vec::new(),
        waves: Vec::new(),
        up_to_date: 0,
        notes: Vec::new(),
        absent: Vec::new(),
        accepted: Vec::new(),
    };
    let mut known: BTreeMap<(Engine, &[EntryIx]), ClassIx> = BTreeMap::new();
    let mut members: Vec<(TargetId, ClassIx)> = Vec::new();
    for (_, target) in fleet.targets.iter() {
        if target.retired || !spec.selector.matches(&target.id, &target.description) {
            continue;
        }
        if let Some(why) = late::absent(target) {
            plan.absent.push(Absent { target: target.id.clone(), why });
            continue;
        }
        target.may_work(spec.accept_drift)?;
        throttles::fits(&spec.strategy, target)?;
        let engine = target.description.engine;
        let key = (engine, target.in_force());
        let class = if let Some(&class) = known.get(&key) {
            class
        } else {
            let before: Vec<Entry> = fleet.entries.spell(target.in_force()).cloned().collect();
            let asked = Asked { fleet, spec, manifest, engine, example: &target.id };
            let steps = asked.steps(&before, &mut plan.notes)?;
            let class = ClassIx(u32::try_from(plan.classes.len()).unwrap_or(u32::MAX));
            plan.classes.push(Class { engine, before, steps, targets: 0 });
            known.insert(key, class);
            class
        };
        if let Some(class) = usize::try_from(class.0).ok().and_then(|ix| plan.classes.get_mut(ix)) {
            class.targets += 1;
            if class.steps.is_empty() {
                plan.up_to_date += 1;
                continue;
            }
        }
        members.push((target.id.clone(), class));
    }
    all_there(&plan)?;
    if plan.classes.is_empty() {
        return Err(Refusal::new(
            Kind::Missing,
            "the selector matches no target",
            "`skein targets` lists ids and labels",
        ));
    }
    plan.waves = stages::cut((fleet, spec, manifest), &mut plan, members)?;
    if spec.accept_drift {
        plan.accepted = apart::blocks(fleet, spec);
    }
    Ok(plan)
}

/// Absent targets get what they owe when they come, in a rollout that goes forward. What is taken back or
/// tried is so where somebody has looked, and nothing is planned where nobody has.
fn all_there(plan: &Plan) -> Result<(), Refusal> {
    let joins = plan.spec.direction == Direction::Up && !plan.classes.is_empty();
    if plan.absent.is_empty() || joins {
        return Ok(());
    }
    let absent: Vec<String> =
        plan.absent.iter().map(|absent| format!("{} ({})", absent.target, absent.why)).collect();
    Err(Refusal::new(
        Kind::Unfit,
        format!(
            "{} selected targets cannot be looked at: {}",
            absent.len(),
            few(&absent.iter().map(String::as_str).collect::<Vec<_>>())
        ),
        "start an agent that serves them, or select others; `skein targets` shows why",
    ))
}

fn accepted(fleet: &Fleet, entry: &Entry, migration: &Migration) -> bool {
    fleet.edits.allows(&entry.version, entry.digest, migration.up.normalised)
}

/// Whether what is in force counts as this migration: the same text, but for comments and white space, or an
/// edit that was accepted.
pub(crate) fn is_same(fleet: &Fleet, entry: &Entry, migration: &Migration) -> bool {
    migration.up.raw == entry.digest
        || fleet.normalised.get(&entry.digest) == Some(&migration.up.normalised)
        || accepted(fleet, entry, migration)
}

/// The first few of many names.
pub(crate) fn few(names: &[&str]) -> String {
    const SHOWN: usize = 5;
    let mut text = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(", …");
    }
    text
}

/// The question about one class.
pub(super) struct Asked<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) spec: &'a Spec,
    pub(super) manifest: &'a Manifest,
    pub(super) engine: Engine,
    /// A target of the class, for messages.
    pub(super) example: &'a TargetId,
}

impl Asked<'_> {
    pub(super) fn steps(
        &self,
        before: &[Entry],
        notes: &mut Vec<String>,
    ) -> Result<Vec<Step>, Refusal> {
        let positions = before
            .iter()
            .map(|entry| self.locate(entry, notes))
            .collect::<Result<Vec<usize>, Refusal>>()?;
        match self.spec.direction {
            Direction::Up | Direction::Validate => up::steps(self, &positions),
            Direction::Down => down::steps(self, before, &positions),
        }
    }

    /// Where a migration in force stands in the bundle, if it is still the same there.
    fn locate(&self, entry: &Entry, notes: &mut Vec<String>) -> Result<usize, Refusal> {
        let Some(position) = self.manifest.position(&entry.version) else {
            return Err(Refusal::new(
                Kind::Unfit,
                format!(
                    "version {} is in force on {} and not in the bundle: a file is missing, or this \
                     is another project's directory",
                    entry.version, self.example
                ),
                "put the file back, or leave the target out",
            ));
        };
        let Some(migration) = self.manifest.migrations.get(position) else {
            return Err(Refusal::new(
                Kind::Invalid,
                "the bundle's list is broken",
                "store it again",
            ));
        };
        if migration.up.raw == entry.digest {
            return Ok(position);
        }
        if accepted(self.fleet, entry, migration) {
            let note = format!(
                "{} was edited after it was applied, and the edit was accepted",
                migration.up.file
            );
            if !notes.contains(&note) {
                notes.push(note);
            }
            return Ok(position);
        }
        if self.fleet.normalised.get(&entry.digest) == Some(&migration.up.normalised) {
            let note = format!(
                "{} was edited after it was applied; only comments or white space differ",
                migration.up.file
            );
            if !notes.contains(&note) {
                notes.push(note);
            }
            return Ok(position);
        }
        Err(Refusal::new(
            Kind::Unfit,
            format!(
                "{} was changed after version {} was applied to {} (digest then {}, now {})",
                migration.up.file,
                entry.version,
                self.example,
                entry.digest.short(),
                migration.up.raw.short()
            ),
            format!(
                "put the old text back and write the change as a new migration; where both texts \
                 come to the same: `skein repair accept-edited {}`",
                entry.version
            ),
        ))
    }

    /// The step that runs one script of a migration.
    pub(super) fn step(&self, position: usize, direction: Direction) -> Result<Step, Refusal> {
        let migration = self.manifest.migrations.get(position).ok_or_else(|| {
            Refusal::new(Kind::Invalid, "the bundle's list is broken", "store it again")
        })?;
        let script = match direction {
            Direction::Up | Direction::Validate => &migration.up,
            Direction::Down => migration.down.as_ref().ok_or_else(|| no_down(migration))?,
        };
        let facts = script.facts(self.engine).ok_or_else(|| {
            Refusal::new(
                Kind::Unfit,
                format!("{} was not read for {}", script.file, self.engine.as_str()),
                "read the bundle again with this release of skein",
            )
        })?;
        if !facts.refusal.is_empty() {
            return Err(Refusal::new(
                Kind::Unfit,
                facts.refusal.clone(),
                format!("mend {} and plan again", script.file),
            ));
        }
        let undo = match direction {
            Direction::Up if self.runs(migration.down.as_ref()) => Undo::Script,
            Direction::Up => Undo::Impossible,
            Direction::Down if self.runs(Some(&migration.up)) => Undo::Script,
            Direction::Down => Undo::Impossible,
            Direction::Validate => Undo::NotNeeded,
        };
        Ok(Step {
            migration: u32::try_from(position).unwrap_or(u32::MAX),
            entry: Entry { version: migration.version.clone(), digest: migration.up.raw },
            name: migration.name.clone(),
            direction,
            mode: facts.mode,
            mode_why: facts.why.clone(),
            locks: facts.locks.clone(),
            destructive: facts.destructive,
            undo,
            verify: migration.verify && direction != Direction::Down,
            file: script.file.clone(),
        })
    }

    fn runs(&self, script: Option<&Script>) -> bool {
        script
            .and_then(|script| script.facts(self.engine))
            .is_some_and(|facts| facts.refusal.is_empty())
    }
}

fn no_down(migration: &Migration) -> Refusal {
    Refusal::new(
        Kind::Unfit,
        format!(
            "version {} ({}) has no down script: nothing but a restored backup takes it back",
            migration.version, migration.up.file
        ),
        "write the down script, or see `skein backup restore`",
    )
}
