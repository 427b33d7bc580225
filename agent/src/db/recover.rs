//! Asking the server for the evidence of how far an interrupted run came.

use skein_bundle::Script;
use skein_bundle::sql::Class;

use super::answer::Keep;
use super::connection::Connection;
use super::error::DbError;
use super::intent::{Intent, Phase};
use super::location::Engine;
use super::order::Order;
use super::recovery::{self, Evidence};
use super::session::Session;
use super::standing;
use super::step_error::{Cause, StepError};
use super::units::{self, Unit};
use super::verdict::{Recovery, Verdict};

impl Session {
    /// What stands of a step, on evidence. Changes nothing. [`Session::apply`] asks the same before
    /// it runs anything, so this is for reports.
    ///
    /// The session lock is held, so whoever ran the step before is gone, its last statement
    /// included.
    pub async fn recover(&mut self, order: &Order) -> Result<Recovery, StepError> {
        self.enter_step(order)?;
        let recovery = self.look(order).await;
        self.busy = false;
        recovery
    }

    async fn look(&mut self, order: &Order) -> Result<Recovery, StepError> {
        let before = self.look_before(order, false).await?;
        let row = standing::already(order, before.latest, before.intent.as_ref())?;
        match (row, before.intent) {
            (Some(_), _) => Ok(Recovery::Fully),
            (None, Some(open)) => self.judge(order, &units::of(order), &open).await,
            (None, None) => Ok(Recovery::Never),
        }
    }

    pub(super) async fn judge(
        &mut self,
        order: &Order,
        units: &[Unit],
        open: &Intent,
    ) -> Result<Recovery, StepError> {
        let at = usize::try_from(open.statement.saturating_sub(1)).unwrap_or(usize::MAX);
        let definition = units.get(at).filter(|unit| unit.class == Class::Ddl);
        let sent = open.phase == Phase::Sent;
        let failed = |failure| StepError::of(order, Cause::Database, Verdict::Unknown, failure);
        let now = if let Some(unit) = definition
            && sent
            && open.fingerprint_before.is_some()
        {
            let now = self.connection.evidence(&unit.text).await;
            let now = now.map_err(|broken| failed(broken.failure))?;
            // What a failed CONCURRENTLY left is dropped before anything else is run.
            let left = recovery::leftovers(&open.objects_before, &now);
            Some(now.without("index", &left))
        } else {
            None
        };
        let probe = if sent { self.ask_probe(order).await } else { None };
        let atomic_ddl = match &self.connection {
            Connection::Mysql(connection) => connection.has_atomic_ddl(),
            Connection::Postgres(_) | Connection::Sqlite(_) => true,
        };
        let evidence = Evidence {
            intent: open,
            units,
            dialect: self.engine().dialect(),
            now: now.as_ref(),
            home: self.connection.home(),
            atomic_ddl,
            probe,
        };
        Ok(recovery::decide(order, &evidence))
    }

    /// What the author's probe says; nothing where there is none or it fails (it may well ask for a
    /// column that is not there yet, and an error is no evidence).
    async fn ask_probe(&mut self, order: &Order) -> Option<bool> {
        self.answer_of(order.probe.as_ref()?).await
    }

    /// What a probe says of what is in force. Whatever it did is rolled back.
    pub async fn probe(&mut self, probe: &Script) -> Result<Option<bool>, DbError> {
        self.enter()?;
        let told = self.answer_of(probe).await;
        self.busy = false;
        Ok(told)
    }

    async fn answer_of(&mut self, probe: &Script) -> Option<bool> {
        let begin = if self.engine() == Engine::Mysql { "START TRANSACTION;" } else { "BEGIN;" };
        self.connection.send(begin.to_owned(), Keep::Nothing).await.ok()?;
        let answers = self.connection.send(probe.text.clone(), Keep::All).await;
        self.roll_back_quietly().await;
        let answers = answers.ok()?;
        let told = answers.iter().find(|answer| !answer.rows.is_empty())?;
        Some(told.is_true())
    }

    /// Drops the invalid indexes that an interrupted `CREATE INDEX CONCURRENTLY` left.
    pub(super) async fn drop_leftovers(
        &mut self,
        order: &Order,
        open: &Intent,
    ) -> Result<(), StepError> {
        if self.engine() != Engine::Postgres || open.fingerprint_before.is_none() {
            return Ok(());
        }
        let failed = |failure| StepError::of(order, Cause::Database, Verdict::Unknown, failure);
        let now = self.connection.schema().await.map_err(|broken| failed(broken.failure))?;
        for index in recovery::leftovers(&open.objects_before, &now) {
            tracing::info!(index, %order, "dropping an index left invalid");
            let sql = format!("DROP INDEX CONCURRENTLY IF EXISTS {index};");
            let sent = self.connection.send(sql, Keep::Nothing).await;
            sent.map_err(|broken| failed(broken.failure))?;
        }
        Ok(())
    }
}

impl Intent {
    pub(super) fn is_of(&self, order: &Order) -> bool {
        self.step == order.step && self.direction == order.direction
    }

    /// A transactional step meets the intent of another: it must wait.
    pub(super) fn in_the_way_of(&self, order: &Order) -> StepError {
        StepError::new(order, Cause::Stuck, Verdict::Never, self.described())
    }
}
