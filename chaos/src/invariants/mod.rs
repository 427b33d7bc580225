//! What must hold at every event and at every effect, whatever goes wrong. One promise a file; each
//! begins with the sentence that it protects. They see a cluster through [`crate::observation`]
//! alone, and so serve the model, the simulator of the whole system and the checkers of real
//! processes alike. Who does not say something is not held to the promises about it.

mod acked;
mod adoptions;
mod backup_first;
mod baselines;
mod batches;
mod budget;
mod clock;
mod content;
mod effects_once;
mod ends;
mod fail_stop;
mod fences;
mod forward;
mod frozen;
mod gates;
mod grants;
mod halves;
mod intents;
mod late;
mod ledger_rows;
mod mends;
mod one_executor;
mod one_leader;
mod overruns;
mod owed;
mod parallelism;
mod pause;
mod plan_order;
mod possible;
mod principals;
mod reads;
mod regions;
mod replay;
mod requests;
mod resolves;
mod room;
mod same_log;
mod secrets;
mod settled;
mod soaks;
mod step_gates;
mod throttles;
mod undo_order;
mod waits;
mod waves;
mod windows;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use skein_core::event::{Body, Event, LegKind};
use skein_core::evolve::{Impossible, evolve};
use skein_core::ids::{Fence, RolloutId, TargetId};
use skein_core::spec::Direction;
use skein_core::state::Fleet;
use skein_core::state::ledger::Entry;
use skein_core::state::rollout::{self, Lane};

use crate::observation::{Effect, Mended, Seen};

/// What a broken promise says of itself.
pub(crate) type Held = Result<(), String>;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The file that holds the promise.
    pub invariant: &'static str,
    /// The promise.
    pub sentence: &'static str,
    /// How it was broken.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    broken: {}", self.invariant, self.sentence, self.what)
    }
}

impl std::error::Error for Broken {}

/// A leg as it stands in the durable log.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    /// For which rollout.
    pub(crate) rollout: RolloutId,
    /// Where.
    pub(crate) target: TargetId,
    /// What for.
    pub(crate) kind: LegKind,
}

/// What was seen so far, folded.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// Behind the last durable event.
    pub(crate) fleet: Fleet,
    /// The durable events.
    pub(crate) log: Vec<Arc<Event>>,
    /// What the effects seen so far have left in each database.
    pub(crate) ledgers: BTreeMap<TargetId, Vec<Entry>>,
    /// Every leg that was ever leased, durably.
    pub(crate) grants: BTreeMap<Fence, Grant>,
    /// Every repair of a ledger that was ever leased, durably.
    pub(crate) mends: BTreeMap<Fence, TargetId>,
    /// The last event could not be applied.
    pub(crate) impossible: Option<Impossible>,
}

impl Past {
    /// A leg, and the rollout that it is for.
    pub(crate) fn granted(&self, fence: Fence) -> Option<(&Grant, &rollout::State)> {
        let grant = self.grants.get(&fence)?;
        Some((grant, self.fleet.rollouts.get(&grant.rollout)?))
    }

    /// A target's way through a rollout.
    pub(crate) fn lane<'a>(
        &self,
        state: &'a rollout::State,
        target: &TargetId,
    ) -> Option<&'a Lane> {
        let ix = self.fleet.targets.find(target)?;
        match self.fleet.targets.get(ix)?.lane {
            Some((rollout, lane)) if rollout == state.id => state.lanes.get(lane),
            // The rollout has ended: its lanes are there, the way to them is not.
            _ => state.lanes.iter().map(|(_, lane)| lane).find(|lane| lane.target == ix),
        }
    }

    fn event(&mut self, event: &Arc<Event>) {
        self.impossible = evolve(&mut self.fleet, event).err();
        // What was in force before anybody came.
        if let Body::TargetObserved { target, seen, .. } = &event.body
            && !self.ledgers.contains_key(target)
        {
            self.ledgers.insert(target.clone(), seen.ledger.clone());
        }
        if let Body::LegAssigned { rollout, target, kind, .. } = &event.body {
            let grant = Grant { rollout: *rollout, target: target.clone(), kind: *kind };
            self.grants.insert(Fence(event.seq.0), grant);
        }
        if let Body::RepairAssigned { target, .. } = &event.body {
            self.mends.insert(Fence(event.seq.0), target.clone());
        }
        self.log.push(Arc::clone(event));
    }

    fn effect(&mut self, effect: &Effect) {
        if !effect.whole {
            return;
        }
        let ledger = self.ledgers.entry(effect.target.clone()).or_default();
        match effect.script {
            Direction::Up => ledger.push(effect.entry.clone()),
            Direction::Down => {
                ledger.retain(|other| other.version != effect.entry.version);
            }
            Direction::Validate => {}
        }
    }
}

