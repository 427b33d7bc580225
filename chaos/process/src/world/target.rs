//! Targets: one database for each, on servers of the run's own.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use skein_agent::db::{self, Engine, Location, Observation};
use skein_tests::servers::{Options, mariadb, postgres};
use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::replica::Replica;

/// One target's database, as this program reaches it: past every wire.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) engine: Engine,
    /// Of the database, or of its file.
    pub(crate) name: String,
    pub(crate) url: String,
}

impl Target {
    /// The first column of every row, as text.
    pub(crate) async fn column(&self, sql: &str) -> Result<Vec<String>> {
        let sql = AssertSqlSafe(sql.to_owned());
        let rows = match self.engine {
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
        };
        rows.with_context(|| format!("failed to ask {}", self.id))
    }

    /// One statement, as somebody types it by hand.
    pub(crate) async fn execute(&self, sql: &str) -> Result<()> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self.engine {
            Engine::Postgres => {
                let mut connection = PgConnection::connect(&self.url).await?;
                let done = connection.execute(sql).await;
                connection.close().await?;
                done.map(drop)
            }
            Engine::Mysql => {
                let mut connection = MySqlConnection::connect(&self.url).await?;
                let done = connection.execute(sql).await;
                connection.close().await?;
                done.map(drop)
            }
            Engine::Sqlite => {
                let mut connection = SqliteConnection::connect(&self.url).await?;
                let done = connection.execute(sql).await;
                connection.close().await?;
                done.map(drop)
            }
        }
        .with_context(|| format!("failed to work on {}", self.id))
    }

    /// What the target's own tables say, with no lock taken.
    pub(crate) async fn observe(&self) -> Result<Observation> {
        let location = Location::parse(&self.url, None)?;
        db::observe(&location).await.with_context(|| format!("failed to look at {}", self.id))
    }
}

/// The two database servers.
#[derive(Debug)]
pub(crate) struct Servers {
    postgres: postgres::Instance,
    mariadb: mariadb::Instance,
}

impl Servers {
    pub(crate) fn start() -> Result<Self> {
        // A killed server loses nothing that the kernel was given.
        let options = Options::default();
        Ok(Self {
            postgres: postgres::Instance::start(options)?,
            mariadb: mariadb::Instance::start(options)?,
        })
    }

    /// A replica of the PostgreSQL server.
    pub(crate) async fn replica(&self) -> Result<Replica> {
        Replica::follow(&self.postgres).await
    }

    fn url(&self, engine: Engine, database: &str) -> String {
        match engine {
            Engine::Postgres => self.postgres.url_of(database),
            Engine::Mysql => self.mariadb.url_of(database),
            Engine::Sqlite => String::new(),
        }
    }

    /// The socket that a server listens at.
    pub(crate) fn socket(&self, engine: Engine) -> Result<std::path::PathBuf> {
        let url = self.url(engine, "x");
        let (_, query) = url.split_once('?').context("the server's URL names its socket")?;
        let (_, path) = query.split_once('=').context("the server's URL names its socket")?;
        Ok(match engine {
            Engine::Postgres => Path::new(path).join(".s.PGSQL.5432"),
            Engine::Mysql | Engine::Sqlite => path.into(),
        })
    }

    /// Makes the database of a new target.
    pub(crate) async fn target(&self, dir: &Path, id: &str, engine: Engine) -> Result<Target> {
        let region = id.split('/').next().unwrap_or_default().to_owned();
        let name = id.replace(['/', '-'], "_");
        let url = match engine {
            Engine::Postgres => {
                let mut admin = PgConnection::connect(&self.postgres.url()).await?;
                admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
                admin.close().await?;
                self.url(engine, &name)
            }
            Engine::Mysql => {
                let mut admin = MySqlConnection::connect(&self.mariadb.url()).await?;
                admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
                admin.close().await?;
                self.url(engine, &name)
            }
            Engine::Sqlite => {
                let url = format!("sqlite:{}", dir.join(format!("{name}.db")).display());
                let mut file = SqliteConnection::connect(&format!("{url}?mode=rwc")).await?;
                file.execute("PRAGMA user_version = 0").await?;
                file.close().await?;
                url
            }
        };
        Ok(Target { id: id.to_owned(), region, engine, name, url })
    }

    /// SIGKILL, to the server and all its sessions.
    pub(crate) fn kill9(&mut self, engine: Engine) -> Result<()> {
        match engine {
            Engine::Postgres => self.postgres.kill9(),
            Engine::Mysql => self.mariadb.kill9(),
            Engine::Sqlite => Ok(()),
        }
    }

    /// On the same data, recovery included.
    pub(crate) fn restart(&mut self, engine: Engine) -> Result<()> {
        match engine {
            Engine::Postgres => self.postgres.restart(),
            Engine::Mysql => self.mariadb.restart(),
            Engine::Sqlite => Ok(()),
        }
    }

    /// A signal to the server and all its sessions, as far as they are there now.
    pub(crate) fn signal(&self, engine: Engine, signal: Signal) -> Result<()> {
        let pid = match engine {
            Engine::Postgres => self.postgres.pid(),
            Engine::Mysql => self.mariadb.pid(),
            Engine::Sqlite => None,
        };
        let Some(pid) = pid else { bail!("the server does not run") };
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        let sessions = children.split_whitespace().filter_map(|word| word.parse().ok());
        for raw in std::iter::once(i32::try_from(pid)?).chain(sessions) {
            if let Some(pid) = Pid::from_raw(raw) {
                match kill_process(pid, signal) {
                    // A session may have ended since it was listed.
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(error) => return Err(error).context("failed to signal a server"),
                }
            }
        }
        Ok(())
    }
}
