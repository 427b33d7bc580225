//! What a person decided about a step that no evidence decides, or that another tool ran.

use super::answer::Keep;
use super::batch::Batch;
use super::ledger::LedgerRow;
use super::order::Order;
use super::session::Session;
use super::step_error::{Cause, StepError};
use super::verdict::Verdict;

/// The decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// The step counts as run: the ledger gets its row, nothing is run.
    Ran,
    /// Nothing of the step stands: the intent is taken away, the next run begins at the start.
    DidNotRun,
}

impl Session {
    /// Closes a step by decision instead of by running it. For waivers, repairs by hand, and the
    /// adoption of databases that another tool migrated, or of a file that was edited after it ran.
    pub async fn settle(&mut self, order: &Order, settlement: Settlement) -> Result<(), StepError> {
        self.enter_step(order)?;
        self.known = None;
        let settled = self.close_step(order, settlement).await;
        self.busy = false;
        settled
    }

    async fn close_step(&mut self, order: &Order, settlement: Settlement) -> Result<(), StepError> {
        let before = self.look_before(order, true).await?;
        if let Some(open) = before.intent.filter(|open| !open.is_of(order)) {
            return Err(open.in_the_way_of(order));
        }
        let same = |row: LedgerRow| row.direction == order.direction && row.digest == order.digest;
        match settlement {
            Settlement::Ran if before.latest.is_some_and(same) => Ok(()),
            Settlement::Ran => self.write_ledger_row(order).await.map(|_| ()),
            Settlement::DidNotRun => {
                let mut batch = Batch::default();
                batch.add(&self.tables.raise(order.token));
                batch.add(&self.tables.clear_intent());
                let sent = self.connection.send(batch.into_sql(), Keep::Nothing).await;
                sent.map(|_| ()).map_err(|broken| {
                    StepError::of(order, Cause::Database, Verdict::Unknown, broken.failure)
                })
            }
        }
    }
}