/// One promise.
pub(crate) trait Invariant: Send {
    /// The promise, as a sentence.
    fn sentence(&self) -> &'static str;

    /// Something was seen; the past has it already.
    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held;
}

/// All of them, asked together.
pub struct Watch {
    invariants: Vec<(&'static str, Box<dyn Invariant>)>,
    past: Past,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("events", &self.past.log.len()).finish_non_exhaustive()
    }
}

macro_rules! all {
    ($($file:ident :: $name:ident),* $(,)?) => {
        vec![$((stringify!($file), Box::new($file::$name::default()) as Box<dyn Invariant>)),*]
    };
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            // `possible` comes last: an event that cannot be applied breaks a promise that says more.
            invariants: all![
                acked::Acked,
                adoptions::Adoptions,
                backup_first::BackupFirst,
                baselines::Baselines,
                batches::Batches,
                budget::Budget,
                clock::Clock,
                content::Content,
                effects_once::EffectsOnce,
                // What keeps a rollout from its end says more than that it has none.
                resolves::Resolves,
                ends::Ends,
                fail_stop::FailStop,
                fences::Fences,
                forward::Forward,
                frozen::Frozen,
                grants::Grants,
                halves::Halves,
                intents::Intents,
                late::Late,
                ledger_rows::LedgerRows,
                mends::Mends,
                one_executor::OneExecutor,
                one_leader::OneLeader,
                overruns::Overruns,
                owed::Owed,
                parallelism::Parallelism,
                room::Room,
                gates::Gates,
                soaks::Soaks,
                step_gates::StepGates,
                pause::Pause,
                plan_order::PlanOrder,
                principals::Principals,
                reads::Reads,
                regions::Regions,
                replay::Replay,
                requests::Requests,
                same_log::SameLog,
                secrets::Secrets,
                settled::Settled,
                throttles::Throttles,
                undo_order::UndoOrder,
                waits::Waits,
                waves::Waves,
                windows::Windows,
                possible::Possible,
            ],
            past: Past::default(),
        }
    }
}

impl Watch {
    /// Words that must never reach the log are looked for in every event.
    #[must_use]
    pub fn with_secrets(mut self, secrets: &[String]) -> Self {
        for (name, invariant) in &mut self.invariants {
            if *name == "secrets" {
                *invariant = Box::new(secrets::Secrets::new(secrets));
            }
        }
        self
    }

    /// Every promise: its file and its sentence.
    pub fn promises(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.invariants.iter().map(|(name, invariant)| (*name, invariant.sentence()))
    }

    /// Something was seen.
    ///
    /// # Errors
    /// The first promise that it breaks. The watch can go on; what it says later may follow from that.
    pub fn see(&mut self, seen: Seen<'_>) -> Result<(), Broken> {
        match seen {
            Seen::Event(event) => self.past.event(event),
            Seen::Effect(effect) => self.past.effect(effect),
            Seen::Restored(database) | Seen::Mended(Mended { database, .. }) => {
                self.past.ledgers.insert(database.target.clone(), database.ledger.clone());
            }
            _ => {}
        }
        for (name, invariant) in &mut self.invariants {
            if let Err(what) = invariant.see(seen, &self.past) {
                return Err(Broken { invariant: name, sentence: invariant.sentence(), what });
            }
        }
        Ok(())
    }

    /// The fold of the durable events.
    pub fn fleet(&self) -> &Fleet {
        &self.past.fleet
    }

    /// What the effects seen so far have left in a database.
    pub fn ledger(&self, target: &TargetId) -> &[Entry] {
        self.past.ledgers.get(target).map_or(&[], Vec::as_slice)
    }

    /// The durable events.
    pub fn log(&self) -> &[Arc<Event>] {
        &self.past.log
    }
}
