//! The same request id gets the same answer for ever; with another body it is refused.

use std::collections::BTreeMap;

use skein_core::ids::{RequestId, Seq};

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Requests {
    accepted: BTreeMap<RequestId, (u64, Seq)>,
}

impl Invariant for Requests {
    fn sentence(&self) -> &'static str {
        "a repeated request gets the first answer, and with another body is refused"
    }

    fn see(&mut self, seen: Seen<'_>, _past: &Past) -> Held {
        let Seen::Answered { id, body, first } = seen else { return Ok(()) };
        let Some(first) = first else {
            return match self.accepted.get(&id) {
                Some((accepted, _)) if *accepted == body => {
                    Err(format!("{id:?} was accepted, and its repeat is refused"))
                }
                Some(_) | None => Ok(()),
            };
        };
        match self.accepted.insert(id, (body, first)) {
            Some(before) if before != (body, first) => {
                Err(format!("{id:?} was answered with event {}, and now with {first}", before.1))
            }
            Some(_) | None => Ok(()),
        }
    }
}
