//! What a repair would change on which targets, and on what evidence: computed once per class.

use std::collections::{BTreeMap, BTreeSet};

use crate::bundle::{Manifest, Migration};
use crate::command::Ask;
use crate::ids::{TargetIx, Version};
use crate::plan;
use crate::refusal::{Kind, Refusal};
use crate::spec::{Direction, Engine};
use crate::state::Fleet;
use crate::state::ledger::{Entry, EntryIx};
use crate::state::repair::{Change, Class, Evidence, Order, Verb};
use crate::state::target;

/// What a repair would change, before anything is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Classes and targets.
    pub order: Order,
    /// For each target on what its changes would rest; `None`: there is no evidence. A probe is only known
    /// to be there: its agent asks it.
    pub evidence: Vec<Option<Evidence>>,
    /// Versions that the schema tells nothing of, though it is the right one, and that have no probe.
    pub untold: BTreeSet<Version>,
    /// Selected targets whose ledgers say so already.
    pub settled: u32,
}

/// Drafts a repair.
///
/// # Errors
/// The bundle or a version is not there; no target is selected; a target was not looked at, or is in other
/// hands; a ledger does not allow it.
pub fn draft(fleet: &Fleet, ask: &Ask) -> Result<Draft, Refusal> {
    let manifest = manifest(fleet, ask)?;
    let mut draft = Draft {
        order: Order {
            verb: ask.verb,
            versions: ask.versions.clone(),
            bundle: ask.bundle,
            waiver: ask.waiver.clone(),
            classes: Vec::new(),
            targets: Vec::new(),
        },
        evidence: Vec::new(),
        untold: BTreeSet::new(),
        settled: 0,
    };
    let mut known: BTreeMap<(Engine, &[EntryIx], bool), Option<u32>> = BTreeMap::new();
    for (_, target) in selected(fleet, ask)? {
        may_mend(target, ask)?;
        let half = target.half;
        let key = (target.description.engine, target.in_force(), half);
        let class = if let Some(class) = known.get(&key) {
            *class
        } else {
            let before = fleet.entries.spell(target.in_force()).cloned().collect();
            let asked = Asked { fleet, ask, manifest, target };
            let class = asked.class(before, half)?.map(|class| {
                let number = u32::try_from(draft.order.classes.len()).unwrap_or(u32::MAX);
                draft.order.classes.push(class);
                number
            });
            known.insert(key, class);
            class
        };
        let Some(number) = class else {
            draft.settled += 1;
            continue;
        };
        let class = usize::try_from(number).ok().and_then(|ix| draft.order.classes.get(ix));
        let rests = class.map(|class| evidence((manifest, target), class, &ask.waiver));
        draft.evidence.push(match rests {
            Some(Rests::On(evidence)) => Some(evidence),
            Some(Rests::Untold(versions)) => {
                draft.untold.extend(versions.into_iter().cloned());
                None
            }
            Some(Rests::OnNothing) | None => None,
        });
        draft.order.targets.push((target.id.clone(), number));
    }
    Ok(draft)
}

pub(super) fn manifest<'a>(fleet: &'a Fleet, ask: &Ask) -> Result<&'a Manifest, Refusal> {
    fleet.bundles.get(&ask.bundle).map(AsRef::as_ref).ok_or_else(|| {
        Refusal::new(
            Kind::Missing,
            format!("bundle {} is not stored", ask.bundle.short()),
            "store it first: `skein repair` does so by itself",
        )
    })
}

pub(super) fn selected<'a>(
    fleet: &'a Fleet,
    ask: &Ask,
) -> Result<Vec<(TargetIx, &'a target::State)>, Refusal> {
    let chosen: Vec<_> = fleet
        .targets
        .iter()
        .filter(|(_, target)| {
            !target.retired && ask.selector.matches(&target.id, &target.description)
        })
        .collect();
    if chosen.is_empty() {
        return Err(Refusal::new(
            Kind::Missing,
            "the selector matches no target",
            "`skein targets` lists ids and labels",
        ));
    }
    Ok(chosen)
}

