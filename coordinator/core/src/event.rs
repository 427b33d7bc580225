//! What has happened. An event is for ever: add, never change.

use std::sync::Arc;

use crate::bundle::Manifest;
use crate::command::Waiver;
use crate::forecast::Forecast;
use crate::ids::{
    AgentId, ClassIx, ClusterId, Digest, Fence, FreezeId, Incarnation, Millis, RepairId, RequestId,
    RolloutId, Seq, StepIx, TargetId, Version, WaveIx,
};
use crate::plan::{Class, Plan};
use crate::policy::Policy;
use crate::spec::{Backup, Knob, Part, Quantiles, Selector};
use crate::state::repair::{Evidence, Order};
use crate::state::target::{Description, Observation};

/// One thing that happened, with who, when and under which charter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the history.
    pub seq: Seq,
    /// When it was decided.
    pub at: Millis,
    /// Who asked for it.
    pub actor: String,
    /// The charter it was decided under.
    pub charter: Digest,
    /// The request that made it; `None` for the scheduler's and the agents'.
    pub request: Option<(RequestId, u64)>,
    /// What happened.
    pub body: Body,
}

/// What of a step is in force, on evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing of it.
    Never,
    /// A part.
    Partly,
    /// All of it.
    Fully,
    /// There is no evidence.
    Unknown,
}

impl Verdict {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "nothing of it is in force",
            Self::Partly => "a part of it is in force",
            Self::Fully => "all of it is in force",
            Self::Unknown => "what of it is in force cannot be told",
        }
    }
}

/// What becomes of legs under way when their rollout, or a part of it, is paused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stop {
    /// They go on to their end.
    #[default]
    AfterLegs,
    /// They are given back after the step that they are at.
    AfterSteps,
    /// The same, and a statement in batches is left behind the batch under way.
    BehindBatches,
}

/// What a leg does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegKind {
    /// Carries out the class's steps.
    Forward,
    /// Undoes them in reverse.
    Undo,
    /// Tries them and leaves nothing.
    Trial,
}

/// A backup that was taken, or the rule by which none was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Its name in the agent's backup directory or object store. Empty: exempt.
    pub name: String,
    /// Of the archive as stored.
    pub sha256: Digest,
    /// Its size, bytes.
    pub bytes: u64,
    /// What made it.
    pub tool: String,
    /// What is in it.
    pub scope: Backup,
    /// How long it took, milliseconds.
    pub ms: u64,
    /// Canonical schema before the leg's first step.
    pub fingerprint: Digest,
    /// By which rule none was taken.
    pub exemption: String,
    /// The whole database before the leg's first step; zero: its server does not tell.
    pub target_bytes: u64,
}

/// What else was measured while a step ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measured {
    /// Beside the step's own time: tries that a lock ended before they had an effect, and the pauses
    /// between them, milliseconds.
    pub waited_ms: u64,
    /// An earlier executor had done a part of the step: its time is that of the rest.
    pub resumed: bool,
    /// What the engine wrote to its log meanwhile, bytes. What others wrote there is in it. `None`: its agent
    /// does not tell.
    pub written: Option<u64>,
    /// Of the step's own time: so long its statements waited for locks that they got, milliseconds. `None`: its
    /// agent could not see.
    pub locked_ms: Option<u64>,
    /// Rows that the tables that its script names had when its leg began, as the server estimates them. `None`:
    /// its agent does not tell.
    pub touched: Option<u64>,
}

/// A step under way that has taken longer than was forecast for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overrun {
    /// Of which rollout.
    pub rollout: RolloutId,
    /// Where.
    pub target: TargetId,
    /// Under which lease.
    pub fence: Fence,
    /// Which, by its version.
    pub version: String,
    /// The same, by its place.
    pub step: StepIx,
    /// It is being undone.
    pub undo: bool,
    /// How long so far, milliseconds.
    pub ms: u64,
    /// What was forecast.
    pub forecast: Forecast,
}

