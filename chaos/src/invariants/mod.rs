//! What must hold at every event and at every effect, whatever goes wrong. One promise a file; each
//! begins with the sentence that it protects.

mod backup_first;
mod budget;
mod content;
mod effects_once;
mod ends;
mod fences;
mod grants;
mod intents;
mod ledger_rows;
mod one_executor;
mod pause;
mod plan_order;
mod principals;
mod replay;
mod requests;
mod settled;
mod waves;

use std::collections::BTreeMap;

use skein_core::event::{Body, Event, LegKind};
use skein_core::ids::{Fence, RequestId, RolloutId, Seq, TargetId};
use skein_core::state::Fleet;

use crate::model::database::{Database, Effect};

/// What a broken promise says of itself.
pub type Held = Result<(), String>;

/// A leg as it stands in the durable log.
#[derive(Debug, Clone)]
pub struct Grant {
    /// For which rollout.
    pub rollout: RolloutId,
    /// Where.
    pub target: TargetId,
    /// What for.
    pub kind: LegKind,
}

/// The world as an invariant sees it: what is durable, and what is in the databases.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Behind the last durable event.
    pub fleet: &'a Fleet,
    /// The durable events.
    pub log: &'a [Event],
    /// In the order of their numbers.
    pub databases: &'a [Database],
    /// Every leg that was ever leased, durably.
    pub grants: &'a BTreeMap<Fence, Grant>,
}

impl View<'_> {
    /// The database of a target.
    pub fn database(&self, target: &TargetId) -> Option<&Database> {
        self.databases.iter().find(|database| database.id == *target)
    }
}

/// One promise.
pub trait Invariant {
    /// The promise, as a sentence.
    fn sentence(&self) -> &'static str;

    /// An event has become durable; the view is behind it.
    fn event(&mut self, _event: &Event, _view: View<'_>) -> Held {
        Ok(())
    }

    /// An executor has changed a database.
    fn effect(&mut self, _effect: &Effect, _view: View<'_>) -> Held {
        Ok(())
    }

    /// The fence row of a database was written.
    fn fence(&mut self, _target: &TargetId, _old: Fence, _new: Fence) -> Held {
        Ok(())
    }

    /// A request of a person was answered: with the first event of its answer, or refused.
    fn answer(&mut self, _id: RequestId, _body: u64, _answer: Option<Seq>) -> Held {
        Ok(())
    }

    /// Faults have ended long ago, and nothing moves any more.
    fn end(&mut self, _view: View<'_>) -> Held {
        Ok(())
    }
}

/// All of them, asked together.
pub struct Watch {
    invariants: Vec<Box<dyn Invariant>>,
    grants: BTreeMap<Fence, Grant>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("invariants", &self.invariants.len()).finish_non_exhaustive()
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            invariants: vec![
                Box::new(backup_first::BackupFirst::default()),
                Box::new(budget::Budget),
                Box::new(content::Content),
                Box::new(effects_once::EffectsOnce::default()),
                Box::new(ends::Ends),
                Box::new(fences::Fences::default()),
                Box::new(grants::Grants),
                Box::new(intents::Intents),
                Box::new(ledger_rows::LedgerRows),
                Box::new(one_executor::OneExecutor::default()),
                Box::new(pause::Pause::default()),
                Box::new(plan_order::PlanOrder::default()),
                Box::new(principals::Principals),
                Box::new(replay::Replay),
                Box::new(requests::Requests::default()),
                Box::new(settled::Settled),
                Box::new(waves::Waves),
            ],
            grants: BTreeMap::new(),
        }
    }
}

impl Watch {
    fn all(&mut self, mut ask: impl FnMut(&mut dyn Invariant) -> Held) -> Held {
        for invariant in &mut self.invariants {
            ask(invariant.as_mut())
                .map_err(|what| format!("{}\n    broken: {what}", invariant.sentence()))?;
        }
        Ok(())
    }

    /// An event has become durable.
    pub fn event(&mut self, event: &Event, world: (&Fleet, &[Event], &[Database])) -> Held {
        if let Body::LegAssigned { rollout, target, kind, .. } = &event.body {
            let grant = Grant { rollout: *rollout, target: target.clone(), kind: *kind };
            self.grants.insert(Fence(event.seq.0), grant);
        }
        let grants = std::mem::take(&mut self.grants);
        let held = self.all(|one| one.event(event, view(world, &grants)));
        self.grants = grants;
        held
    }

    /// An executor has changed a database.
    pub fn effect(&mut self, effect: &Effect, world: (&Fleet, &[Event], &[Database])) -> Held {
        let grants = std::mem::take(&mut self.grants);
        let held = self.all(|one| one.effect(effect, view(world, &grants)));
        self.grants = grants;
        held
    }

    /// The fence row of a database was written.
    pub fn fence(&mut self, target: &TargetId, old: Fence, new: Fence) -> Held {
        self.all(|one| one.fence(target, old, new))
    }

    /// A request of a person was answered.
    pub fn answer(&mut self, id: RequestId, body: u64, answer: Option<Seq>) -> Held {
        self.all(|one| one.answer(id, body, answer))
    }

    /// The end.
    pub fn end(&mut self, world: (&Fleet, &[Event], &[Database])) -> Held {
        let grants = std::mem::take(&mut self.grants);
        let held = self.all(|one| one.end(view(world, &grants)));
        self.grants = grants;
        held
    }
}

fn view<'a>(
    (fleet, log, databases): (&'a Fleet, &'a [Event], &'a [Database]),
    grants: &'a BTreeMap<Fence, Grant>,
) -> View<'a> {
    View { fleet, log, databases, grants }
}
