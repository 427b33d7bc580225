//! What may be asked. Commands are imperative; time and identity arrive with the request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::bundle::Manifest;
use crate::event::{Archive, Measured, Stop, Verdict};
use crate::ids::{
    AgentId, ClusterId, Digest, Fence, FreezeId, Incarnation, Millis, RepairId, RequestId,
    RolloutId, Seq, StepIx, TargetId, Version, WaveIx,
};
use crate::plan::Plan;
use crate::policy::Policy;
use crate::spec::{Knob, Quantiles, Selector, Spec};
use crate::state::repair::{Evidence, Verb};
use crate::state::target::{Description, Observation};

/// A command with its circumstances.
#[derive(Debug, Clone)]
pub struct Request {
    /// `None` for the scheduler and for agents' reports, which are safe to repeat by themselves.
    pub id: Option<RequestId>,
    /// Of the request's bytes: tells a repeat with another body.
    pub digest: u64,
    /// Who asks.
    pub actor: String,
    /// The charter that the asker goes by.
    pub charter: Digest,
    /// The leader's clock, never earlier than the log's last time.
    pub now: Millis,
    /// What is asked.
    pub command: Command,
}

/// Everything that can be asked for.
#[derive(Debug, Clone)]
pub enum Command {
    /// Once, first.
    FormCluster {
        /// Names it.
        cluster: ClusterId,
        /// The charter in force.
        charter: Digest,
        /// An identifier issued elsewhere for the same charter; may be empty.
        bound: String,
    },
    /// Once, after forming: the charter's rules and words.
    AdoptCharter {
        /// What it demands.
        policy: Policy,
        /// Its words, for whoever reads the log.
        text: String,
    },
    /// Begin again from a backup. Asked by whoever writes the restored data, before any node starts on it.
    RestoreCluster {
        /// The new beginning.
        incarnation: Incarnation,
        /// Above every fence that was ever given, also by what the backup does not know of.
        fence: Fence,
        /// When the backup was taken.
        taken: Millis,
        /// Why, for the log.
        reason: String,
    },
    /// An agent has come, with the targets that it serves.
    JoinAgent {
        /// Which.
        agent: AgentId,
        /// Its release.
        version: String,
        /// What it serves.
        targets: Vec<(TargetId, Description)>,
        /// It names everything that it serves: what it does not name it serves no more.
        whole: bool,
    },
    /// An agent has looked at a target.
    RecordObservation {
        /// Who looked.
        agent: AgentId,
        /// At what.
        target: TargetId,
        /// What it saw, or why it saw nothing.
        seen: Result<Observation, String>,
        /// What had happened, as far as the agent had heard, when it began to look.
        as_of: Option<Seq>,
    },
    /// A target is gone for good.
    RetireTarget {
        /// Which.
        target: TargetId,
        /// Why.
        reason: String,
    },
    /// Record that a target is about to be put back to where an archive was taken.
    StartRestore {
        /// Which.
        target: TargetId,
        /// The archive's name.
        archive: String,
        /// Why the loss of every later write is acceptable.
        reason: String,
    },
    /// A bundle's bytes are stored on this node.
    StoreBundle {
        /// What is in it.
        manifest: Arc<Manifest>,
    },
    /// Record a plan that was computed from this state.
    PlanRollout {
        /// The question.
        spec: Box<Spec>,
        /// The answer. Computed again, and refused as stale where the two differ.
        plan: Arc<Plan>,
        /// SHA-256 of the answer's canonical bytes.
        id: Digest,
    },
    /// Carry out exactly that plan.
    StartRollout {
        /// Which.
        plan: Digest,
        /// For steps that cannot be undone.
        waivers: Vec<Waiver>,
    },
    /// Give out no more legs.
    PauseRollout {
        /// Which.
        rollout: RolloutId,
        /// Why.
        reason: String,
        /// What becomes of legs under way.
        stop: Stop,
    },
    /// Change what of a strategy may change while it is carried out.
    SetKnobs {
        /// Of which rollout.
        rollout: RolloutId,
        /// To what; all of them, or none.
        knobs: Vec<Knob>,
    },
    /// Let a wave open.
    ApproveWave {
        /// Of which rollout.
        rollout: RolloutId,
        /// Which.
        wave: WaveIx,
        /// Why, for the log.
        reason: String,
    },
    /// Give out no more legs for some targets.
    HoldLanes {
        /// Of which rollout.
        rollout: RolloutId,
        /// Which.
        selector: Selector,
        /// Of this wave only.
        wave: Option<WaveIx>,
        /// Why, for the log.
        reason: String,
        /// What becomes of legs under way.
        stop: Stop,
    },
    /// Let them go on.
    ReleaseLanes {
        /// Of which rollout.
        rollout: RolloutId,
        /// Which.
        selector: Selector,
        /// Of this wave only.
        wave: Option<WaveIx>,
    },
    /// Let no rollout work on targets.
    Freeze {
        /// Which.
        selector: Selector,
        /// Until then; `None`: until somebody thaws them.
        until: Option<Millis>,
        /// Why, for the log.
        reason: String,
    },
    /// Let rollouts work on targets again.
    Thaw {
        /// Which freezes. Empty: those with this selector.
        freezes: Vec<FreezeId>,
        /// As it was frozen. Asks for everything, where no number is given either: every freeze is lifted.
        selector: Selector,
        /// Why, for the log.
        reason: String,
    },
    /// Kill the statements that run, and give the targets back.
    CancelLanes {
        /// Of which rollout.
        rollout: RolloutId,
        /// On which targets, which are held then; `None`: on all, and the rollout pauses.
        part: Option<(Selector, Option<WaveIx>)>,
        /// Why, for the log.
        reason: String,
    },
    /// Give a rollout up, and leave everything as it stands.
    AbortRollout {
        /// Which.
        rollout: RolloutId,
        /// Why.
        reason: String,
    },
    /// Let a rollout go on without a part of it, which stays as it stands.
    AbortLanes {
        /// Of which rollout.
        rollout: RolloutId,
        /// Which.
        selector: Selector,
        /// Of this wave only.
        wave: Option<WaveIx>,
        /// Why.
        reason: String,
    },
    /// Go on; failed targets are tried again, and what a breach took back goes forward again.
    ResumeRollout {
        /// Which.
        rollout: RolloutId,
        /// What somebody had rolled back by choice goes forward again, too.
        all: bool,
    },
    /// Undo what a rollout did.
    RollBackRollout {
        /// Which.
        rollout: RolloutId,
        /// Where, and how far.
        extent: Extent,
        /// For steps that cannot be undone.
        waivers: Vec<Waiver>,
    },
    /// Scheduler: the open wave is done, and is watched from now on.
    SoakWave {
        /// Of which rollout.
        rollout: RolloutId,
    },
    /// Set the ledgers of targets right.
    Repair(Box<Ask>),
    /// What nobody has begun of a repair is not to be done.
    WithdrawRepair {
        /// Which.
        repair: RepairId,
        /// Why.
        reason: String,
    },
    /// A file was edited after it was applied, and both texts count as the same migration.
    AcceptEdited(Box<Ask>),
    /// Try failed targets of a rollout again, and no others.
    RetryTargets {
        /// Of which rollout.
        rollout: RolloutId,
        /// Which.
        selector: Selector,
    },
    /// Let a rollout go on and end without some of its targets.
    SkipTargets {
        /// Which rollout.
        rollout: RolloutId,
        /// Which targets.
        selector: Selector,
        /// Why that is acceptable.
        reason: String,
        /// Until when; `None`: for good.
        until: Option<Millis>,
    },
    /// Scheduler: the open wave is done, and its gates are to be asked.
    OpenGates {
        /// Of which rollout.
        rollout: RolloutId,
    },
    /// Scheduler: let an agent ask a gate.
    AskGate {
        /// Of which rollout.
        rollout: RolloutId,
        /// The ask's number.
        ask: u32,
        /// Who.
        agent: AgentId,
    },
    /// An agent that asks a gate was not heard of for the length of its lease, or gives it back.
    ReleaseGate {
        /// Whose.
        agent: AgentId,
        /// Under which lease.
        fence: Fence,
        /// Why.
        why: String,
    },
    /// An agent tells what came of a gate.
    JudgeGate {
        /// Who.
        agent: AgentId,
        /// Under which lease.
        fence: Fence,
        /// What.
        judgement: Judgement,
    },
    /// Scheduler: hand the repair of a target's ledger to an agent.
    AssignRepair {
        /// Where.
        target: TargetId,
        /// To whom.
        agent: AgentId,
    },
    /// Scheduler: decide about targets that came while a rollout was under way.
    SettleArrivals {
        /// Of which rollout.
        rollout: RolloutId,
        /// Whom it means.
        meant: Meant,
    },
    /// Scheduler: open the next wave.
    StartWave {
        /// Of which rollout.
        rollout: RolloutId,
    },
    /// Scheduler: hand a target's steps to an agent.
    AssignLeg {
        /// Of which rollout.
        rollout: RolloutId,
        /// Where.
        target: TargetId,
        /// To whom.
        agent: AgentId,
    },
    /// Scheduler: unwind what the strategy says, because the budget is broken.
    UnwindRollout {
        /// Which.
        rollout: RolloutId,
    },
    /// Scheduler: nothing is left to do.
    FinishRollout {
        /// Which.
        rollout: RolloutId,
    },
    /// A rollout does not go on by itself: it was given up, or the cluster was restored.
    HaltRollout {
        /// Which.
        rollout: RolloutId,
        /// Why.
        reason: String,
    },
    /// Leader: an executor was not heard of for the length of its lease, or gave it back.
    ExpireLease {
        /// Where.
        target: TargetId,
        /// Whose.
        fence: Fence,
        /// Why.
        why: String,
    },
    /// Leader: a step that is under way has taken longer than was forecast for it.
    RecordOverrun {
        /// Where.
        target: TargetId,
        /// Under which lease.
        fence: Fence,
        /// When it was last known to be held back; zero: never.
        held: Millis,
    },
    /// An agent tells what happened in a leg.
    Report {
        /// Who.
        agent: AgentId,
        /// Where.
        target: TargetId,
        /// Under which lease.
        fence: Fence,
        /// What.
        outcome: Outcome,
    },
}

