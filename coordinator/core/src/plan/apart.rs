//! Targets that stand apart: in a state that nobody knows, of which a plan must not be silent.
//!
//! A target stands apart when it is held (it is not what the log says), when a rollout never worked on it and
//! targets of the same engine and release with the same migrations in force have another schema, or when its
//! ledger has what neither the bundle nor any rollout knows. Where nothing is in force there is nothing that
//! two databases would have to be alike by: they are not compared.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Block, Cause, Nearest, late, make};
use crate::bundle::Manifest;
use crate::ids::{Digest, TargetId, Version};
use crate::refusal::{Kind, Refusal};
use crate::spec::{Engine, Spec};
use crate::state::Fleet;
use crate::state::ledger::EntryIx;
use crate::state::target::State;

/// So many members of a known class are named: one of them is there to be compared with.
const EXAMPLES: usize = 5;

/// The selected targets that stand apart, one block for those of one engine with one ledger and one schema,
/// in the order of their first ids.
pub fn blocks(fleet: &Fleet, spec: &Spec) -> Vec<Block> {
    let Some(manifest) = fleet.bundles.get(&spec.bundle) else { return Vec::new() };
    let seen = || fleet.targets.iter().map(|(_, target)| target).filter(|it| is_there(it));
    let chosen: Vec<&State> =
        seen().filter(|target| spec.selector.matches(&target.id, &target.description)).collect();
    if chosen.iter().all(|target| !may_stand_apart(target)) {
        return Vec::new();
    }
    let crowd = Crowd::of(fleet, seen());
    let mut blocks: Vec<(Shape<'_>, Block)> = Vec::new();
    let mut known: BTreeMap<Shape<'_>, usize> = BTreeMap::new();
    for target in chosen {
        let Some(cause) = crowd.cause(manifest, target) else { continue };
        let shape = Shape::of(target);
        let at = *known.entry(shape).or_insert_with(|| {
            let ledger = fleet.entries.spell(shape.ledger).cloned().collect();
            let (engine, schema) = (shape.engine, shape.schema);
            let targets = Vec::new();
            blocks.push((shape, Block { engine, ledger, schema, targets, cause, nearest: None }));
            blocks.len() - 1
        });
        if let Some((_, block)) = blocks.get_mut(at) {
            block.targets.push(target.id.clone());
        }
    }
    if blocks.is_empty() {
        return Vec::new();
    }
    let classes = crowd.classes(manifest, seen());
    let near = |(shape, mut block): (Shape<'_>, Block)| {
        let version = block.targets.first().and_then(|id| fleet.target(id));
        let version = version.map_or("", |(_, target)| &target.engine_version);
        block.nearest = nearest(fleet, (shape, version), &classes);
        block
    };
    blocks.into_iter().map(near).collect()
}

/// Refuses a plan of targets that stand apart. What only the bundle does not know is refused where its steps
/// are looked for, with the file that lacks.
pub(super) fn check(fleet: &Fleet, spec: &Spec) -> Result<(), Refusal> {
    let mut blocks = blocks(fleet, spec);
    blocks.retain(|block| !matches!(block.cause, Cause::Foreign(_)));
    let targets: usize = blocks.iter().map(|block| block.targets.len()).sum();
    let next = "see how each block differs, then mend the targets, leave them out, or plan with \
                --accept-drift";
    match blocks.as_slice() {
        [] => Ok(()),
        [block] if targets == 1 => {
            let target = block.targets.first().and_then(|id| fleet.target(id));
            if let Some((_, target)) = target.filter(|(_, target)| !target.problem.is_empty()) {
                return target.may_work(false);
            }
            let id = make::few(&names(&block.targets));
            Err(Refusal::new(
                Kind::Drift,
                format!("target {id} stands apart: {}", block.cause),
                next,
            ))
        }
        [..] => {
            let told: Vec<String> = blocks
                .iter()
                .map(|block| format!("{} ({})", make::few(&names(&block.targets)), block.cause))
                .collect();
            let told: Vec<&str> = told.iter().map(String::as_str).collect();
            let alike = match blocks.len() {
                1 => "alike".to_owned(),
                many => format!("in {many} blocks"),
            };
            Err(Refusal::new(
                Kind::Drift,
                format!("{targets} targets stand apart, {alike}: {}", make::few(&told)),
                next,
            ))
        }
    }
}

fn names(ids: &[TargetId]) -> Vec<&str> {
    ids.iter().map(TargetId::as_str).collect()
}

/// Somebody has looked at it, and could.
fn is_there(target: &State) -> bool {
    !target.retired && late::absent(target).is_none() && target.mend.is_none()
}

/// Most targets of a fleet at work do not, and nothing has to be counted for them.
fn may_stand_apart(target: &State) -> bool {
    !target.problem.is_empty() || (target.last.is_none() && !target.in_force().is_empty())
}

/// What makes a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Shape<'a> {
    engine: Engine,
    ledger: &'a [EntryIx],
    schema: Option<Digest>,
}

impl<'a> Shape<'a> {
    fn of(target: &'a State) -> Self {
        let seen = target.seen.as_ref().map(|seen| seen.fingerprint);
        Self {
            engine: target.description.engine,
            ledger: target.in_force(),
            schema: seen.or(target.fingerprint),
        }
    }
}

/// Targets whose schemas can be compared: catalogues word one schema differently from release to release, and
/// where the target is one schema of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kin<'a> {
    engine: Engine,
    version: &'a str,
    one_schema: bool,
    ledger: &'a [EntryIx],
}

