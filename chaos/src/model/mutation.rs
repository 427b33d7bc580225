//! Bugs that are planted to show that the invariants see them.

/// One broken promise of an executor, a leader or the wrapper around the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// The executor writes without looking at the fence.
    NoFenceCheck,
    /// The executor lowers the fence that it finds.
    LowersFence,
    /// `Applied` is sent before the effect.
    ReportsBeforeEffect,
    /// The executor does not wait until its backup is recorded.
    NoBackup,
    /// The executor runs its steps without reading the ledger first.
    NoLedgerCheck,
    /// Statement by statement without an intent.
    NoIntent,
    /// Statement by statement without a session lock, and so without a fence that holds.
    NoSessionLock,
    /// The executor of a repair tells of rows that it did not write.
    MendsInWords,
    /// The executor runs its steps in the wrong order.
    WrongOrder,
    /// The executor runs another file than the one that was planned.
    OtherContent,
    /// Undoing goes from the first step to the last.
    UndoesForwards,
    /// A leg that is to look and give back gives back without looking.
    ReleasesUnseen,
    /// Reports that are lost are not sent again.
    ForgetsReports,
    /// The leader acknowledges before the record is durable.
    AcksEarly,
    /// The leader hands out legs that are not durable yet.
    HandsOutEarly,
    /// An agent begins a leg again that it has brought to an end.
    BeginsAgain,
    /// Steps found in force are taken for the lane's own before anything of it can have run.
    AdoptsDrift,
    /// Something opens the next wave without asking the rules.
    OpensWaves,
    /// Something opens the next wave though gates have not passed.
    SkipsGates,
    /// Something gives out legs of a paused rollout.
    GrantsWhilePaused,
    /// Something gives out legs of targets that somebody holds.
    GrantsHeld,
    /// Something gives out legs of targets that somebody froze.
    GrantsFrozen,
    /// Something gives out legs outside of windows, and in blackouts.
    GrantsClosed,
    /// Something gives out legs after the budget is broken.
    GrantsAfterBreach,
    /// A repeated request id is decided as a new one.
    ForgetsRequests,
    /// Events without the name of who asked.
    Anonymous,
    /// A replica folds an event differently.
    FoldsDifferently,
    /// A leg that is to try its steps leaves them in force.
    TrialLeaves,
    /// What the database says is told with the way to it.
    LeaksSecret,
    /// The leader gives events the time of its own clock.
    TrustsClock,
    /// A new leader applies another event than the one that was recorded.
    AppliesAnother,
    /// A new leader begins without the last event of the log.
    LosesTail,
    /// Two nodes lead in one term.
    TwoLeaders,
    /// A leader that was cut off answers reads.
    StaleReads,
    /// A leader whose disk has failed acknowledges what it could not write.
    AcksAfterDiskError,
    /// An executor that waits for a session waits for ever, and is heard of.
    WaitsForEver,
    /// A target is leased while it is leased.
    LeasesTwice,
    /// What is done is not called finished.
    NeverFinishes,
    /// Targets that came while a rollout was under way are forgotten.
    ForgetsArrivals,
    /// Something says again that a step takes long.
    CriesTwice,
    /// A step begins without asking what it waits for.
    NoThrottle,
    /// What cannot be read counts as good.
    FailsOpen,
    /// A good reading holds for ever.
    MeasuresOnce,
    /// A target is measured again when a step has run.
    MeasuresLate,
    /// A target is held against what was measured in another.
    ComparesWithAnother,
    /// A late target joins with other steps than it owes, or where everybody has passed.
    JoinsAnyhow,
    /// A wave of one region has a target of another.
    MixesRegions,
    /// A rollout that left a half is called rolled back.
    CallsItRolledBack,
    /// One more leg than a rollout's strategy allows.
    GrantsPastRoom,
    /// An adoption that came to nothing is ordered once more.
    AdoptsInVain,
    /// Something takes forward again what somebody had rolled back by choice.
    TakesForward,
    /// A step begins without asking the gates before it.
    SkipsStepGates,
    /// A gate around a step that could not be told counts as passed.
    TakesSilence,
    /// A step counts as verified though a gate after it did not pass.
    VerifiesAnyhow,
    /// Whoever takes up a statement in batches begins it from its first key.
    BeginsBatchesAnew,
    /// A statement in batches ends before its last batch.
    EndsBatchesEarly,
    /// Who is to leave a statement between two batches goes on.
    StaysInBatches,
    /// What a step waited for is told as its work.
    CountsWaits,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 58] = [
        Self::NoFenceCheck,
        Self::LowersFence,
        Self::ReportsBeforeEffect,
        Self::NoBackup,
        Self::NoLedgerCheck,
        Self::NoIntent,
        Self::NoSessionLock,
        Self::MendsInWords,
        Self::WrongOrder,
        Self::OtherContent,
        Self::UndoesForwards,
        Self::ReleasesUnseen,
        Self::ForgetsReports,
        Self::AcksEarly,
        Self::HandsOutEarly,
        Self::BeginsAgain,
        Self::AdoptsDrift,
        Self::OpensWaves,
        Self::SkipsGates,
        Self::GrantsWhilePaused,
        Self::GrantsHeld,
        Self::GrantsFrozen,
        Self::GrantsClosed,
        Self::GrantsAfterBreach,
        Self::ForgetsRequests,
        Self::Anonymous,
        Self::FoldsDifferently,
        Self::TrialLeaves,
        Self::LeaksSecret,
        Self::TrustsClock,
        Self::AppliesAnother,
        Self::LosesTail,
        Self::TwoLeaders,
        Self::StaleReads,
        Self::AcksAfterDiskError,
        Self::WaitsForEver,
        Self::LeasesTwice,
        Self::NeverFinishes,
        Self::ForgetsArrivals,
        Self::CriesTwice,
        Self::NoThrottle,
        Self::FailsOpen,
        Self::MeasuresOnce,
        Self::MeasuresLate,
        Self::ComparesWithAnother,
        Self::JoinsAnyhow,
        Self::MixesRegions,
        Self::CallsItRolledBack,
        Self::GrantsPastRoom,
        Self::AdoptsInVain,
        Self::TakesForward,
        Self::SkipsStepGates,
        Self::TakesSilence,
        Self::VerifiesAnyhow,
        Self::BeginsBatchesAnew,
        Self::EndsBatchesEarly,
        Self::StaysInBatches,
        Self::CountsWaits,
    ];

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mutation| format!("{mutation:?}") == name)
    }
}
