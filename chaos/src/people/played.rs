//! Which capabilities a log has seen, and which it has not: a play in which something never came up says nothing
//! about it.

use std::collections::BTreeMap;

use skein_core::event::{Body, Event, Stop};
use skein_core::plan::Plan;
use skein_core::spec::{Knob, Measure, OnBreach, Order, Question, Scope, Setting, When};
use skein_core::state::Fleet;
use skein_core::state::repair::Verb;

/// By which name the schedule asks.
const SCHEDULER: &str = "skein/scheduler";

macro_rules! capabilities {
    ($($name:ident = $words:literal),* $(,)?) => {
        /// What the owner of a large fleet may ask for, and what may come of it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each says in words what it is")]
        pub enum Capability { $($name),* }

        impl Capability {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// For people.
            pub fn words(self) -> &'static str {
                match self { $(Self::$name => $words),* }
            }
        }
    };
}

capabilities! {
    ChosenWhere = "targets chosen by a condition",
    WaveByLabel = "wave by a selector",
    WaveByCount = "wave by a count",
    WaveByPercent = "wave by a percentage",
    WaveOnePerClass = "wave of one of each class",
    WavePerRegion = "waves for each value of a label",
    ClassesCovered = "classes covered by the first wave",
    Ordered = "regions as an order",
    Stages = "stages",
    StageBarrier = "a stage begun behind a barrier",
    Soak = "soak",
    Soaked = "a wave watched to its end",
    ApprovalAsked = "a wave that waits for a word",
    Approved = "a word given",
    GateBeforeStep = "gate before each step",
    GateAfterStep = "gate after each step",
    GateAfterWave = "gate after a wave",
    GateInSoak = "gate in a soak",
    GateSql = "gate by SQL",
    GateHttp = "gate by HTTP",
    GateCommand = "gate by a command",
    GatePrometheus = "gate by Prometheus",
    GateLatency = "gate by latency",
    GatePassed = "a gate of a wave that passed",
    GateFailed = "a gate that did not pass",
    BudgetFailed = "budget in targets",
    BudgetPercent = "budget in percent",
    BudgetOfRollout = "budget over the rollout",
    BreachHalts = "on_breach = halt",
    BreachTakesTarget = "on_breach = rollback_target",
    BreachTakesWave = "on_breach = rollback_wave",
    BreachTakesRollout = "on_breach = rollback_rollout",
    Breach = "a breach that was unwound",
    ThrottleLag = "throttle by replica lag",
    ThrottleLoad = "throttle by load",
    ThrottleQuery = "throttle by a query",
    ThrottleHttp = "throttle by a signal",
    Windows = "windows",
    Blackouts = "blackouts",
    Frozen = "a freeze",
    Thawed = "a thaw",
    LimitPerLabel = "limit for a label's values",
    LimitPerGroup = "limit for resource groups",
    SetPace = "set: parallelism, limits, retries",
    SetSoak = "set: soak",
    SetBudget = "set: budget",
    SetWindows = "set: windows",
    SetThrottleLimit = "set: a throttle's limit",
    SetThrottleOn = "set: a throttle on",
    SetThrottleOff = "set: a throttle off",
    SetBatch = "set: batch, batch_pause",
    Paused = "pause of a rollout",
    PausedNow = "pause after the step",
    PausedBehindBatch = "pause behind the batch",
    HeldTargets = "pause of targets",
    HeldWave = "pause of a wave",
    Resumed = "resume of a rollout",
    Released = "resume of a part",
    Cancelled = "cancel",
    StatementKilled = "a statement that was killed",
    Aborted = "abort of a rollout",
    AbortedPart = "abort of a part",
    RolledBack = "rollback on somebody's word",
    RolledBackSome = "rollback of some targets",
    RolledBackDeep = "rollback of some steps",
    TurnedForward = "resume of what had turned back",
    Joined = "a late target that joined",
    Awaited = "a late target that was waited for",
    Retired = "a target retired",
    Retried = "repair retry",
    Skipped = "repair skip",
    RepairApplied = "repair applied",
    RepairNotApplied = "repair not-applied",
    RepairAdopt = "repair adopt",
    AdoptedUnasked = "a late target that got its ledger by itself",
    EditAccepted = "repair accept-edited",
    Mended = "a ledger set right",
    Batching = "batches sized by the strategy",
}

/// How often each was seen.
#[derive(Debug, Clone, Default)]
pub struct Played(BTreeMap<Capability, u64>);

impl Played {
    /// So often.
    pub fn times(&self, capability: Capability) -> u64 {
        self.0.get(&capability).copied().unwrap_or(0)
    }