/// Whom a rollout's selectors mean, of targets that came later. Conditions are not read in this crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    /// No selector has a condition.
    AsPlanned,
    /// The same question, with what its conditions hold of among these. Who has come since is asked about anew.
    Found(Box<Spec>, BTreeSet<TargetId>),
    /// A condition cannot be asked, for this reason.
    Unknown(String),
}

/// What of a rollout is undone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extent {
    /// Where.
    pub selector: Selector,
    /// Of this wave only.
    pub wave: Option<WaveIx>,
    /// How far.
    pub depth: Depth,
}

/// How far targets are taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Depth {
    /// To where they were before.
    #[default]
    Whole,
    /// So many steps.
    Steps(u32),
    /// Until this version is the newest in force.
    Version(Version),
    /// To where they were at a time, before this event: so many steps were in force then; none, where a target
    /// is not named. Found by whoever took the request: the state knows no past.
    Time(Seq, BTreeMap<TargetId, u32>),
}

/// A recorded decision to go on although a step cannot be undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// A version, or `*`.
    pub step: String,
    /// Why that is acceptable.
    pub reason: String,
}

/// What an agent tells of a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Enough answers were as expected.
    pub passed: bool,
    /// It did not pass, and not by its answers: too few came.
    pub inconclusive: bool,
    /// What was measured, for people.
    pub measured: String,
}

