//! What a run came across: which faults, which events, which refusals, which situations. A generator
//! that never makes something says nothing about it.

use std::collections::BTreeMap;

use skein_core::event::Body;
use skein_core::refusal::Refusal;

macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident { $($(#[$kind_doc:meta])* $kind:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$kind_doc])* $kind),* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind),*];
        }
    };
}

kinds! {
    /// What breaks.
    Fault {
        /// An agent's process dies.
        AgentCrashes,
        /// An agent's process stands still.
        AgentStalls,
        /// The source of an agent does not name a target for a while.
        SourceShrinks,
        /// An agent gives its legs back and is started again.
        AgentDrains,
        /// Neither way between an agent and the leader.
        AgentCutOff,
        /// What an agent says does not arrive.
        AgentUnheard,
        /// What an agent is told does not arrive.
        AgentDeaf,
        /// The leader dies.
        LeaderDies,
        /// The leader is cut off from its peers, and goes on for a while.
        LeaderCutOff,
        /// A write of the leader's fails.
        DiskFails,
        /// The leader's clock jumps.
        ClockJumps,
        /// A database server is gone for a while, and every session with it.
        DatabaseDown,
        /// Somebody changes a schema.
        SchemaChanged,
        /// A database is put back to an earlier state.
        DatabaseRestored,
        /// A row is taken out of a ledger by hand, or its step is undone and the row left.
        MigratedByHand,
        /// A target's address leads to another server, or to another target's.
        ServerReplaced,
        /// An agent sends reports that make no sense.
        ReportsNonsense,
        /// A scheduler that is wrong or late.
        SchedulesNonsense,
        /// A message is lost.
        MessageLost,
        /// A message arrives twice.
        MessageDoubled,
        /// A message arrives after ones that were sent later.
        MessageLate,
    }
}

kinds! {
    /// A situation that the promises are about.
    Reach {
        /// A new executor finds a step in force that was never told.
        FoundInForce,
        /// An executor completes a half that another one has left.
        HalfCompleted,
        /// An executor finds a greater fence than its own, and stops.
        FencedOff,
        /// A look raises the fence first, since an executor of before may still be there.
        LooksBehindFence,
        /// A later executor waits for an earlier one's session.
        WaitsForSession,
        /// A leg arrives that this life has brought to an end.
        FinishedLegArrives,
        /// A leg is handed out by a leader that is none any more.
        LegOfOldLeader,
        /// A leg arrives after its lease has ended.
        LegAfterLease,
        /// A report arrives from a life before the one that is known.
        ReportOfEarlierLife,
        /// A report arrives under a lease that is gone.
        ReportAfterLease,
        /// A record that was proposed is lost with its leader.
        RecordLost,
        /// A record is durable, and its askers never heard.
        RecordUnheard,
        /// A repeat of a request is answered as the first was.
        RequestRepeated,
        /// A request id is used for another request.
        RequestIdReused,
        /// A lane whose executor vanished is looked at before it is undone.
        LookBeforeUndo,
        /// An undo leg is cancelled or given back.
        LegGivenBack,
        /// A statement is killed on somebody's word.
        StatementKilled,
        /// A rollout turns back while legs run forward.
        TurnedUnderWay,
        /// A rollback is asked for while one is under way.
        RollbackWidened,
        /// An older rollout is rolled back.
        OlderRolledBack,
        /// A rollback stops above a step that cannot be undone.
        RollbackBlocked,
        /// Two rollouts are under way at one time.
        TwoUnderWay,
        /// A rollout is planned over classes that differ.
        SeveralClasses,
        /// A halted rollout is resumed.
        HaltedResumed,
        /// What a breach took back goes forward again.
        ForwardAgain,
        /// What somebody rolled back goes forward again on somebody's word.
        ForwardByChoice,
        /// What goes forward again had steps left in force.
        ForwardFromSteps,
        /// A wave that is opened anew has targets that were done already.
        WaveDoneInPart,
        /// A paused rollout is rolled back.
        PausedRolledBack,
        /// A target is registered while a rollout runs.
        RegisteredUnderWay,
        /// A retired target comes back.
        RetiredComesBack,
        /// A target that a plan names is retired before it starts.
        PlanOfRetired,
        /// An executor finds another ledger than the log has.
        LedgerDiffers,
        /// An executor finds another server than the log has.
        ServerDiffers,
        /// A repair is refused where it is to be made: nothing proves it.
        RepairUnproved,
        /// A leg arrives at an agent that does not name its target any more.
        LegOfUnnamed,
        /// Drift is accepted.
        DriftAccepted,
        /// A failed step is tried again.
        Retried,
        /// A step waits for something that has too much to do.
        Throttled,
        /// A step waits since what it waits for cannot be read.
        Unread,
        /// What was measured before a leg is what a gate is held against.
        Compared,
        /// A gate before a step does not pass.
        StoppedBefore,
        /// A gate after a step does not pass.
        StoppedAfter,
        /// A gate around a step could not be told.
        Untold,
        /// Whoever takes a leg over asks what is asked after the last step that it finds.
        AskedOfFound,
        /// A leg is given back while gates around a step are asked.
        GivenBackAsking,
        /// A throttle closes while gates before a step are asked.
        ClosedAsking,
        /// Somebody takes up a statement in batches behind the last one that stands.
        BatchesTakenUp,
        /// A statement in batches is left between two, on somebody's word.
        LeftBehindBatch,
        /// An agent that is shut down leaves a half to whoever has the leg next.
        LeftWithoutAWord,
        /// Between two batches there is a rest.
        RestsBetweenBatches,
        /// A step that was begun waits for something that has too much to do.
        ThrottledWithin,
        /// A target waits for a window, or for the end of a blackout.
        OutsideWindow,
        /// A target that was left out until a time is called in.
        CalledIn,
        /// A target joins a rollout that is under way.
        JoinedLate,
        /// A plan goes through the values of a label, one after the other.
        CutByLabel,
        /// A verification fails.
        VerificationFailed,
        /// A new leader starts from a snapshot and the tail behind it.
        SnapshotAndTail,
        /// The clock went back, and the log's time did not.
        ClockBehindLog,
    }
}

