//! A rollout: a plan being carried out. One small lane a target, and counters kept as events apply,
//! so that status costs nothing. Lanes that may be leased are queued with the agents that serve them
//! ([`super::agent`]), so that a tick looks at those alone.

mod ahead;
mod knobs;
mod lane;
mod late;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::gate::{self, Check, Round};
use crate::command::Waiver;
use crate::event::LegKind;
use crate::forecast::{Load, Reach};
use crate::ids::{
    ClassIx, Digest, Fence, LaneIx, Millis, RolloutId, Seq, StepIx, TargetIx, WaveIx,
};
use crate::plan::{Class, Plan, Step};
use crate::spec::{Direction, Gate, OnBreach, Quantiles, Scope, Standing, When, Word};
use crate::state::target;

pub(crate) use ahead::Ahead;
pub use knobs::Knobs;
pub use lane::{Counts, Lane, Lanes, Phase, Place};

/// Where a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not started.
    Planned,
    /// Legs are given out.
    Running,
    /// No leg is given out until somebody resumes it.
    Paused,
    /// What was done is being undone.
    Unwinding,
    /// Ended: done everywhere.
    Completed,
    /// Ended: undone, and consistent.
    RolledBack,
    /// Ended: an operator is needed.
    Halted,
}

impl Status {
    /// Nothing more happens by itself.
    pub fn ended(self) -> bool {
        match self {
            Self::Completed | Self::RolledBack | Self::Halted => true,
            Self::Planned | Self::Running | Self::Paused | Self::Unwinding => false,
        }
    }
}

/// How a wave that is done is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Soak {
    /// It is to begin.
    Due(WaveIx),
    /// So long.
    Until(Millis),
}

/// What keeps a stage from beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barrier {
    /// Targets that have failed: somebody has to mend them, or leave them out.
    Failed,
    /// Targets that are not there.
    Absent,
}

/// Steps, counted as events apply.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// In the plan.
    pub planned: u64,
    /// In force.
    pub applied: u64,
    /// In force and verified.
    pub verified: u64,
    /// Undone.
    pub undone: u64,
}

/// Who takes responsibility for a rollout that ends without a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exempt {
    /// Who.
    pub by: Box<str>,
    /// Why.
    pub reason: Box<str>,
    /// Until when; `None`: for good.
    pub until: Option<Millis>,
    /// The lane that it had; `None`: nobody could look at the target, or it was held.
    pub lane: Option<LaneIx>,
}

