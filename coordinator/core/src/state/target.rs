//! What is known of a target.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ledger::{Entry, EntryIx};
use super::sums::{Changing, Sums};
use super::tables::{Tables, Told};
use crate::ids::{
    AgentId, Digest, Fence, LaneIx, Millis, RepairId, RolloutId, Seq, TargetId, TargetIx,
};
use crate::refusal::{Kind, Refusal};
use crate::spec::Engine;

/// What its agents say of it before looking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Whose SQL it speaks.
    pub engine: Engine,
    /// Region, tier, ring…
    pub labels: BTreeMap<String, String>,
    /// What it shares with its neighbours.
    pub group: String,
}

/// What an agent saw in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// As the server tells it.
    pub engine_version: String,
    /// Server and database: equal for a clone.
    pub identity: String,
    /// Canonical schema.
    pub fingerprint: Digest,
    /// What is in force, in the order applied.
    pub ledger: Vec<Entry>,
    /// The highest fence it has seen.
    pub fence: Fence,
    /// A step that was begun and neither finished nor undone; empty: none.
    pub open_intent: String,
    /// The whole database; zero: its server does not tell.
    pub bytes: u64,
    /// Rows of its largest tables. `None`: its agent, of an earlier release, does not tell, or its server.
    pub tables: Option<Tables>,
}

/// A lease on it: who may write, under which fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The sequence of the assignment.
    pub fence: Fence,
    /// The holder.
    pub agent: AgentId,
    /// For a leg that has heavy steps in it.
    pub heavy: bool,
}

/// Why nobody knows what is in a target before somebody looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// A leg ended, and what of its last step is in force was not told. Its executor may stand still, and go
    /// on: only a look that raised the target's fence so far tells what is there to stay.
    Leg(Fence),
    /// An archive is being put back into it, or was. Who puts it back holds the session lock: only a look behind
    /// it, which raised the fence so far, sees what is there to stay.
    Restore(Fence),
}

impl Doubt {
    /// Whether it is still there when somebody has looked.
    pub(crate) fn outlasts(self, seen: &Observation) -> bool {
        match self {
            Self::Leg(since) | Self::Restore(since) => seen.fence < since,
        }
    }
}

/// One target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Its id.
    pub id: TargetId,
    /// What its agents say.
    pub description: Description,
    /// Who serves it.
    pub agents: Arc<[AgentId]>,
    /// As the server told it last; empty: never observed.
    pub engine_version: String,
    /// As seen first, until a waiver says otherwise.
    pub identity: String,
    /// `None`: never observed.
    pub observed_at: Option<Millis>,
    /// Of the schema, after the last leg or as first observed.
    pub fingerprint: Option<Digest>,
    /// What is in force, as the log has it.
    pub ledger: Vec<EntryIx>,
    /// What the last look found, where that is not what the log has.
    pub seen: Option<Seen>,
    /// Why it is held; empty: it is not.
    pub problem: String,
    /// Its agent could not look at it the last time.
    pub unreachable: bool,
    /// The last look found a step that was begun and neither finished nor undone.
    pub half: bool,
    /// Somebody has to look before a plan rests on it.
    pub doubt: Option<Doubt>,
    /// The event by which the last lease on it ended, or the last restore into it began; `None`: neither.
    pub worked_on: Option<Seq>,
    /// Who may write now.
    pub lease: Option<Lease>,
    /// The rollout that has it now.
    pub lane: Option<(RolloutId, LaneIx)>,
    /// The last rollout that had it, trials aside.
    pub last: Option<(RolloutId, LaneIx)>,
    /// The repair that has it now, and its line there.
    pub mend: Option<(RepairId, u32)>,
    /// The event by which it came, or came back, or was described as it is now.
    pub since: Seq,
    /// Its ledger rests on somebody's word: its schema proves nothing for others.
    pub vouched: bool,
    /// How large it is.
    pub told: Told,
    /// It was to get a ledger by a repair, and did not.
    pub unadopted: Option<Box<Unadopted>>,
    /// Gone for good.
    pub retired: bool,
}

