//! Targets: one database for each, made for a test and gone with it.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use skein_agent::db::{self, Engine, Location, Observation, Session, Timeouts};
use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::project::Project;

/// Databases made by this process so far.
static MADE: AtomicU32 = AtomicU32::new(0);

/// Where databases are made.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) engine: Engine,
    /// For SQLite the directory of the files.
    admin: String,
}

impl Server {
    pub(crate) fn sqlite(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).expect("a directory can be made");
        Self { engine: Engine::Sqlite, admin: dir.display().to_string() }
    }

    /// A server of one's own: its administrative URL.
    pub(crate) fn at(engine: Engine, url: &str) -> Self {
        Self { engine, admin: url.to_owned() }
    }

    /// The server shared by all tests, or nothing, said aloud.
    pub(crate) fn shared(engine: Engine, test: &str) -> Option<Self> {
        let variable = match engine {
            Engine::Postgres => "SKEIN_TEST_POSTGRES",
            Engine::Mysql => "SKEIN_TEST_MARIADB",
            Engine::Sqlite => panic!("SQLite has no server"),
        };
        let Ok(admin) = std::env::var(variable) else {
            skein_tests::skip(test, &format!("{variable} is not set"));
            return None;
        };
        Some(Self { engine, admin })
    }

    /// The one of an engine that a test has: for SQLite, files of its project's. `None`: it is missing, which
    /// was said.
    pub(crate) fn of(engine: Engine, project: &Project, test: &str) -> Option<Self> {
        match engine {
            Engine::Sqlite => Some(Self::sqlite(&project.join("db"))),
            Engine::Postgres | Engine::Mysql => Self::shared(engine, test),
        }
    }

    /// SQLite, PostgreSQL and MariaDB. `None`: one is missing, which was said.
    pub(crate) fn three(project: &Project, test: &str) -> Option<[Self; 3]> {
        let of = |engine| Self::of(engine, project, test);
        Some([of(Engine::Sqlite)?, of(Engine::Postgres)?, of(Engine::Mysql)?])
    }

    /// A new, empty database as target `id`.
    pub(crate) async fn database(&self, id: &str) -> Database {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("skein_i_{}_{number}", std::process::id());
        let (url, admin) = match self.engine {
            Engine::Sqlite => (format!("sqlite:{}/{name}.db?mode=rwc", self.admin), None),
            Engine::Postgres | Engine::Mysql => {
                // One of an earlier process with this number that was killed.
                let force = self.force();
                drop(run(self.engine, &self.admin, &format!("DROP DATABASE {name}{force}")).await);
                run(self.engine, &self.admin, &format!("CREATE DATABASE {name}"))
                    .await
                    .expect("a database can be made");
                let (base, query) = self.admin.split_once('?').unwrap_or((&self.admin, ""));
                let (server, _) = base.rsplit_once('/').expect("a server's URL ends in a path");
                (format!("{server}/{name}?{query}"), Some(self.clone()))
            }
        };
        let database = Database { id: id.to_owned(), engine: self.engine, url, name, admin };
        if self.engine == Engine::Sqlite {
            // The file is there before an agent looks for it.
            database.raw("PRAGMA user_version = 0").await.expect("a file can be made");
        }
        database
    }

    fn force(&self) -> &'static str {
        if self.engine == Engine::Postgres { " WITH (FORCE)" } else { "" }
    }
}

/// A new, empty database for each target.
pub(crate) async fn databases(targets: &[(&str, &Server)]) -> Vec<Database> {
    let mut databases = Vec::new();
    for (id, server) in targets {
        databases.push(server.database(id).await);
    }
    databases
}

/// One target's database.
#[derive(Debug)]
pub(crate) struct Database {
    /// The target's id.
    pub(crate) id: String,
    pub(crate) engine: Engine,
    pub(crate) url: String,
    pub(crate) name: String,
    /// `None` for SQLite, whose files go with the project.
    admin: Option<Server>,
}

impl Database {
    /// One that is there already, and stays.
    pub(crate) fn at(engine: Engine, id: &str, url: &str) -> Self {
        let (id, url) = (id.to_owned(), url.to_owned());
        Self { name: id.clone(), id, engine, url, admin: None }
    }

    pub(crate) fn location(&self) -> Location {
        Location::parse(&self.url, None).expect("the harness makes URLs that can be read")
    }

    /// Runs SQL past Skein, the whole text at once.
    pub(crate) async fn raw(&self, sql: &str) -> Result<(), sqlx::Error> {
        run(self.engine, &self.url, sql).await
    }

    /// The first column of every row, as text.
    pub(crate) async fn column(&self, sql: &str) -> Result<Vec<String>, sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self.engine {
            Engine::Postgres => {
                let mut connection = PgConnection::connect(&self.url).await?;
                let rows = sqlx::query_scalar(sql).fetch_all(&mut connection).await;
                connection.close().await?;
                rows
            }
            Engine::Mysql => {
                let mut connection = MySqlConnection::connect(&self.url).await?;
                let rows = sqlx::query_scalar(sql).fetch_all(&mut connection).await;
                connection.close().await?;
                rows
            }
            Engine::Sqlite => {
                let mut connection = SqliteConnection::connect(&self.url).await?;
                let rows = sqlx::query_scalar(sql).fetch_all(&mut connection).await;
                connection.close().await?;
                rows
            }
        }
    }

    /// The schema in canonical words, Skein's own tables left out.
    pub(crate) async fn schema(&self) -> String {
        let session = Session::open(&self.location(), &Timeouts::default()).await;
        let mut session = session.unwrap_or_else(|error| panic!("{}: {error}", self.id));
        let schema = session.schema().await;
        session.close().await;
        schema.unwrap_or_else(|error| panic!("{}: {error}", self.id)).text()
    }

    /// What the target's own tables say, with no lock taken.
    pub(crate) async fn observe(&self) -> Observation {
        let seen = db::observe(&self.location()).await;
        seen.unwrap_or_else(|error| panic!("{}: {error}", self.id))
    }

    /// Versions in force, in the order in which they were applied.
    pub(crate) async fn in_force(&self) -> Vec<String> {
        self.observe().await.applied().into_iter().map(|row| row.step.clone()).collect()
    }

    /// Takes the database off its server. SQLite's files go with the project.
    pub(crate) async fn remove(self) {
        if let Some(server) = &self.admin {
            let sql = format!("DROP DATABASE {}{}", self.name, server.force());
            run(server.engine, &server.admin, &sql).await.expect("a database can be dropped");
        }
    }
}

async fn run(engine: Engine, url: &str, sql: &str) -> Result<(), sqlx::Error> {
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    match engine {
        Engine::Postgres => {
            let mut connection = PgConnection::connect(url).await?;
            connection.execute(sql).await?;
            connection.close().await
        }
        Engine::Mysql => {
            let mut connection = MySqlConnection::connect(url).await?;
            connection.execute(sql).await?;
            connection.close().await
        }
        Engine::Sqlite => {
            let mut connection = SqliteConnection::connect(url).await?;
            connection.execute(sql).await?;
            connection.close().await
        }
    }
}