impl Exempt {
    /// Whether it still holds.
    pub fn holds(&self, now: Millis) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// Where a wave stands in lists of what there is of each.
fn place(wave: WaveIx) -> usize {
    usize::try_from(wave.0).unwrap_or(usize::MAX)
}

/// A class of a plan, or one of those that came later.
pub(crate) fn class_of<'a>(plan: &'a Plan, late: &'a [Class], ix: ClassIx) -> Option<&'a Class> {
    let ix = usize::try_from(ix.0).ok()?;
    plan.classes.get(ix).or_else(|| late.get(ix.checked_sub(plan.classes.len())?))
}

/// One rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Its number.
    pub id: RolloutId,
    /// SHA-256 of the plan.
    pub plan_id: Digest,
    /// What is carried out.
    pub plan: Arc<Plan>,
    /// The event by which it was planned: who came later is not in the plan.
    pub made: Seq,
    /// Classes of targets that came later. They are counted on from the plan's.
    pub late: Arc<Vec<Class>>,
    /// Targets that are meant and have no lane: nobody could look at them, or they are held. Why.
    pub awaited: BTreeMap<TargetIx, Box<str>>,
    /// Targets of which there is news, and which may join.
    pub(crate) arrived: BTreeSet<TargetIx>,
    /// Targets that it was told to go on without, with a lane or not.
    pub exempt: BTreeMap<TargetIx, Exempt>,
    /// Where it is.
    pub status: Status,
    /// Waves opened so far.
    pub opened: u32,
    /// Wave after wave.
    pub lanes: Lanes,
    /// By wave.
    pub counts: Vec<Counts>,
    /// Over all waves.
    pub total: Counts,
    /// Steps.
    pub progress: Progress,
    /// Recorded for steps that cannot be undone.
    pub waivers: Vec<Waiver>,
    /// Why it is paused, unwound or halted; empty: it is not.
    pub reason: String,
    /// Who started it.
    pub started_by: String,
    /// When; zero: not yet.
    pub started_at: Millis,
    /// When; zero: not yet.
    pub ended_at: Millis,
    /// It has turned back at some time.
    pub turned: bool,
    /// It was paused at once: legs under way are given back after the step that they are at.
    pub stopping: bool,
    /// And statements in batches are left behind the batch under way.
    pub at_batch: bool,
    /// Legs of before this were told so at some time.
    pub(crate) batches_left: Fence,
    /// Not empty: it was given up, for this reason, and ends when no leg is under way any more.
    pub aborted: Option<String>,
    /// What was said of parts of it, in this order: it goes for who joins them later.
    pub standing: Vec<Standing>,
    /// What was changed of its strategy since.
    pub knobs: Knobs,
    /// Since when the open wave is watched; `None`: it is not done, or has been.
    pub soaking_since: Option<Millis>,
    /// Waves that were watched to the end.
    pub soaked: u32,
    /// Waves whose gates after them have passed.
    pub checked: u32,
    /// What is asked of the open wave now.
    pub round: Option<Round>,
    /// How quickly targets answered before their first steps, for each gate that compares with it; gates by their
    /// places in the strategy.
    pub baselines: BTreeMap<(LaneIx, u32), Box<[Quantiles]>>,
    /// A gate that did not pass: it holds the rollout back until somebody resumes it.
    pub gate_failed: Option<gate::Failed>,
    /// Targets in which a gate around a step did not pass, where that is a breach, and why.
    pub step_gates_failed: BTreeMap<TargetIx, String>,
    /// Waves that somebody lets open.
    pub approved: BTreeSet<WaveIx>,
    /// Targets that are tried again by themselves, whatever holds the others back, until they are at an end.
    pub again: BTreeMap<TargetIx, LaneIx>,
    /// Lanes that were planned. Those that came late stand behind them.
    planned: usize,
    /// What lies ahead.
    pub(crate) ahead: Ahead,
    /// Lanes that the event being applied has changed: their places in the queues follow.
    pub(crate) touched: Vec<LaneIx>,
}

impl State {
    pub(crate) fn new(
        (id, made): (RolloutId, Seq),
        plan_id: Digest,
        (plan, reach): (Arc<Plan>, Vec<Reach>),
        lanes: Vec<Lane>,
    ) -> Self {
        let mut counts = vec![Counts::default(); plan.waves.len()];
        let mut ahead = Ahead::new(plan.waves.len(), reach);
        let mut total = Counts::default();
        let mut planned = 0;
        for lane in &lanes {
            total.add(lane.phase);
            ahead.add(lane);
            if let Some(counts) = counts.get_mut(place(lane.wave)) {
                counts.add(lane.phase);
            }
            planned += plan.class(lane.class).map_or(0, |class| class.steps.len() as u64);
        }
        Self {
            id,
            plan_id,
            plan,
            made,
            late: Arc::default(),
            awaited: BTreeMap::new(),
            arrived: BTreeSet::new(),
            exempt: BTreeMap::new(),
            status: Status::Planned,
            opened: 0,
            planned: lanes.len(),
            lanes: Lanes(lanes),
            counts,
            total,
            progress: Progress { planned, ..Progress::default() },
            waivers: Vec::new(),
            reason: String::new(),
            started_by: String::new(),
            started_at: Millis(0),
            ended_at: Millis(0),
            turned: false,
            stopping: false,
            at_batch: false,
            batches_left: Fence(0),
            aborted: None,
            standing: Vec::new(),
            knobs: Knobs::default(),
            soaking_since: None,
            soaked: 0,
            checked: 0,
            round: None,
            baselines: BTreeMap::new(),
            gate_failed: None,
            step_gates_failed: BTreeMap::new(),
            approved: BTreeSet::new(),
            again: BTreeMap::new(),
            ahead,
            touched: Vec::new(),
        }
    }