/// The name of an event's kind.
pub fn kind(body: &Body) -> &'static str {
    match body {
        Body::ClusterFormed { .. } => "ClusterFormed",
        Body::CharterAdopted { .. } => "CharterAdopted",
        Body::ClusterRestored { .. } => "ClusterRestored",
        Body::AgentJoined { .. } => "AgentJoined",
        Body::AgentLeft { .. } => "AgentLeft",
        Body::TargetRegistered { .. } => "TargetRegistered",
        Body::TargetObserved { .. } => "TargetObserved",
        Body::TargetUnreachable { .. } => "TargetUnreachable",
        Body::TargetGone { .. } => "TargetGone",
        Body::TargetRetired { .. } => "TargetRetired",
        Body::RestoreStarted { .. } => "RestoreStarted",
        Body::BundleStored { .. } => "BundleStored",
        Body::RolloutPlanned { .. } => "RolloutPlanned",
        Body::RolloutStarted { .. } => "RolloutStarted",
        Body::WaveStarted { .. } => "WaveStarted",
        Body::RolloutPaused { .. } => "RolloutPaused",
        Body::RolloutResumed { .. } => "RolloutResumed",
        Body::RolloutTurnedForward { .. } => "RolloutTurnedForward",
        Body::RequestSettled { .. } => "RequestSettled",
        Body::WaveVerified { .. } => "WaveVerified",
        Body::WaveSoaked { .. } => "WaveSoaked",
        Body::GatesOpened { .. } => "GatesOpened",
        Body::GateAsked { .. } => "GateAsked",
        Body::GateReleased { .. } => "GateReleased",
        Body::BaselineTaken { .. } => "BaselineTaken",
        Body::GatePassed { .. } => "GatePassed",
        Body::GateFailed { .. } => "GateFailed",
        Body::GateBreached { .. } => "GateBreached",
        Body::WaveApproved { .. } => "WaveApproved",
        Body::KnobSet { .. } => "KnobSet",
        Body::LanesHeld { .. } => "LanesHeld",
        Body::LanesReleased { .. } => "LanesReleased",
        Body::LanesAborted { .. } => "LanesAborted",
        Body::RolloutAborted { .. } => "RolloutAborted",
        Body::RepairOrdered { .. } => "RepairOrdered",
        Body::RepairAssigned { .. } => "RepairAssigned",
        Body::RepairReleased { .. } => "RepairReleased",
        Body::TargetMended { .. } => "TargetMended",
        Body::RepairFailed { .. } => "RepairFailed",
        Body::RepairWithdrawn { .. } => "RepairWithdrawn",
        Body::EditAccepted { .. } => "EditAccepted",
        Body::TargetsRetried { .. } => "TargetsRetried",
        Body::TargetsSkipped { .. } => "TargetsSkipped",
        Body::ChangesFrozen { .. } => "ChangesFrozen",
        Body::ChangesThawed { .. } => "ChangesThawed",
        Body::LanesCancelled { .. } => "LanesCancelled",
        Body::StepCancelled { .. } => "StepCancelled",
        Body::ArrivalsSettled { .. } => "ArrivalsSettled",
        Body::RollbackStarted { .. } => "RollbackStarted",
        Body::RolloutHalted { .. } => "RolloutHalted",
        Body::RolloutCompleted { .. } => "RolloutCompleted",
        Body::RolloutRolledBack { .. } => "RolloutRolledBack",
        Body::LegAssigned { .. } => "LegAssigned",
        Body::LeaseExpired { .. } => "LeaseExpired",
        Body::StepBackedUp { .. } => "StepBackedUp",
        Body::StepApplied { .. } => "StepApplied",
        Body::StepOverran { .. } => "StepOverran",
        Body::StepVerified { .. } => "StepVerified",
        Body::StepFailed { .. } => "StepFailed",
        Body::StepRetried { .. } => "StepRetried",
        Body::StepRolledBack { .. } => "StepRolledBack",
        Body::StepWaived { .. } => "StepWaived",
        Body::StepStuck { .. } => "StepStuck",
        Body::StepTried { .. } => "StepTried",
    }
}

