//! A rollout: a plan being carried out. One small lane a target, and counters kept as events apply,
//! so that status costs nothing. Lanes that may be leased are queued with the agents that serve them
//! ([`super::agent`]), so that a tick looks at those alone.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::gate::{self, Check, Round};
use crate::command::Waiver;
use crate::event::{Archive, LegKind};
use crate::forecast::{Load, Reach};
use crate::ids::{
    ClassIx, Digest, Fence, LaneIx, Millis, RolloutId, Seq, StepIx, TargetIx, WaveIx,
};
use crate::plan::{Class, Plan, Step};
use crate::spec::{
    Batching, Budget, Direction, Gate, Knob, Limit, OnBreach, Quantiles, Scope, Setting, Standing,
    Throttle, When, Word,
};
use crate::state::tables::Told;
use crate::state::target;

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

/// Where a lane is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Its wave is not open.
    Waiting,
    /// It may be leased.
    Ready,
    /// Somebody carries out its steps.
    Leased,
    /// Every step is verified.
    Done,
    /// A step failed for good.
    Failed,
    /// What is in force cannot be told.
    Stuck,
    /// It may be leased for undoing.
    UndoReady,
    /// Somebody undoes its steps.
    UndoLeased,
    /// It is where the unwinding wanted it.
    Undone,
    /// It is neither where it was nor where it should be.
    Residual,
    /// The rollout goes on without it; it is left as it is.
    Waived,
}

impl Phase {
    /// Nothing of it is under way or done, as far as a forecast goes.
    fn lies_ahead(self) -> bool {
        match self {
            Self::Waiting | Self::Ready => true,
            Self::Leased
            | Self::Done
            | Self::Failed
            | Self::Stuck
            | Self::UndoReady
            | Self::UndoLeased
            | Self::Undone
            | Self::Residual
            | Self::Waived => false,
        }
    }

    /// An agent is at work on it, or may be.
    fn goes_on(self) -> bool {
        match self {
            Self::Ready | Self::Leased | Self::UndoReady | Self::UndoLeased => true,
            Self::Waiting
            | Self::Done
            | Self::Failed
            | Self::Stuck
            | Self::Undone
            | Self::Residual
            | Self::Waived => false,
        }
    }

    /// How many there are.
    pub const COUNT: usize = 11;

    /// Its place in an array of counters.
    pub fn index(self) -> usize {
        match self {
            Self::Waiting => 0,
            Self::Ready => 1,
            Self::Leased => 2,
            Self::Done => 3,
            Self::Failed => 4,
            Self::Stuck => 5,
            Self::UndoReady => 6,
            Self::UndoLeased => 7,
            Self::Undone => 8,
            Self::Residual => 9,
            Self::Waived => 10,
        }
    }
}

/// Lanes by phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([u32; Phase::COUNT]);

impl Counts {
    /// How many lanes are in a phase.
    pub fn of(&self, phase: Phase) -> u32 {
        self.0.get(phase.index()).copied().unwrap_or_default()
    }

    /// All of them, by [`Phase::index`].
    pub fn all(&self) -> &[u32; Phase::COUNT] {
        &self.0
    }

    fn add(&mut self, phase: Phase) {
        if let Some(count) = self.0.get_mut(phase.index()) {
            *count += 1;
        }
    }

    fn sub(&mut self, phase: Phase) {
        if let Some(count) = self.0.get_mut(phase.index()) {
            *count = count.saturating_sub(1);
        }
    }
}

