//! Targets that come while a rollout is under way, that nobody could look at when it was planned, or that it was told to go
//! on without: which of them may join it, and their lanes.

use super::{Barrier, Lane, Phase, State, Status, place};
use crate::ids::{LaneIx, Millis, TargetIx};
use crate::spec::Direction;
use crate::state::target;

impl State {
    /// Lanes of targets that came late.
    pub(crate) fn late_lanes(&self) -> impl Iterator<Item = LaneIx> {
        let late = (0..).map(LaneIx).zip(&self.lanes.0).skip(self.planned);
        late.filter(|(_, lane)| !lane.replaced).map(|(ix, _)| ix)
    }

    /// Targets that come late may join it, now or once it goes on.
    pub fn takes_late_ones(&self) -> bool {
        let under_way = matches!(self.status, Status::Running | Status::Paused);
        under_way
            && !self.turned
            && self.aborted.is_none()
            && self.plan.spec.direction == Direction::Up
    }

    /// Whether there is something to decide about a target: it came after the plan was made, or it is waited
    /// for and somebody can look at it. Who is part of another rollout may join when that has ended.
    pub(crate) fn may_join(&self, ix: TargetIx, target: &target::State) -> bool {
        self.takes_late_ones()
            && target.lane.is_none_or(|(holder, _)| holder != self.id)
            && !self.exempt.contains_key(&ix)
            && if self.awaited.contains_key(&ix) {
                target.retired || target.is_seen()
            } else {
                target.since > self.made && !target.retired
            }
    }

    /// Targets that it goes on without no more, since that held until a time that has passed: with a lane that has
    /// steps left in a wave that is open, or without one. Who was let go meanwhile, as the rollout had ended or the
    /// target was retired, has its lane still, if not the rollout the target.
    pub fn lapsed<'a>(
        &'a self,
        targets: &'a target::Table,
        now: Millis,
    ) -> impl Iterator<Item = (&'a target::State, Option<LaneIx>)> {
        let over = self.exempt.iter().filter(move |(_, exempt)| !exempt.holds(now));
        over.filter_map(move |(ix, exempt)| {
            let target = targets.get(*ix).filter(|target| !target.retired)?;
            let Some(lane) = exempt.lane else {
                return self.takes_late_ones().then_some((target, None));
            };
            let has_it = target.lane == Some((self.id, lane)) || self.takes_late_ones();
            let known = self.lanes.get(lane).filter(|_| has_it && !self.turned)?;
            // What a later stage brings it lacks when that is open.
            let rest = known.phase == Phase::Waived && known.verified < self.until(known);
            (rest && known.wave.0 < self.opened).then_some((target, Some(lane)))
        })
    }

    /// When the next of those that it goes on without is to be called in.
    pub fn lapses(&self, now: Millis) -> Option<Millis> {
        self.exempt.values().filter_map(|exempt| exempt.until).filter(|until| *until > now).min()
    }

    /// Targets of which is to be decided whether they join.
    pub fn arrived(&self) -> impl Iterator<Item = TargetIx> {
        self.arrived.iter().copied()
    }

    /// Every wave is open and done, or every one of its stage, and nothing but targets that are not there is waited for.
    pub fn waits_for_absent(&self) -> bool {
        let barred = self.barrier() == Some(Barrier::Absent);
        self.status == Status::Running
            && self.under_way() == 0
            && (self.total.of(Phase::Waiting) == 0 || barred)
            && self.arrived.is_empty()
            && !self.awaited.is_empty()
    }

    /// A target that had a lane, was let go and comes again: what it has done there stays, and nothing more is asked
    /// of it.
    pub(crate) fn replace(&mut self, target: TargetIx) {
        let old = self.lanes.iter().find(|(_, lane)| lane.target == target).map(|(ix, _)| ix);
        let Some(ix) = old else { return };
        self.change(ix, |lane, _| lane.phase = Phase::Waived);
        let Some(lane) = self.lanes.get_mut(ix) else { return };
        lane.replaced = true;
        let (wave, applied) = (lane.wave, lane.applied);
        self.total.sub(Phase::Waived);
        if let Some(counts) = self.counts.get_mut(place(wave)) {
            counts.sub(Phase::Waived);
        }
        let steps = self.lanes.get(ix).map_or(0, |lane| self.steps(lane));
        let lacked = u64::from(steps.saturating_sub(applied));
        self.progress.planned = self.progress.planned.saturating_sub(lacked);
        self.look_ahead(ix);
    }

    /// A target that comes late gets a lane behind all others.
    pub(crate) fn join(&mut self, lane: Lane) -> LaneIx {
        let ix = LaneIx(u32::try_from(self.lanes.len()).unwrap_or(u32::MAX));
        self.total.add(lane.phase);
        if let Some(counts) = self.counts.get_mut(place(lane.wave)) {
            counts.add(lane.phase);
        }
        self.progress.planned += self.class(&lane).map_or(0, |class| class.steps.len() as u64);
        if lane.phase.lies_ahead() {
            self.ahead.add(&lane);
        }
        self.lanes.0.push(lane);
        self.touched.push(ix);
        ix
    }
}
