//! A file in one transaction with its ledger row: PostgreSQL and SQLite.
//!
//! ```text
//! begin · lock and raise the fence · ledger?  ──► script ──► verify ──► ledger row · commit
//! ```
//! Three messages to the server, four with a verify script. Whatever fails before COMMIT left
//! leaves nothing; a connection that ends during COMMIT leaves a question that the ledger answers.

use std::time::Duration;

use tokio::time::Instant;

use super::answer::{Answer, Keep, text};
use super::batch::{Batch, answer};
use super::failure::{Broken, Failure};
use super::location::Engine;
use super::order::{Order, Outcome};
use super::session::Session;
use super::sql::mentions;
use super::step_error::{Cause, StepError};
use super::verdict::Verdict;
use super::verify::Checks;
use super::written::{self, Position};
use super::{fence, intent, ledger, script_line, standing};

/// What was learnt while the transaction was opened.
struct Opened {
    already: Option<ledger::LedgerRow>,
    /// PostgreSQL: the transaction's number. SQLite: rows changed so far by the connection.
    mark: u64,
    /// PostgreSQL: how far its log had come.
    log: Option<Position>,
}

/// What was learnt while it was committed.
struct Committed {
    /// SQLite: rows that the script changed.
    rows: Option<u64>,
    /// PostgreSQL: how far its log had come, before the ledger row.
    log: Option<Position>,
}

impl Session {
    pub(super) async fn apply_in_transaction(
        &mut self,
        order: &Order,
    ) -> Result<Outcome, StepError> {
        let mut pauses = self.timeouts.pauses();
        let mut waited = Duration::ZERO;
        loop {
            let began = Instant::now();
            match self.try_in_transaction(order, waited).await {
                Err(error) if error.retryable && !error.session_lost => match pauses.next() {
                    Some(pause) => {
                        tracing::info!(%error, ?pause, "trying a step again");
                        tokio::time::sleep(pause).await;
                        waited += began.elapsed();
                    }
                    None => return Err(error),
                },
                done => return done,
            }
        }
    }

    async fn try_in_transaction(
        &mut self,
        order: &Order,
        waited: Duration,
    ) -> Result<Outcome, StepError> {
        let started = Instant::now();
        let log = self.connection.position();
        let applied = |rows, written| Outcome::Applied {
            rows,
            ms: millis(started.elapsed()),
            waited_ms: millis(waited),
            locked_ms: None,
            written,
            fingerprint_after: None,
            resumed_at: None,
        };
        if let Some(rows) = self.run_at_once(order).await? {
            let written = written::between(log, self.connection.position());
            self.reset_after(order).await;
            return Ok(applied(rows, written));
        }
        let opened = match self.open_transaction(order).await {
            Ok(opened) => opened,
            Err(error) => return Err(self.roll_back(error).await),
        };
        if let Some(row) = opened.already {
            self.roll_back_quietly().await;
            return Ok(Outcome::Already(row));
        }
        let answers = match self.run_script(order).await {
            Ok(answers) => answers,
            Err(error) => return Err(self.roll_back(error).await),
        };
        let done = self.commit(order, opened.mark).await?;
        let rows = done.rows.unwrap_or_else(|| script_line::rows_changed(&order.plan, &answers));
        let after = done.log.or_else(|| self.connection.position());
        let written = written::between(log.or(opened.log), after);
        self.made.base = true;
        self.raised = Some(order.token);
        self.reset_after(order).await;
        Ok(applied(rows, written))
    }

