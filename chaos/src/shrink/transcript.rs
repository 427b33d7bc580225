//! What the core was given, and what happened to the databases, in order: enough to break a promise
//! again without agents, network or clock.

use skein_core::command::Command;
use skein_core::ids::{Digest, Fence, Millis, RepairId, RequestId, RolloutId, Seq, TargetId};

use crate::observation::{Database, Effect, Mended};

/// One thing.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A request that became events.
    Asked(Box<Asked>),
    /// An executor changed a database.
    Effect(Effect),
    /// A fence row was written.
    Fence(TargetId, Fence, Fence),
    /// An executor set a ledger right.
    Mended(Mended),
    /// A database was put back.
    Restored(Database),
}

/// A request, and what it was given.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Who asked.
    pub actor: String,
    /// Under which id.
    pub id: Option<(RequestId, u64)>,
    /// Under which charter.
    pub charter: Digest,
    /// By the leader's clock.
    pub now: Millis,
    /// What.
    pub command: Command,
    /// The first event that it made; `None`: it was refused, and should not have been.
    pub first: Option<Seq>,
    /// The rollout that it planned.
    pub planned: Option<RolloutId>,
    /// The repair that it ordered.
    pub repair: Option<RepairId>,
    /// The fence that it gave.
    pub fence: Option<Fence>,
}
