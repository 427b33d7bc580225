//! A statement in batches: a range of keys at a time, each in a transaction with how far it came.
//!
//! ```text
//! at first   begin ─► lowest and highest key ─► intent(k, batches), progress 0 ─► commit
//! a batch    begin ─► its keys ─► statement ─► fence, progress + 1 ─► commit
//! at last    begin ─► intent(k + 1, ready) ─► commit
//! ```
//! A batch is run once, on every engine: it and its progress are in force together or not at all, and whoever
//! takes it up reads the progress. Rows whose keys come in above the highest one that there was at first are not
//! in it: they are of the time after the statement.

use skein_bundle::sql::Batch as Spec;
use tokio::time::Instant;

use super::marks::Unwritten;
use super::pieces;
use super::{Run, count};
use crate::db::answer::{Answer, Keep, is_true, text};
use crate::db::batch::{Batch, answer};
use crate::db::batches::{self, Ground, Keys};
use crate::db::between::{self, Between, SoFar};
use crate::db::failure::{Broken, Failure};
use crate::db::fence;
use crate::db::intent::{Intent, Phase};
use crate::db::location::Engine;
use crate::db::session::Session;
use crate::db::sql::{literal, name};
use crate::db::step_error::{Cause, StepError};
use crate::db::units::Unit;
use crate::db::verdict::Verdict;

/// One statement of a run that goes in batches.
struct Batched<'a> {
    at: usize,
    unit: &'a Unit,
    spec: &'a Spec,
    /// Its table and its key, quoted.
    table: String,
    key: String,
}

/// The keys of one batch.
struct Keyed {
    from: String,
    to: String,
}

/// What became of one batch.
enum Ended {
    Done,
    /// No key is left.
    Empty,
}

/// Why a batch has not run, and whether it is sure to have had no effect: if so, whether it may pass when
/// tried again.
type Failed = (StepError, Option<bool>);

impl Batched<'_> {
    /// The verdict on what stands.
    fn verdict(&self, run: &Run<'_>, ground: &Ground) -> Verdict {
        if ground.batches == 0 {
            return run.up_to(self.at);
        }
        Verdict::Partly { statements_done: count(self.at), of: count(run.units.len()) }
    }

    /// The same where the intent stands and nobody can take it away: it says that the statement is begun.
    fn unseen(&self, run: &Run<'_>, ground: &Ground) -> Verdict {
        if ground.batches == 0 { Verdict::Unknown } else { self.verdict(run, ground) }
    }

    fn broken(&self, run: &Run<'_>, ground: &Ground, broken: Broken) -> Failed {
        let (transient, lost) = (broken.failure.transient, broken.failure.lost);
        let verdict = if lost { self.unseen(run, ground) } else { self.verdict(run, ground) };
        let mut error = run.failed(self.unit, verdict, broken);
        error.message = self.told(&error.message, ground);
        (error, (!lost).then_some(transient))
    }

    fn told(&self, message: &str, ground: &Ground) -> String {
        let next = ground.batches + 1;
        format!("batch {next} of {}: {message}; {}", self.unit.summary(), ground.described())
    }

    /// Nothing of the statement stands, and nothing will before somebody changes something.
    fn refused(&self, run: &Run<'_>, why: String) -> Failed {
        let error = StepError::new(run.order, Cause::Statement, run.up_to(self.at), why);
        (error.at_line(self.unit.line_of(0)), Some(false))
    }

    /// In our own queries. PostgreSQL takes the key alone for the text that is asked for, and orders by that.
    fn qualified_key(&self) -> String {
        format!("skein_rows.{}", self.key)
    }

    fn so_far(&self, ground: &Ground) -> SoFar {
        SoFar {
            statement: count(self.at) + 1,
            over: format!("{} by {}", self.spec.table.join("."), self.spec.key),
            batches: ground.batches,
            rows: ground.rows,
            percent: ground.percent(),
            size: self.spec.size,
        }
    }
}