    async fn open_transaction(&mut self, order: &Order) -> Result<Opened, StepError> {
        let mut batch = Batch::default();
        self.begin(&mut batch, order);
        self.make_base(&mut batch);
        let mark = match self.engine() {
            Engine::Sqlite => "total_changes()",
            Engine::Postgres | Engine::Mysql => "pg_catalog.txid_current()",
        };
        let log = self.connection.log_position_value();
        let at_fence = batch.add(&self.tables.lock_fence_and(&format!("{mark}, {log}")));
        // A fence is never lowered, so once in a session is enough.
        if self.raised != Some(order.token) {
            batch.add(&self.tables.raise(order.token));
        }
        let holds_lock = self.connection.holds_lock();
        let at_lock = (!holds_lock.is_empty()).then(|| batch.add(&holds_lock));
        let at_latest = batch.add(&self.tables.latest(&order.step));
        let at_intent = self.made.intent.then(|| batch.add(&self.tables.read_intent()));
        let failed =
            |broken: Broken| StepError::of(order, Cause::Database, Verdict::Never, broken.failure);
        let answers = self.connection.send(batch.into_sql(), Keep::All).await.map_err(failed)?;

        let fence = answer(&answers, at_fence);
        check_fence(&fence, order)?;
        let mark = fence.rows.first().and_then(|row| text(row, 2)?.parse().ok());
        if at_lock.is_some_and(|at| !answer(&answers, at).is_true()) {
            return Err(lock_lost(order));
        }
        let damaged = |what: String| StepError::new(order, Cause::Stuck, Verdict::Unknown, what);
        let latest = ledger::read(&answer(&answers, at_latest)).map_err(damaged)?;
        let open = match at_intent {
            Some(at) => intent::read(&answer(&answers, at)).map_err(damaged)?,
            None => None,
        };
        let already = standing::already(order, latest.into_iter().next(), open.as_ref())?;
        if let (None, Some(open)) = (&already, open) {
            return Err(open.in_the_way_of(order));
        }
        Ok(Opened { already, mark: mark.unwrap_or_default(), log: Position::of(&fence) })
    }

    /// The script and its verify script, inside of the open transaction.
    pub(super) async fn run_script(&mut self, order: &Order) -> Result<Vec<Answer>, StepError> {
        let engine = self.engine();
        let sent = self.connection.send(order.script.text.clone(), Keep::Nothing).await;
        let answers = sent.map_err(|broken| {
            let line = script_line::of_script(order, &broken);
            StepError::of(order, Cause::Statement, Verdict::Never, broken.failure).at_line(line)
        })?;
        let Some(verify) = &order.verify else { return Ok(answers) };
        let sent = self.connection.send(verify.text.clone(), Keep::Verdicts).await;
        let checks = sent.map_err(|broken| {
            let line = script_line::of_verify(engine, verify, &broken);
            let mut error = StepError::of(order, Cause::Verify, Verdict::Never, broken.failure);
            error.file.clone_from(&verify.file);
            error.at_line(line)
        })?;
        match verify_failed(order, engine, &Checks::of(&checks), Verdict::Never) {
            Some(error) => Err(error),
            None => Ok(answers),
        }
    }

    /// Commits script and ledger row together.
    async fn commit(&mut self, order: &Order, mark: u64) -> Result<Committed, StepError> {
        let may_end =
            || ["commit", "end", "rollback"].iter().any(|w| mentions(&order.script.text, w));
        if self.engine() == Engine::Sqlite && may_end() {
            // SQLite has no word for "am I in a transaction"; a second BEGIN has.
            if self.connection.send("BEGIN;".to_owned(), Keep::Nothing).await.is_ok() {
                self.roll_back_quietly().await;
                return Err(ended_early(order));
            }
        }
        let mut batch = Batch::default();
        // The ledger belongs to whoever connected, not to whom the script became.
        let became = ["role", "authorization"].iter().any(|w| mentions(&order.script.text, w));
        if became && self.engine() == Engine::Postgres {
            batch.add("RESET SESSION AUTHORIZATION;");
            batch.add("RESET ROLE;");
        }
        let at_mark = match self.engine() {
            Engine::Sqlite => batch.add("SELECT total_changes();"),
            Engine::Postgres | Engine::Mysql => batch.add(&format!(
                "SELECT 1 / (CASE WHEN pg_catalog.txid_current() = {mark} THEN 1 ELSE 0 END), {};",
                self.connection.log_position_value()
            )),
        };
        batch.add(&self.tables.insert_or_fail(order));
        let at_commit = batch.add("COMMIT;");
        match self.connection.send(batch.into_sql(), Keep::All).await {
            Ok(answers) if self.engine() == Engine::Sqlite => {
                let now = answer(&answers, at_mark).number().unwrap_or_default();
                Ok(Committed { rows: Some(now.saturating_sub(mark)), log: None })
            }
            Ok(answers) => {
                let log = Position::of(&answer(&answers, at_mark));
                Ok(Committed { rows: None, log })
            }
            Err(broken) => {
                if self.engine() == Engine::Postgres && broken.done.len() <= at_mark.0 {
                    let error = if broken.failure.is(&["22012"]) {
                        ended_early(order)
                    } else {
                        StepError::of(order, Cause::Database, Verdict::Never, broken.failure)
                    };
                    return Err(self.roll_back(error).await);
                }
                let at_commit = broken.done.len() == at_commit.0;
                let error = self.not_committed(order, broken.failure, at_commit);
                Err(self.roll_back(error).await)
            }
        }
    }

