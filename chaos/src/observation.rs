//! What is seen of a cluster under faults, in words that every simulator and every checker of real
//! processes can say. [`crate::invariants::Watch`] takes them one after the other.
//!
//! Who watches live says each thing when it happens. Who looks afterwards at the logs, ledgers and
//! answers that real processes left puts them in order with [`crate::history`].

use std::sync::Arc;

use skein_core::event::Event;
use skein_core::hours::Openings;
use skein_core::ids::{Digest, Fence, Millis, RequestId, RolloutId, Seq, TargetId, Version};
use skein_core::spec::{Direction, Quantiles};
use skein_core::state::Fleet;
use skein_core::state::ledger::Entry;

/// A coordinator node.
pub type Node = u64;

/// What an executor did to a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// By which target id the database is known.
    pub target: TargetId,
    /// The ledger row of the migration: its version and the digest of its *up* script, whichever ran.
    pub entry: Entry,
    /// Which script ran.
    pub script: Direction,
    /// Under which fence.
    pub fence: Fence,
    /// The whole script is in force, with its ledger row; else a first part of it.
    pub whole: bool,
    /// An intent was written before.
    pub intent: bool,
    /// It needs one: it ran outside of a transaction.
    pub statements: bool,
}

/// A database as somebody who looks at it finds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Database {
    /// By which target id it is known.
    pub target: TargetId,
    /// What its ledger says is in force, in the order applied.
    pub ledger: Vec<Entry>,
    /// Its fence row.
    pub fence: Fence,
    /// The version of a step that was begun and neither finished nor undone.
    pub open_intent: Option<String>,
}

/// What an executor wrote into a target's ledger by a repair, without running a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// Under which fence.
    pub fence: Fence,
    /// The target after it.
    pub database: Database,
}

/// What an executor measured before it begins something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gauged {
    /// Under which fence it is at work.
    pub fence: Fence,
    /// For which throttle.
    pub throttle: String,
    /// In the unit of the throttle's limit; of a signal, zero says go on. `None`: it could not be read.
    pub value: Option<u64>,
    /// When, milliseconds of its own clock.
    pub at: u64,
}

/// Some keys of a statement in batches, changed in one transaction with how far it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Where.
    pub target: TargetId,
    /// Of which step.
    pub version: Version,
    /// Of which of its scripts.
    pub script: Direction,
    /// Under which fence.
    pub fence: Fence,
    /// Keys before this one were done.
    pub from: u32,
    /// Keys before this one are.
    pub to: u32,
    /// So many there are.
    pub of: u32,
}

/// What an executor was answered by a gate that it asks around a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateAnswer {
    /// Under which fence it is at work.
    pub fence: Fence,
    /// Around which step.
    pub version: Version,
    /// Which gate.
    pub gate: String,
    /// It was answered, and as expected.
    pub passed: bool,
}

/// One thing that was seen.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    /// An event is durable: the cluster cannot lose it. Each once, in the order of their numbers.
    Event(&'a Arc<Event>),
    /// An executor has changed a database. Under a lease; in the order in which it happened.
    Effect(&'a Effect),
    /// An executor has set a ledger right. Under a lease; in the order in which it happened.
    Mended(&'a Mended),
    /// An executor has measured what its steps may have to wait for.
    Gauged(&'a Gauged),
    /// What the windows of a rollout come to, as its leader reckons; anew, where that has changed.
    Reckoned {
        /// Which.
        rollout: RolloutId,
        /// For each window of its strategy.
        openings: &'a Openings,
    },
    /// An executor begins a step of which nothing is in force.
    Begins {
        /// Under which fence.
        fence: Fence,
        /// When, milliseconds of its own clock.
        at: u64,
    },
    /// An executor goes on within a step that it has begun, with its next statement or batch.
    GoesOn {
        /// Under which fence.
        fence: Fence,
        /// When, milliseconds of its own clock.
        at: u64,
    },
    /// An executor has changed some keys of a statement in batches. Before the effect that it is a part of.
    Batch(&'a Batch),
    /// An executor hears whether statements in batches are to be left behind the batch under way.
    Leaves {
        /// Under which fence it is at work.
        fence: Fence,
        /// They are.
        leaves: bool,
    },
    /// An executor has left one so.
    Left {
        /// Under which fence.
        fence: Fence,
    },
    /// A step is in force.
    Took {
        /// Under which fence.
        fence: Fence,
        /// Which.
        version: &'a Version,
        /// For so long its executor has worked on it, milliseconds: what it waited is not in it.
        ms: u64,
    },
    /// A leader hears that an executor waits for a throttle.
    Held {
        /// Under which fence.
        fence: Fence,
        /// When, by the leader's clock.
        at: Millis,
    },
    /// An executor has asked a gate around a step.
    GateAnswered(&'a GateAnswer),
    /// An executor begins a step of which nothing is in force, after all that is asked before it.
    Starts {
        /// Under which fence.
        fence: Fence,
        /// Which step.
        version: &'a Version,
    },
    /// An agent that asks a gate holds how quickly a target answers against this.
    Compared {
        /// Under which fence it asks.
        fence: Fence,
        /// How quickly it answered before, as far as the agent was told.
        baseline: &'a [Quantiles],
    },
    /// The fence row of a database was written.
    Fence {
        /// Whose.
        target: &'a TargetId,
        /// What it was.
        old: Fence,
        /// What it is.
        new: Fence,
    },
    /// A node has told somebody outside that every event before this one is recorded.
    Acked {
        /// Who told it.
        node: Node,
        /// The first event that it did not speak of.
        before: Seq,
    },
    /// A request with an id was answered: with the first event of its answer, or refused.
    Answered {
        /// Its id.
        id: RequestId,
        /// Of its bytes.
        body: u64,
        /// `None`: it was refused.
        first: Option<Seq>,
    },
    /// A client begins a linearizable read.
    ReadBegan {
        /// Who reads.
        client: u32,
    },
    /// The read that a client began last was answered.
    ReadEnded {
        /// Who reads.
        client: u32,
        /// It was answered from the state before this event.
        at: Seq,
    },
    /// A node has applied an event.
    Applied {
        /// Which.
        node: Node,
        /// What it applied.
        event: &'a Arc<Event>,
    },
    /// The root that a node's history has once it holds so many events.
    Root {
        /// Which.
        node: Node,
        /// So many.
        len: u64,
        /// As its audit log tells it.
        root: Digest,
    },
    /// A node's whole state, however it came by it: from events, a snapshot, a restart.
    State {
        /// Which.
        node: Node,
        /// What it has.
        fleet: &'a Fleet,
    },
    /// A node begins to lead.
    Leads {
        /// Which.
        node: Node,
        /// In which term.
        term: u64,
    },
    /// A node has a vote on its disk.
    Voted {
        /// Which.
        node: Node,
        /// In which term.
        term: u64,
        /// For whom.
        candidate: Node,
    },
    /// A write or a sync failed under a node.
    DiskFailed {
        /// Which.
        node: Node,
    },
    /// A node was started.
    Started {
        /// Which.
        node: Node,
    },
    /// Somebody has put a database back to an earlier state, ledger, fence and all.
    Restored(&'a Database),
    /// Faults are over.
    Healed {
        /// By the clock that the events go by.
        at: Millis,
    },
    /// Nothing moves any more; a database as it is now.
    Found(&'a Database),
    /// Nothing moves any more, and everything that there is was said.
    End,
}