/// An adoption that failed, or that somebody withdrew. While nothing has changed it comes to the same again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unadopted {
    /// By which repair.
    pub repair: RepairId,
    /// The target's line there.
    pub line: u32,
    /// What its schema was.
    pub schema: Option<Digest>,
}

/// A look that does not agree with the log: kept beside it, so that the next look is held against
/// the log again, until a plan accepts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What was in force.
    pub ledger: Vec<EntryIx>,
    /// Which server and database it was.
    pub identity: String,
    /// Of the schema.
    pub fingerprint: Digest,
}

impl State {
    /// Refuses work on a target that is held: one that cannot be reached, or one that is not what
    /// the log says, unless that is accepted.
    pub(crate) fn may_work(&self, accept_drift: bool) -> Result<(), Refusal> {
        self.unmended()?;
        if self.unreachable {
            return Err(Refusal::new(
                Kind::Unfit,
                format!("target {} cannot be reached: {}", self.id, self.problem),
                "mend the way to it or leave it out; `skein targets observe` looks again",
            ));
        }
        if self.problem.is_empty() || (accept_drift && self.doubt.is_none()) {
            return Ok(());
        }
        if accept_drift {
            return Err(Refusal::new(
                Kind::Drift,
                format!("target {} is held: {}; nobody has looked since", self.id, self.problem),
                "`skein targets observe` looks: what it finds is what can be accepted",
            ));
        }
        Err(Refusal::new(
            Kind::Drift,
            format!("target {} is held: {}", self.id, self.problem),
            "look at it with `skein verify`; then leave it out, or plan with --accept-drift",
        ))
    }

    /// Refuses work on a target whose ledger is being repaired.
    pub(crate) fn unmended(&self) -> Result<(), Refusal> {
        let Some((repair, _)) = self.mend else { return Ok(()) };
        Err(Refusal::new(
            Kind::Conflict,
            format!("the ledger of target {} is being repaired by {repair}", self.id),
            format!("see `skein repair show {repair}`"),
        ))
    }

    /// Everything is as the log says.
    pub(crate) fn sound(&mut self) {
        self.problem.clear();
        self.unreachable = false;
        self.half = false;
        self.doubt = None;
    }

    /// Whoever looks has to raise the fence first: an executor of before may still be there, or whoever puts an
    /// archive back.
    pub fn needs_fence(&self) -> bool {
        self.doubt.is_some() && self.lease.is_none()
    }

    /// Somebody has looked at it, and could the last time.
    pub fn is_seen(&self) -> bool {
        self.observed_at.is_some() && !self.unreachable
    }

    /// What is in force as far as anybody has seen.
    pub fn in_force(&self) -> &[EntryIx] {
        self.seen.as_ref().map_or(&self.ledger, |seen| &seen.ledger)
    }
}

/// All targets, by number and by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    by_ix: Vec<State>,
    ix: BTreeMap<TargetId, TargetIx>,
    identities: BTreeMap<String, TargetIx>,
    sums: Sums,
}

impl Table {
    /// The number of an id.
    pub fn find(&self, id: &TargetId) -> Option<TargetIx> {
        self.ix.get(id).copied()
    }

    /// The target behind a number.
    pub fn get(&self, ix: TargetIx) -> Option<&State> {
        self.by_ix.get(usize::try_from(ix.0).ok()?)
    }