impl Session {
    pub(super) async fn run_batches(
        &mut self,
        run: &mut Run<'_>,
        (at, unit, spec): (usize, &Unit, &Spec),
        (open, mut between): (Option<&Intent>, Option<&mut dyn Between>),
    ) -> Result<(), StepError> {
        let engine = self.engine();
        let quoted = spec.table.iter().map(|part| name(engine, part));
        let table = quoted.collect::<Vec<_>>().join(".");
        let batched = Batched { at, unit, spec, table, key: name(engine, &spec.key) };
        if self.escapes_transactions(run, unit).await? {
            let why = "a table that the batched statement names, or comes to by a view, a trigger or a \
                       routine, is not transactional (MyISAM, Aria, …): a batch of it and its progress \
                       could come apart; convert the table, or take the directive away";
            let (error, _) = batched.refused(run, why.to_owned());
            self.stop_before(run, at).await;
            return Err(error);
        }
        let here = |open: &&Intent| open.phase == Phase::Batches && open.statement == count(at) + 1;
        let mut ground = match open.filter(here) {
            Some(open) => self.read_ground(run, open).await?,
            None => self.begin_batches(run, &batched).await?,
        };
        let may_wait = !between::may_hold_locks(run.units.get(..at).unwrap_or_default());
        loop {
            let size = match &mut between {
                None => spec.size,
                Some(between) => {
                    let began = Instant::now();
                    let next = between.before_batch(batched.so_far(&ground), may_wait).await;
                    run.held += began.elapsed();
                    match next {
                        Ok(size) => size,
                        Err(between::Left) => return Err(self.left(run, &batched, &ground).await),
                    }
                }
            };
            match self.one_batch(run, &batched, (&mut ground, size)).await? {
                Ended::Done => {}
                Ended::Empty => break,
            }
        }
        if let Some(between) = between {
            between.batches_are_over();
        }
        self.end_batches(run, &batched, &ground).await?;
        run.rows += ground.rows;
        Ok(())
    }

    /// Somebody wants the file left here.
    async fn left(&mut self, run: &Run<'_>, batched: &Batched<'_>, ground: &Ground) -> StepError {
        if ground.batches == 0 {
            self.stop_before(run, batched.at).await;
        }
        let message = format!("{}; {}", between::left_at_batch(run.order), ground.described());
        let mut error =
            StepError::new(run.order, Cause::Statement, batched.verdict(run, ground), message);
        error.cancelled = true;
        error
    }

    /// One batch, tried again where that may help.
    async fn one_batch(
        &mut self,
        run: &mut Run<'_>,
        batched: &Batched<'_>,
        (ground, size): (&mut Ground, u64),
    ) -> Result<Ended, StepError> {
        let mut pauses = self.timeouts.pauses();
        loop {
            let began = Instant::now();
            let (error, no_effect) = match self.try_batch(run, batched, (&mut *ground, size)).await
            {
                Ok(ended) => return Ok(ended),
                Err(failed) => failed,
            };
            let pause = pauses.next().filter(|_| no_effect.is_some_and(|transient| transient));
            let Some(pause) = pause else {
                if no_effect.is_some() && ground.batches == 0 {
                    self.stop_before(run, batched.at).await;
                }
                return Err(error);
            };
            tracing::info!(%error, ?pause, "trying a batch again");
            tokio::time::sleep(pause).await;
            run.waited += began.elapsed();
        }
    }

    async fn try_batch(
        &mut self,
        run: &Run<'_>,
        batched: &Batched<'_>,
        (ground, size): (&mut Ground, u64),
    ) -> Result<Ended, Failed> {
        let Some(keys) = self.next_keys(run, batched, (&*ground, size)).await? else {
            self.roll_back_quietly().await;
            return Ok(Ended::Empty);
        };
        let literal = |key: &str| ground.keys.literal(self.engine(), key);
        let (Some(from), Some(to)) = (literal(&keys.from), literal(&keys.to)) else {
            self.roll_back_quietly().await;
            let over = batched.spec.table.join(".");
            let why = format!("{over} holds a key that is neither a whole number nor a text");
            let (mut error, no_effect) = batched.refused(run, batched.told(&why, ground));
            error.verdict = batched.verdict(run, ground);
            return Err((error, no_effect));
        };
        let sql = batched.spec.statement(&from, &to);
        let answers = match self.connection.send(sql, Keep::Nothing).await {
            Ok(answers) => answers,
            Err(broken) => return Err(self.take_back(batched.broken(run, ground, broken)).await),
        };
        let rows: u64 = answers.iter().map(|answer| answer.affected).sum();
        match self.advance(run, ground, (&keys.to, rows)).await {
            Ok(()) => {}
            Err(Unwritten::Failed(failure)) => {
                let broken = Broken { failure, done: Vec::new() };
                return Err(self.take_back(batched.broken(run, ground, ours(broken))).await);
            }
            Err(unwritten) => {
                let error = unwritten.into_step(run.order, batched.unseen(run, ground));
                return Err(self.take_back((error, None)).await);
            }
        }
        if let Err(broken) = self.connection.send("COMMIT;".to_owned(), Keep::Nothing).await {
            if broken.failure.lost {
                let (mut error, _) = batched.broken(run, ground, broken);
                (error.cause, error.verdict) = (Cause::CommitUnknown, Verdict::Unknown);
                return Err((error, None));
            }
            return Err(self.take_back(batched.broken(run, ground, broken)).await);
        }
        ground.done = Some(keys.to);
        ground.batches += 1;
        ground.rows += rows;
        Ok(Ended::Done)
    }

