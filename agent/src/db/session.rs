//! One connection to a target, holding the target's session lock for as long as it lives.

use std::fmt;

use skein_bundle::sql::{Class, Judged, Mode};
use uuid::Uuid;

use super::answer::{Keep, text};
use super::batch::Batch;
use super::between::Between;
use super::connection::Connection;
use super::error::DbError;
use super::failure::Broken;
use super::fence::{self, Token};
use super::fingerprint::{Fingerprint, Schema};
use super::kill::Killer;
use super::ledger::{FORMAT, Known, Tables};
use super::location::{Engine, Location, Options};
use super::mysql::MysqlConnection;
use super::observe::Observation;
use super::order::{Order, Outcome};
use super::postgres::PostgresConnection;
use super::sql::mentions;
use super::sqlite::SqliteConnection;
use super::step_error::{Cause, StepError};
use super::timeouts::Timeouts;
use super::transactional::millis;
use super::verdict::Verdict;
use super::verify::Checks;

/// A target opened for change. While it lives, no other session of Skein changes the target; when
/// it is dropped or its process dies, the server (or the system, for SQLite) lets go of the lock.
pub struct Session {
    pub(super) connection: Connection,
    pub(super) location: String,
    pub(super) tables: Tables,
    pub(super) timeouts: Timeouts,
    pub(super) made: Made,
    /// The token to which this session is known to have raised the fence.
    pub(super) raised: Option<Token>,
    /// The ledger as it was seen and written in this session; `None` where that is not known.
    pub(super) known: Option<Known>,
    /// SQLite: whether foreign keys are enforced, as last set on this connection.
    pub(super) foreign_keys: Option<u8>,
    /// For the fence row, if this session is the one that makes it.
    pub(super) lineage: String,
    /// Set while a call runs: a call that was dropped leaves it set.
    pub(super) busy: bool,
}

/// Which of our tables exist in the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Made {
    /// Fence and ledger.
    pub(super) base: bool,
    pub(super) intent: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("location", &self.location).finish_non_exhaustive()
    }
}

impl Session {
    /// Connects and takes the target's session lock, asking again and again until
    /// [`Timeouts::session_lock_wait_ms`] has passed. Writes nothing: the ledger tables are made
    /// together with the first step.
    pub async fn open(location: &Location, timeouts: &Timeouts) -> Result<Self, DbError> {
        let mut session = Self::connect(location, timeouts).await?;
        session.made = session.look_for_tables().await?;
        Ok(session)
    }

    /// The same, and looks at the target at once.
    pub async fn open_and_observe(
        location: &Location,
        timeouts: &Timeouts,
    ) -> Result<(Self, Observation), DbError> {
        let mut session = Self::connect(location, timeouts).await?;
        let observed = session.observe().await?;
        Ok((session, observed))
    }

    /// Which tables there are is not known yet.
    async fn connect(location: &Location, timeouts: &Timeouts) -> Result<Self, DbError> {
        let connection = match &location.options {
            Options::Postgres(options) => {
                Connection::Postgres(PostgresConnection::open(location, options, timeouts).await?)
            }
            Options::Mysql(options) => {
                Connection::Mysql(MysqlConnection::open(location, options, timeouts).await?)
            }
            Options::Sqlite(options) => {
                Connection::Sqlite(SqliteConnection::open(location, options, timeouts).await?)
            }
        };
        Ok(Self {
            tables: connection.tables(),
            connection,
            location: location.redacted(),
            timeouts: *timeouts,
            made: Made::default(),
            raised: None,
            known: None,
            foreign_keys: None,
            lineage: Uuid::now_v7().to_string(),
            busy: false,
        })
    }

    pub fn engine(&self) -> Engine {
        self.connection.engine()
    }