/// One target's way through a rollout. Steps go strictly in order, so two cursors tell all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Which target.
    pub target: TargetIx,
    /// In which wave.
    pub wave: WaveIx,
    /// With which steps.
    pub class: ClassIx,
    /// Where it is.
    pub phase: Phase,
    /// Steps in force, counted from the first.
    pub applied: u32,
    /// Steps verified (tried, in a trial), counted from the first.
    pub verified: u32,
    /// Unwinding: steps that stay.
    pub keep: u32,
    /// Failed attempts since the last success.
    pub attempt: u32,
    /// Not before this time.
    pub not_before: Millis,
    /// The lease under which it is carried out now.
    pub fence: Option<Fence>,
    /// Its backup, or the recorded exemption: what an undo can fall back on.
    pub archive: Option<Box<Archive>>,
    /// What the schema was before the first of several stages.
    pub first: Option<Box<Digest>>,
    /// Steps that were in force when that was taken.
    pub base: u32,
    /// A half of a step is in force, or may be: nothing may be undone before it is completed.
    pub partly: bool,
    /// An executor vanished when it may have had effects that were never told: before the lane is
    /// undone, somebody has to read the target's ledger.
    pub doubt: bool,
    /// It is to be unwound as soon as its lease ends.
    pub unwind: bool,
    /// A breach took it back, or does; not somebody's word.
    pub breach: bool,
    /// It gets no leg until somebody lets it go on.
    pub held: Option<Box<str>>,
    /// It is held, and its leg under way goes on to its end all the same.
    pub finishes: bool,
    /// It is held, and a statement in batches is left behind the batch under way.
    pub at_batch: bool,
    /// Under a lease: its holder was told so, or may have been.
    pub(crate) leaves: bool,
    /// The rollout goes on without it as soon as its leg under way is given back.
    pub given_up: bool,
    /// The statement that runs for it is killed.
    pub kill: bool,
    /// Unwinding must stop at `keep` although it should go further.
    pub blocked_by: Option<Box<str>>,
    /// What happened last that a person should know.
    pub note: Option<Box<str>>,
    /// Under a lease: when it was given, or when its holder told of it last.
    pub since: Millis,
    /// Under a lease: gates that have passed since the last step.
    pub passed: u32,
    /// The step under way has taken longer than was forecast, and the log says so.
    pub overran: bool,
    /// How large its target was when it got the lane.
    pub(crate) told: Told,
    /// Its place in the queues of the agents that serve its target.
    pub(crate) queued: Option<Place>,
}

impl Lane {
    /// One on which nothing has happened yet, on a target of that size.
    pub(crate) fn new(
        (target, told): (TargetIx, Told),
        wave: WaveIx,
        class: ClassIx,
        phase: Phase,
    ) -> Self {
        Self {
            target,
            wave,
            class,
            phase,
            applied: 0,
            verified: 0,
            keep: 0,
            attempt: 0,
            not_before: Millis(0),
            fence: None,
            archive: None,
            first: None,
            base: 0,
            partly: false,
            doubt: false,
            unwind: false,
            breach: false,
            held: None,
            finishes: false,
            at_batch: false,
            leaves: false,
            given_up: false,
            kill: false,
            blocked_by: None,
            note: None,
            since: Millis(0),
            passed: 0,
            overran: false,
            told,
            queued: None,
        }
    }

    /// Something of its steps is in force, or may be.
    pub fn is_begun(&self) -> bool {
        self.applied > 0 || self.partly || self.doubt
    }

    /// Its undo ended, and there is more to undo.
    pub fn may_be_undone(&self) -> bool {
        self.applied > self.keep && !self.partly
    }

    /// It was taken back, as far as it went.
    pub fn is_back(&self) -> bool {
        matches!(self.phase, Phase::Undone | Phase::Residual)
    }
}

/// A lane's place in a queue: undoing goes from the last wave to the first, and within a wave who
/// may go earlier comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Of the lane.
    pub wave: Reverse<WaveIx>,
    /// Not before this time.
    pub not_before: Millis,
    /// Which.
    pub lane: LaneIx,
}

impl Lane {
    /// The place that it should have now, in a rollout that goes forward or has turned.
    fn place(&self, lane: LaneIx, turned: bool) -> Option<Place> {
        let may_go = match self.phase {
            _ if self.held.is_some() => false,
            Phase::Ready => !turned,
            Phase::UndoReady => turned,
            Phase::Waiting
            | Phase::Leased
            | Phase::Done
            | Phase::Failed
            | Phase::Stuck
            | Phase::UndoLeased
            | Phase::Undone
            | Phase::Residual
            | Phase::Waived => false,
        };
        may_go.then_some(Place { wave: Reverse(self.wave), not_before: self.not_before, lane })
    }
}