    /// Of a plan in stages: a lane's target is in another wave than its first, too.
    pub(crate) fn goes_through(&mut self, ix: LaneIx, wave: WaveIx) {
        let Some(lane) = self.lanes.get(ix) else { return };
        self.ahead.goes_through(lane.target, wave);
        self.look_ahead(ix);
    }

    /// What later stages have ahead of a lane is counted with their waves, as long as it goes there.
    pub(crate) fn look_ahead(&mut self, ix: LaneIx) {
        let Some(lane) = self.lanes.get(ix) else { return };
        let goes_on = lane.phase != Phase::Waived && !lane.replaced;
        let (opened, plan) = (self.opened, &self.plan);
        let stage = plan.stage_of(lane.wave);
        self.ahead.look(lane, |wave| goes_on && wave.0 >= opened && plan.stage_of(wave) > stage);
    }

    /// The wave that is under way: the last one opened.
    pub fn wave(&self) -> Option<WaveIx> {
        self.opened.checked_sub(1).map(WaveIx)
    }

    /// Lanes of a wave by phase.
    pub fn wave_counts(&self, wave: WaveIx) -> Counts {
        self.counts.get(place(wave)).copied().unwrap_or_default()
    }

    /// The last word that was said of a part with a target in a wave.
    pub(crate) fn standing_of(&self, wave: WaveIx, target: &target::State) -> Option<&Standing> {
        let words = || self.standing.iter().filter(|it| it.part.means(wave, target));
        // Who was given up is not taken up again by a hold.
        words().find(|it| it.word == Word::GivenUp).or_else(|| words().next_back())
    }

    /// The last word that was said of that wave, or of a part of it, with a target in it.
    pub(crate) fn standing_of_wave(
        &self,
        wave: WaveIx,
        target: &target::State,
    ) -> Option<&Standing> {
        let of_it = |it: &&Standing| it.part.wave == Some(wave) && it.part.means(wave, target);
        let words = || self.standing.iter().filter(of_it);
        words().find(|it| it.word == Word::GivenUp).or_else(|| words().next_back())
    }

    /// Lanes of the waves opened so far that have neither ended well nor failed.
    pub fn under_way(&self) -> u32 {
        self.total.of(Phase::Ready) + self.leased()
    }

    /// It was started and has not ended: it goes on, or may.
    pub fn is_open(&self) -> bool {
        match self.status {
            Status::Running | Status::Paused | Status::Unwinding => true,
            Status::Planned | Status::Completed | Status::RolledBack | Status::Halted => false,
        }
    }

    /// The lane's next leg, or the one under way, has a heavy step in it.
    pub fn is_heavy(&self, lane: &Lane) -> bool {
        let heavy = &self.plan.spec.strategy.heavy.steps;
        if heavy.is_empty() {
            return false;
        }
        let back = matches!(lane.phase, Phase::UndoReady | Phase::UndoLeased);
        let range = if back { lane.keep..lane.applied } else { lane.verified..self.until(lane) };
        let steps = self.class(lane).into_iter().flat_map(|class| class.steps.iter().zip(0..));
        let mut ahead = steps.filter(|(_, number)| range.contains(number));
        ahead.any(|(step, _)| heavy.contains(&step.entry.version))
    }

    /// A leg was told, or may have been, to leave a statement between two batches.
    pub(crate) fn may_leave_batches(&self, lane: &Lane) -> bool {
        lane.leaves || lane.fence.is_some_and(|fence| fence <= self.batches_left)
    }

    /// Until when the open wave is still watched, once it is done. `None`: it needs no watching, or has
    /// been watched.
    pub fn soaks(&self) -> Option<Soak> {
        let wave = self.wave().filter(|_| self.soaked < self.opened)?;
        let long = self.soak_ms(wave);
        match self.soaking_since {
            _ if long == 0 => None,
            None => Some(Soak::Due(wave)),
            Some(since) => Some(Soak::Until(Millis(since.0.saturating_add(long)))),
        }
    }