/// Nobody else has the target, and what is known of it is what is there.
fn may_mend(target: &target::State, ask: &Ask) -> Result<(), Refusal> {
    let id = &target.id;
    if let Some((rollout, _)) = target.lane {
        return Err(Refusal::new(
            Kind::Conflict,
            format!("target {id} is part of {rollout}, which has not ended"),
            format!("wait for it to end; `skein repair skip {rollout}` lets it end without {id}"),
        ));
    }
    target.unmended()?;
    if target.observed_at.is_none() || target.unreachable {
        return Err(Refusal::new(
            Kind::Unfit,
            format!("target {id} was not looked at{}", because(&target.problem)),
            "start an agent that serves it, or select others; `skein targets observe` looks again",
        ));
    }
    if target.doubt.is_some() {
        return Err(Refusal::new(
            Kind::Drift,
            format!("target {id} is held: {}; nobody has looked since", target.problem),
            "`skein targets observe` looks: what it finds is what can be repaired",
        ));
    }
    let moved = target
        .seen
        .as_ref()
        .is_some_and(|seen| !target.identity.is_empty() && seen.identity != target.identity);
    if moved && ask.waiver.is_empty() {
        return Err(Refusal::new(
            Kind::Drift,
            format!("target {id} is held: {}", target.problem),
            "correct its URL; where the move was meant, say so: --waive \"why\"",
        ));
    }
    Ok(())
}

fn because(problem: &str) -> String {
    if problem.is_empty() { String::new() } else { format!(": {problem}") }
}

/// On what the changes of one target would rest.
enum Rests<'a> {
    On(Evidence),
    /// The schema is the right one, and tells nothing of these.
    Untold(Vec<&'a Version>),
    OnNothing,
}

/// As its agent finds it: the right schema tells of what changes schemas, and of the rest its author's probe.
fn evidence<'a>(
    (manifest, target): (&Manifest, &target::State),
    class: &'a Class,
    waiver: &str,
) -> Rests<'a> {
    let schema = target.seen.as_ref().map(|seen| seen.fingerprint).or(target.fingerprint);
    let known = schema.is_some_and(|schema| class.schemas.contains(&schema));
    let told = |change: &&Change| known && defines(manifest, class.engine, change);
    let untold: Vec<&Change> = class.changes.iter().filter(|change| !told(change)).collect();
    if untold.is_empty() {
        Rests::On(Evidence::Schema)
    } else if untold.iter().all(|change| change.probe) {
        Rests::On(Evidence::Probe)
    } else if !waiver.is_empty() {
        Rests::On(Evidence::Waiver)
    } else if known {
        let bare = untold.into_iter().filter(|change| !change.probe);
        Rests::Untold(bare.map(|change| &change.entry.version).collect())
    } else {
        Rests::OnNothing
    }
}

/// Whether a schema tells of a change; where nobody has said, its agent will.
fn defines(manifest: &Manifest, engine: Engine, change: &Change) -> bool {
    let place = usize::try_from(change.migration).ok();
    let migration = place.and_then(|place| manifest.migrations.get(place));
    let facts = migration.and_then(|migration| migration.up.facts(engine));
    facts.and_then(|facts| facts.defines).unwrap_or(true)
}

/// The question about one class.
struct Asked<'a> {
    fleet: &'a Fleet,
    ask: &'a Ask,
    manifest: &'a Manifest,
    /// One of its targets, for messages and the engine.
    target: &'a target::State,
}

