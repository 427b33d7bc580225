//! Running one piece, each kind in its own way.

use skein_bundle::sql::trace::leaves_home;
use skein_bundle::sql::{Class, Dialect, Trace};
use tokio::time::Instant;

use super::Run;
use crate::db::answer::{Answer, Keep};
use crate::db::batch::Batch;
use crate::db::failure::Broken;
use crate::db::fingerprint::Schema;
use crate::db::intent::{Mark, Phase};
use crate::db::location::Engine;
use crate::db::recovery;
use crate::db::session::Session;
use crate::db::step_error::{Cause, StepError};
use crate::db::units::Unit;
use crate::db::verdict::Verdict;

/// The result of one piece: an error says whether the piece is sure to have had no effect, and if
/// so, whether it may pass when tried again.
pub(super) type Ran = Result<(), (StepError, Option<bool>)>;

impl Session {
    pub(super) async fn run_unit(
        &mut self,
        run: &mut Run<'_>,
        at: usize,
        unit: &Unit,
    ) -> Result<(), StepError> {
        let mut pauses = self.timeouts.pauses();
        loop {
            let began = Instant::now();
            let done = match unit.class {
                Class::Session => self.run_session(run, at, unit).await,
                Class::Ddl => self.run_definition(run, at, unit).await,
                Class::Opaque => self.run_opaque(run, at, unit).await,
                Class::Dml | Class::TransactionControl
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
                    run.waited += began.elapsed();
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

    async fn run_session(&mut self, run: &mut Run<'_>, at: usize, unit: &Unit) -> Ran {
        if leaves_home(self.engine().dialect(), &unit.text) {
            run.around = None;
        }
        let sent = self.connection.send(unit.text.clone(), Keep::Nothing).await;
        sent.map(|_| ()).map_err(|broken| no_effect(run, at, unit, broken))
    }

    async fn run_definition(&mut self, run: &mut Run<'_>, at: usize, unit: &Unit) -> Ran {
        run.around = None;
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
        // One by one, and the schema does not tell of them.
        if self.engine() == Engine::Mysql
            && recovery::is_list_of_drops(&unit.text)
            && recovery::left_by(run.units, at, self.seen()) != Trace::Whole
        {
            let mut error = run.failed(unit, Verdict::Unknown, broken);
            error.message = format!("{}; some of them may be gone", error.message);
            return Err((error, None));
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

    /// In whose words, and of whose schema, definitions are judged.
    fn seen(&self) -> (Dialect, Option<&str>) {
        (self.engine().dialect(), self.connection.home())
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
        run.around = None;
        self.write_mark(run, at, run.mark(at, Phase::Sent)).await?;
        let own = unit.class == Class::TransactionControl;
        let sql = if own { format!("{}COMMIT;", unit.text) } else { unit.text.clone() };
        match self.connection.send(sql, Keep::Nothing).await {
            Ok(answers) => {
                run.rows += affected(&answers);
                Ok(())
            }
            // It did not even parse.
            Err(broken)
                if !broken.failure.lost
                    && broken.done.is_empty()
                    && broken.failure.is(&["1064", "42601"]) =>
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
}

pub(super) fn no_effect(
    run: &Run<'_>,
    at: usize,
    unit: &Unit,
    broken: Broken,
) -> (StepError, Option<bool>) {
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
