//! A file piece by piece, where the engine has no transaction around it: MariaDB and MySQL, and
//! what PostgreSQL and SQLite refuse to run in one.
//!
//! ```text
//! definition    intent(k, sent, schema before) ─► statement
//! manipulation  begin ─► statement ─► intent(k + 1, ready) ─► commit
//! opaque        intent(k, sent) ─► statement
//! in batches    intent(k, batches) ─► (begin ─► statement ─► progress ─► commit)…
//! the end       verify ─► begin ─► ledger row, intent cleared ─► commit
//! ```
//! Every write of ours is refused by a fence above the order's. What a crash leaves is judged by
//! `recovery`.

mod batches;
mod escapes;
mod marks;
mod pieces;

use std::time::Duration;

use skein_bundle::sql::Class;
use tokio::time::Instant;

use self::escapes::Surroundings;
use crate::db::answer::Keep;
use crate::db::batch::{Batch, answer};
use crate::db::between::{self, Between};
use crate::db::failure::Broken;
use crate::db::intent::{self, Intent, Mark, Phase};
use crate::db::ledger::{self, LedgerRow};
use crate::db::location::Engine;
use crate::db::order::{Order, Outcome};
use crate::db::session::Session;
use crate::db::step_error::{Cause, StepError};
use crate::db::transactional::{check_fence, lock_lost, millis, verify_failed};
use crate::db::units::{self, Unit};
use crate::db::verdict::{Recovery, Verdict};
use crate::db::verify::Checks;
use crate::db::written::{self, Position};
use crate::db::{script_line, standing};

/// One run over a file's pieces.
struct Run<'a> {
    order: &'a Order,
    units: &'a [Unit],
    rows: u64,
    /// Tries that had no effect, and the pauses between them.
    waited: Duration,
    /// Between statements and batches, held back by somebody: no work of the step.
    held: Duration,
    /// MariaDB: what tells whether a transaction takes a statement back. `None`: not asked since the last one that
    /// may have changed it.
    around: Option<Surroundings>,
}

/// What stands before a run.
pub(in crate::db) struct Before {
    pub(in crate::db) latest: Option<LedgerRow>,
    pub(in crate::db) intent: Option<Intent>,
    /// How far the log had come.
    log: Option<Position>,
}

impl Run<'_> {
    /// The verdict when everything before the unit at `at` (zero-based) stands, and nothing of it.
    fn up_to(&self, at: usize) -> Verdict {
        let before = self.units.get(..at).unwrap_or_default();
        if before.iter().all(|unit| unit.class == Class::Session) {
            return Verdict::Never;
        }
        Verdict::Partly { statements_done: count(at), of: count(self.units.len()) }
    }

    fn mark(&self, at: usize, phase: Phase) -> Mark<'static> {
        let (statement, statements) = (count(at) + 1, count(self.units.len()));
        Mark { statement, statements, phase, before: None }
    }

    fn failed(&self, unit: &Unit, verdict: Verdict, broken: Broken) -> StepError {
        let line = match (broken.failure.position, unit.line_of(0)) {
            (Some(position), Some(first)) => script_line::lines_down(first, &unit.text, position),
            _ => unit.line_of(broken.done.len()),
        };
        StepError::of(self.order, Cause::Statement, verdict, broken.failure).at_line(line)
    }
}

impl Session {
    pub(in crate::db) async fn apply_by_statement(
        &mut self,
        order: &Order,
        mut between: Option<&mut dyn Between>,
    ) -> Result<Outcome, StepError> {
        let started = Instant::now();
        let units = units::of(order);
        let before = self.look_before(order, true).await?;
        if let Some(row) = standing::already(order, before.latest, before.intent.as_ref())? {
            return Ok(Outcome::Already(row));
        }
        let at = match &before.intent {
            None => 0,
            Some(open) => self.take_up(order, &units, open).await?,
        };
        let (waited, held) = (Duration::ZERO, Duration::ZERO);
        let mut run = Run { order, units: &units, rows: 0, waited, held, around: None };
        let resumed = before.intent.is_some();
        for (at, unit) in units.iter().enumerate().skip(at) {
            if let Some(batch) = &unit.batch {
                let between: Option<&mut dyn Between> = match &mut between {
                    Some(between) => Some(&mut **between),
                    None => None,
                };
                let open = before.intent.as_ref();
                self.run_batches(&mut run, (at, unit, batch), (open, between)).await?;
                continue;
            }
            // The first statement was asked about with its step.
            if let Some(between) = between.as_deref_mut().filter(|_| at > 0 || resumed) {
                self.hold_back(&mut run, at, between).await?;
            }
            self.run_unit(&mut run, at, unit).await?;
        }
        self.verify_after(&run).await?;
        let log = self.write_ledger_row(order).await?;
        let written = written::between(before.log, log);
        self.reset_after(order).await;
        let worked = started.elapsed().saturating_sub(run.waited + run.held);
        let (ms, waited_ms) = (millis(worked), millis(run.waited));
        let resumed_at = before.intent.is_some().then_some(count(at) + 1);
        Ok(Outcome::Applied {
            rows: run.rows,
            ms,
            locked_ms: None,
            waited_ms,
            written,
            fingerprint_after: None,
            resumed_at,
        })
    }

