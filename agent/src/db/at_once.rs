//! A SQLite step in one message, where nothing has to be asked between its parts.
//!
//! ```text
//! begin · tables, fence · ledger row, or an error · rows so far · script · mark · commit · mark and rows
//! ```
//! Each message wakes the connection's thread and waits for it, which costs more than a light step does.
//! The row is refused wherever the longer way would find anything but a step to be run; then the
//! transaction is rolled back, and the longer way finds out and says what it is. It is committed where
//! the last mark came back, and nowhere else: a script that ends in an open comment would swallow the
//! COMMIT without an error.

use super::answer::{Answer, Keep};
use super::batch::{Batch, answer};
use super::ledger::Known;
use super::location::Engine;
use super::order::Order;
use super::script_line;
use super::session::Session;
use super::sql::{literal, mentions};
use super::step_error::{Cause, StepError};
use super::verdict::Verdict;

impl Session {
    /// Whether the step can do without a question between its parts: the ledger is known and leaves it to be
    /// run, no half can stand in the target, nothing is to be verified, and no word of the script could end
    /// the transaction. What is known then.
    fn may_run_at_once(&self, order: &Order) -> Option<&Known> {
        let may_end =
            || ["commit", "end", "rollback"].iter().any(|w| mentions(&order.script.text, w));
        let may = self.engine() == Engine::Sqlite
            && !self.made.intent
            && order.verify.is_none()
            && !may_end();
        self.known.as_ref().filter(|known| may && known.is_due(order))
    }

    /// Runs it: the number of rows that the script changed. `None`: nothing was run, go the longer way.
    pub(super) async fn run_at_once(&mut self, order: &Order) -> Result<Option<u64>, StepError> {
        let Some(known) = self.may_run_at_once(order) else { return Ok(None) };
        let row = self.tables.insert_as_known(order, known);
        let mark = literal(self.engine(), &self.lineage);
        let mut batch = Batch::default();
        self.begin(&mut batch, order);
        self.prepare(&mut batch, order.token);
        let at_row = batch.add(&row);
        let at_rows = batch.add("SELECT total_changes();");
        let before = at_rows.0 + 1;
        // The semicolon ends a last statement that has none; the line, a comment.
        batch.add_many(&format!("{}\n;\n", order.script.text), 0);
        batch.add(&format!("SELECT {mark};\nCOMMIT;\nSELECT {mark} || ' ' || total_changes();"));
        let mut broken = match self.connection.send(batch.into_sql(), Keep::Verdicts).await {
            Ok(answers) => {
                if let Some(rows) = self.committed(&answers) {
                    self.made.base = true;
                    self.raised = Some(order.token);
                    let rows_before = answer(&answers, at_rows).number().unwrap_or_default();
                    return Ok(Some(rows.saturating_sub(rows_before)));
                }
                self.roll_back_quietly().await;
                return Ok(None);
            }
            Err(broken) => broken,
        };
        if broken.done.len() <= at_row.0 && !broken.failure.lost {
            self.roll_back_quietly().await;
            return Ok(None);
        }
        let at_commit = broken.done.last().is_some_and(|last| last.scalar() == Some(&self.lineage));
        let error = if at_commit || broken.failure.lost {
            self.not_committed(order, broken.failure, at_commit)
        } else {
            broken.done.drain(..before.min(broken.done.len()));
            let line = script_line::of_script(order, &broken);
            StepError::of(order, Cause::Statement, Verdict::Never, broken.failure).at_line(line)
        };
        Err(self.roll_back(error).await)
    }

    /// The rows changed by this connection so far, if the message came to its end.
    fn committed(&self, answers: &[Answer]) -> Option<u64> {
        let (mark, rows) = answers.last()?.scalar()?.split_once(' ')?;
        if mark == self.lineage { rows.parse().ok() } else { None }
    }
}