impl Asked<'_> {
    /// `None`: the ledger says so already.
    fn class(&self, before: Vec<Entry>, half: bool) -> Result<Option<Class>, Refusal> {
        let changes = match self.ask.verb {
            Verb::Applied => self.applied(&before)?,
            Verb::NotApplied => self.not_applied(&before, half)?,
            Verb::Adopt => self.adopt(&before)?,
        };
        if changes.is_empty() {
            return Ok(None);
        }
        let engine = self.target.description.engine;
        let mut class = Class { engine, before, changes, schemas: Vec::new() };
        let after: Option<Vec<EntryIx>> =
            class.after().iter().map(|entry| self.fleet.entries.find(entry)).collect();
        if let Some(after) = after {
            class.schemas = self.fleet.schemas.proof(engine, &after);
        }
        Ok(Some(class))
    }

    fn migration(&self, version: &Version) -> Result<(usize, &Migration), Refusal> {
        let place = self.manifest.position(version);
        place.and_then(|at| Some((at, self.manifest.migrations.get(at)?))).ok_or_else(|| {
            Refusal::new(
                Kind::Missing,
                format!("the migrations have no version {version}"),
                "versions are written as their files have them; `skein plan` shows them",
            )
        })
    }

    fn change(&self, place: usize, entry: Entry, direction: Direction) -> Change {
        let probe = self.manifest.migrations.get(place).is_some_and(|migration| migration.probe);
        let migration = u32::try_from(place).unwrap_or(u32::MAX);
        Change { migration, entry, direction, probe }
    }

    fn up(&self, place: usize, migration: &Migration) -> Change {
        let entry = Entry { version: migration.version.clone(), digest: migration.up.raw };
        self.change(place, entry, Direction::Up)
    }

    fn applied(&self, before: &[Entry]) -> Result<Vec<Change>, Refusal> {
        let mut changes = Vec::new();
        for version in &self.ask.versions {
            let (place, migration) = self.migration(version)?;
            match before.iter().find(|entry| entry.version == *version) {
                Some(entry) if plan::is_same(self.fleet, entry, migration) => {}
                Some(_) => {
                    return Err(Refusal::new(
                        Kind::Unfit,
                        format!(
                            "version {version} is in force on {} with another text than {}",
                            self.target.id, migration.up.file
                        ),
                        format!("see `skein repair accept-edited {version}`"),
                    ));
                }
                None => changes.push(self.up(place, migration)),
            }
        }
        changes.sort_by_key(|change| change.migration);
        changes.dedup();
        Ok(changes)
    }

    fn not_applied(&self, before: &[Entry], half: bool) -> Result<Vec<Change>, Refusal> {
        let asked = |entry: &&Entry| self.ask.versions.contains(&entry.version);
        let mut changes = Vec::new();
        for entry in before.iter().rev().filter(asked) {
            let place = self.manifest.position(&entry.version).unwrap_or(usize::MAX);
            changes.push(self.change(place, entry.clone(), Direction::Down));
        }
        let newest = before.iter().rev().take(changes.len()).filter(asked).count();
        if newest < changes.len() && self.ask.waiver.is_empty() {
            let names: Vec<&str> =
                changes.iter().map(|change| change.entry.version.as_str()).collect();
            return Err(Refusal::new(
                Kind::Unfit,
                format!(
                    "{} would leave the ledger of {} with what was applied on top of it",
                    plan::few(&names),
                    self.target.id
                ),
                "name the later versions too, or say why it is right so: --waive \"why\"",
            ));
        }
        // A step that was begun stands in no ledger.
        for version in self.ask.versions.iter().filter(|_| half) {
            if before.iter().all(|entry| entry.version != *version) {
                let (place, migration) = self.migration(version)?;
                let change = Change { direction: Direction::Down, ..self.up(place, migration) };
                changes.insert(0, change);
            }
        }
        Ok(changes)
    }

    fn adopt(&self, before: &[Entry]) -> Result<Vec<Change>, Refusal> {
        let Some(version) = self.ask.versions.first().filter(|_| self.ask.versions.len() == 1)
        else {
            return Err(Refusal::new(
                Kind::Invalid,
                "a database is adopted at one version",
                "name the newest version that is in force there",
            ));
        };
        let (place, _) = self.migration(version)?;
        let up_to = || self.manifest.migrations.iter().take(place + 1);
        if before.iter().map(|entry| &entry.version).eq(up_to().map(|one| &one.version)) {
            return Ok(Vec::new());
        }
        if !before.is_empty() {
            let names: Vec<&str> = before.iter().map(|entry| entry.version.as_str()).collect();
            return Err(Refusal::new(
                Kind::Conflict,
                format!(
                    "target {} has a ledger, with {} in force: only a database without one is \
                     adopted",
                    self.target.id,
                    plan::few(&names)
                ),
                "leave it out; `skein repair applied` adds single versions to a ledger",
            ));
        }
        Ok(up_to().enumerate().map(|(place, migration)| self.up(place, migration)).collect())
    }
}
