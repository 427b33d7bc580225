//! Setting a ledger right: rows that a person vouches for, or that evidence does, written without running a
//! script of the user's.

use super::answer::Keep;
use super::batch::{Batch, answer};
use super::error::DbError;
use super::failure::Broken;
use super::fence::{self, StaleFence, Token};
use super::ledger::Row;
use super::location::Engine;
use super::session::Session;

/// What is done to the ledger.
const ACTION: &str = "set the ledger right";

impl Session {
    /// Adds rows to the ledger in their order, and closes a step that was begun, in one transaction. The
    /// tables are made and the fence is raised before.
    pub async fn mend(&mut self, token: Token, rows: &[Row<'_>]) -> Result<(), DbError> {
        self.raise_fence(token).await?;
        self.enter()?;
        self.known = None;
        let written = self.write_rows(token, rows).await;
        self.busy = false;
        written
    }

    async fn write_rows(&mut self, token: Token, rows: &[Row<'_>]) -> Result<(), DbError> {
        let mut batch = Batch::default();
        batch.add(match self.engine() {
            Engine::Postgres => "BEGIN;",
            Engine::Mysql => "START TRANSACTION;",
            Engine::Sqlite => "BEGIN IMMEDIATE;",
        });
        let at_fence = batch.add(&self.tables.lock_fence());
        let holds_lock = self.connection.holds_lock();
        let at_lock = (!holds_lock.is_empty()).then(|| batch.add(&holds_lock));
        let mut at_rows = Vec::with_capacity(rows.len());
        for row in rows {
            at_rows.push(batch.add(&self.tables.insert_row(row, token)));
        }
        if self.made.intent {
            batch.add(&self.tables.clear_intent());
        }
        let answers = match self.connection.send(batch.into_sql(), Keep::All).await {
            Ok(answers) => answers,
            Err(broken) => return Err(self.not_mended(broken).await),
        };
        let held = answer(&answers, at_fence).number();
        let all = at_rows.iter().all(|at| answer(&answers, *at).affected == 1);
        let stale = fence::check(held, token).err().or_else(|| {
            (!all).then_some(StaleFence { held: Token(held.unwrap_or_default()), ours: token })
        });
        if let Some(stale) = stale {
            self.roll_back_quietly().await;
            return Err(stale.into());
        }
        if at_lock.is_some_and(|at| !answer(&answers, at).is_true()) {
            self.roll_back_quietly().await;
            return Err(DbError::Interrupted { location: self.location.clone() });
        }
        match self.connection.send("COMMIT;".to_owned(), Keep::Nothing).await {
            Ok(_) => Ok(()),
            Err(broken) => Err(self.not_mended(broken).await),
        }
    }

    async fn not_mended(&mut self, broken: Broken) -> DbError {
        if !broken.failure.lost {
            self.roll_back_quietly().await;
        }
        DbError::database(ACTION, &self.location, broken.failure)
    }
}