    async fn take_back(&mut self, failed: Failed) -> Failed {
        if !failed.0.session_lost {
            self.roll_back_quietly().await;
        }
        failed
    }

    /// Opens the transaction of a batch and reads its keys.
    async fn next_keys(
        &mut self,
        run: &Run<'_>,
        batched: &Batched<'_>,
        (ground, size): (&Ground, u64),
    ) -> Result<Option<Keyed>, Failed> {
        let engine = self.engine();
        let (table, key) = (&batched.table, &batched.qualified_key());
        let literal = |text: &String| ground.keys.literal(engine, text);
        let Some((_, last)) = &ground.range else { return Ok(None) };
        let (done, bound) = (ground.done.as_ref().map(literal), literal(last));
        let (Some(bound), false) = (bound, done == Some(None)) else {
            let why =
                "the progress in _skein_batches holds a key that Skein never wrote".to_owned();
            let error = StepError::new(run.order, Cause::Stuck, Verdict::Unknown, why);
            return Err((error, None));
        };
        let above = match done.flatten() {
            Some(done) => format!("{key} > {done}"),
            // One may have come since it was seen that there is none.
            None => format!("{key} IS NOT NULL"),
        };
        // Not bounded above: of a table that was never analysed PostgreSQL takes a range between two keys for
        // a few rows, and sorts all that are left.
        let rows = format!(
            "SELECT {}, {key} <= {bound} FROM {table} AS skein_rows WHERE {above} ORDER BY {key}",
            as_text(engine, key)
        );
        let mut batch = Batch::default();
        self.begin(&mut batch, run.order);
        let at_from = batch.add(&format!("{rows} LIMIT 1;"));
        let at_to = batch.add(&format!("{rows} LIMIT 1 OFFSET {};", size.saturating_sub(1)));
        let answers = match self.connection.send(batch.into_sql(), Keep::All).await {
            Ok(answers) => answers,
            Err(broken) => {
                return Err(self.take_back(batched.broken(run, ground, ours(broken))).await);
            }
        };
        let first = |at| {
            let found = answer(&answers, at);
            let row = found.rows.first().filter(|row| is_true(text(row, 1)))?;
            text(row, 0).map(str::to_owned)
        };
        let from = first(at_from);
        // Fewer are left than a batch has.
        Ok(from.map(|from| Keyed { from, to: first(at_to).unwrap_or_else(|| last.clone()) }))
    }

    /// Writes that a batch is done, inside of its transaction.
    async fn advance(
        &mut self,
        run: &Run<'_>,
        ground: &Ground,
        done: (&str, u64),
    ) -> Result<(), Unwritten> {
        let mut batch = Batch::default();
        self.as_whoever_connected(&mut batch, run.order);
        let at_fence = batch.add(&self.tables.lock_fence());
        batch.add(&self.tables.raise(run.order.token));
        let at_row = batch.add(&self.tables.advance_batches(run.order, ground, done));
        let sent = self.connection.send(batch.into_sql(), Keep::All).await;
        let answers = sent.map_err(|broken| Unwritten::Failed(broken.failure))?;
        let held = answer(&answers, at_fence).number();
        fence::check(held, run.order.token).map_err(Unwritten::Stale)?;
        if answer(&answers, at_row).affected == 1 {
            return Ok(());
        }
        let why = "the progress in _skein_batches is not where this run left it: somebody else ran a \
                   batch meanwhile; this one was taken back";
        Err(Unwritten::Failed(Failure::protocol(why)))
    }