/// What is said of the ledgers of targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// What is said; of no meaning for an edited file.
    pub verb: Verb,
    /// Of which versions.
    pub versions: Vec<Version>,
    /// Whose migrations they are.
    pub bundle: Digest,
    /// On which targets.
    pub selector: Selector,
    /// Why it may be done without evidence; empty: only on evidence.
    pub waiver: String,
}

/// What an agent tells of a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The backup of the leg is durable.
    BackedUp(Box<Archive>),
    /// A step's effect and its ledger row are in the target.
    Applied {
        /// Which.
        step: StepIx,
        /// How long it took, milliseconds.
        ms: u64,
        /// Rows that it changed.
        rows: u64,
        /// It was found there.
        already: bool,
        /// What else was measured.
        measured: Measured,
    },
    /// The step's verification passed.
    Verified {
        /// Which.
        step: StepIx,
        /// The schema after it; of a leg's last step only.
        fingerprint: Option<Digest>,
    },
    /// The step failed.
    Failed {
        /// Which.
        step: StepIx,
        /// What of it is in force.
        verdict: Verdict,
        /// It may pass by itself.
        retryable: bool,
        /// Somebody had its statement killed.
        cancelled: bool,
        /// What the database said.
        message: String,
        /// Of the script.
        file: String,
        /// Of the statement; zero: not known.
        line: u32,
    },
    /// The step's effect is undone and its ledger row gone.
    RolledBack {
        /// Which.
        step: StepIx,
        /// How long it took, milliseconds.
        ms: u64,
        /// It was found undone.
        already: bool,
        /// The schema after it; of a leg's last step only.
        fingerprint: Option<Digest>,
        /// What else was measured.
        measured: Measured,
    },
    /// What is in force cannot be told from evidence.
    Stuck {
        /// Which.
        step: StepIx,
        /// What is missing.
        why: String,
    },
    /// The step was tried in a transaction that was rolled back.
    Tried {
        /// Which.
        step: StepIx,
        /// It would have gone through.
        passed: bool,
        /// The engine cannot try it.
        impossible: bool,
        /// What the database said.
        note: String,
    },
    /// The ledger says what a repair says.
    Mended {
        /// The target after it.
        seen: Box<Observation>,
        /// On what each change rests.
        evidence: Vec<Evidence>,
    },
    /// What came of a gate around the step.
    Judged {
        /// Which.
        step: StepIx,
        /// Of the strategy, by name.
        gate: String,
        /// What.
        judgement: Judgement,
    },
    /// How quickly the target answered before the leg's first step.
    Baseline {
        /// For which gate of the strategy.
        gate: String,
        /// For each of its queries.
        queries: Vec<Quantiles>,
    },
    /// The leg is given back with nothing under way, and everything that is in force was reported. An
    /// executor that could not read the target's ledger does not say so: it lets the lease end.
    Released {
        /// Why.
        why: String,
    },
}
