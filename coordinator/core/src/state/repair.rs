//! Repairs: what people said about the ledgers of targets, and what came of it, target by target. A repair
//! runs nothing of the user's but the probes that its author wrote.

use std::sync::Arc;

use super::ledger::Entry;
use crate::ids::{Digest, Fence, Millis, RepairId, RequestId, TargetId, TargetIx, Version};
use crate::spec::{Direction, Engine};

/// What is said of the versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// They are in force, though the ledger lacks them.
    Applied,
    /// They are not in force, though the ledger has them, or one of them was begun.
    NotApplied,
    /// Everything up to one version is in force in a database that has no ledger.
    Adopt,
}

impl Verb {
    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::NotApplied => "not-applied",
            Self::Adopt => "adopt",
        }
    }
}

/// On what a change of a ledger rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The schema is that of a target which got to this ledger by migrations.
    Schema,
    /// The author's probe said so.
    Probe,
    /// The word of whoever asked.
    Waiver,
}

impl Evidence {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schema => "by its schema",
            Self::Probe => "by its probe",
            Self::Waiver => "by waiver",
        }
    }
}

/// One row to be added (up) or taken away (down). Where the row to be taken away is not there, a step that
/// was begun and neither finished nor undone is closed as not begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its place in the bundle; of no meaning where the bundle has no probe for it.
    pub migration: u32,
    /// The row.
    pub entry: Entry,
    /// Added or taken away.
    pub direction: Direction,
    /// The bundle has a probe for it.
    pub probe: bool,
}

/// Targets of one engine with the same migrations in force: they get the same changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Whose SQL.
    pub engine: Engine,
    /// What is in force before, in the order applied.
    pub before: Vec<Entry>,
    /// In this order.
    pub changes: Vec<Change>,
    /// Schemas of targets that got by migrations to what will be in force.
    pub schemas: Vec<Digest>,
}

impl Class {
    /// What is in force after the changes.
    pub fn after(&self) -> Vec<Entry> {
        let mut ledger = self.before.clone();
        for change in &self.changes {
            ledger.retain(|entry| entry.version != change.entry.version);
            if change.direction != Direction::Down {
                ledger.push(change.entry.clone());
            }
        }
        ledger
    }
}

/// A repair as it was asked for: an answer computed once per class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What is said.
    pub verb: Verb,
    /// Of which versions.
    pub versions: Vec<Version>,
    /// Whose migrations they are.
    pub bundle: Digest,
    /// Why it may be done without evidence; empty: only on evidence.
    pub waiver: String,
    /// Computed once each.
    pub classes: Vec<Class>,
    /// Targets whose ledger changes, with the class of each. Empty: every ledger says so already.
    pub targets: Vec<(TargetId, u32)>,
}

/// Where a target's part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// For an agent with a free slot.
    Waiting,
    /// An agent changes the ledger.
    Leased,
    /// The ledger says what it should.
    Mended,
    /// It was not changed.
    Failed,
}

/// One target's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which.
    pub target: TargetIx,
    /// With which changes.
    pub class: u32,
    /// Where it is.
    pub phase: Phase,
    /// The lease under which it is done now.
    pub fence: Option<Fence>,
    /// An earlier holder of its lease vanished, and may have changed the ledger.
    pub doubt: bool,
    /// On what the changes rest, once they are made: one for each.
    pub evidence: Vec<Evidence>,
    /// What happened last that a person should know.
    pub note: Box<str>,
}

/// One repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Its number.
    pub id: RepairId,
    /// What is done.
    pub order: Arc<Order>,
    /// Target after target.
    pub lines: Vec<Line>,
    /// Targets whose part has not ended.
    pub open: u32,
    /// Who asked.
    pub by: String,
    /// When.
    pub at: Millis,
    /// The request that asked for it.
    pub request: Option<RequestId>,
}

impl State {
    /// The changes of a line.
    pub fn class(&self, line: &Line) -> Option<&Class> {
        self.order.classes.get(usize::try_from(line.class).ok()?)
    }

    /// Nothing more happens by itself.
    pub fn ended(&self) -> bool {
        self.open == 0
    }
}