    async fn read_ground(&mut self, run: &Run<'_>, open: &Intent) -> Result<Ground, StepError> {
        let sent = self.connection.send(self.tables.read_batches(), Keep::All).await;
        let answers = sent.map_err(|broken| {
            StepError::of(run.order, Cause::Database, Verdict::Unknown, broken.failure)
        })?;
        let ground = answers.first().and_then(|answer| batches::read(answer, open));
        ground.ok_or_else(|| {
            let why = "_skein_intent says that a statement runs in batches, and _skein_batches does not \
                       tell how far it came; settle the step by hand";
            StepError::new(run.order, Cause::Stuck, Verdict::Unknown, why)
        })
    }

    /// Reads which keys there are, and writes down that the statement is begun.
    async fn begin_batches(
        &mut self,
        run: &mut Run<'_>,
        batched: &Batched<'_>,
    ) -> Result<Ground, StepError> {
        let mut pauses = self.timeouts.pauses();
        loop {
            let (error, no_effect) = match self.try_to_begin(run, batched).await {
                Ok(ground) => return Ok(ground),
                Err(failed) => self.take_back(failed).await,
            };
            let pause = pauses.next().filter(|_| no_effect.is_some_and(|transient| transient));
            let Some(pause) = pause else {
                if no_effect.is_some() {
                    self.stop_before(run, batched.at).await;
                }
                return Err(error);
            };
            tokio::time::sleep(pause).await;
            run.waited += pause;
        }
    }

    async fn try_to_begin(
        &mut self,
        run: &Run<'_>,
        batched: &Batched<'_>,
    ) -> Result<Ground, Failed> {
        let engine = self.engine();
        let failed =
            |broken: Broken| pieces::no_effect(run, batched.at, batched.unit, ours(broken));
        // MariaDB would end a transaction with it.
        if engine == Engine::Mysql {
            let made = self.connection.send(self.tables.create_batches(), Keep::Nothing).await;
            made.map_err(failed)?;
        }
        let mut batch = Batch::default();
        self.begin(&mut batch, run.order);
        let (table, key) = (&batched.table, &batched.qualified_key());
        let ends = format!(
            "SELECT {}, {} FROM {table} AS skein_rows WHERE {key} IS NOT NULL ORDER BY {key}",
            as_text(engine, key),
            type_of(engine, (batched.spec, key))
        );
        let at_first = batch.add(&format!("{ends} LIMIT 1;"));
        let at_last = batch.add(&format!("{ends} DESC LIMIT 1;"));
        let nulls = format!("SELECT 1 FROM {table} AS skein_rows WHERE {key} IS NULL LIMIT 1;");
        let at_null = batch.add(&nulls);
        let answers = self.connection.send(batch.into_sql(), Keep::All).await.map_err(failed)?;
        let ground = ground_of(engine, (&answer(&answers, at_first), &answer(&answers, at_last)));
        let (over, by) = (batched.spec.table.join("."), &batched.spec.key);
        let ground = ground.map_err(|why| {
            batched.refused(run, format!("{over} cannot be gone over by {by}: {why}"))
        })?;
        if !answer(&answers, at_null).rows.is_empty() {
            let why = format!(
                "{over} has rows whose {by} is NULL, and no batch would ever reach them; take another key"
            );
            return Err(batched.refused(run, why));
        }
        let mut batch = Batch::default();
        self.as_whoever_connected(&mut batch, run.order);
        if engine != Engine::Mysql {
            batch.add(&self.tables.create_batches());
        }
        if !batch.is_empty() {
            self.connection.send(batch.into_sql(), Keep::Nothing).await.map_err(failed)?;
        }
        let mark = run.mark(batched.at, Phase::Batches);
        if let Err(unwritten) = self.progress(run.order, mark).await {
            return Err((unwritten.into_step(run.order, run.up_to(batched.at)), None));
        }
        let row = self.tables.write_batches(run.order, count(batched.at) + 1, &ground);
        let sent = self.connection.send(format!("{row}COMMIT;"), Keep::Nothing).await;
        sent.map_err(|broken| {
            let lost = broken.failure.lost;
            let (mut error, no_effect) = failed(broken);
            if lost {
                (error.cause, error.verdict) = (Cause::CommitUnknown, Verdict::Unknown);
            }
            (error, no_effect)
        })?;
        Ok(ground)
    }