/// How far one target is unwound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwind {
    /// Which.
    pub target: TargetId,
    /// Steps that stay applied.
    pub keep: u32,
    /// Not empty: it should go further, and this step cannot be undone.
    pub blocked_by: String,
}

/// What came of a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Of which rollout.
    pub rollout: RolloutId,
    /// Of which of its waves.
    pub wave: WaveIx,
    /// Its name.
    pub gate: String,
    /// In which target; `None`: it is not of a target.
    pub target: Option<TargetId>,
    /// Of which step, by its version; empty: of the wave.
    pub version: String,
    /// Of the wave: the ask's number.
    pub ask: u32,
    /// Under which lease.
    pub fence: Fence,
    /// What was measured, for people; bounded.
    pub measured: String,
    /// It did not fail by its answers: it had too few of them.
    pub inconclusive: bool,
}

/// The facts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields say what their names say; the variants are documented")]
pub enum Body {
    /// The first event.
    ClusterFormed { cluster: ClusterId, charter: Digest, bound: String },
    /// What the charter demands, and its words.
    CharterAdopted { policy: Policy, text: String },
    /// The cluster began again from a backup: what happened after that is not in the log. `fence` is this
    /// event's own; later ones count on from it.
    ClusterRestored { incarnation: Incarnation, fence: Fence, taken: Millis, reason: String },
    /// An agent came, or came back with another release.
    AgentJoined { agent: AgentId, version: String },
    /// An agent is gone for good.
    AgentLeft { agent: AgentId },
    /// An agent serves a target, or its description changed.
    TargetRegistered { agent: AgentId, target: TargetId, description: Description },
    /// An agent saw something new in a target.
    TargetObserved { agent: AgentId, target: TargetId, seen: Observation, finding: String },
    /// An agent could not look at a target.
    TargetUnreachable { agent: AgentId, target: TargetId, why: String },
    /// An agent does not name a target any more that it served: its file or the source that named it does
    /// not. What is in the target is as it was.
    TargetGone { agent: AgentId, target: TargetId },
    /// A target is gone for good.
    TargetRetired { target: TargetId, reason: String },
    /// Somebody begins to put a target back to where an archive was taken, and says why the loss of
    /// every later write is acceptable. The next look says what came of it.
    RestoreStarted { target: TargetId, archive: String, reason: String },
    /// A bundle's bytes are on a majority's disks.
    BundleStored { manifest: Arc<Manifest> },
    /// Covers every step of the plan.
    RolloutPlanned { rollout: RolloutId, id: Digest, plan: Arc<Plan> },
    /// The plan is being carried out.
    RolloutStarted { rollout: RolloutId },
    /// A wave is open.
    WaveStarted { rollout: RolloutId, wave: WaveIx },
    /// No more legs are given out.
    RolloutPaused { rollout: RolloutId, reason: String, stop: Stop },
    /// Legs are given out again.
    RolloutResumed { rollout: RolloutId },
    /// A request about a rollout was accepted, and found it as it should be. Recorded, so that a copy of it
    /// that comes late gets this answer.
    RequestSettled { rollout: RolloutId },
    /// Every target of the open wave is done, or failed within the budget: it is watched from now on.
    WaveVerified { rollout: RolloutId, wave: WaveIx },
    /// It was watched to the end.
    WaveSoaked { rollout: RolloutId, wave: WaveIx },
    /// Somebody lets a wave open.
    WaveApproved { rollout: RolloutId, wave: WaveIx, reason: String },
    /// Somebody changed what of the strategy may change.
    KnobSet { rollout: RolloutId, knob: Knob },
    /// These targets get no legs of the rollout. `part`: nor does who joins it later.
    LanesHeld {
        rollout: RolloutId,
        targets: Vec<TargetId>,
        reason: String,
        stop: Stop,
        part: Option<Part>,
    },
    /// They get legs again, and so does who joins the part later.
    LanesReleased { rollout: RolloutId, targets: Vec<TargetId>, part: Option<Part> },
    /// The rollout goes on without these targets, and without who joins the part later: legs under way are
    /// given back after their step, and all stay as they are then.
    LanesAborted { rollout: RolloutId, targets: Vec<TargetId>, reason: String, part: Option<Part> },
    /// The rollout is given up: legs under way are given back, and then it is halted.
    RolloutAborted { rollout: RolloutId, reason: String },
    /// Targets are unwound down to the steps that they keep. `breach`: nobody has asked for it but the
    /// strategy.
    RollbackStarted { rollout: RolloutId, cause: String, targets: Vec<Unwind>, breach: bool },
    /// A rollout that had turned back goes forward again. These targets were taken back, and wait in their waves;
    /// waves from `wave` on are to be opened anew. `all`: what somebody had rolled back by choice was meant, too.
    RolloutTurnedForward { rollout: RolloutId, wave: WaveIx, targets: Vec<TargetId>, all: bool },
    /// Ended; an operator is needed.
    RolloutHalted { rollout: RolloutId, reason: String },
    /// Ended; every target is where the plan wanted it.
    RolloutCompleted { rollout: RolloutId },
    /// Ended; every target that was unwound is where it was.
    RolloutRolledBack { rollout: RolloutId },
    /// A leg was leased. This event's sequence is its fence.
    LegAssigned { rollout: RolloutId, target: TargetId, agent: AgentId, kind: LegKind },
    /// A lease ended without a result. `released`: its holder gave it back, and told everything.
    LeaseExpired { rollout: RolloutId, target: TargetId, fence: Fence, why: String, released: bool },
    /// The backup behind the named steps is durable, or exempt.
    StepBackedUp {
        rollout: RolloutId,
        target: TargetId,
        fence: Fence,
        archive: Box<Archive>,
        steps: Vec<String>,
    },
    /// A step's effect and ledger row are in the target.
    StepApplied {
        rollout: RolloutId,
        target: TargetId,
        fence: Fence,
        version: String,
        step: StepIx,
        ms: u64,
        rows: u64,
        already: bool,
        measured: Measured,
    },
    /// A step's verification passed.
    StepVerified {
        rollout: RolloutId,
        target: TargetId,
        fence: Fence,
        version: String,
        step: StepIx,
        fingerprint: Option<Digest>,
    },
    /// A step failed.
    StepFailed {
        rollout: RolloutId,
        target: TargetId,
        fence: Fence,
        version: String,
        step: StepIx,
        verdict: Verdict,
        retryable: bool,
        message: String,
        file: String,
        line: u32,
    },
    /// A failed target is tried again, not before a time.
    StepRetried { rollout: RolloutId, target: TargetId, attempt: u32, not_before: Millis },
    /// A step's effect is undone.
    StepRolledBack {
        rollout: RolloutId,
        target: TargetId,
        fence: Fence,
        version: String,
        step: StepIx,
        ms: u64,
        already: bool,
        fingerprint: Option<Digest>,
        measured: Measured,
    },
    /// Somebody takes responsibility for a step that cannot be undone.
    StepWaived { rollout: RolloutId, waiver: Waiver },
    /// What of a step is in force cannot be told.
    StepStuck {
        rollout: RolloutId,
        target: TargetId,
        fence: Fence,
        version: String,
        step: StepIx,
        why: String,
    },
    /// A step was tried and left nothing.
    StepTried {
        rollout: RolloutId,
        target: TargetId,
        fence: Fence,
        version: String,
        step: StepIx,
        passed: bool,
        impossible: bool,
        note: String,
    },
    /// Somebody says what is in force in targets whose ledgers say otherwise.
    RepairOrdered { repair: RepairId, order: Box<Order> },
    /// A target's part of a repair was leased. This event's sequence is its fence.
    RepairAssigned { repair: RepairId, target: TargetId, agent: AgentId },
    /// The lease ended without a result: another agent, or the same one, takes it up.
    RepairReleased { repair: RepairId, target: TargetId, fence: Fence, why: String },
    /// A target's ledger says what the repair says. `seen` is the target after it.
    TargetMended {
        repair: RepairId,
        target: TargetId,
        fence: Fence,
        seen: Box<Observation>,
        evidence: Vec<Evidence>,
        finding: String,
    },
    /// A target's part of a repair ended with its ledger as it was, or in doubt.
    RepairFailed { repair: RepairId, target: TargetId, fence: Fence, why: String, doubt: bool },
    /// What nobody has begun of a repair is not done.
    RepairWithdrawn { repair: RepairId, reason: String },
    /// Texts that ran and the text of a file now count as the same migration.
    EditAccepted {
        version: Version,
        file: String,
        ran: Vec<Digest>,
        now: Digest,
        normalised: Digest,
        reason: String,
    },
    /// The open wave is done, and its gates are asked from now on.
    GatesOpened { rollout: RolloutId, wave: WaveIx },
    /// An agent asks a gate of a wave, for so long. This event's sequence is its fence.
    GateAsked {
        rollout: RolloutId,
        wave: WaveIx,
        gate: String,
        ask: u32,
        target: Option<TargetId>,
        agent: AgentId,
        for_ms: u64,
    },
    /// It is asked no more by that agent, without an answer.
    GateReleased { rollout: RolloutId, ask: u32, agent: AgentId, fence: Fence, why: String },
    /// A gate's answers were good.
    GatePassed { judged: Box<Judged> },
    /// They were not, or there were too few of them. Of a step: the step's failure follows.
    GateFailed { judged: Box<Judged> },
    /// A gate around a step was not good, and that is a breach. The step's failure follows.
    GateBreached { judged: Box<Judged> },
    /// Targets of a rollout that failed are tried again.
    TargetsRetried { rollout: RolloutId, targets: Vec<TargetId> },
    /// A rollout goes on without these targets, which are left as they are. `until`: from then on they owe
    /// what it did elsewhere.
    TargetsSkipped {
        rollout: RolloutId,
        targets: Vec<TargetId>,
        reason: String,
        until: Option<Millis>,
    },
    /// No rollout works on these targets until then, or until somebody thaws them.
    ChangesFrozen { freeze: FreezeId, selector: Selector, until: Option<Millis>, reason: String },
    /// They are worked on again.
    ChangesThawed { freezes: Vec<FreezeId>, reason: String },
    /// The statements that run on these targets are killed, and the legs given back. `held`: they get no legs
    /// until somebody lets them go on.
    LanesCancelled { rollout: RolloutId, targets: Vec<TargetId>, reason: String, held: bool },
    /// A step's statement was killed on somebody's word: no failure, and the lane goes on when it may.
    StepCancelled {
        rollout: RolloutId,
        target: TargetId,
        fence: Fence,
        version: String,
        step: StepIx,
        verdict: Verdict,
        message: String,
    },
    /// Targets that came, or could be looked at, while a rollout was under way: some join it, some are waited
    /// for, and with some it has nothing to do. `classes` are counted on from those that it had.
    ArrivalsSettled {
        rollout: RolloutId,
        classes: Vec<Class>,
        joined: Vec<(TargetId, WaveIx, ClassIx)>,
        awaited: Vec<(TargetId, String)>,
        settled: Vec<TargetId>,
    },
    /// How quickly a target answered before its first step: gates are held against it.
    BaselineTaken {
        rollout: RolloutId,
        target: TargetId,
        fence: Fence,
        gate: String,
        queries: Vec<Quantiles>,
    },
    /// A step that is under way has taken longer than was forecast for it. Once for a step.
    StepOverran { overrun: Box<Overrun> },
}