/// Every kind of event that something can ask for. Nothing makes an agent leave, and a cluster is restored
/// before any node runs.
pub const EVENTS: [&str; 62] = [
    "ClusterFormed",
    "CharterAdopted",
    "AgentJoined",
    "TargetRegistered",
    "TargetObserved",
    "TargetUnreachable",
    "TargetGone",
    "TargetRetired",
    "RestoreStarted",
    "BundleStored",
    "RolloutPlanned",
    "RolloutStarted",
    "WaveStarted",
    "RolloutPaused",
    "RolloutResumed",
    "RolloutTurnedForward",
    "RequestSettled",
    "WaveVerified",
    "WaveSoaked",
    "GatesOpened",
    "GateAsked",
    "GateReleased",
    "BaselineTaken",
    "GatePassed",
    "GateFailed",
    "GateBreached",
    "WaveApproved",
    "KnobSet",
    "LanesHeld",
    "LanesReleased",
    "LanesAborted",
    "RolloutAborted",
    "TargetsRetried",
    "TargetsSkipped",
    "RepairOrdered",
    "RepairAssigned",
    "RepairReleased",
    "TargetMended",
    "RepairFailed",
    "RepairWithdrawn",
    "EditAccepted",
    "ChangesFrozen",
    "ChangesThawed",
    "LanesCancelled",
    "StepCancelled",
    "ArrivalsSettled",
    "RollbackStarted",
    "RolloutHalted",
    "RolloutCompleted",
    "RolloutRolledBack",
    "LegAssigned",
    "LeaseExpired",
    "StepBackedUp",
    "StepApplied",
    "StepOverran",
    "StepVerified",
    "StepFailed",
    "StepRetried",
    "StepRolledBack",
    "StepWaived",
    "StepStuck",
    "StepTried",
];

/// How often each was met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Faults.
    pub faults: BTreeMap<Fault, u64>,
    /// Situations.
    pub reach: BTreeMap<Reach, u64>,
    /// Durable events, by the names of their kinds.
    pub events: BTreeMap<&'static str, u64>,
    /// What refusals say and say next, without numbers. Kept only where it was asked for.
    pub refusals: BTreeMap<String, u64>,
}

impl Coverage {
    pub(super) fn refusal(&mut self, refusal: &Refusal) {
        let text = without_numbers(&format!("{}\n{}", refusal.what, refusal.next));
        *self.refusals.entry(text).or_default() += 1;
    }

    /// Takes in what another run came across.
    pub fn add(&mut self, other: &Self) {
        sum(&mut self.faults, &other.faults);
        sum(&mut self.reach, &other.reach);
        sum(&mut self.events, &other.events);
        for (text, count) in &other.refusals {
            *self.refusals.entry(text.clone()).or_default() += count;
        }
    }

    /// How often a refusal was met whose text has these parts in this order.
    pub fn refused(&self, parts: &[String]) -> u64 {
        let has = |text: &str| {
            let mut rest = text;
            parts.iter().all(|part| match rest.split_once(part.as_str()) {
                Some((_, after)) => {
                    rest = after;
                    true
                }
                None => false,
            })
        };
        self.refusals.iter().filter(|(text, _)| has(text)).map(|(_, count)| count).sum()
    }
}

fn sum<K: Ord + Copy>(into: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *into.entry(*key).or_default() += count;
    }
}

/// The refusals that the sources of the core hold: for each the parts of its first sentence that do
/// not change, without numbers.
pub fn refusals_in(source: &str) -> Vec<Vec<String>> {
    source
        .split("Refusal::new(")
        .skip(1)
        .filter_map(|site| {
            let from = site.split_once('"')?.1;
            let text = literal(from);
            let parts: Vec<String> = parts(&text);
            (!parts.is_empty()).then_some(parts)
        })
        .collect()
}

/// A string literal up to its end, with continued lines joined.
fn literal(from: &str) -> String {
    let mut text = String::new();
    let mut letters = from.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => match letters.next() {
                Some('\n') => while letters.next_if(|next| next.is_whitespace()).is_some() {},
                Some(other) => text.push(other),
                None => break,
            },
            other => text.push(other),
        }
    }
    text
}

fn parts(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for piece in text.split('{') {
        let fixed = piece.split_once('}').map_or(piece, |(_, after)| after);
        let fixed = without_numbers(fixed);
        if fixed.trim().len() > 2 {
            parts.push(fixed);
        }
    }
    parts
}

fn without_numbers(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_ascii_digit()).collect()
}
