//! What real processes left behind, checked afterwards: the logs of the nodes, the ledgers of the
//! databases, the answers that clients got.
//!
//! The log is in order by itself, and so is each ledger. Between the two the order is that of their
//! clocks where the caller trusts them; else an effect is taken to have happened as late as its
//! report allows, so that nothing is called broken that may have held.

use std::collections::BTreeMap;
use std::sync::Arc;

use skein_core::event::{Body, Event};
use skein_core::ids::{Millis, RequestId, Seq};

use crate::invariants::{Broken, Watch};
use crate::observation::{Database, Effect, Mended, Node, Seen};

/// What was gathered.
#[derive(Debug, Default)]
pub struct History {
    /// What each node has applied; the longest is the log that the others are held against.
    pub logs: Vec<(Node, Vec<Arc<Event>>)>,
    /// What the ledgers tell, target after target, each in its own order; with the time of the row
    /// where the clock that wrote it is the clock of the leaders.
    pub effects: Vec<(Option<Millis>, Effect)>,
    /// The databases as they are now.
    pub databases: Vec<Database>,
    /// By whom what was acknowledged: all events before the one named.
    pub acked: Vec<(Node, Seq)>,
    /// Requests with an id, the digest of their bytes and the first event of their answer, in the
    /// order in which the answers came.
    pub answers: Vec<(RequestId, u64, Option<Seq>)>,
    /// Who led in which term.
    pub leaders: Vec<(Node, u64)>,
    /// Words that must not be in the log.
    pub secrets: Vec<String>,
    /// Faults have ended, and the fleet was waited for until it came to rest.
    pub at_rest: bool,
}

/// Every promise that is broken; the later ones may follow from the first.
pub fn check(history: &History) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut watch = Watch::default().with_secrets(&history.secrets);
    let mut see = |seen: Seen<'_>| {
        if let Err(one) = watch.see(seen) {
            broken.push(one);
        }
    };
    let empty = Vec::new();
    let log = history.logs.iter().map(|(_, log)| log).max_by_key(|log| log.len());
    let log = log.unwrap_or(&empty);
    let mut places = places(log, &history.effects);
    for (place, event) in log.iter().enumerate() {
        for effect in places.remove(&place).unwrap_or_default() {
            see(Seen::Effect(effect));
        }
        // What the target said of itself when its repair was told of.
        if let Body::TargetMended { target, fence, seen, .. } = &event.body {
            let database = Database {
                target: target.clone(),
                ledger: seen.ledger.clone(),
                fence: seen.fence,
                open_intent: None,
            };
            see(Seen::Mended(&Mended { fence: *fence, database }));
        }
        see(Seen::Event(event));
    }
    for effect in places.into_values().flatten() {
        see(Seen::Effect(effect));
    }
    for (node, events) in &history.logs {
        for event in events {
            see(Seen::Applied { node: *node, event });
        }
    }
    for (node, term) in &history.leaders {
        see(Seen::Leads { node: *node, term: *term });
    }
    for (node, before) in &history.acked {
        see(Seen::Acked { node: *node, before: *before });
    }
    for (id, body, first) in &history.answers {
        see(Seen::Answered { id: *id, body: *body, first: *first });
    }
    if history.at_rest {
        for database in &history.databases {
            see(Seen::Found(database));
        }
        see(Seen::End);
    }
    broken
}

/// Before which event each effect is taken to have happened.
fn places<'a>(
    log: &[Arc<Event>],
    effects: &'a [(Option<Millis>, Effect)],
) -> BTreeMap<usize, Vec<&'a Effect>> {
    let mut places: BTreeMap<usize, Vec<&Effect>> = BTreeMap::new();
    // A ledger is in order: whatever stands later in it happened later.
    let mut least = BTreeMap::new();
    for (at, effect) in effects {
        let place = match at {
            Some(at) => log.partition_point(|event| event.at <= *at),
            None => reported(log, effect),
        };
        let least = least.entry(&effect.target).or_insert(0);
        *least = place.max(*least);
        places.entry(*least).or_default().push(effect);
    }
    places
}

/// Where the effect is told of first. One that never was (its target was given up) came before the next lease of
/// the target, whose fence bars it; where there is none, it is behind the log.
fn reported(log: &[Arc<Event>], effect: &Effect) -> usize {
    let after = usize::try_from(effect.fence.0).unwrap_or(usize::MAX);
    let told = log.iter().skip(after).position(|event| match &event.body {
        Body::StepApplied { target, version, .. }
        | Body::StepRolledBack { target, version, .. } => {
            *target == effect.target && version == effect.entry.version.as_str()
        }
        _ => false,
    });
    let barred = || {
        log.iter().skip(after.saturating_add(1)).position(|event| match &event.body {
            Body::LegAssigned { target, .. } | Body::RepairAssigned { target, .. } => {
                *target == effect.target
            }
            _ => false,
        })
    };
    let place = told.map(|place| place.saturating_add(after));
    let place =
        place.or_else(|| barred().map(|place| place.saturating_add(after).saturating_add(1)));
    place.unwrap_or(log.len())
}