    /// The same, to change it.
    pub(crate) fn get_mut(&mut self, ix: TargetIx) -> Option<Changing<'_>> {
        let target = self.by_ix.get_mut(usize::try_from(ix.0).ok()?)?;
        Some(Changing::new(ix, target, &mut self.sums))
    }

    /// What its agents say of a target has changed.
    pub(crate) fn describe(&mut self, ix: TargetIx, description: &Description) {
        let target = usize::try_from(ix.0).ok().and_then(|ix| self.by_ix.get_mut(ix));
        if let Some(target) = target.filter(|target| target.description != *description) {
            self.sums.describe(target, description);
        }
    }

    /// What is told of all of them together.
    pub fn sums(&self) -> &Sums {
        &self.sums
    }

    /// Those that are held, in the order in which they came.
    pub fn held(&self) -> impl Iterator<Item = &State> {
        self.sums.held.iter().filter_map(|ix| self.get(*ix))
    }

    /// An agent serves a target from here on; whether it did not before.
    pub(crate) fn served_by(&mut self, ix: TargetIx, agent: &AgentId) -> bool {
        let target = usize::try_from(ix.0).ok().and_then(|ix| self.by_ix.get_mut(ix));
        let Some(target) = target.filter(|target| !target.agents.contains(agent)) else {
            return false;
        };
        let agents: Vec<AgentId> = target.agents.iter().chain([agent]).cloned().collect();
        self.sums.serve(target, &agents);
        true
    }

    /// An agent serves a target no more; whether it did before.
    pub(crate) fn given_up_by(&mut self, ix: TargetIx, agent: &AgentId) -> bool {
        let target = usize::try_from(ix.0).ok().and_then(|ix| self.by_ix.get_mut(ix));
        let Some(target) = target.filter(|target| target.agents.contains(agent)) else {
            return false;
        };
        let others = target.agents.iter().filter(|other| *other != agent);
        let others: Vec<AgentId> = others.cloned().collect();
        self.sums.serve(target, &others);
        true
    }

    /// An agent serves nothing any more.
    pub(crate) fn left_by(&mut self, agent: &AgentId) {
        for target in self.by_ix.iter_mut().filter(|target| target.agents.contains(agent)) {
            let others = target.agents.iter().filter(|other| *other != agent);
            let others: Vec<AgentId> = others.cloned().collect();
            self.sums.serve(target, &others);
        }
    }

    /// In the order of their ids, retired ones too.
    pub fn iter(&self) -> impl Iterator<Item = (TargetIx, &State)> {
        self.ix.values().filter_map(|ix| self.get(*ix).map(|target| (*ix, target)))
    }

    /// In the order of their ids, from the first one after `after`.
    pub fn after(&self, after: &TargetId) -> impl Iterator<Item = (TargetIx, &State)> {
        let from = (std::ops::Bound::Excluded(after.clone()), std::ops::Bound::Unbounded);
        self.ix.range(from).filter_map(|(_, ix)| self.get(*ix).map(|target| (*ix, target)))
    }

    /// How many there are, retired ones too.
    pub fn len(&self) -> usize {
        self.by_ix.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_ix.is_empty()
    }

    /// Who has an identity.
    pub fn with_identity(&self, identity: &str) -> Option<TargetIx> {
        self.identities.get(identity).copied()
    }

    pub(crate) fn claim_identity(&mut self, identity: &str, ix: TargetIx) {
        self.identities.entry(identity.to_owned()).or_insert(ix);
    }

    pub(crate) fn release_identity(&mut self, identity: &str, ix: TargetIx) {
        if self.identities.get(identity) == Some(&ix) {
            self.identities.remove(identity);
        }
    }

    pub(crate) fn insert(&mut self, id: &TargetId, description: Description) -> TargetIx {
        let ix = TargetIx(u32::try_from(self.by_ix.len()).unwrap_or(u32::MAX));
        self.by_ix.push(State {
            id: id.clone(),
            description,
            agents: Arc::default(),
            engine_version: String::new(),
            identity: String::new(),
            observed_at: None,
            fingerprint: None,
            ledger: Vec::new(),
            seen: None,
            problem: String::new(),
            unreachable: false,
            half: false,
            doubt: None,
            worked_on: None,
            lease: None,
            lane: None,
            last: None,
            mend: None,
            since: Seq(0),
            vouched: false,
            told: Told::default(),
            unadopted: None,
            retired: false,
        });
        if let Some(target) = self.by_ix.last() {
            self.sums.put_in(ix, target);
        }
        self.ix.insert(id.clone(), ix);
        ix
    }
}