    /// Writes that all batches are done.
    async fn end_batches(
        &mut self,
        run: &Run<'_>,
        batched: &Batched<'_>,
        ground: &Ground,
    ) -> Result<(), StepError> {
        let failed = |failure: Failure| {
            let (seen, lost) = (batched.verdict(run, ground), failure.lost);
            let verdict = if lost { batched.unseen(run, ground) } else { seen };
            let mut error = StepError::of(run.order, Cause::Database, verdict, failure);
            error.retryable = false;
            error
        };
        let mut batch = Batch::default();
        self.begin(&mut batch, run.order);
        let ended = match self.connection.send(batch.into_sql(), Keep::Nothing).await {
            Ok(_) => match self.progress(run.order, run.mark(batched.at + 1, Phase::Ready)).await {
                Ok(()) => {
                    let sql = format!("{}COMMIT;", self.tables.clear_batches());
                    let sent = self.connection.send(sql, Keep::Nothing).await;
                    sent.map(|_| ()).map_err(|broken| failed(broken.failure))
                }
                Err(Unwritten::Failed(failure)) => Err(failed(failure)),
                Err(unwritten) => Err(unwritten.into_step(run.order, batched.verdict(run, ground))),
            },
            Err(broken) => Err(failed(broken.failure)),
        };
        // The next run finds that no key is left, and ends it.
        let Err(error) = ended else { return Ok(()) };
        let (error, _) = self.take_back((error, None)).await;
        if ground.batches == 0 && !error.session_lost && !error.fence_lost {
            self.stop_before(run, batched.at).await;
        }
        Err(error)
    }
}

/// What broke is a statement of ours, which stands on no line of the file.
fn ours(mut broken: Broken) -> Broken {
    broken.failure.position = None;
    broken.done.clear();
    broken
}

/// What the two ends of a table say of its keys.
fn ground_of(engine: Engine, (first, last): (&Answer, &Answer)) -> Result<Ground, String> {
    let end = |answer: &Answer| {
        let row = answer.rows.first()?;
        Some((text(row, 0)?.to_owned(), text(row, 1).unwrap_or_default().to_owned()))
    };
    let (Some((first, first_type)), Some((last, last_type))) = (end(first), end(last)) else {
        return Ok(Ground { keys: Keys::Numbers, range: None, done: None, batches: 0, rows: 0 });
    };
    let types = (Keys::of(engine, &first_type), Keys::of(engine, &last_type));
    let keys = match types {
        (Some(first), Some(last)) if first == last => first,
        (Some(_), Some(_)) => return Err("it holds numbers and texts".to_owned()),
        (None, _) | (_, None) => {
            let other = if types.0.is_none() { first_type } else { last_type };
            return Err(format!(
                "a key is a whole number, a text or a UUID, and this one is {other}"
            ));
        }
    };
    Ok(Ground { keys, range: Some((first, last)), done: None, batches: 0, rows: 0 })
}

fn as_text(engine: Engine, key: &str) -> String {
    match engine {
        Engine::Postgres | Engine::Sqlite => format!("CAST({key} AS text)"),
        Engine::Mysql => format!("CAST({key} AS char)"),
    }
}

/// What tells the type of a key: of its value or of its column.
fn type_of(engine: Engine, (spec, key): (&Spec, &str)) -> String {
    match engine {
        Engine::Postgres => format!("CAST(pg_catalog.pg_typeof({key}) AS text)"),
        Engine::Sqlite => format!("typeof({key})"),
        Engine::Mysql => {
            let text = |text: &String| literal(engine, text);
            let schema = spec.table.first().filter(|_| spec.table.len() > 1).map(text);
            let schema = schema.unwrap_or_else(|| "DATABASE()".to_owned());
            let table = spec.table.last().map(text).unwrap_or_default();
            format!(
                "(SELECT data_type FROM information_schema.columns WHERE table_schema = {schema} \
                 AND table_name = {table} AND column_name = {})",
                literal(engine, &spec.key)
            )
        }
    }
}
