//! The way of one leg's reports into the mailbox.

use std::sync::Arc;

use skein_proto::agent::v1::Leg;
use skein_proto::agent::v1::report::Outcome;
use tokio::sync::oneshot;

use crate::metrics::Counted;
use crate::session::{Answer, Mailbox};

/// Writes the leg's fence and target on every report, and counts it.
#[derive(Debug, Clone)]
pub(crate) struct Reports {
    mailbox: Arc<Mailbox>,
    counted: Counted,
    fence: u64,
    target: String,
}

impl Reports {
    pub(crate) fn new(mailbox: Arc<Mailbox>, counted: Counted, leg: &Leg) -> Self {
        Self { mailbox, counted, fence: leg.fence, target: leg.target.clone() }
    }

    /// Sends without waiting, and returns the report's id.
    pub(crate) fn send(&self, outcome: Outcome) -> u64 {
        self.counted.told(&outcome);
        self.mailbox.post(self.fence, &self.target, outcome)
    }

    /// The same where more of this leg's reports follow, and nobody waits for this one.
    pub(crate) fn send_in_company(&self, outcome: Outcome) -> u64 {
        self.counted.told(&outcome);
        self.mailbox.post_in_company(self.fence, &self.target, outcome)
    }

    pub(crate) fn ask(&self, outcome: Outcome) -> oneshot::Receiver<Answer> {
        self.counted.told(&outcome);
        self.mailbox.ask(self.fence, &self.target, outcome)
    }
}