    /// COMMIT, or what went before it in the same message, did not succeed.
    pub(super) fn not_committed(
        &self,
        order: &Order,
        failure: Failure,
        at_commit: bool,
    ) -> StepError {
        // SQLite: busy (5) and a violated constraint (19) leave the transaction open. Of an error
        // of the file system it is not said how far it came.
        let sqlite = self.engine() == Engine::Sqlite
            && at_commit
            && !failure.transient
            && !failure
                .code
                .as_deref()
                .is_some_and(|code| code.parse::<u32>().is_ok_and(|code| code & 255 == 19));
        if failure.lost || sqlite {
            let message = format!(
                "{}; the connection ended while COMMIT was on its way, so the step may be in \
                 force; a new session reads the answer in the ledger",
                failure.message
            );
            let mut error = StepError::new(order, Cause::CommitUnknown, Verdict::Unknown, message);
            error.code = failure.code.map(Into::into);
            error.session_lost = true;
            return error;
        }
        StepError::of(order, Cause::Statement, Verdict::Never, failure)
    }

    /// Rolls back and hands the error on.
    pub(super) async fn roll_back(&mut self, error: StepError) -> StepError {
        if !error.session_lost {
            self.roll_back_quietly().await;
            self.reset_settings().await;
        }
        error
    }

    /// A failed ROLLBACK needs no word: either the engine has rolled back by itself, or the
    /// connection is gone and the server does it.
    pub(super) async fn roll_back_quietly(&mut self) {
        if let Err(broken) = self.connection.send("ROLLBACK;".to_owned(), Keep::Nothing).await {
            tracing::debug!(message = broken.failure.message, "ROLLBACK had nothing to roll back");
        }
    }
}

/// As it is reported.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Refuses a ledger of a form that we do not know and a fence above the order's.
pub(super) fn check_fence(row: &Answer, order: &Order) -> Result<(), StepError> {
    let column = |at| row.rows.first().and_then(|row| text(row, at)?.parse().ok());
    if column(1) != Some(ledger::FORMAT) {
        let message = "the ledger tables in the target were made by another version of Skein \
                       or are damaged; upgrade the agent, or look at _skein_fence";
        return Err(StepError::new(order, Cause::Stuck, Verdict::Unknown, message));
    }
    fence::check(column(0), order.token)
        .map_err(|stale| StepError::fence(order, Verdict::Never, stale))
}

pub(super) fn lock_lost(order: &Order) -> StepError {
    let message = "the session lock is no longer held by this connection: a script gave it up, \
                   or a connection pooler changed the server session; nothing was run";
    let mut error = StepError::new(order, Cause::Database, Verdict::Never, message);
    error.session_lost = true;
    error
}

fn ended_early(order: &Order) -> StepError {
    let message = "the script ended the transaction that it ran in (COMMIT or ROLLBACK), so what \
                   it did before that stands without a ledger row; take these statements out, or \
                   declare the file as one that runs outside of a transaction, and compare the \
                   target by hand";
    StepError::new(order, Cause::Statement, Verdict::Unknown, message)
}

/// The error of a verify script that returned something that is not true.
pub(super) fn verify_failed(
    order: &Order,
    engine: Engine,
    checks: &Checks,
    verdict: Verdict,
) -> Option<StepError> {
    let (statement, value) = checks.failed.as_ref()?;
    let verify = order.verify.as_ref()?;
    let done = vec![Answer::default(); statement.saturating_sub(1)];
    let line =
        script_line::of_verify(engine, verify, &Broken { failure: Failure::protocol(""), done });
    let message =
        format!("verify failed: statement {statement} returned {value}, which is not true");
    let mut error = StepError::new(order, Cause::Verify, verdict, message);
    error.file.clone_from(&verify.file);
    Some(error.at_line(line))
}