    /// Before a statement: waits where somebody holds it back. What stands is written down before that: a wait may be long.
    async fn hold_back(
        &mut self,
        run: &mut Run<'_>,
        at: usize,
        between: &mut dyn Between,
    ) -> Result<(), StepError> {
        let before = run.units.get(..at).unwrap_or_default();
        if between::may_hold_locks(before) || between.is_free().await {
            return Ok(());
        }
        self.stop_before(run, at).await;
        let began = Instant::now();
        let free = between.until_free().await;
        run.held += began.elapsed();
        if free == Err(between::Left) {
            let (cause, message) = (Cause::Statement, between::left(run.order));
            let mut error = StepError::new(run.order, cause, run.up_to(at), message);
            error.cancelled = true;
            return Err(error);
        }
        Ok(())
    }

    /// Reads fence, ledger and intent; makes the tables first where `make` says so.
    pub(in crate::db) async fn look_before(
        &mut self,
        order: &Order,
        make: bool,
    ) -> Result<Before, StepError> {
        if make && !(self.made.base && self.made.intent) {
            self.make_tables(order).await?;
        }
        if !self.made.base {
            return Ok(Before { latest: None, intent: None, log: None });
        }
        let mut batch = Batch::default();
        if self.engine() == Engine::Sqlite {
            self.set_foreign_keys(&mut batch, order);
        }
        let fence = self.tables.fence();
        let at_fence = batch.add(&format!("SELECT token, format FROM {fence} WHERE id = 1;"));
        let at_latest = batch.add(&self.tables.latest(&order.step));
        let at_intent = self.made.intent.then(|| batch.add(&self.tables.read_intent()));
        let holds_lock = self.connection.holds_lock();
        let at_lock = (!holds_lock.is_empty()).then(|| batch.add(&holds_lock));
        let log = self.connection.log_position();
        let at_log = (!log.is_empty()).then(|| batch.add(&log));
        let answers = self.connection.send(batch.into_sql(), Keep::All).await;
        let answers = answers.map_err(|broken| {
            StepError::of(order, Cause::Database, Verdict::Never, broken.failure)
        })?;
        check_fence(&answer(&answers, at_fence), order)?;
        if at_lock.is_some_and(|at| !answer(&answers, at).is_true()) {
            return Err(lock_lost(order));
        }
        let damaged = |what: String| StepError::new(order, Cause::Stuck, Verdict::Unknown, what);
        let latest = ledger::read(&answer(&answers, at_latest)).map_err(damaged)?;
        let intent = match at_intent {
            Some(at) => intent::read(&answer(&answers, at)).map_err(damaged)?,
            None => None,
        };
        let log = match at_log {
            Some(at) => Position::of(&answer(&answers, at)),
            None => self.connection.position(),
        };
        Ok(Before { latest: latest.into_iter().next(), intent, log })
    }

    async fn make_tables(&mut self, order: &Order) -> Result<(), StepError> {
        let mut batch = Batch::default();
        let transactional = self.engine() != Engine::Mysql;
        if transactional {
            self.begin(&mut batch, order);
        }
        self.make_base(&mut batch);
        batch.add(&self.tables.create_intent());
        if transactional {
            batch.add("COMMIT;");
        }
        match self.connection.send(batch.into_sql(), Keep::Nothing).await {
            Ok(_) => {
                self.made.base = true;
                self.made.intent = true;
                Ok(())
            }
            Err(broken) => {
                let failure = broken.failure;
                let error = StepError::of(order, Cause::Database, Verdict::Never, failure);
                Err(self.roll_back(error).await)
            }
        }
    }

    /// Where an interrupted run goes on (zero-based), with its session built again.
    async fn take_up(
        &mut self,
        order: &Order,
        units: &[Unit],
        open: &Intent,
    ) -> Result<usize, StepError> {
        let stuck = |why: String| StepError::new(order, Cause::Stuck, Verdict::Unknown, why);
        let at = match self.judge(order, units, open).await? {
            Recovery::Never => 0,
            Recovery::Resume { at, .. } => usize::try_from(at - 1).unwrap_or(units.len()),
            Recovery::Fully => return Ok(units.len()),
            Recovery::Stuck { why } => return Err(stuck(why)),
        };
        for unit in units::prologue(units, at).map_err(stuck)? {
            let sent = self.connection.send(unit.text.clone(), Keep::Nothing).await;
            sent.map_err(|broken| {
                let verdict =
                    Verdict::Partly { statements_done: count(at), of: count(units.len()) };
                StepError::of(order, Cause::Statement, verdict, broken.failure)
                    .at_line(unit.line_of(0))
            })?;
        }
        self.drop_leftovers(order, open).await?;
        Ok(at)
    }

    async fn verify_after(&mut self, run: &Run<'_>) -> Result<(), StepError> {
        let Some(verify) = &run.order.verify else { return Ok(()) };
        let engine = self.engine();
        let sent = self.connection.send(verify.text.clone(), Keep::Verdicts).await;
        let error = match sent {
            Ok(answers) => verify_failed(run.order, engine, &Checks::of(&answers), Verdict::Fully),
            Err(broken) => {
                let line = script_line::of_verify(engine, verify, &broken);
                let failure = broken.failure;
                let mut error = StepError::of(run.order, Cause::Verify, Verdict::Fully, failure);
                error.file.clone_from(&verify.file);
                Some(error.at_line(line))
            }
        };
        let Some(error) = error else { return Ok(()) };
        if !error.session_lost {
            // The next run finds everything done and asks the verify script again.
            self.stop_before(run, run.units.len()).await;
        }
        Err(error)
    }
}

/// A number of pieces, or the zero-based place of one, as it is written down.
fn count(at: usize) -> u64 {
    u64::try_from(at).unwrap_or(u64::MAX)
}
