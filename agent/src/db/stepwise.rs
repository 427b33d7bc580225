//! A file piece by piece, where the engine has no transaction around it: MariaDB and MySQL, and
//! what PostgreSQL and SQLite refuse to run in one.
//!
//! ```text
//! definition    intent(k, sent, schema before) ─► statement
//! manipulation  begin ─► statement ─► intent(k + 1, ready) ─► commit
//! opaque        intent(k, sent) ─► statement
//! the end       verify ─► begin ─► ledger row, intent cleared ─► commit
//! ```
//! Every write of ours is refused by a fence above the order's. What a crash leaves is judged by
//! `recovery`.

use skein_bundle::sql::Class;
use tokio::time::Instant;

use super::answer::{Answer, Keep};
use super::batch::{Batch, answer};
use super::failure::{Broken, Failure};
use super::fence::{self, StaleFence, Token};
use super::fingerprint::Schema;
use super::intent::{self, Intent, Mark, Phase};
use super::ledger::{self, LedgerRow, Tables};
use super::location::Engine;
use super::order::{Order, Outcome};
use super::session::Session;
use super::step_error::{Cause, StepError};
use super::transactional::{check_fence, lock_lost, verify_failed};
use super::units::{self, Unit};
use super::verdict::{Recovery, Verdict};
use super::verify::Checks;
use super::{recovery, script_line, standing};

/// One run over a file's pieces.
struct Run<'a> {
    order: &'a Order,
    units: &'a [Unit],
    rows: u64,
    /// MariaDB: tables whose changes no transaction takes back. `None`: not asked since the last
    /// definition statement.
    untransacted: Option<Vec<String>>,
}

/// What stands before a run.
pub(super) struct Before {
    pub(super) already: Option<LedgerRow>,
    pub(super) intent: Option<Intent>,
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
    pub(super) async fn apply_by_statement(&mut self, order: &Order) -> Result<Outcome, StepError> {
        let started = Instant::now();
        let units = units::of(order);
        let before = self.look_before(order, true).await?;
        if let Some(row) = before.already {
            return Ok(Outcome::Already(row));
        }
        let at = match &before.intent {
            None => 0,
            Some(open) => self.take_up(order, &units, open).await?,
        };
        let mut run = Run { order, units: &units, rows: 0, untransacted: None };
        for (at, unit) in units.iter().enumerate().skip(at) {
            self.run_unit(&mut run, at, unit).await?;
        }
        self.verify_after(&run).await?;
        self.enter_in_ledger(&run).await?;
        self.reset_after(&order.script.text).await;
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let resumed_at = before.intent.is_some().then_some(count(at) + 1);
        Ok(Outcome::Applied { rows: run.rows, ms, fingerprint_after: None, resumed_at })
    }

    /// Reads fence, ledger and intent; makes the tables first where `make` says so.
    pub(super) async fn look_before(
        &mut self,
        order: &Order,
        make: bool,
    ) -> Result<Before, StepError> {
        if make && !(self.made.base && self.made.intent) {
            self.make_tables(order).await?;
        }
        if !self.made.base {
            return Ok(Before { already: None, intent: None });
        }
        let mut batch = Batch::default();
        if self.engine() == Engine::Sqlite {
            batch.add(&format!("PRAGMA foreign_keys = {};", self.foreign_keys(order)));
        }
        let fence = self.tables.fence();
        let at_fence = batch.add(&format!("SELECT token, format FROM {fence} WHERE id = 1;"));
        let at_latest = batch.add(&self.tables.latest(&order.step));
        let at_intent = self.made.intent.then(|| batch.add(&self.tables.read_intent()));
        let holds_lock = self.connection.holds_lock();
        let at_lock = (!holds_lock.is_empty()).then(|| batch.add(&holds_lock));
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
        Ok(Before { already: standing::already(order, latest.into_iter().next())?, intent })
    }

