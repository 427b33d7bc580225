//! What must hold of every state, whatever led to it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use skein_core::event::{Body, Event};
use skein_core::forecast::{self, Amount};
use skein_core::ids::{AgentId, Fence, RolloutId, TargetId, TargetIx, WaveIx};
use skein_core::state::Fleet;
use skein_core::state::rollout::{Phase, Place, State, Status};
use skein_core::state::sums::Sums;
use skein_core::state::work::Hands;
use skein_core::state::{repair, target};

/// All of them, on one state.
pub(crate) fn holds(fleet: &Fleet) {
    for state in fleet.rollouts.values() {
        counters(state);
        waves(state);
        awaited(state);
        ahead(fleet, state);
    }
    queues(fleet);
    repairs(fleet);
    leases(fleet);
    holders(fleet);
    sums(fleet);
}

/// Counters are what counting the lanes gives.
fn counters(state: &State) {
    let mut total = [0_u32; Phase::COUNT];
    let mut waves = vec![[0_u32; Phase::COUNT]; state.counts.len()];
    let mut in_force = 0;
    for (_, lane) in state.lanes.iter() {
        total[lane.phase.index()] += 1;
        waves[usize::try_from(lane.wave.0).expect("small")][lane.phase.index()] += 1;
        in_force += u64::from(lane.applied);
        assert!(lane.verified <= lane.applied || state.trial(), "{}: {lane:?}", state.id);
        assert!(lane.applied <= state.steps(lane), "{}: {lane:?}", state.id);
    }
    assert_eq!(state.total.all(), &total, "{}", state.id);
    for (counts, counted) in state.counts.iter().zip(&waves) {
        assert_eq!(counts.all(), counted, "{}", state.id);
    }
    let progress = state.progress;
    assert_eq!(progress.applied - progress.undone, in_force, "{}", state.id);
    let planned: u64 = state.lanes.iter().map(|(_, lane)| u64::from(state.steps(lane))).sum();
    assert_eq!(progress.planned, planned, "{}", state.id);
}

/// What lies ahead is what counting the lanes gives, also after every lane of it has gone and come back; no forecast of
/// it ends before it begins.
fn ahead(fleet: &Fleet, state: &State) {
    let waves = (0..).map(WaveIx).take_while(|wave| state.plan.wave(*wave).is_some());
    for (ix, load) in waves
        .filter_map(|wave| Some((wave, state.todo(wave)?)))
        .flat_map(|(wave, loads)| loads.iter().map(move |(class, load)| ((wave, *class), load)))
    {
        let lies = state.lanes.iter().filter(|(_, lane)| {
            (lane.wave, lane.class) == ix && matches!(lane.phase, Phase::Waiting | Phase::Ready)
        });
        if state.plan.stages.is_empty() {
            assert_eq!(usize::try_from(load.lanes), Ok(lies.count()), "{} {ix:?}", state.id);
        }
        for touched in &load.touched {
            assert_eq!(touched.lanes, load.lanes, "{} {ix:?}: {load:?}", state.id);
            assert!(touched.known <= touched.lanes, "{} {ix:?}: {load:?}", state.id);
            assert!(touched.known > 0 || touched.rows == 0, "{} {ix:?}: {load:?}", state.id);
        }
    }
    if let Some(Amount { interval, written, .. }) = forecast::rest(fleet, state, fleet.time) {
        assert!(interval.p50 <= interval.p95, "{}: {interval:?}", state.id);
        assert!(written.p50 <= written.p95, "{}: {written:?}", state.id);
    }
}

/// Lanes wait exactly as long as their wave is not open. In one that is to be opened anew some are done, or were
/// taken back once more.
fn waves(state: &State) {
    for (_, lane) in state.lanes.iter() {
        let open = lane.wave.0 < state.opened;
        let waits = lane.phase == Phase::Waiting;
        let settled = matches!(lane.phase, Phase::Waived | Phase::Done) || lane.unwind;
        assert!(waits != open || settled, "{}: {lane:?}", state.id);
        assert!(!waits || !open, "{}: {lane:?}", state.id);
    }
}

