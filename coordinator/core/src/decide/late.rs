//! Targets that come while a rollout is under way: new ones, and those that nobody could look at when it was
//! planned. Each joins it with what it owes, or is waited for, or the rollout has nothing to do with it.

use std::collections::BTreeMap;

use super::{part, repair, rollout, unwind};
use crate::command::{Ask, Meant};
use crate::event::Body;
use crate::ids::{ClassIx, LaneIx, Millis, RolloutId, TargetId, TargetIx, Version, WaveIx};
use crate::plan::{self, Class, Plan, Step, Undo};
use crate::refusal::{Kind, Refusal};
use crate::spec::{Selector, Spec};
use crate::state::Fleet;
use crate::state::ledger::{Entry, EntryIx};
use crate::state::repair::Verb;
use crate::state::rollout::{State, Status};
use crate::state::target;

/// At most so many are settled by one event.
const AT_ONCE: usize = 1_000;

/// What becomes of one target.
enum Fate {
    /// It gets a lane with these steps.
    Joins(Class),
    /// It is meant, and cannot join yet.
    Awaited(String),
    /// Its schema is that of targets at this version, and it has no ledger: it gets one first.
    Adopted(Version),
    /// It is not meant, or owes nothing.
    Settled,
}

pub(super) fn settle(
    fleet: &Fleet,
    id: RolloutId,
    meant: &Meant,
    now: Millis,
) -> Result<Vec<Body>, Refusal> {
    let state = rollout(fleet, id)?;
    let called_in = call_in(fleet, state, now);
    if !called_in.is_empty() {
        return Ok(called_in);
    }
    if !state.takes_late_ones() || state.arrived().next().is_none() {
        return Err(nobody(id));
    }
    let spec = match meant {
        Meant::AsPlanned | Meant::Unknown(_) => &state.plan.spec,
        Meant::Found(spec, _) => spec,
    };
    let was_asked = |target: &target::State| match meant {
        Meant::AsPlanned | Meant::Unknown(_) => true,
        Meant::Found(_, asked) => asked.contains(&target.id),
    };
    let mut answer = Answer { state, classes: Vec::new(), joined: Vec::new() };
    let (mut awaited, mut settled) = (Vec::new(), Vec::new());
    let mut adopted: BTreeMap<Version, Vec<TargetId>> = BTreeMap::new();
    let arrived = state.arrived().filter_map(|ix| Some((ix, fleet.targets.get(ix)?)));
    for (ix, target) in arrived.filter(|(_, target)| was_asked(target)).take(AT_ONCE) {
        let fate = match meant {
            Meant::Unknown(why) => {
                Fate::Awaited(format!("nobody can tell whether it is meant: {why}"))
            }
            Meant::AsPlanned | Meant::Found(..) => fate(fleet, (state, spec), (ix, target)),
        };
        match fate {
            Fate::Joins(class) => answer.join(spec, target, class),
            Fate::Awaited(why) => awaited.push((target.id.clone(), why)),
            Fate::Settled => settled.push(target.id.clone()),
            Fate::Adopted(version) => adopted.entry(version).or_default().push(target.id.clone()),
        }
    }
    let mut bodies = Vec::new();
    // One repair at one time: the others have come still, and are asked about again.
    if let Some((version, targets)) = adopted.into_iter().next() {
        let (fit, unfit) = adoptable(fleet, spec, (&version, targets));
        let why = format!(
            "it has no ledger, and its schema is that of targets at {version}: it gets one"
        );
        if !fit.is_empty() {
            bodies.extend(adopt(fleet, spec, (&version, &fit))?);
        }
        awaited.extend(fit.into_iter().map(|target| (target, why.clone())));
        awaited.extend(unfit.into_iter().map(|(target, why)| {
            let why = by_hand((&version, &target, id), &why);
            (target, why)
        }));
    }
    let Answer { classes, joined, .. } = answer;
    if joined.is_empty() && awaited.is_empty() && settled.is_empty() {
        return Err(nobody(id));
    }
    let said =
        part::joined(fleet, state, &joined).into_iter().chain(part::still(fleet, state, &joined));
    bodies.push(Body::ArrivalsSettled { rollout: id, classes, joined, awaited, settled });
    bodies.extend(said);
    Ok(bodies)
}

