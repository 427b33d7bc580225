//! Secrets never reach the log.

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Secrets {
    words: Vec<String>,
}

impl Secrets {
    pub(super) fn new(words: &[String]) -> Self {
        Self { words: words.to_vec() }
    }
}

impl Invariant for Secrets {
    fn sentence(&self) -> &'static str {
        "secrets never occur in the log"
    }

    fn see(&mut self, seen: Seen<'_>, _past: &Past) -> Held {
        let Seen::Event(event) = seen else { return Ok(()) };
        if self.words.is_empty() {
            return Ok(());
        }
        let text = format!("{event:?}");
        match self.words.iter().find(|word| text.contains(word.as_str())) {
            // The word itself is not said: this goes into reports.
            Some(_) => Err(format!("event {} has one", event.seq)),
            None => Ok(()),
        }
    }
}
