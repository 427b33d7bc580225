//! One target's way through a rollout: where it is, how far it came, and its place in the queues of agents.

use std::cmp::Reverse;

use crate::event::Archive;
use crate::ids::{ClassIx, Digest, Fence, LaneIx, Millis, TargetIx, WaveIx};
use crate::state::tables::Told;

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
    pub(super) fn lies_ahead(self) -> bool {
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
    pub(super) fn goes_on(self) -> bool {
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

    /// Nobody tries it again by itself: not even after a while.
    pub(super) fn is_over(self) -> bool {
        match self {
            Self::Waiting | Self::Done | Self::Stuck | Self::Undone | Self::Waived => true,
            Self::Ready
            | Self::Leased
            | Self::Failed
            | Self::UndoReady
            | Self::UndoLeased
            | Self::Residual => false,
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

    pub(super) fn add(&mut self, phase: Phase) {
        if let Some(count) = self.0.get_mut(phase.index()) {
            *count += 1;
        }
    }

    pub(super) fn sub(&mut self, phase: Phase) {
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
    /// Steps that are in force once the leg that it was taken for is at its end.
    pub covered: u32,
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
    /// Its target was let go, came again, and has another one in the same rollout.
    pub(crate) replaced: bool,
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
            covered: 0,
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
            replaced: false,
            overran: false,
            told,
            queued: None,
        }
    }

    /// It goes forward from what is in force of it, `whole` or not, whatever it was taken back from.
    pub(crate) fn begin_anew(&mut self, whole: bool) {
        // What was backed up before is older than an undo. Nothing was undone where a half stands, or a step that was
        // never verified.
        if !self.partly && self.verified == self.applied && !whole {
            let before = self.archive.take().filter(|_| self.base == 0);
            self.first = self.first.take().or(before.map(|archive| Box::new(archive.fingerprint)));
        }
        if self.applied == 0 {
            self.first = None;
        }
        self.keep = 0;
        self.unwind = false;
        self.breach = false;
        self.blocked_by = None;
        self.overran = false;
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
    pub(super) fn place(&self, lane: LaneIx, turned: bool) -> Option<Place> {
        let may_go = match self.phase {
            _ if self.held.is_some() || self.replaced => false,
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
pub struct Lanes(pub(super) Vec<Lane>);

impl Lanes {
    /// The lane behind a number.
    pub fn get(&self, ix: LaneIx) -> Option<&Lane> {
        self.0.get(usize::try_from(ix.0).ok()?)
    }

    pub(super) fn get_mut(&mut self, ix: LaneIx) -> Option<&mut Lane> {
        self.0.get_mut(usize::try_from(ix.0).ok()?)
    }

    /// All of them, wave after wave: one a target.
    pub fn iter(&self) -> impl Iterator<Item = (LaneIx, &Lane)> {
        (0..).map(LaneIx).zip(&self.0).filter(|(_, lane)| !lane.replaced)
    }

    /// How many there ever were.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
