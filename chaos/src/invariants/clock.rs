//! The log has one time, and it does not go back, whatever the clocks of those who lead.

use skein_core::ids::Millis;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Clock {
    last: Millis,
}

impl Invariant for Clock {
    fn sentence(&self) -> &'static str {
        "time in the log never goes back, and no other promise rests on a clock"
    }

    fn see(&mut self, seen: Seen<'_>, _past: &Past) -> Held {
        let Seen::Event(event) = seen else { return Ok(()) };
        let last = std::mem::replace(&mut self.last, event.at);
        if event.at >= last {
            return Ok(());
        }
        Err(format!("event {} is of {}, and the one before of {last}", event.seq, event.at))
    }
}
