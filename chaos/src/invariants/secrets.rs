//! Secrets never reach the log.

use std::fmt::Write as _;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Secrets {
    words: Vec<String>,
    /// The event that is looked at.
    text: String,
}

impl Secrets {
    pub(super) fn new(words: &[String]) -> Self {
        Self { words: words.to_vec(), text: String::new() }
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
        self.text.clear();
        write!(self.text, "{event:?}").map_err(|error| error.to_string())?;
        match self.words.iter().find(|word| self.text.contains(word.as_str())) {
            // The word itself is not said: this goes into reports.
            Some(_) => Err(format!("event {} has one", event.seq)),
            None => Ok(()),
        }
    }
}
