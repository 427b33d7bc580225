//! Databases of their own for each test, and the shortest way to an order.
#![expect(clippy::unwrap_used, reason = "test helpers")]
#![expect(dead_code, reason = "each test file uses its own part")]

use sha2::{Digest, Sha256};
use skein_agent::db::{Direction, Engine, Location, Order, Outcome, Session, Timeouts, Token};
use skein_bundle::sql::plan_script;
use skein_bundle::{Format, Script, Transaction};
use sqlx::{AssertSqlSafe, Connection, Executor};

/// A database that nobody else uses.
pub(crate) struct Target {
    pub(crate) engine: Engine,
    pub(crate) url: String,
    pub(crate) location: Location,
    admin: Option<String>,
    pub(crate) name: String,
    _folder: Option<tempfile::TempDir>,
}

pub(crate) fn sqlite() -> Target {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("target.db");
    let url = format!("sqlite:{}?mode=rwc", path.display());
    let location = Location::parse(&url, None).unwrap();
    Target {
        engine: Engine::Sqlite,
        url,
        location,
        admin: None,
        name: path.display().to_string(),
        _folder: Some(folder),
    }
}

/// A new database on the server named by the environment, or nothing, said aloud.
pub(crate) async fn postgres(test: &str) -> Option<Target> {
    server(test, "SKEIN_TEST_POSTGRES", Engine::Postgres).await
}

pub(crate) async fn mariadb(test: &str) -> Option<Target> {
    server(test, "SKEIN_TEST_MARIADB", Engine::Mysql).await
}

/// Every engine that there is a server for.
pub(crate) async fn every(test: &str) -> Vec<Target> {
    let mut targets = vec![sqlite()];
    targets.extend(postgres(test).await);
    targets.extend(mariadb(test).await);
    targets
}

/// Engines that run a file in one transaction.
pub(crate) async fn transactional(test: &str) -> Vec<Target> {
    let mut targets = vec![sqlite()];
    targets.extend(postgres(test).await);
    targets
}

async fn server(test: &str, variable: &str, engine: Engine) -> Option<Target> {
    let Ok(admin) = std::env::var(variable) else {
        skein_tests::skip(test, &format!("{variable} is not set"));
        return None;
    };
    let name = format!("skein_t_{}", uuid::Uuid::now_v7().simple());
    run_on(engine, &admin, &format!("CREATE DATABASE {name}")).await;
    let (base, query) = admin.split_once('?').unwrap_or((&admin, ""));
    let (server, _) = base.rsplit_once('/').unwrap();
    let url = format!("{server}/{name}?{query}");
    let location = Location::parse(&url, None).unwrap();
    Some(Target { engine, url, location, admin: Some(admin), name, _folder: None })
}

async fn try_on(engine: Engine, url: &str, sql: &str) -> Result<(), sqlx::Error> {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    match engine {
        Engine::Postgres => {
            let mut connection = sqlx::PgConnection::connect(url).await?;
            connection.execute(sql).await?;
            connection.close().await
        }
        Engine::Mysql => {
            let mut connection = sqlx::MySqlConnection::connect(url).await?;
            connection.execute(sql).await?;
            connection.close().await
        }
        Engine::Sqlite => {
            let mut connection = sqlx::SqliteConnection::connect(url).await?;
            connection.execute(sql).await?;
            connection.close().await
        }
    }
}

async fn run_on(engine: Engine, url: &str, sql: &str) {
    try_on(engine, url, sql).await.unwrap();
}

impl Target {
    /// Runs SQL on a connection of its own, past Skein.
    pub(crate) async fn raw(&self, sql: &str) {
        run_on(self.engine, &self.url, sql).await;
    }

    /// The same, where it does not matter whether the server agrees.
    pub(crate) async fn try_raw(&self, sql: &str) -> bool {
        try_on(self.engine, &self.url, sql).await.is_ok()
    }

    /// The first value of the first row, as text.
    pub(crate) async fn scalar(&self, sql: &str) -> String {
        let sql = AssertSqlSafe(sql.to_owned());
        match self.engine {
            Engine::Postgres => {
                let mut connection = sqlx::PgConnection::connect(&self.url).await.unwrap();
                sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
            }
            Engine::Mysql => {
                let mut connection = sqlx::MySqlConnection::connect(&self.url).await.unwrap();
                sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
            }
            Engine::Sqlite => {
                let mut connection = sqlx::SqliteConnection::connect(&self.url).await.unwrap();
                let value = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
                connection.close().await.unwrap();
                value
            }
        }
    }

    pub(crate) async fn count(&self, table: &str) -> u64 {
        let cast = if self.engine == Engine::Mysql { "CHAR" } else { "text" };
        self.scalar(&format!("SELECT CAST(COUNT(*) AS {cast}) FROM {table}")).await.parse().unwrap()
    }

    pub(crate) async fn session(&self) -> Session {
        Session::open(&self.location, &impatient()).await.unwrap()
    }

    pub(crate) fn up(&self, step: &str, sql: &str) -> Order {
        order(self.engine, step, Direction::Up, sql, Transaction::Wrapped)
    }

    pub(crate) fn down(&self, step: &str, sql: &str) -> Order {
        order(self.engine, step, Direction::Down, sql, Transaction::Wrapped)
    }

    /// A file that its author declared as one without a transaction.
    pub(crate) fn outside(&self, step: &str, sql: &str) -> Order {
        order(self.engine, step, Direction::Up, sql, Transaction::Outside)
    }

    pub(crate) async fn schema_text(&self) -> String {
        let mut session = self.session().await;
        let text = session.schema().await.unwrap().text();
        session.close().await;
        text
    }

    pub(crate) async fn remove(self) {
        if let Some(admin) = &self.admin {
            let force = if self.engine == Engine::Postgres { " WITH (FORCE)" } else { "" };
            run_on(self.engine, admin, &format!("DROP DATABASE {}{force}", self.name)).await;
        }
    }
}

/// Waits that a test can bear.
pub(crate) fn impatient() -> Timeouts {
    Timeouts {
        lock_ms: 1_000,
        session_lock_poll_ms: 10,
        session_lock_wait_ms: 5_000,
        retries_max: 1,
        ..Timeouts::default()
    }
}

pub(crate) fn script(file: &str, sql: &str, transaction: Transaction) -> Script {
    let digest: [u8; 32] = Sha256::digest(sql).into();
    Script {
        format: Format::Sqlx,
        file: file.to_owned(),
        line: 1,
        text: sql.to_owned(),
        transaction,
        raw_digest: digest,
        normalised_digest: digest,
        marked: Vec::new(),
    }
}

pub(crate) fn order(
    engine: Engine,
    step: &str,
    direction: Direction,
    sql: &str,
    transaction: Transaction,
) -> Order {
    let script = script(&format!("{step}.{direction}.sql"), sql, transaction);
    of_script(engine, step, direction, script)
}

pub(crate) fn of_script(engine: Engine, step: &str, direction: Direction, script: Script) -> Order {
    let plan = plan_script(engine.dialect(), &script)
        .unwrap_or_else(|finding| panic!("{}:{}: {}", finding.file, finding.line, finding.message));
    Order {
        step: step.to_owned(),
        direction,
        digest: script.raw_digest,
        script,
        plan: plan.into(),
        verify: None,
        probe: None,
        token: Token(1),
    }
}

pub(crate) fn verify(sql: &str) -> Script {
    script("step.verify.sql", sql, Transaction::Wrapped)
}

pub(crate) fn is_applied(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Applied { .. })
}