    /// Gates that are asked of a wave, by their places in the strategy. A trial asks none.
    pub fn gates_of(&self, wave: WaveIx, when: When) -> impl Iterator<Item = u32> {
        let named = self.plan.wave(wave).filter(|_| !self.trial());
        let gates = self.plan.spec.strategy.gates.iter();
        (0..).zip(gates).filter_map(move |(at, gate)| {
            let meant =
                |wave: &crate::plan::Wave| gate.is_for(&wave.name) || gate.is_for(wave.called());
            named.is_some_and(|wave| gate.when == when && meant(wave)).then_some(at)
        })
    }

    /// A gate by its place in the strategy.
    pub fn gate(&self, gate: u32) -> Option<&Gate> {
        self.plan.spec.strategy.gates.get(usize::try_from(gate).ok()?)
    }

    /// How quickly a lane's target answered before its first step, as a gate asks.
    pub fn baseline(&self, lane: LaneIx, gate: u32) -> Option<&[Quantiles]> {
        self.baselines.get(&(lane, gate)).map(|queries| &**queries)
    }

    /// The lanes of a wave: they stand wave after wave, and behind all of them those that came late. In another
    /// stage they are in another wave.
    pub fn lanes_of(&self, wave: WaveIx) -> impl Iterator<Item = &Lane> {
        let size = |wave: &crate::plan::Wave| wave.targets.len();
        let before = self.plan.waves.iter().take(place(wave)).map(size).sum();
        let count = self.plan.waves.get(place(wave)).map_or(0, size);
        let staged = !self.plan.stages.is_empty();
        let (count, planned) = if staged { (0, 0) } else { (count, self.planned) };
        let others = self.lanes.0.iter().skip(planned).filter(move |lane| lane.wave == wave);
        let lanes = self.lanes.0.iter().skip(before).take(count).chain(others);
        lanes.filter(|lane| !lane.replaced)
    }

    /// Of which stage the open wave is.
    pub fn stage(&self) -> u32 {
        self.wave().map_or(0, |wave| self.plan.stage_of(wave))
    }

    /// The stage that the next wave would begin.
    pub fn next_stage(&self) -> Option<u32> {
        self.wave()?;
        let next = self.plan.wave(WaveIx(self.opened))?.stage;
        (next > self.stage()).then_some(next)
    }

    /// What keeps the next wave from beginning another stage: the one that is open is not in force everywhere.
    pub fn barrier(&self) -> Option<Barrier> {
        self.next_stage()?;
        if self.total.of(Phase::Failed) + self.total.of(Phase::Stuck) > 0 {
            return Some(Barrier::Failed);
        }
        (!self.awaited.is_empty()).then_some(Barrier::Absent)
    }

    /// What the gates after the open wave want, once it is done. `None`: there are none, or they passed.
    pub fn check(&self) -> Option<Check> {
        let wave = self.wave().filter(|_| self.checked < self.opened)?;
        self.gates_of(wave, When::AfterWave).next()?;
        let asked = self.round.as_ref().is_some_and(|round| round.when == When::AfterWave);
        Some(if asked { Check::Open(wave) } else { Check::Due(wave) })
    }

    /// The open wave is watched, and its gates have not passed to the end of the watch.
    pub fn is_asked_in_soak(&self) -> bool {
        self.round.as_ref().is_some_and(|round| round.when == When::Soak)
    }

    /// The next wave, where it waits for somebody's word.
    pub fn unapproved(&self) -> Option<WaveIx> {
        let next = WaveIx(self.opened);
        let wants = self.plan.wave(next).is_some_and(|wave| wave.approval);
        (wants && !self.approved.contains(&next)).then_some(next)
    }

    /// What did not pass, and holds the rollout back whatever its budget.
    pub fn failed_gate(&self) -> Option<&str> {
        let of_wave = self.gate_failed.as_ref().map(|gate| gate.why.as_str());
        of_wave.or_else(|| self.step_gates_failed.values().next().map(String::as_str))
    }