/// Those that somebody left out until a time that has passed: with a lane they are tried again, without one, or where
/// others have moved them since, they are waited for, and asked about like all that come.
fn call_in(fleet: &Fleet, state: &State, now: Millis) -> Vec<Body> {
    let (mut targets, mut awaited) = (Vec::new(), Vec::new());
    let lapsed = state.lapsed(&fleet.targets, now).filter(|_| state.status == Status::Running);
    for (target, lane) in lapsed {
        if lane.is_some_and(|lane| goes_on(fleet, state, (target, lane))) {
            targets.push(target.id.clone());
        } else {
            let why = "it was left out until a time that has passed".to_owned();
            awaited.push((target.id.clone(), why));
        }
    }
    let rollout = state.id;
    let tried = (!targets.is_empty()).then_some(Body::TargetsRetried { rollout, targets });
    let waited = (!awaited.is_empty()).then(|| Body::ArrivalsSettled {
        rollout,
        classes: Vec::new(),
        joined: Vec::new(),
        awaited,
        settled: Vec::new(),
    });
    tried.into_iter().chain(waited).collect()
}

/// The rollout has the target still, or may have it again: nobody else has had it since, and it stands as it was left.
fn goes_on(fleet: &Fleet, state: &State, (target, ix): (&target::State, LaneIx)) -> bool {
    let ours = Some((state.id, ix));
    if target.lane.is_some() {
        return target.lane == ours;
    }
    let free = target.last == ours && target.may_work(state.plan.spec.accept_drift).is_ok();
    let lane = state.lanes.get(ix).filter(|_| free);
    lane.is_some_and(|lane| unwind::stands(fleet, state, lane))
}

fn nobody(id: RolloutId) -> Refusal {
    Refusal::new(
        Kind::Conflict,
        format!("nobody has come who could join {id}"),
        "the scheduler asks again",
    )
}

/// Who joins, with classes that the rollout does not have yet.
struct Answer<'a> {
    state: &'a State,
    classes: Vec<Class>,
    joined: Vec<(TargetId, WaveIx, ClassIx)>,
}

impl Answer<'_> {
    fn join(&mut self, spec: &Spec, target: &target::State, class: Class) {
        let Plan { classes: planned, .. } = &*self.state.plan;
        let mut known = planned.iter().chain(self.state.late.iter()).chain(&self.classes);
        let same = |known: &Class| {
            (known.engine, &known.before, &known.steps)
                == (class.engine, &class.before, &class.steps)
        };
        let number = known.position(same);
        let wave = plan::place(
            (&self.state.plan, spec, self.state.opened),
            &class,
            (&target.id, &target.description),
        );
        let number = number.unwrap_or_else(|| {
            let count = planned.len() + self.state.late.len() + self.classes.len();
            self.classes.push(class);
            count
        });
        let number = ClassIx(u32::try_from(number).unwrap_or(u32::MAX));
        self.joined.push((target.id.clone(), wave, number));
    }
}

fn fate(
    fleet: &Fleet,
    (state, spec): (&State, &Spec),
    (ix, target): (TargetIx, &target::State),
) -> Fate {
    let gone = target.retired || state.exempt.contains_key(&ix);
    if gone || !spec.selector.matches(&target.id, &target.description) {
        return Fate::Settled;
    }
    if let Some((other, _)) = target.lane {
        if other == state.id {
            return Fate::Settled;
        }
        return Fate::Awaited(format!("it is part of {other}, which has not ended"));
    }
    if let Some(why) = plan::absent(target) {
        return Fate::Awaited(why);
    }
    // Who has everything, whatever else it has, owes nothing.
    if plan::owes(fleet, spec, target).is_ok_and(|owed| owed.is_empty()) {
        return Fate::Settled;
    }
    if target.problem.is_empty() && target.mend.is_none() {
        match head(fleet, spec, target) {
            Head::Proved => {}
            // Whoever accepts what was changed by hand accepts this, too.
            Head::Unproved(_) if spec.accept_drift => {}
            Head::At(version) => {
                return match tried(fleet, spec, (&version, target)) {
                    Some(why) => Fate::Awaited(by_hand((&version, &target.id, state.id), &why)),
                    None => Fate::Adopted(version),
                };
            }
            Head::Unproved(why) => return Fate::Awaited(why),
        }
    }
    match plan::late_class(fleet, spec, target) {
        Err(refusal) => Fate::Awaited(refusal.what),
        Ok(class) if class.steps.is_empty() => Fate::Settled,
        Ok(class) => match unwaived(fleet, state, &class) {
            Some(why) => Fate::Awaited(why),
            None => Fate::Joins(class),
        },
    }
}

/// What the schema of a target that no rollout has worked on says of where it stands.
enum Head {
    /// Where its ledger says, as far as the log knows schemas.
    Proved,
    /// Its ledger says nothing, and it stands at this version.
    At(Version),
    /// Neither.
    Unproved(String),
}