impl<'a> Kin<'a> {
    fn of(target: &'a State) -> Self {
        Self {
            engine: target.description.engine,
            version: &target.engine_version,
            // Agents name the database, and behind it the schema that a target is.
            one_schema: target.identity.contains(") schema "),
            ledger: target.in_force(),
        }
    }
}

/// Those of one kin that have one schema.
#[derive(Debug, Clone, Copy)]
struct Alike<'a> {
    count: u32,
    first: &'a TargetId,
    /// A rollout brought one of them there, or others before.
    proven: bool,
}

/// Everybody who is sound.
struct Crowd<'a> {
    fleet: &'a Fleet,
    kin: BTreeMap<Kin<'a>, BTreeMap<Digest, Alike<'a>>>,
    /// Ledgers that rollouts have left, by engine.
    left: BTreeSet<(Engine, &'a [EntryIx])>,
}

impl<'a> Crowd<'a> {
    fn of(fleet: &'a Fleet, seen: impl Iterator<Item = &'a State>) -> Self {
        let mut crowd = Self { fleet, kin: BTreeMap::new(), left: BTreeSet::new() };
        for target in seen.filter(|target| target.problem.is_empty()) {
            if target.last.is_some() {
                crowd.left.insert((target.description.engine, target.in_force()));
            }
            let Some(schema) = Shape::of(target).schema else { continue };
            let proven = target.last.is_some() || crowd.is_proven(target, schema);
            let alike = crowd.kin.entry(Kin::of(target)).or_default();
            let alike =
                alike.entry(schema).or_insert(Alike { count: 0, first: &target.id, proven });
            alike.count += 1;
            alike.proven |= proven;
        }
        crowd
    }

    fn is_proven(&self, target: &State, schema: Digest) -> bool {
        let engine = target.description.engine;
        self.fleet.schemas.of(engine, target.in_force()).contains(&schema)
    }

    /// Why a target stands apart; `None`: it does not.
    fn cause(&self, manifest: &Manifest, target: &State) -> Option<Cause> {
        if !target.problem.is_empty() {
            return Some(Cause::Held(target.problem.clone()));
        }
        if target.last.is_some() || target.in_force().is_empty() {
            return None;
        }
        if let Some(version) = self.foreign(manifest, target) {
            return Some(Cause::Foreign(version));
        }
        let schema = Shape::of(target).schema?;
        let alike = self.kin.get(&Kin::of(target))?;
        if alike.get(&schema).is_some_and(|mine| mine.proven) {
            return None;
        }
        let known: Vec<&Alike<'_>> = alike.values().filter(|group| group.proven).collect();
        if !known.is_empty() {
            let others = known.iter().map(|group| group.count).sum();
            return Some(Cause::Unlike(others));
        }
        // Nobody has proved anything: the commonest is right, the one with the lowest id where two are as
        // common.
        let (usual, group) =
            alike.iter().max_by_key(|(_, group)| (group.count, Reverse(group.first)))?;
        (*usual != schema).then_some(Cause::Unlike(group.count))
    }

    /// The first entry of its ledger that neither the bundle has nor a rollout left anywhere.
    fn foreign(&self, manifest: &Manifest, target: &State) -> Option<Version> {
        let (engine, ledger) = (target.description.engine, target.in_force());
        let mut entries = self.fleet.entries.spell(ledger);
        let foreign = entries.find(|entry| {
            let place = manifest.position(&entry.version);
            let migration = place.and_then(|at| manifest.migrations.get(at));
            !migration.is_some_and(|migration| make::is_same(self.fleet, entry, migration))
        })?;
        let known = self.left.range((engine, ledger)..).next();
        let known = known.is_some_and(|(other, left)| *other == engine && left.starts_with(ledger));
        (!known).then(|| foreign.version.clone())
    }

    /// The classes that are known: whoever does not stand apart.
    fn classes(
        &self,
        manifest: &Manifest,
        seen: impl Iterator<Item = &'a State>,
    ) -> BTreeMap<(Shape<'a>, &'a str), Vec<&'a TargetId>> {
        let mut classes: BTreeMap<_, Vec<&TargetId>> = BTreeMap::new();
        for target in seen {
            let shape = Shape::of(target);
            if shape.schema.is_some() && self.cause(manifest, target).is_none() {
                let class = (shape, target.engine_version.as_str());
                classes.entry(class).or_default().push(&target.id);
            }
        }
        classes
    }
}

/// Of the same engine the class with the fewest other entries in its ledger; then one of the same release,
/// the largest, and the one with the lowest id.
fn nearest(
    fleet: &Fleet,
    (shape, version): (Shape<'_>, &str),
    classes: &BTreeMap<(Shape<'_>, &str), Vec<&TargetId>>,
) -> Option<Nearest> {
    let mine: BTreeSet<&EntryIx> = shape.ledger.iter().collect();
    let distance = |ledger: &[EntryIx]| {
        let theirs: BTreeSet<&EntryIx> = ledger.iter().collect();
        mine.symmetric_difference(&theirs).count()
    };
    let same_engine = classes.iter().filter(|((class, _), _)| class.engine == shape.engine);
    let ((class, _), members) = same_engine.min_by_key(|((class, release), members)| {
        let first = members.first().copied();
        (distance(class.ledger), *release != version, Reverse(members.len()), first)
    })?;
    Some(Nearest {
        ledger: fleet.entries.spell(class.ledger).cloned().collect(),
        schema: class.schema?,
        members: u32::try_from(members.len()).unwrap_or(u32::MAX),
        examples: members.iter().take(EXAMPLES).map(|id| (*id).clone()).collect(),
    })
}