/// Lanes by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lanes(Vec<Lane>);

impl Lanes {
    /// The lane behind a number.
    pub fn get(&self, ix: LaneIx) -> Option<&Lane> {
        self.0.get(usize::try_from(ix.0).ok()?)
    }

    fn get_mut(&mut self, ix: LaneIx) -> Option<&mut Lane> {
        self.0.get_mut(usize::try_from(ix.0).ok()?)
    }

    /// All of them, wave after wave.
    pub fn iter(&self) -> impl Iterator<Item = (LaneIx, &Lane)> {
        (0..).map(LaneIx).zip(&self.0)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
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

/// What of a strategy was changed while its rollout ran: the last word on each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Knobs {
    parallelism: Option<u32>,
    limits: BTreeMap<String, u32>,
    per_group: Option<u32>,
    heavy_per_group: Option<u32>,
    soak_ms: Option<u64>,
    failed: Option<u32>,
    percent: Option<u32>,
    retries: Option<u32>,
    windows: Option<bool>,
    throttles: BTreeMap<String, Setting>,
    batch: Option<u64>,
    batch_pause_ms: Option<u64>,
}

impl Knobs {
    pub(crate) fn set(&mut self, knob: &Knob) {
        match knob {
            Knob::Parallelism(most) => self.parallelism = Some(*most),
            Knob::Limit(limit) => drop(self.limits.insert(limit.label.clone(), limit.most)),
            Knob::PerGroup(most) => self.per_group = Some(*most),
            Knob::HeavyPerGroup(most) => self.heavy_per_group = Some(*most),
            Knob::SoakMs(soak) => self.soak_ms = Some(*soak),
            Knob::BudgetFailed(failed) => self.failed = Some(*failed),
            Knob::BudgetPercent(percent) => self.percent = Some(*percent),
            Knob::Retries(retries) => self.retries = Some(*retries),
            Knob::Windows(hold) => self.windows = Some(*hold),
            Knob::Throttle(name, setting) => drop(self.throttles.insert(name.clone(), *setting)),
            Knob::Batch(size) => self.batch = Some(*size),
            Knob::BatchPauseMs(pause) => self.batch_pause_ms = Some(*pause),
        }
    }

    /// Whether setting it would change nothing.
    pub(crate) fn has(&self, knob: &Knob) -> bool {
        let mut set = self.clone();
        set.set(knob);
        set == *self
    }
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

/// A lane lies ahead.
fn ahead(todo: &mut [BTreeMap<ClassIx, Load>], lane: &Lane, reach: &[Reach]) {
    if let Some(wave) = todo.get_mut(place(lane.wave)) {
        wave.entry(lane.class).or_default().add(&lane.told, reach_of(reach, lane.class));
    }
}

fn reach_of(reach: &[Reach], class: ClassIx) -> Option<&Reach> {
    reach.get(usize::try_from(class.0).ok()?)
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
    /// By wave: what lies ahead in it, class by class.
    todo: Vec<BTreeMap<ClassIx, Load>>,
    /// By class, of those that came later too: the words of its steps.
    pub(crate) reach: Vec<Reach>,
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
        let mut todo = vec![BTreeMap::new(); plan.waves.len()];
        let mut total = Counts::default();
        let mut planned = 0;
        for lane in &lanes {
            total.add(lane.phase);
            ahead(&mut todo, lane, &reach);
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
            todo,
            reach,
            touched: Vec::new(),
        }
    }

    /// Of a plan in stages: what lies ahead of a target in another wave than its first, too.
    pub(crate) fn lies_ahead(&mut self, (wave, class, told): (WaveIx, ClassIx, &Told)) {
        if let Some(wave) = self.todo.get_mut(place(wave)) {
            wave.entry(class).or_default().add(told, reach_of(&self.reach, class));
        }
    }