    async fn make_tables(&mut self, order: &Order) -> Result<(), StepError> {
        let mut batch = Batch::default();
        let transactional = self.engine() != Engine::Mysql;
        if transactional {
            self.begin(&mut batch, order);
        }
        if !self.made.base {
            batch.add_many(&self.tables.create(&self.lineage), Tables::CREATE_LEN);
        }
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

    async fn run_unit(
        &mut self,
        run: &mut Run<'_>,
        at: usize,
        unit: &Unit,
    ) -> Result<(), StepError> {
        let mut pauses = self.timeouts.pauses();
        loop {
            let done = match unit.class {
                Class::Session => self.run_session(run, at, unit).await,
                Class::Ddl => self.run_definition(run, at, unit).await,
                Class::Opaque => self.run_opaque(run, at, unit).await,
                Class::Dml | Class::Query | Class::TransactionControl
                    if self.escapes_transactions(run, unit).await? =>
                {
                    self.run_opaque(run, at, unit).await
                }
                Class::Dml | Class::Query | Class::TransactionControl => {
                    self.run_transaction(run, at, unit).await
                }
            };
            let Err((error, no_effect)) = done else { return Ok(()) };
            match pauses.next() {
                Some(pause) if no_effect.is_some_and(|transient| transient) => {
                    tracing::info!(%error, ?pause, "trying a statement again");
                    tokio::time::sleep(pause).await;
                }
                _ => {
                    if no_effect.is_some() {
                        self.stop_before(run, at).await;
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Writes down that everything before `at` stands and nothing of it.
    async fn stop_before(&mut self, run: &Run<'_>, at: usize) {
        let mut batch = Batch::default();
        self.begin(&mut batch, run.order);
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

    async fn run_session(&mut self, run: &Run<'_>, at: usize, unit: &Unit) -> Ran {
        let sent = self.connection.send(unit.text.clone(), Keep::Nothing).await;
        sent.map(|_| ()).map_err(|broken| no_effect(run, at, unit, broken))
    }

    async fn run_definition(&mut self, run: &mut Run<'_>, at: usize, unit: &Unit) -> Ran {
        run.untransacted = None;
        let before = match self.connection.evidence(&unit.text).await {
            Ok(schema) => schema,
            Err(broken) => return Err(no_effect(run, at, unit, broken)),
        };
        let objects = before.objects(&unit.text);
        let mark = run.mark(at, Phase::Sent);
        let fingerprint = before.fingerprint();
        self.write_mark(run, at, Mark { before: Some((fingerprint, &objects)), ..mark }).await?;
        let Err(broken) = self.connection.send(unit.text.clone(), Keep::Nothing).await else {
            return Ok(());
        };
        if broken.failure.lost {
            return Err((unknown(run, unit, broken), None));
        }
        // The server said no; see that it left nothing behind.
        match self.settle_failed_definition(run, unit, &before).await {
            Ok(None) => Err(no_effect(run, at, unit, broken)),
            Ok(Some(changed)) => {
                let mut error = run.failed(unit, Verdict::Unknown, broken);
                error.message =
                    format!("{}; and yet it changed the schema in {changed}", error.message);
                Err((error, None))
            }
            Err(second) => Err((unknown(run, unit, second), None)),
        }
    }

    /// What a failed definition statement changed, after the invalid indexes that it left are
    /// dropped.
    async fn settle_failed_definition(
        &mut self,
        run: &Run<'_>,
        unit: &Unit,
        before: &Schema,
    ) -> Result<Option<String>, Broken> {
        let old = before.objects(&unit.text);
        let mut now = self.connection.evidence(&unit.text).await?;
        let left = recovery::leftovers(&old, &now);
        if self.engine() == Engine::Postgres && !left.is_empty() {
            for index in &left {
                tracing::info!(index, order = %run.order, "dropping an index left invalid");
                let sql = format!("DROP INDEX CONCURRENTLY IF EXISTS {index};");
                self.connection.send(sql, Keep::Nothing).await?;
            }
            now = self.connection.evidence(&unit.text).await?;
        }
        let changed = old.changed(&now.objects(&unit.text));
        // Others may work elsewhere in the schema meanwhile.
        let named = changed.into_iter().filter(|key| key.is_named_in(&unit.text));
        let names: Vec<String> = named.map(|key| key.name).collect();
        Ok((!names.is_empty()).then(|| names.join(", ")))
    }

    async fn run_opaque(&mut self, run: &mut Run<'_>, at: usize, unit: &Unit) -> Ran {
        run.untransacted = None;
        self.write_mark(run, at, run.mark(at, Phase::Sent)).await?;
        let own = unit.class == Class::TransactionControl;
        let sql = if own { format!("{}COMMIT;", unit.text) } else { unit.text.clone() };
        match self.connection.send(sql, Keep::Nothing).await {
            Ok(answers) => {
                run.rows += affected(&answers);
                Ok(())
            }
            // It did not even parse, or changes nothing that lasts.
            Err(broken)
                if !broken.failure.lost
                    && (broken.done.is_empty() && broken.failure.is(&["1064", "42601"])
                        || unit.is_repeatable()) =>
            {
                Err(no_effect(run, at, unit, broken))
            }
            Err(broken) if broken.failure.lost => Err((unknown(run, unit, broken), None)),
            Err(broken) => {
                self.roll_back_quietly().await;
                let answered = broken.done.len();
                let mut error = run.failed(unit, Verdict::Unknown, broken);
                error.message = format!(
                    "{}; {answered} statements of the piece had succeeded before",
                    error.message
                );
                Err((error, None))
            }
        }
    }

    /// The statement and the progress behind it, in one transaction.
    async fn run_transaction(&mut self, run: &mut Run<'_>, at: usize, unit: &Unit) -> Ran {
        // The author's own transaction brings its own BEGIN.
        if unit.class != Class::TransactionControl {
            let mut batch = Batch::default();
            self.begin(&mut batch, run.order);
            if let Err(broken) = self.connection.send(batch.into_sql(), Keep::Nothing).await {
                return Err(no_effect(run, at, unit, broken));
            }
        }
        let answers = match self.connection.send(unit.text.clone(), Keep::Nothing).await {
            Ok(answers) => answers,
            Err(broken) => {
                if !broken.failure.lost {
                    self.roll_back_quietly().await;
                }
                return Err(no_effect(run, at, unit, broken));
            }
        };
        if let Err(error) = self.progress(run.order, run.mark(at + 1, Phase::Ready)).await {
            self.roll_back_quietly().await;
            let mut error = error.into_step(run.order, run.up_to(at));
            error.line = unit.line_of(0);
            return Err((error, None));
        }
        if let Err(broken) = self.connection.send("COMMIT;".to_owned(), Keep::Nothing).await {
            if broken.failure.lost {
                let mut error = unknown(run, unit, broken);
                error.cause = Cause::CommitUnknown;
                return Err((error, None));
            }
            self.roll_back_quietly().await;
            return Err(no_effect(run, at, unit, broken));
        }
        if unit.class == Class::Dml || unit.class == Class::TransactionControl {
            run.rows += affected(&answers);
        }
        Ok(())
    }

    /// Raises the fence and writes the intent, inside of a transaction that is already open.
    async fn progress(&mut self, order: &Order, mark: Mark<'_>) -> Result<(), Unwritten> {
        let mut batch = Batch::default();
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
    async fn write_mark(&mut self, run: &Run<'_>, at: usize, mark: Mark<'_>) -> Ran {
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

    /// MariaDB: whether a statement names a table that no transaction protects.
    async fn escapes_transactions(
        &mut self,
        run: &mut Run<'_>,
        unit: &Unit,
    ) -> Result<bool, StepError> {
        if self.engine() != Engine::Mysql {
            return Ok(false);
        }
        if run.untransacted.is_none() {
            let sql = "SELECT table_name FROM information_schema.tables \
                       WHERE table_schema = DATABASE() AND engine IS NOT NULL \
                       AND engine NOT IN ('InnoDB', 'ROCKSDB', 'ndbcluster');";
            let answers = self.connection.send(sql.to_owned(), Keep::All).await;
            let answers = answers.map_err(|broken| {
                StepError::of(run.order, Cause::Database, Verdict::Unknown, broken.failure)
            })?;
            let rows = answers.iter().flat_map(|answer| &answer.rows);
            run.untransacted =
                Some(rows.filter_map(|row| row.first().cloned().flatten()).collect());
        }
        let tables = run.untransacted.as_deref().unwrap_or_default();
        Ok(tables.iter().any(|table| super::sql::mentions(&unit.text, table)))
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

    /// The ledger row, in place of the intent.
    pub(super) async fn write_ledger_row(&mut self, order: &Order) -> Result<(), StepError> {
        let failed = |failure: Failure| {
            let mut error = StepError::of(order, Cause::Database, Verdict::Fully, failure);
            if error.session_lost {
                error.cause = Cause::CommitUnknown;
            }
            error
        };
        let mut batch = Batch::default();
        self.begin(&mut batch, order);
        let at_fence = batch.add(&self.tables.lock_fence());
        batch.add(&self.tables.raise(order.token));
        let at_insert = batch.add(&self.tables.insert(order));
        batch.add(&self.tables.clear_intent());
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
            Ok(_) => Ok(()),
            Err(broken) => Err(self.roll_back(failed(broken.failure)).await),
        }
    }

    async fn enter_in_ledger(&mut self, run: &Run<'_>) -> Result<(), StepError> {
        self.write_ledger_row(run.order).await
    }
}

/// The result of one piece: an error says whether the piece is sure to have had no effect, and if
/// so, whether it may pass when tried again.
type Ran = Result<(), (StepError, Option<bool>)>;

/// Why an intent was not written.
enum Unwritten {
    Failed(Failure),
    Stale(StaleFence),
}

impl Unwritten {
    fn into_step(self, order: &Order, verdict: Verdict) -> StepError {
        match self {
            Self::Failed(failure) => StepError::of(order, Cause::Database, verdict, failure),
            Self::Stale(stale) => StepError::fence(order, verdict, stale),
        }
    }
}

fn no_effect(run: &Run<'_>, at: usize, unit: &Unit, broken: Broken) -> (StepError, Option<bool>) {
    let transient = broken.failure.transient && !broken.failure.lost;
    let lost = broken.failure.lost;
    let error = run.failed(unit, run.up_to(at), broken);
    (error, (!lost).then_some(transient))
}

fn unknown(run: &Run<'_>, unit: &Unit, broken: Broken) -> StepError {
    let mut error = run.failed(unit, Verdict::Unknown, broken);
    error.message = format!(
        "{}; the next session judges by the intent that it finds how far the step came",
        error.message
    );
    error
}

fn affected(answers: &[Answer]) -> u64 {
    answers.iter().map(|answer| answer.affected).sum()
}

fn count(at: usize) -> u64 {
    u64::try_from(at).unwrap_or(u64::MAX)
}
