//! What is told of all targets together, kept as they change: a status must not look at each of them.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::ledger::EntryIx;
use super::target::{Description, State};
use super::work::{Part, Work};
use crate::ids::{AgentId, TargetIx};

/// Over all targets that are not retired.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many there are.
    pub live: u32,
    /// How many have which newest migration; `None`: nothing is in force.
    pub newest: BTreeMap<Option<EntryIx>, u32>,
    /// Those that are held.
    pub held: BTreeSet<TargetIx>,
    /// How many are served by which agents together.
    pub served: BTreeMap<Arc<[AgentId]>, u32>,
    /// What rollouts have, and work on.
    pub work: Work,
}

/// What one target adds to the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Share {
    newest: Option<EntryIx>,
    held: bool,
    part: Option<Part>,
}

impl Share {
    fn of(target: &State) -> Option<Self> {
        let newest = target.ledger.last().copied();
        let (held, part) = (!target.problem.is_empty(), Part::of(target));
        (!target.retired).then_some(Self { newest, held, part })
    }
}

impl Sums {
    fn add(&mut self, ix: TargetIx, target: &State, share: Share) {
        self.live += 1;
        *self.newest.entry(share.newest).or_default() += 1;
        if share.held {
            self.held.insert(ix);
        }
        *self.served.entry(Arc::clone(&target.agents)).or_default() += 1;
        if let Some(part) = share.part {
            self.work.add(target, part);
        }
    }

    fn sub(&mut self, ix: TargetIx, target: &State, share: Share) {
        self.live = self.live.saturating_sub(1);
        one_less(&mut self.newest, &share.newest);
        if share.held {
            self.held.remove(&ix);
        }
        one_less(&mut self.served, &target.agents);
        if let Some(part) = share.part {
            self.work.sub(target, part);
        }
    }

    /// What a target adds is another than before. It is added before that is taken away: what comes to the same is
    /// not written anew. Who serves it changes by [`Self::serve`] alone.
    fn change(&mut self, ix: TargetIx, target: &State, (before, after): (Share, Share)) {
        if before.newest != after.newest {
            *self.newest.entry(after.newest).or_default() += 1;
            one_less(&mut self.newest, &before.newest);
        }
        if after.held {
            self.held.insert(ix);
        } else {
            self.held.remove(&ix);
        }
        if before.part != after.part {
            after.part.inspect(|part| self.work.add(target, *part));
            before.part.inspect(|part| self.work.sub(target, *part));
        }
    }

    /// What its agents say of a target has changed.
    pub(super) fn describe(&mut self, target: &mut State, description: &Description) {
        let part = Share::of(target).and_then(|share| share.part);
        if let Some(part) = part {
            self.work.sub(target, part);
        }
        target.description = description.clone();
        if let Some(part) = part {
            self.work.add(target, part);
        }
    }

    /// The target that was put in last.
    pub(super) fn put_in(&mut self, ix: TargetIx, target: &State) {
        if let Some(share) = Share::of(target) {
            self.add(ix, target, share);
        }
    }

    /// Other agents serve a target from here on. Targets with the same agents share one list of them.
    pub(super) fn serve(&mut self, target: &mut State, agents: &[AgentId]) {
        let shared = self.served.get_key_value(agents).map(|(shared, _)| Arc::clone(shared));
        let shared = shared.unwrap_or_else(|| Arc::from(agents));
        if !target.retired {
            one_less(&mut self.served, &target.agents);
            *self.served.entry(Arc::clone(&shared)).or_default() += 1;
        }
        target.agents = shared;
    }
}

pub(super) fn one_less<K, Q>(counts: &mut BTreeMap<K, u32>, key: &Q)
where
    K: Borrow<Q> + Ord,
    Q: Ord + ?Sized,
{
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// A target that is being changed: the sums follow when this goes. Its description changes by
/// [`super::target::Table::describe`] alone: what it added goes by the one of before.
pub(crate) struct Changing<'a> {
    ix: TargetIx,
    target: &'a mut State,
    sums: &'a mut Sums,
    before: Option<Share>,
}

impl<'a> Changing<'a> {
    pub(super) fn new(ix: TargetIx, target: &'a mut State, sums: &'a mut Sums) -> Self {
        let before = Share::of(target);
        Self { ix, target, sums, before }
    }
}

impl Deref for Changing<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        self.target
    }
}

impl DerefMut for Changing<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.target
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        match (self.before, Share::of(self.target)) {
            (Some(before), Some(after)) if before == after => {}
            (Some(before), Some(after)) => {
                self.sums.change(self.ix, self.target, (before, after));
            }
            (Some(before), None) => self.sums.sub(self.ix, self.target, before),
            (None, Some(after)) => self.sums.add(self.ix, self.target, after),
            (None, None) => {}
        }
    }
}