    /// It begins there now, and is counted with its lane.
    pub(crate) fn begins(&mut self, (wave, class, told): (WaveIx, ClassIx, &Told)) {
        let load = self.todo.get_mut(place(wave)).and_then(|wave| wave.get_mut(&class));
        if let Some(load) = load {
            load.sub(told, reach_of(&self.reach, class));
        }
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

    /// Legs under way at one time, now.
    pub fn parallelism(&self) -> u32 {
        self.parallelism_of(self.wave())
    }

    /// The same once a wave is open.
    pub fn parallelism_of(&self, wave: Option<WaveIx>) -> u32 {
        let wave = wave.and_then(|wave| self.plan.wave(wave));
        let own = wave.map(|wave| wave.parallelism).filter(|most| *most > 0);
        self.knobs.parallelism.or(own).unwrap_or(self.plan.spec.strategy.parallelism)
    }

    /// The same for each value of labels.
    pub fn limits(&self) -> Vec<Limit> {
        let planned = self.plan.spec.strategy.limits.iter();
        let mut limits: BTreeMap<&str, u32> =
            planned.map(|limit| (limit.label.as_str(), limit.most)).collect();
        limits.extend(self.knobs.limits.iter().map(|(label, most)| (label.as_str(), *most)));
        let set = limits.into_iter().filter(|(_, most)| *most > 0);
        set.map(|(label, most)| Limit { label: label.to_owned(), most }).collect()
    }

    /// The same for each resource group, over all rollouts; zero: no limit.
    pub fn per_group(&self) -> u32 {
        self.knobs.per_group.unwrap_or(self.plan.spec.strategy.per_group)
    }

    /// Legs with heavy steps under way at one time for each resource group, over all rollouts; zero: no limit.
    pub fn heavy_per_group(&self) -> u32 {
        self.knobs.heavy_per_group.unwrap_or(self.plan.spec.strategy.heavy.per_group)
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

    /// How long a wave is watched when it is done, milliseconds.
    pub fn soak_ms(&self, wave: WaveIx) -> u64 {
        if self.trial() {
            return 0;
        }
        let planned = || self.plan.wave(wave).map_or(0, |wave| wave.soak_ms);
        self.knobs.soak_ms.unwrap_or_else(planned)
    }

    /// How many may fail.
    pub fn budget(&self) -> Budget {
        let planned = self.plan.spec.strategy.budget;
        Budget {
            failed: self.knobs.failed.unwrap_or(planned.failed),
            percent: self.knobs.percent.unwrap_or(planned.percent),
            scope: planned.scope,
        }
    }

    /// Attempts after the first.
    pub fn retries(&self) -> u32 {
        self.knobs.retries.unwrap_or(self.plan.spec.strategy.retries)
    }

    /// Whether windows and blackouts hold.
    pub fn windows(&self) -> bool {
        self.knobs.windows.unwrap_or(true)
    }

    /// How statements in batches are gone over.
    pub fn batching(&self) -> Batching {
        let planned = self.plan.spec.strategy.batching;
        Batching {
            size: self.knobs.batch.unwrap_or(planned.size),
            pause_ms: self.knobs.batch_pause_ms.unwrap_or(planned.pause_ms),
        }
    }

    /// A leg was told, or may have been, to leave a statement between two batches.
    pub(crate) fn may_leave_batches(&self, lane: &Lane) -> bool {
        lane.leaves || lane.fence.is_some_and(|fence| fence <= self.batches_left)
    }

    /// What a throttle is set to.
    pub fn throttle(&self, name: &str) -> Setting {
        self.knobs.throttles.get(name).copied().unwrap_or(Setting::On)
    }

    /// Throttles that hold steps back now, at the limits that hold now. What is being taken back, or only
    /// tried, waits for none.
    fn throttling(&self) -> impl Iterator<Item = (&Throttle, u64)> {
        let free = self.turned || self.trial();
        let throttles = self.plan.spec.strategy.throttles.iter().filter(move |_| !free);
        throttles.filter_map(|throttle| match self.throttle(&throttle.name) {
            Setting::Off => None,
            Setting::On => Some((throttle, throttle.limit)),
            Setting::Time(limit) | Setting::Value(limit) => Some((throttle, limit)),
        })
    }

    /// Whether some throttle may hold a step back.
    pub fn is_throttled(&self) -> bool {
        self.throttling().next().is_some()
    }

    /// Those of a target.
    pub(crate) fn throttles_of(&self, lane: &Lane, target: &target::State) -> Vec<Throttle> {
        let means = |throttle: &Throttle| {
            !lane.unwind && throttle.selector.names(&target.id, &target.description)
        };
        let held = self.throttling().filter(|(throttle, _)| means(throttle));
        held.map(|(throttle, limit)| Throttle { limit, ..throttle.clone() }).collect()
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
        self.lanes.0.iter().skip(before).take(count).chain(others)
    }

    /// Lanes of targets that came late.
    pub(crate) fn late_lanes(&self) -> impl Iterator<Item = LaneIx> {
        self.lanes.iter().skip(self.planned).map(|(ix, _)| ix)
    }

    /// It is in no wave of the plan.
    pub(crate) fn came_late(&self, ix: LaneIx) -> bool {
        usize::try_from(ix.0).is_ok_and(|ix| ix >= self.planned)
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
        self.breached() && (!waits || self.leased() == 0)
    }

    /// Whether a target is one of those that are tried again by themselves.
    pub fn again(&self, target: TargetIx) -> bool {
        self.again.contains_key(&target)
    }

    /// Some of those may go on.
    pub fn trying_again(&self) -> bool {
        self.again.values().any(|ix| self.lanes.get(*ix).is_some_and(|lane| lane.held.is_none()))
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
        self.todo.get(place(wave))
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
    /// steps left in a wave that is open, or without one. Who was let go meanwhile owes it after the end.
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
            let has_it = target.lane == Some((self.id, lane));
            let known = self.lanes.get(lane).filter(|_| has_it && !self.turned)?;
            let rest = known.phase == Phase::Waived && known.verified < self.steps(known);
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

    /// A target that comes late gets a lane behind all others.
    pub(crate) fn join(&mut self, lane: Lane) -> LaneIx {
        let ix = LaneIx(u32::try_from(self.lanes.len()).unwrap_or(u32::MAX));
        self.total.add(lane.phase);
        if let Some(counts) = self.counts.get_mut(place(lane.wave)) {
            counts.add(lane.phase);
        }
        self.progress.planned += self.class(&lane).map_or(0, |class| class.steps.len() as u64);
        if lane.phase.lies_ahead() {
            ahead(&mut self.todo, &lane, &self.reach);
        }
        self.lanes.0.push(lane);
        self.touched.push(ix);
        ix
    }

    /// One of a lane's steps.
    pub fn step(&self, lane: &Lane, step: StepIx) -> Option<&Step> {
        self.class(lane)?.steps.get(usize::try_from(step.0).ok()?)
    }

    /// How many steps a lane has.
    pub fn steps(&self, lane: &Lane) -> u32 {
        self.class(lane).map_or(0, |class| u32::try_from(class.steps.len()).unwrap_or(u32::MAX))
    }

    /// Steps of a lane that are in force once the stage that it is in is done. Who was left out of one, and is not any
    /// more when others are in the next, catches up with them.
    pub fn until(&self, lane: &Lane) -> u32 {
        let stage = self.plan.stage_of(lane.wave).max(self.stage());
        self.class(lane).map_or(0, |class| self.plan.reach(class, stage))
    }

    /// Steps of a lane that were in force before the stage that it is in began.
    pub fn floor(&self, lane: &Lane) -> u32 {
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
            let load = self.todo.get_mut(place(wave)).and_then(|wave| wave.get_mut(&lane.class));
            if let Some(load) = load {
                load.sub(&lane.told, reach_of(&self.reach, lane.class));
            }
        }
        if moved && lane.phase.lies_ahead() {
            ahead(&mut self.todo, lane, &self.reach);
        }
        self.touched.push(ix);
        if !lane.phase.goes_on() {
            self.again.remove(&lane.target);
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