    /// Those that never came up.
    pub fn never(&self) -> impl Iterator<Item = Capability> + '_ {
        let all = Capability::ALL.iter().copied();
        all.filter(|capability| self.times(*capability) == 0)
    }

    fn saw(&mut self, capability: Capability) {
        *self.0.entry(capability).or_default() += 1;
    }

    fn saw_if(&mut self, is: bool, capability: Capability) {
        if is {
            self.saw(capability);
        }
    }

    /// An event, and the fleet behind it. Plans count once they are carried out.
    pub fn event(&mut self, event: &Event, fleet: &Fleet) {
        use Capability as It;
        let asked = event.request.is_some();
        match &event.body {
            Body::RolloutStarted { rollout } => {
                if let Some(state) = fleet.rollouts.get(rollout) {
                    self.plan(&state.plan);
                }
            }
            Body::WaveStarted { rollout, wave } => {
                let stage_of = |wave: usize| {
                    let state = fleet.rollouts.get(rollout)?;
                    state.plan.waves.get(wave).map(|wave| wave.stage)
                };
                let wave = usize::try_from(wave.0).unwrap_or_default();
                let before = wave.checked_sub(1).and_then(stage_of);
                self.saw_if(before.is_some() && before != stage_of(wave), It::StageBarrier);
            }
            Body::WaveSoaked { .. } => self.saw(It::Soaked),
            Body::WaveApproved { .. } => self.saw(It::Approved),
            Body::GatePassed { judged } => self.saw_if(judged.version.is_empty(), It::GatePassed),
            Body::GateFailed { .. } | Body::GateBreached { .. } => self.saw(It::GateFailed),
            Body::KnobSet { knob, .. } => self.saw(match knob {
                Knob::Parallelism(_)
                | Knob::Limit(_)
                | Knob::PerGroup(_)
                | Knob::HeavyPerGroup(_)
                | Knob::Retries(_) => It::SetPace,
                Knob::SoakMs(_) => It::SetSoak,
                Knob::BudgetFailed(_) | Knob::BudgetPercent(_) => It::SetBudget,
                Knob::Windows(_) => It::SetWindows,
                Knob::Throttle(_, Setting::Off) => It::SetThrottleOff,
                Knob::Throttle(_, Setting::On) => It::SetThrottleOn,
                Knob::Throttle(_, Setting::Time(_) | Setting::Value(_)) => It::SetThrottleLimit,
                Knob::Batch(_) | Knob::BatchPauseMs(_) => It::SetBatch,
            }),
            Body::RolloutPaused { stop, .. } => self.saw(match stop {
                Stop::AfterLegs => It::Paused,
                Stop::AfterSteps => It::PausedNow,
                Stop::BehindBatches => It::PausedBehindBatch,
            }),
            Body::LanesHeld { part, .. } => {
                let wave = part.as_ref().is_some_and(|part| part.wave.is_some());
                self.saw(if wave { It::HeldWave } else { It::HeldTargets });
            }
            Body::RolloutResumed { .. } => self.saw(It::Resumed),
            Body::LanesReleased { .. } => self.saw(It::Released),
            Body::LanesCancelled { .. } => self.saw(It::Cancelled),
            Body::StepCancelled { .. } => self.saw(It::StatementKilled),
            Body::RolloutAborted { .. } => self.saw(It::Aborted),
            Body::LanesAborted { .. } => self.saw(It::AbortedPart),
            Body::RollbackStarted { rollout, targets, breach, .. } => {
                self.saw_if(*breach, It::Breach);
                if asked {
                    let lanes = fleet.rollouts.get(rollout).map_or(0, |state| state.lanes.len());
                    let some = targets.len() < lanes;
                    let deep = targets.iter().any(|unwind| unwind.keep > 0);
                    self.saw_if(some, It::RolledBackSome);
                    self.saw_if(deep, It::RolledBackDeep);
                    self.saw_if(!some && !deep, It::RolledBack);
                }
            }
            Body::RolloutTurnedForward { .. } => self.saw(It::TurnedForward),
            Body::ArrivalsSettled { joined, awaited, .. } => {
                self.saw_if(!joined.is_empty(), It::Joined);
                self.saw_if(!awaited.is_empty(), It::Awaited);
            }
            Body::TargetRetired { .. } => self.saw(It::Retired),
            Body::TargetsRetried { .. } => self.saw(It::Retried),
            Body::TargetsSkipped { .. } => self.saw(It::Skipped),
            Body::RepairOrdered { order, .. } => match order.verb {
                Verb::Applied => self.saw(It::RepairApplied),
                Verb::NotApplied => self.saw(It::RepairNotApplied),
                Verb::Adopt if event.actor == SCHEDULER => self.saw(It::AdoptedUnasked),
                Verb::Adopt => self.saw(It::RepairAdopt),
            },
            Body::TargetMended { .. } => self.saw(It::Mended),
            Body::EditAccepted { .. } => self.saw(It::EditAccepted),
            Body::ChangesFrozen { .. } => self.saw(It::Frozen),
            Body::ChangesThawed { .. } => self.saw(It::Thawed),
            Body::ClusterFormed { .. }
            | Body::CharterAdopted { .. }
            | Body::ClusterRestored { .. }
            | Body::AgentJoined { .. }
            | Body::AgentLeft { .. }
            | Body::TargetRegistered { .. }
            | Body::TargetObserved { .. }
            | Body::TargetUnreachable { .. }
            | Body::TargetGone { .. }
            | Body::RestoreStarted { .. }
            | Body::BundleStored { .. }
            | Body::RolloutPlanned { .. }
            | Body::RequestSettled { .. }
            | Body::WaveVerified { .. }
            | Body::RolloutHalted { .. }
            | Body::RolloutCompleted { .. }
            | Body::RolloutRolledBack { .. }
            | Body::LegAssigned { .. }
            | Body::LeaseExpired { .. }
            | Body::StepBackedUp { .. }
            | Body::StepApplied { .. }
            | Body::StepVerified { .. }
            | Body::StepFailed { .. }
            | Body::StepRetried { .. }
            | Body::StepRolledBack { .. }
            | Body::StepWaived { .. }
            | Body::StepStuck { .. }
            | Body::StepTried { .. }
            | Body::RepairAssigned { .. }
            | Body::RepairReleased { .. }
            | Body::RepairFailed { .. }
            | Body::RepairWithdrawn { .. }
            | Body::GatesOpened { .. }
            | Body::GateAsked { .. }
            | Body::GateReleased { .. }
            | Body::BaselineTaken { .. }
            | Body::StepOverran { .. } => {}
        }
    }

    fn plan(&mut self, plan: &Plan) {
        use Capability as It;
        let strategy = &plan.spec.strategy;
        self.saw_if(plan.spec.selector.condition.is_some(), It::ChosenWhere);
        for wave in &strategy.waves {
            let by_label = !wave.selector.targets.is_empty() || !wave.selector.labels.is_empty();
            self.saw_if(by_label, It::WaveByLabel);
            self.saw_if(wave.count > 0, It::WaveByCount);
            self.saw_if(wave.percent > 0, It::WaveByPercent);
            self.saw_if(wave.one_per_class, It::WaveOnePerClass);
            self.saw_if(!wave.per.is_empty(), It::WavePerRegion);
            self.saw_if(wave.approval, It::ApprovalAsked);
        }
        self.saw_if(strategy.cover_classes && plan.waves.len() > 1, It::ClassesCovered);
        self.saw_if(strategy.order != Order::Id, It::Ordered);
        self.saw_if(!strategy.stages.is_empty(), It::Stages);
        self.saw_if(strategy.soak_ms > 0, It::Soak);
        for gate in &strategy.gates {
            self.saw(match gate.when {
                When::BeforeStep => It::GateBeforeStep,
                When::AfterStep => It::GateAfterStep,
                When::AfterWave => It::GateAfterWave,
                When::Soak => It::GateInSoak,
            });
            match &gate.question {
                Question::Sql(_) => self.saw(It::GateSql),
                Question::Http(_) => self.saw(It::GateHttp),
                Question::Command(_) => self.saw(It::GateCommand),
                Question::Latency(_) => self.saw(It::GateLatency),
                Question::Prometheus { .. } => self.saw(It::GatePrometheus),
            }
        }
        self.saw_if(strategy.budget.failed > 0, It::BudgetFailed);
        self.saw_if(strategy.budget.percent > 0, It::BudgetPercent);
        let over_all = strategy.budget.scope == Scope::Rollout;
        self.saw_if(over_all, It::BudgetOfRollout);
        self.saw(match strategy.on_breach {
            OnBreach::Halt => It::BreachHalts,
            OnBreach::RollbackTarget => It::BreachTakesTarget,
            OnBreach::RollbackWave => It::BreachTakesWave,
            OnBreach::RollbackRollout => It::BreachTakesRollout,
        });
        for throttle in &strategy.throttles {
            match throttle.measure {
                Measure::Query(_) => self.saw(It::ThrottleQuery),
                Measure::Http(_) => self.saw(It::ThrottleHttp),
                Measure::ReplicaLag { .. } => self.saw(It::ThrottleLag),
                Measure::Load => self.saw(It::ThrottleLoad),
            }
        }
        self.saw_if(!strategy.windows.is_empty(), It::Windows);
        self.saw_if(!strategy.blackouts.is_empty(), It::Blackouts);
        self.saw_if(!strategy.limits.is_empty(), It::LimitPerLabel);
        self.saw_if(strategy.per_group > 0, It::LimitPerGroup);
        self.saw_if(strategy.batching.size > 0, It::Batching);
    }
}