    /// More targets have failed than the budget allows, or a gate has not passed.
    pub fn breached(&self) -> bool {
        let Some(wave) = self.wave() else { return false };
        if self.failed_gate().is_some() {
            return true;
        }
        let budget = self.budget();
        let counts = match budget.scope {
            Scope::Wave => self.wave_counts(wave),
            Scope::Rollout => self.total,
        };
        let failed = counts.of(Phase::Failed) + counts.of(Phase::Stuck);
        let size = counts.all().iter().sum();
        failed > budget.allowance(size)
    }

    /// A breach may be acted on now. Turning back needs no wait where lanes under a lease turn when
    /// it ends; where legs that still run may add to what failed, they are waited for.
    pub fn may_turn(&self) -> bool {
        if self.trying_again() {
            return false;
        }
        let waits = self.trial()
            || match self.plan.spec.strategy.on_breach {
                OnBreach::Halt | OnBreach::RollbackTarget => true,
                OnBreach::RollbackWave | OnBreach::RollbackRollout => false,
            };
        // Who was given up may get to its end first, and is to be undone then.
        let leaves = || self.lanes.0.iter().any(|lane| lane.given_up && lane.fence.is_some());
        self.breached() && if waits { self.leased() == 0 } else { !leaves() }
    }

    /// Whether a target is one of those that are tried again by themselves.
    pub fn again(&self, target: TargetIx) -> bool {
        self.again.contains_key(&target)
    }

    /// Some of those may go on.
    pub fn trying_again(&self) -> bool {
        let goes_on = |lane: &Lane| lane.phase.goes_on() && lane.held.is_none();
        self.again.values().any(|ix| self.lanes.get(*ix).is_some_and(goes_on))
    }

    /// Legs under way.
    pub fn leased(&self) -> u32 {
        self.total.of(Phase::Leased) + self.total.of(Phase::UndoLeased)
    }

    /// A lane's steps.
    pub fn class(&self, lane: &Lane) -> Option<&Class> {
        self.class_at(lane.class)
    }

    /// A class by its number.
    pub fn class_at(&self, ix: ClassIx) -> Option<&Class> {
        class_of(&self.plan, &self.late, ix)
    }

    /// What lies ahead in a wave, class by class.
    pub fn todo(&self, wave: WaveIx) -> Option<&BTreeMap<ClassIx, Load>> {
        self.ahead.wave(wave)
    }

    /// One of a lane's steps.
    pub fn step(&self, lane: &Lane, step: StepIx) -> Option<&Step> {
        self.class(lane)?.steps.get(usize::try_from(step.0).ok()?)
    }

    /// How many steps a lane has.
    pub fn steps(&self, lane: &Lane) -> u32 {
        self.class(lane).map_or(0, |class| u32::try_from(class.steps.len()).unwrap_or(u32::MAX))
    }

    /// Steps of a lane that are in force once its leg is at its end: with the stage that it is in, or where its backup
    /// covers no more. Who was left out of a stage, and is not any more when others are in the next, catches up with
    /// them.
    pub fn until(&self, lane: &Lane) -> u32 {
        let end = self.end(lane);
        let covered = lane.archive.as_ref().map(|_| lane.covered);
        covered.filter(|covered| *covered > lane.verified).map_or(end, |covered| covered.min(end))
    }

    /// Steps of a lane that are in force once the open stage is done, or its own.
    pub(crate) fn end(&self, lane: &Lane) -> u32 {
        let stage = self.plan.stage_of(lane.wave).max(self.stage());
        self.class(lane).map_or(0, |class| self.plan.reach(class, stage))
    }

    /// Everything that its stage wants of it is in force, and verified.
    pub(crate) fn is_whole(&self, lane: &Lane) -> bool {
        lane.verified >= self.end(lane) && lane.applied == lane.verified && !lane.partly
    }

    /// Steps of a lane that were in force before the stage that it is in began. Who came late, and has not gone on from
    /// a stage yet, had none of them.
    pub fn floor(&self, lane: &Lane) -> u32 {
        if lane.first.is_none() {
            return 0;
        }
        let stage = self.plan.stage_of(lane.wave);
        self.class(lane).map_or(0, |class| self.plan.floor(class, stage))
    }