fn head(fleet: &Fleet, spec: &Spec, target: &target::State) -> Head {
    let Some(schema) = target.fingerprint.filter(|_| target.last.is_none()) else {
        return Head::Proved;
    };
    let engine = target.description.engine;
    let ledger = target.in_force();
    let spell = |ledger: &[EntryIx]| fleet.entries.spell(ledger).cloned().collect::<Vec<_>>();
    if !ledger.is_empty() {
        let known = fleet.schemas.of(engine, ledger);
        if known.is_empty() || known.contains(&schema) {
            return Head::Proved;
        }
        let newest = spell(ledger).pop().map(|entry| entry.version.to_string());
        return Head::Unproved(format!(
            "its ledger says that {} is in force, and its schema is not that of targets there",
            newest.unwrap_or_default()
        ));
    }
    let mut standing = fleet.schemas.standing(engine, schema);
    let Some(first) = standing.next() else { return Head::Proved };
    if first.is_empty() {
        return Head::Proved;
    }
    if standing.next().is_some() {
        return Head::Unproved(
            "it has no ledger, and its schema is that of targets at more than one version"
                .to_owned(),
        );
    }
    match newest_of(fleet, spec, &spell(first)) {
        Some(version) => Head::At(version),
        None => Head::Unproved(
            "it has no ledger, and its schema is that of targets of other migrations".to_owned(),
        ),
    }
}

/// The newest of migrations that are the first ones of a bundle.
fn newest_of(fleet: &Fleet, spec: &Spec, in_force: &[Entry]) -> Option<Version> {
    let manifest = fleet.bundles.get(&spec.bundle)?;
    let first = manifest.migrations.get(..in_force.len())?;
    let all = first.iter().all(|migration| {
        in_force.iter().any(|entry| {
            entry.version == migration.version && plan::is_same(fleet, entry, migration)
        })
    });
    first.last().filter(|_| all).map(|migration| migration.version.clone())
}

fn adopt(
    fleet: &Fleet,
    spec: &Spec,
    (version, targets): (&Version, &[TargetId]),
) -> Result<Vec<Body>, Refusal> {
    let ask = Ask {
        verb: Verb::Adopt,
        versions: vec![version.clone()],
        bundle: spec.bundle,
        selector: Selector {
            targets: targets.iter().map(ToString::to_string).collect(),
            ..Selector::default()
        },
        waiver: String::new(),
    };
    repair::on_request(fleet, &ask)
}

/// Those that can get their ledgers by one repair, and why the others cannot.
fn adoptable(
    fleet: &Fleet,
    spec: &Spec,
    (version, targets): (&Version, Vec<TargetId>),
) -> (Vec<TargetId>, Vec<(TargetId, String)>) {
    if adopt(fleet, spec, (version, &targets)).is_ok() {
        return (targets, Vec::new());
    }
    let (mut fit, mut unfit) = (Vec::new(), Vec::new());
    for target in targets {
        match adopt(fleet, spec, (version, std::slice::from_ref(&target))) {
            Ok(_) => fit.push(target),
            Err(refusal) => unfit.push((target, refusal.what)),
        }
    }
    (fit, unfit)
}

/// What came of the same repair when it was tried: while neither the schema nor the migrations are others, it
/// would come to the same. `None`: it was not.
fn tried(
    fleet: &Fleet,
    spec: &Spec,
    (version, target): (&Version, &target::State),
) -> Option<String> {
    let tried = target.unadopted.as_ref().filter(|it| it.schema == target.fingerprint)?;
    let repair = fleet.repairs.get(&tried.repair)?;
    let same = repair.order.bundle == spec.bundle && repair.order.versions == [version.clone()];
    let line = repair.lines.get(usize::try_from(tried.line).ok()?).filter(|_| same)?;
    Some(format!("{} came to nothing: {}", repair.id, line.note))
}

/// Why a target gets no ledger by itself, and what somebody can do about it.
fn by_hand((version, target, rollout): (&Version, &TargetId, RolloutId), why: &str) -> String {
    format!(
        "it has no ledger, and its schema is that of targets at {version}, but {why}. Look at it; then \
         say so (`skein repair adopt {version} --on {target} --waive WHY`), or leave it out (`skein repair \
         skip {rollout} --on {target} --waive WHY`)"
    )
}

/// A step that nothing undoes, and that the charter does not allow or nobody took responsibility for when the
/// rollout was started.
fn unwaived(fleet: &Fleet, state: &State, class: &Class) -> Option<String> {
    let strict = fleet.policy().refuse_irreversible;
    let waived = |step: &Step| {
        let version = step.entry.version.as_str();
        state.waivers.iter().any(|waiver| waiver.step == "*" || waiver.step == version)
    };
    let open = class
        .steps
        .iter()
        .find(|step| step.undo == Undo::Impossible && (strict || !waived(step)))?;
    let why = if strict { "the charter allows none" } else { "nobody took responsibility for it" };
    Some(format!("its step {} cannot be undone, and {why}", open.entry.version))
}
