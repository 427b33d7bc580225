//! Of a statement in batches each key is changed once, in order, by nobody whose fence is older than one that has reached
//! its target; what is in force has all of them. Who was told to leave it between two batches begins no other, and to
//! have left it so is no failure.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::event::Body;
use skein_core::ids::{Fence, TargetId, Version};
use skein_core::spec::Direction;

use super::{Held, Invariant, Past};
use crate::observation::{Batch, Effect, Mended, Seen};

/// How far a statement has come.
#[derive(Debug)]
struct Cursor {
    version: Version,
    script: Direction,
    done: u32,
    of: u32,
}

#[derive(Debug, Default)]
pub(super) struct Batches {
    /// Begun, and not ended.
    open: BTreeMap<TargetId, Cursor>,
    reached: BTreeMap<TargetId, Fence>,
    /// They know that they are to leave.
    told: BTreeSet<Fence>,
    left: BTreeSet<Fence>,
}

impl Batches {
    fn batch(&mut self, batch: &Batch) -> Held {
        let Batch { target, version, script, fence, from, to, of } = batch;
        if self.reached.get(target).is_some_and(|reached| reached > fence) {
            return Err(format!(
                "a batch of {version} on {target} was begun under fence {fence}, which is an old one"
            ));
        }
        if self.told.contains(fence) {
            return Err(format!(
                "a batch of {version} on {target} was begun under fence {fence}, which is to leave it"
            ));
        }
        let known = self.open.get(target);
        let known = known.filter(|it| it.version == *version && it.script == *script);
        let done = known.map_or(0, |cursor| cursor.done);
        if *from != done || to <= from || to > of {
            return Err(format!(
                "of {version} on {target} keys {from} to {to} of {of} were changed, and {done} were done"
            ));
        }
        let cursor = Cursor { version: version.clone(), script: *script, done: *to, of: *of };
        self.open.insert(target.clone(), cursor);
        Ok(())
    }

    fn effect(&mut self, effect: &Effect) -> Held {
        let Some(cursor) = self.open.get(&effect.target).filter(|_| effect.whole) else {
            return Ok(());
        };
        if cursor.version != effect.entry.version || cursor.script != effect.script {
            return Ok(());
        }
        if cursor.done < cursor.of {
            return Err(format!(
                "{} is in force on {} with {} of {} keys",
                cursor.version, effect.target, cursor.done, cursor.of
            ));
        }
        self.open.remove(&effect.target);
        Ok(())
    }
}

impl Invariant for Batches {
    fn sentence(&self) -> &'static str {
        "each key of a statement in batches is changed once and in order, by nobody who is to leave it or has an old fence"
    }

    fn see(&mut self, seen: Seen<'_>, _past: &Past) -> Held {
        match seen {
            Seen::Batch(batch) => return self.batch(batch),
            Seen::Effect(effect) => return self.effect(effect),
            Seen::Fence { target, new, .. } => {
                let reached = self.reached.entry(target.clone()).or_default();
                *reached = new.max(*reached);
            }
            Seen::Leaves { fence, leaves: true } => {
                self.told.insert(fence);
            }
            // Another one, under the same lease.
            Seen::Leaves { fence, leaves: false } => {
                self.told.remove(&fence);
                self.left.remove(&fence);
            }
            Seen::Left { fence } => {
                self.left.insert(fence);
            }
            Seen::Mended(Mended { database, .. }) => {
                self.open.remove(&database.target);
            }
            Seen::Restored(database) => {
                self.open.remove(&database.target);
                self.reached.insert(database.target.clone(), database.fence);
            }
            Seen::Event(event) => {
                if let Body::StepFailed { fence, target, version, .. } = &event.body
                    && self.left.contains(fence)
                {
                    return Err(format!(
                        "{version} on {target} was left between two batches on somebody's word, and has failed"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
