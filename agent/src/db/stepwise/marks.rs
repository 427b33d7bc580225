//! Writing down how far a run came: intents, and in the end the ledger row.

use crate::db::answer::Keep;
use crate::db::batch::{Batch, answer};
use crate::db::failure::Failure;
use crate::db::fence::{self, StaleFence, Token};
use crate::db::intent::{Mark, Phase};
use crate::db::location::Engine;
use crate::db::order::Order;
use crate::db::session::Session;
use crate::db::sql::mentions;
use crate::db::step_error::{Cause, StepError};
use crate::db::verdict::Verdict;
use crate::db::written::Position;

use super::Run;
use super::pieces::Ran;

/// Why an intent was not written.
pub(super) enum Unwritten {
    Failed(Failure),
    Stale(StaleFence),
}

impl Unwritten {
    pub(super) fn into_step(self, order: &Order, verdict: Verdict) -> StepError {
        match self {
            Self::Failed(failure) => StepError::of(order, Cause::Database, verdict, failure),
            Self::Stale(stale) => StepError::fence(order, verdict, stale),
        }
    }
}

impl Session {
    /// The tables belong to whoever connected, not to whom the script became; for the rest of the
    /// transaction only.
    pub(super) fn as_whoever_connected(&self, batch: &mut Batch, order: &Order) {
        let became = ["role", "authorization"].iter().any(|w| mentions(&order.script.text, w));
        if became && self.engine() == Engine::Postgres {
            batch.add("SET LOCAL SESSION AUTHORIZATION DEFAULT;");
            batch.add("SET LOCAL ROLE NONE;");
        }
    }

    /// Writes down that everything before `at` stands and nothing of it.
    pub(super) async fn stop_before(&mut self, run: &Run<'_>, at: usize) {
        let mut batch = Batch::default();
        self.begin(&mut batch, run.order);
        self.as_whoever_connected(&mut batch, run.order);
        if run.up_to(at) == Verdict::Never {
            batch.add(&self.tables.clear_intent());
        } else {
            let mark = run.mark(at, Phase::Ready);
            batch.add_many(&self.tables.write_intent(run.order, mark), 2);
        }
        batch.add("COMMIT;");
        if let Err(broken) = self.connection.send(batch.into_sql(), Keep::Nothing).await {
            // The intent that stands is the more cautious one.
            tracing::warn!(message = broken.failure.message, "the end of a run was not recorded");
            self.roll_back_quietly().await;
        }
    }

    /// Raises the fence and writes the intent, inside of a transaction that is already open.
    pub(super) async fn progress(
        &mut self,
        order: &Order,
        mark: Mark<'_>,
    ) -> Result<(), Unwritten> {
        let mut batch = Batch::default();
        self.as_whoever_connected(&mut batch, order);
        let at_fence = batch.add(&self.tables.lock_fence());
        batch.add(&self.tables.raise(order.token));
        batch.add_many(&self.tables.write_intent(order, mark), 2);
        let sent = self.connection.send(batch.into_sql(), Keep::All).await;
        let answers = sent.map_err(|broken| Unwritten::Failed(broken.failure))?;
        let held = answer(&answers, at_fence).number();
        fence::check(held, order.token).map_err(Unwritten::Stale)?;
        // The last statement is the insert.
        match answers.last() {
            Some(insert) if insert.affected == 1 => Ok(()),
            _ => Err(Unwritten::Stale(StaleFence {
                held: Token(held.unwrap_or_default()),
                ours: order.token,
            })),
        }
    }

    /// Writes the intent in a transaction of its own, before something is sent.
    pub(super) async fn write_mark(&mut self, run: &Run<'_>, at: usize, mark: Mark<'_>) -> Ran {
        let failed = |failure: Failure| {
            let transient = failure.transient && !failure.lost;
            let error = StepError::of(run.order, Cause::Database, run.up_to(at), failure);
            (error, Some(transient))
        };
        let mut batch = Batch::default();
        self.begin(&mut batch, run.order);
        if let Err(broken) = self.connection.send(batch.into_sql(), Keep::Nothing).await {
            return Err(failed(broken.failure));
        }
        match self.progress(run.order, mark).await {
            Ok(()) => {}
            Err(Unwritten::Failed(failure)) => {
                self.roll_back_quietly().await;
                return Err(failed(failure));
            }
            Err(Unwritten::Stale(stale)) => {
                self.roll_back_quietly().await;
                return Err((StepError::fence(run.order, run.up_to(at), stale), None));
            }
        }
        let sent = self.connection.send("COMMIT;".to_owned(), Keep::Nothing).await;
        sent.map(|_| ()).map_err(|broken| failed(broken.failure))
    }

    /// The ledger row, in place of the intent. How far the log has come then.
    pub(in crate::db) async fn write_ledger_row(
        &mut self,
        order: &Order,
    ) -> Result<Option<Position>, StepError> {
        let failed = |failure: Failure| {
            let mut error = StepError::of(order, Cause::Database, Verdict::Fully, failure);
            if error.session_lost {
                error.cause = Cause::CommitUnknown;
            }
            error
        };
        let mut batch = Batch::default();
        self.begin(&mut batch, order);
        self.as_whoever_connected(&mut batch, order);
        let at_fence = batch.add(&self.tables.lock_fence());
        batch.add(&self.tables.raise(order.token));
        let at_insert = batch.add(&self.tables.insert(order));
        batch.add(&self.tables.clear_intent());
        let log = self.connection.log_position();
        let at_log = (!log.is_empty()).then(|| batch.add(&log));
        let answers = match self.connection.send(batch.into_sql(), Keep::All).await {
            Ok(answers) => answers,
            Err(broken) => return Err(self.roll_back(failed(broken.failure)).await),
        };
        let held = answer(&answers, at_fence).number();
        let stale = fence::check(held, order.token).err().or_else(|| {
            let held = Token(held.unwrap_or_default());
            let none = answer(&answers, at_insert).affected != 1;
            none.then_some(StaleFence { held, ours: order.token })
        });
        if let Some(stale) = stale {
            let error = StepError::fence(order, Verdict::Fully, stale);
            return Err(self.roll_back(error).await);
        }
        match self.connection.send("COMMIT;".to_owned(), Keep::Nothing).await {
            Ok(_) => Ok(match at_log {
                Some(at) => Position::of(&answer(&answers, at)),
                None => self.connection.position(),
            }),
            Err(broken) => Err(self.roll_back(failed(broken.failure)).await),
        }
    }
}