/// Nobody is waited for who has a lane, and a rollout that is completed waits for nobody.
fn awaited(state: &State) {
    for (_, lane) in state.lanes.iter() {
        assert!(!state.awaited.contains_key(&lane.target), "{}: {lane:?}", state.id);
    }
    let done = state.status == Status::Completed;
    assert!(!done || state.awaited.is_empty(), "{}: {:?}", state.id, state.awaited);
    assert!(!done || state.arrived().next().is_none(), "{}", state.id);
}

/// An agent's queues hold exactly the lanes that may be leased to it.
fn queues(fleet: &Fleet) {
    let mut expected: BTreeMap<(AgentId, RolloutId), BTreeSet<Place>> = BTreeMap::new();
    for state in fleet.rollouts.values().filter(|state| !state.status.ended()) {
        for (ix, lane) in state.lanes.iter() {
            let may_go = match lane.phase {
                _ if lane.held.is_some() => false,
                Phase::Ready => !state.turned,
                Phase::UndoReady => state.turned,
                _ => false,
            };
            let target = fleet.targets.get(lane.target).expect("a lane has a target");
            for agent in target.agents.iter().filter(|_| may_go) {
                let place =
                    Place { wave: Reverse(lane.wave), not_before: lane.not_before, lane: ix };
                expected.entry((agent.clone(), state.id)).or_default().insert(place);
            }
        }
    }
    let kept: BTreeMap<(AgentId, RolloutId), BTreeSet<Place>> = fleet
        .agents
        .iter()
        .flat_map(|(agent, state)| {
            state.queues.iter().map(|(id, queue)| ((agent.clone(), *id), queue.clone()))
        })
        .collect();
    assert_eq!(kept, expected);
}

/// A lease is one thing told in three places: the target's, the agent's and the lane's.
fn leases(fleet: &Fleet) {
    let mut by_target: BTreeMap<Fence, TargetIx> = BTreeMap::new();
    for (ix, target) in fleet.targets.iter() {
        let lane = fleet.lane(ix).map(|(_, lane)| lane);
        let mend = mend(fleet, target);
        if let Some((line, fence)) = mend {
            assert!(target.lane.is_none(), "{} is in two hands", target.id);
            let waits = target.agents.iter().filter_map(|agent| fleet.agents.get(agent));
            for agent in waits {
                let waiting = line == repair::Phase::Waiting;
                assert_eq!(agent.mends.contains(&ix), waiting, "{}", target.id);
            }
            assert_eq!(fence.is_some(), line == repair::Phase::Leased, "{}", target.id);
            assert_eq!(target.lease.as_ref().map(|lease| lease.fence), fence, "{}", target.id);
            if let Some(lease) = &target.lease {
                let agent = fleet.agents.get(&lease.agent).expect("a lease has an agent");
                assert_eq!(agent.legs.get(&lease.fence), Some(&ix));
                by_target.insert(lease.fence, ix);
            }
            continue;
        }
        assert!(lane.is_none_or(|lane| !lane.kill || lane.fence.is_some()), "{}", target.id);
        let leased = lane.is_some_and(|lane| {
            matches!(lane.phase, Phase::Leased | Phase::UndoLeased) && lane.fence.is_some()
        });
        assert_eq!(target.lease.is_some(), leased, "{}", target.id);
        if let Some(lease) = &target.lease {
            assert_eq!(lane.and_then(|lane| lane.fence), Some(lease.fence));
            let agent = fleet.agents.get(&lease.agent).expect("a lease has an agent");
            assert_eq!(agent.legs.get(&lease.fence), Some(&ix));
            by_target.insert(lease.fence, ix);
        }
    }
    let by_agent: BTreeMap<Fence, TargetIx> =
        fleet.agents.values().flat_map(|agent| agent.legs.clone()).collect();
    assert_eq!(by_agent, by_target);
}