    /// A lane that is done is so in its stage alone.
    pub fn has_stages_left(&self, lane: &Lane) -> bool {
        !self.plan.stages.is_empty() && lane.verified < self.steps(lane)
    }

    /// A lane is neither where it was nor where it should be, seen when its rollout has ended.
    pub fn left_over(&self, lane: &Lane) -> bool {
        match lane.phase {
            Phase::Failed | Phase::Stuck | Phase::Residual => true,
            // Passed over in the middle of its stage.
            Phase::Ready | Phase::Waiting => {
                lane.applied > self.floor(lane) || lane.doubt || lane.partly
            }
            Phase::Leased | Phase::UndoReady | Phase::UndoLeased => true,
            Phase::Done | Phase::Undone | Phase::Waived => false,
        }
    }

    /// Whether this rollout leaves nothing behind.
    pub fn trial(&self) -> bool {
        self.plan.spec.direction == Direction::Validate
    }

    /// What a leg of a lane is for.
    pub fn leg_kind(&self, lane: &Lane) -> LegKind {
        match lane.phase {
            // The look that tells what there is to undo: a leg forward that is cancelled.
            Phase::UndoReady if lane.doubt => LegKind::Forward,
            Phase::UndoReady | Phase::UndoLeased => LegKind::Undo,
            Phase::Waiting
            | Phase::Ready
            | Phase::Leased
            | Phase::Done
            | Phase::Failed
            | Phase::Stuck
            | Phase::Undone
            | Phase::Residual
            | Phase::Waived => {
                if self.trial() {
                    LegKind::Trial
                } else {
                    LegKind::Forward
                }
            }
        }
    }

    /// Changes a lane; the counters follow at once, the queues when the event is applied.
    pub(crate) fn change<T>(
        &mut self,
        ix: LaneIx,
        change: impl FnOnce(&mut Lane, &mut Progress) -> T,
    ) -> Option<T> {
        let lane = self.lanes.get_mut(ix)?;
        let (wave, phase) = (lane.wave, lane.phase);
        let result = change(lane, &mut self.progress);
        let lane = &*lane;
        let moved = (wave, phase.lies_ahead()) != (lane.wave, lane.phase.lies_ahead());
        if moved && phase.lies_ahead() {
            self.ahead.sub(wave, lane);
        }
        if moved && lane.phase.lies_ahead() {
            self.ahead.add(lane);
        }
        self.touched.push(ix);
        if lane.phase.is_over() {
            self.again.remove(&lane.target);
        }
        // Its gates were asked again, and passed; or the rollout goes on without it.
        if matches!(lane.phase, Phase::Done | Phase::Waived | Phase::Undone) {
            self.step_gates_failed.remove(&lane.target);
        }
        if (wave, phase) != (lane.wave, lane.phase) {
            self.total.sub(phase);
            self.total.add(lane.phase);
            if let Some(counts) = self.counts.get_mut(place(wave)) {
                counts.sub(phase);
            }
            if let Some(counts) = self.counts.get_mut(place(lane.wave)) {
                counts.add(lane.phase);
            }
        }
        Some(result)
    }

    /// Every lane's place is looked at again: the rollout starts, turns, goes on or ends.
    pub(crate) fn touch_all(&mut self) {
        self.touched.clear();
        self.touched.extend((0..).map(LaneIx).zip(&self.lanes.0).map(|(ix, _)| ix));
    }

    /// Records the place that a lane should have now; gives its target, its old place and the new.
    pub(crate) fn requeue(
        &mut self,
        ix: LaneIx,
    ) -> Option<(TargetIx, Option<Place>, Option<Place>)> {
        let (turned, ended) = (self.turned, self.status.ended());
        let lane = self.lanes.get_mut(ix)?;
        let new = if ended { None } else { lane.place(ix, turned) };
        let old = std::mem::replace(&mut lane.queued, new);
        Some((lane.target, old, new))
    }
}
