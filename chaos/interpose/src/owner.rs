//! On whose behalf something is done: each process of the simulated system has a number, a wall clock
//! that may be wrong, and dies.

use std::cell::UnsafeCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::baton;

/// One simulated process; 0 is the simulation itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Owner(pub u32);

struct Owners {
    told_by: Option<fn() -> Owner>,
    /// Stands for what `told_by` says, while the simulation does something in another's name.
    instead: Option<Owner>,
    skews: BTreeMap<Owner, i64>,
    dead: BTreeSet<Owner>,
}

struct Shared(UnsafeCell<Owners>);
// SAFETY: looked at only by the thread that holds the baton.
unsafe impl Sync for Shared {}
static OWNERS: Shared = Shared(UnsafeCell::new(Owners {
    told_by: None,
    instead: None,
    skews: BTreeMap::new(),
    dead: BTreeSet::new(),
}));

fn owners() -> &'static mut Owners {
    // SAFETY: the baton is held, and nobody keeps what this gives beyond one expression.
    unsafe { &mut *OWNERS.0.get() }
}

pub(crate) fn begin() {
    *owners() =
        Owners { told_by: None, instead: None, skews: BTreeMap::new(), dead: BTreeSet::new() };
}

pub(crate) fn end() {
    owners().told_by = None;
}

pub(crate) fn told_by(whose: fn() -> Owner) {
    owners().told_by = Some(whose);
}

pub(crate) fn on_behalf<T>(owner: Owner, work: impl FnOnce() -> T) -> T {
    let before = owners().instead.replace(owner);
    let done = work();
    owners().instead = before;
    done
}

/// Whose work this thread does now.
pub(crate) fn here() -> Owner {
    if let Some(owner) = baton::inherited_owner() {
        return owner;
    }
    let (instead, told_by) = (owners().instead, owners().told_by);
    instead.or_else(|| told_by.map(|whose| whose())).unwrap_or_default()
}

/// The wall clock of an owner is off by so many nanoseconds from now on.
pub fn skew(owner: Owner, by: i64) {
    if baton::is_member() {
        owners().skews.insert(owner, by);
    }
}

pub(crate) fn skew_here() -> i64 {
    if owners().skews.is_empty() {
        return 0;
    }
    let here = here();
    owners().skews.get(&here).copied().unwrap_or(0)
}

pub(crate) fn kill(owner: Owner) {
    owners().dead.insert(owner);
}

pub(crate) fn is_dead(owner: Owner) -> bool {
    owners().dead.contains(&owner)
}