fn mend(fleet: &Fleet, target: &target::State) -> Option<(repair::Phase, Option<Fence>)> {
    let (repair, line) = target.mend?;
    let line = &fleet.repairs[&repair].lines[usize::try_from(line).expect("small")];
    Some((line.phase, line.fence))
}

/// What of a repair has not ended has its target, and is counted.
fn repairs(fleet: &Fleet) {
    for state in fleet.repairs.values() {
        let mut open = 0;
        for (line, number) in state.lines.iter().zip(0..) {
            let target = fleet.targets.get(line.target).expect("a line has a target");
            let held = matches!(line.phase, repair::Phase::Waiting | repair::Phase::Leased);
            assert_eq!(target.mend == Some((state.id, number)), held, "{} {number}", state.id);
            open += u32::from(held);
        }
        assert_eq!(state.open, open, "{}", state.id);
    }
}

/// A rollout that has not ended has all of its targets, and nobody else has them.
fn holders(fleet: &Fleet) {
    for state in fleet.rollouts.values() {
        let held = !state.status.ended() && fleet.active.contains(&state.id);
        assert_eq!(
            held,
            !state.status.ended() && !fleet.planned.values().any(|id| *id == state.id),
            "{} is {:?}",
            state.id,
            state.status
        );
        for (ix, lane) in state.lanes.iter() {
            if lane.phase == Phase::Waived {
                continue;
            }
            let holder = fleet.targets.get(lane.target).and_then(|target| target.lane);
            assert_eq!(holder == Some((state.id, ix)), held, "{} lane {ix}", state.id);
        }
    }
}

/// planned → backed up → applied → verified, and back in reverse, on every target of every rollout,
/// each under the fence that was given out last.
pub(crate) fn in_order(log: &[Event]) {
    #[derive(Default)]
    struct Way {
        backed_up: bool,
        applied: u32,
        verified: u32,
        leased: Option<Fence>,
        /// A repair may have moved it since.
        mended: bool,
    }
    let mut planned: BTreeSet<RolloutId> = BTreeSet::new();
    let mut ways: BTreeMap<(RolloutId, TargetId), Way> = BTreeMap::new();
    let mut fences: BTreeMap<TargetId, Fence> = BTreeMap::new();
    for event in log {
        if let Body::TargetMended { target, .. } = &event.body {
            for ((_, of), way) in &mut ways {
                way.mended |= of == target;
            }
            continue;
        }
        if let Body::RepairAssigned { target, .. } = &event.body {
            let fence = Fence(event.seq.0);
            assert!(fences.insert(target.clone(), fence).is_none_or(|old| old < fence));
            continue;
        }
        let mut way = |rollout: &RolloutId, target: &TargetId| {
            assert!(planned.contains(rollout), "event {} was never planned", event.seq);
            std::mem::take(ways.entry((*rollout, target.clone())).or_default())
        };
        let (key, way) = match &event.body {
            Body::RolloutPlanned { rollout, .. } => {
                assert!(planned.insert(*rollout));
                continue;
            }
            Body::LegAssigned { rollout, target, .. } => {
                let fence = Fence(event.seq.0);
                assert!(fences.insert(target.clone(), fence).is_none_or(|old| old < fence));
                let mut way = way(rollout, target);
                way.leased = Some(fence);
                ((*rollout, target.clone()), way)
            }
            Body::StepBackedUp { rollout, target, fence, .. } => {
                let mut way = way(rollout, target);
                assert_eq!(way.leased, Some(*fence), "event {}", event.seq);
                way.backed_up = true;
                ((*rollout, target.clone()), way)
            }
            Body::StepApplied { rollout, target, step, fence, .. } => {
                let mut way = way(rollout, target);
                if std::mem::take(&mut way.mended) {
                    (way.applied, way.verified) = (step.0, step.0);
                }
                assert_eq!(way.leased, Some(*fence), "event {}", event.seq);
                assert!(way.backed_up, "event {} comes before its backup", event.seq);
                assert_eq!((way.applied, way.verified), (step.0, step.0), "event {}", event.seq);
                way.applied += 1;
                ((*rollout, target.clone()), way)
            }
            Body::StepVerified { rollout, target, step, fence, .. } => {
                let mut way = way(rollout, target);
                assert_eq!(way.leased, Some(*fence), "event {}", event.seq);
                assert_eq!(
                    (way.applied, way.verified),
                    (step.0 + 1, step.0),
                    "event {}",
                    event.seq
                );
                way.verified += 1;
                ((*rollout, target.clone()), way)
            }
            Body::StepRolledBack { rollout, target, step, fence, .. } => {
                let mut way = way(rollout, target);
                if std::mem::take(&mut way.mended) {
                    way.applied = step.0 + 1;
                }
                assert_eq!(way.leased, Some(*fence), "event {}", event.seq);
                assert_eq!(way.applied, step.0 + 1, "event {}", event.seq);
                way.applied = step.0;
                way.verified = way.verified.min(step.0);
                ((*rollout, target.clone()), way)
            }
            Body::LeaseExpired { rollout, target, fence, .. }
            | Body::StepFailed { rollout, target, fence, .. }
            | Body::StepStuck { rollout, target, fence, .. } => {
                let mut way = way(rollout, target);
                assert_eq!(way.leased.take(), Some(*fence), "event {}", event.seq);
                ((*rollout, target.clone()), way)
            }
            _ => continue,
        };
        ways.insert(key, way);
    }
}