    /// Raises the target's fence at once, in a transaction of its own. Steps raise it by themselves;
    /// this is for whoever must shut out earlier leases before there is a step to run.
    pub async fn raise_fence(&mut self, token: Token) -> Result<(), DbError> {
        const ACTION: &str = "raise the fence";
        if i64::try_from(token.0).is_err() {
            return Err(DbError::TokenTooLarge { token });
        }
        self.enter()?;
        let mut batch = Batch::default();
        // Elsewhere one message is one transaction.
        let alone = self.engine() == Engine::Sqlite;
        if alone {
            batch.add("BEGIN IMMEDIATE;");
        }
        self.prepare(&mut batch, token);
        let at =
            batch.add(&format!("SELECT token, format FROM {} WHERE id = 1;", self.tables.fence()));
        if alone {
            batch.add("COMMIT;");
        }
        let sent = self.connection.send(batch.into_sql(), Keep::All).await;
        if alone && sent.is_err() {
            self.roll_back_quietly().await;
        }
        self.busy = false;
        let answers =
            sent.map_err(|broken| DbError::database(ACTION, &self.location, broken.failure))?;
        self.made.base = true;
        let row = super::batch::answer(&answers, at);
        self.check_format(&row)?;
        fence::check(row.number(), token)?;
        self.raised = Some(token);
        Ok(())
    }

    /// Makes the tables and raises the fence, where that was not done in this session. A fence is never
    /// lowered, so once is enough.
    pub(super) fn prepare(&self, batch: &mut Batch, token: Token) {
        self.make_base(batch);
        if self.raised != Some(token) {
            batch.add(&self.tables.raise(token));
        }
    }

    pub(super) fn make_base(&self, batch: &mut Batch) {
        if !self.made.base {
            batch.add_many(&self.tables.create(&self.lineage), Tables::CREATE_LEN);
        }
    }

    fn check_format(&self, row: &super::answer::Answer) -> Result<(), DbError> {
        let location = self.location.clone();
        let format = row.rows.first().and_then(|row| text(row, 1)?.parse().ok());
        match format {
            Some(FORMAT) => Ok(()),
            Some(found) => Err(DbError::LedgerFormat { location, found, known: FORMAT }),
            None => Err(DbError::LedgerDamaged {
                location,
                what: "the table _skein_fence lacks its one row".to_owned(),
            }),
        }
    }

    /// Runs one step, once: where the ledger has it, nothing is run; where an earlier run was
    /// interrupted, it is taken up at the statement that the evidence names. Failures that had no
    /// effect and may pass are tried again within [`Timeouts::retries_max`].
    pub async fn apply(&mut self, order: &Order) -> Result<Outcome, StepError> {
        self.apply_between(order, None).await
    }

    /// The same, where somebody may hold back the statements of a file that runs outside of a transaction.
    pub(crate) async fn apply_between(
        &mut self,
        order: &Order,
        between: Option<&mut dyn Between>,
    ) -> Result<Outcome, StepError> {
        self.enter_step(order)?;
        self.connection.take_waited();
        let onlooker = self.connection.onlooker();
        let (mut done, seen) = onlooker.watch(Box::pin(self.run(order, between))).await;
        let waited = self.connection.take_waited().or(seen);
        if let Ok(Outcome::Applied { ms, waited_ms, locked_ms, .. }) = &mut done {
            // Tries that a lock ended are counted already.
            let locked = waited.map(|it| millis(it).saturating_sub(*waited_ms).min(*ms));
            *locked_ms = locked;
        }
        match &done {
            Ok(Outcome::Applied { .. }) => self.known.iter_mut().for_each(|known| known.add(order)),
            Ok(Outcome::Already(_)) => {}
            Err(_) => self.known = None,
        }
        self.busy = false;
        done
    }

    async fn run(
        &mut self,
        order: &Order,
        between: Option<&mut dyn Between>,
    ) -> Result<Outcome, StepError> {
        match &order.plan.mode {
            Mode::InTransaction if self.engine() != Engine::Mysql => {
                self.apply_in_transaction(order).await
            }
            _ => {
                let done = self.apply_by_statement(order, between).await;
                // Table locks and settings of a file that stopped in the middle.
                if done.as_ref().is_err_and(|error| !error.session_lost) {
                    self.reset_after(order).await;
                }
                done
            }
        }
    }

    pub(super) fn enter_step(&mut self, order: &Order) -> Result<(), StepError> {
        if i64::try_from(order.token.0).is_err() {
            let message = DbError::TokenTooLarge { token: order.token }.to_string();
            return Err(StepError::new(order, Cause::Database, Verdict::Never, message));
        }
        self.enter().map_err(|error| {
            let mut error =
                StepError::new(order, Cause::Database, Verdict::Unknown, error.to_string());
            error.session_lost = true;
            error
        })
    }

