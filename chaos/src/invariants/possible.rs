//! What is in the log can be applied: no node ever has to stop over it.

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Possible;

impl Invariant for Possible {
    fn sentence(&self) -> &'static str {
        "what is in the log can be applied"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        match (&past.impossible, seen) {
            (Some(impossible), Seen::Event(event)) => {
                Err(format!("event {}: {impossible}", event.seq))
            }
            _ => Ok(()),
        }
    }
}