/// What is told of all targets together is what a look at each of them would find.
fn sums(fleet: &Fleet) {
    let mut expected = Sums::default();
    for (ix, target) in fleet.targets.iter().filter(|(_, target)| !target.retired) {
        expected.live += 1;
        *expected.newest.entry(target.ledger.last().copied()).or_default() += 1;
        *expected.served.entry(target.agents.clone()).or_default() += 1;
        if !target.problem.is_empty() {
            expected.held.insert(ix);
        }
    }
    expected.work = fleet.targets.sums().work.clone();
    assert_eq!(*fleet.targets.sums(), expected);
    work(fleet);
}

/// And so is what is told of groups and labels, for each that there is.
fn work(fleet: &Fleet) {
    let work = &fleet.targets.sums().work;
    let (mut groups, mut labels) = (BTreeMap::new(), BTreeMap::new());
    let (mut names, mut values) = (BTreeSet::new(), BTreeSet::from([("no such", "")]));
    let all = || fleet.targets.iter().map(|(_, target)| target).filter(|target| !target.retired);
    for target in all() {
        names.insert(target.description.group.as_str());
        let own = target.description.labels.iter();
        values
            .extend(own.flat_map(|(label, value)| [(label.as_str(), value.as_str()), (label, "")]));
    }
    for target in all() {
        let Some((id, _)) = target.lane else { continue };
        let leg = target.lease.is_some() && target.mend.is_none();
        let target::Description { group, labels: own, .. } = &target.description;
        let hands: &mut Hands = groups.entry((group.as_str(), id)).or_default();
        hands.targets += 1;
        hands.legs += u32::from(leg);
        let heavy = target.lease.as_ref().is_some_and(|lease| lease.heavy);
        hands.heavy += u32::from(leg && heavy);
        for label in values.iter().map(|(label, _)| *label).collect::<BTreeSet<_>>() {
            let value = own.get(label).map_or("", String::as_str);
            *labels.entry((id, label, value)).or_default() += u32::from(leg);
        }
    }
    groups.retain(|(group, _), _| !group.is_empty());
    let told = names
        .iter()
        .flat_map(|group| work.of_group(group).map(|(id, hands)| ((*group, id), hands)));
    assert_eq!(told.collect::<BTreeMap<_, _>>(), groups);
    for id in fleet.rollouts.keys().copied() {
        for (label, value) in &values {
            let expected: u32 = labels.get(&(id, *label, *value)).copied().unwrap_or_default();
            assert_eq!(work.with_label(id, label, value), expected, "{label}={value} of {id}");
        }
    }
}