    /// What the target is and what its ledger says, over this session's connection.
    pub async fn observe(&mut self) -> Result<Observation, DbError> {
        self.enter()?;
        let seen = super::observe::observe_on(&mut self.connection, &self.location).await;
        self.busy = false;
        let (seen, made) = seen?;
        self.made = made;
        self.known = Some(Known::of(&seen.ledger));
        Ok(seen)
    }

    /// The digest of the schema as it stands.
    pub async fn fingerprint(&mut self) -> Result<Fingerprint, DbError> {
        self.schema().await.map(|schema| schema.fingerprint())
    }

    /// The schema as it stands, for a diff.
    pub async fn schema(&mut self) -> Result<Schema, DbError> {
        self.enter()?;
        let schema = self.connection.schema().await;
        self.busy = false;
        schema
            .map_err(|broken| DbError::database("read the schema", &self.location, broken.failure))
    }

    /// Runs a verify script and rolls back whatever it did.
    pub async fn checks(&mut self, verify: &skein_bundle::Script) -> Result<Checks, DbError> {
        self.enter()?;
        let begin = if self.engine() == Engine::Mysql { "START TRANSACTION;" } else { "BEGIN;" };
        let checked = match self.connection.send(begin.to_owned(), Keep::Nothing).await {
            Ok(_) => self.connection.send(verify.text.clone(), Keep::Verdicts).await,
            Err(broken) => Err(broken),
        };
        self.roll_back_quietly().await;
        self.busy = false;
        checked.map(|answers| Checks::of(&answers)).map_err(|broken| {
            DbError::database("run the verify script", &self.location, broken.failure)
        })
    }

    /// How the statement that runs in this session is killed, from outside of it.
    pub(crate) fn killer(&self) -> Killer {
        self.connection.killer()
    }

    /// Ends the session in good order. To drop it is as safe, only less polite to the server.
    pub async fn close(self) {
        self.connection.close().await;
    }

    pub(super) fn enter(&mut self) -> Result<(), DbError> {
        if self.busy {
            return Err(DbError::Interrupted { location: self.location.clone() });
        }
        self.busy = true;
        Ok(())
    }

    /// Opens a transaction. SQLite's foreign keys can only be switched before it.
    pub(super) fn begin(&mut self, batch: &mut Batch, order: &Order) {
        match self.engine() {
            Engine::Postgres => batch.add("BEGIN;"),
            Engine::Mysql => batch.add("START TRANSACTION;"),
            Engine::Sqlite => {
                self.set_foreign_keys(batch, order);
                batch.add("BEGIN IMMEDIATE;")
            }
        };
    }

    /// SQLite, outside of a transaction: switches foreign keys as the script wants them, where they are
    /// not so already.
    pub(super) fn set_foreign_keys(&mut self, batch: &mut Batch, order: &Order) {
        let wanted = Some(self.foreign_keys_for(order));
        if let Some(value) = wanted.filter(|_| self.foreign_keys != wanted) {
            batch.add(&format!("PRAGMA foreign_keys = {value};"));
            self.foreign_keys = wanted;
        }
    }

    /// SQLite: what the script asks for, else what the tool does whose format it has.
    #[expect(clippy::unused_self, reason = "read beside begin")]
    pub(super) fn foreign_keys_for(&self, order: &Order) -> u8 {
        let asked = order.plan.sqlite_foreign_keys;
        u8::from(asked.unwrap_or_else(|| order.script.format.sqlite_foreign_keys()))
    }

    /// After a script that may have changed its session.
    pub(super) async fn reset_after(&mut self, order: &Order) {
        let opaque = matches!(order.plan.mode, Mode::WholeUnit { .. });
        let judged = |judged: &Judged| matches!(judged.facts.class, Class::Session | Class::Opaque);
        // A call in a query.
        let quiet = mentions(&order.script.text, "set_config");
        if opaque || quiet || order.plan.judged.iter().any(judged) {
            self.reset_settings().await;
        }
    }

    pub(super) async fn reset_settings(&mut self) {
        self.foreign_keys = None;
        if let Err(broken) = self.connection.reset().await {
            // The next message on the connection meets the same trouble and reports it.
            tracing::warn!(
                location = self.location,
                message = broken.failure.message,
                "the session's settings could not be taken back"
            );
        }
    }

    pub(super) async fn look_for_tables(&mut self) -> Result<Made, DbError> {
        super::observe::tables_of(&mut self.connection).await.map_err(|broken: Broken| {
            DbError::database("look for the ledger", &self.location, broken.failure)
        })
    }
}
