//! Who looks at a target into which an archive is being put back, or wants to work on it: nobody can before that
//! has ended, also where whoever puts it back was killed and its tools go on.

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use skein_agent::db::Engine;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use support::{Agent, AgentSpec, Cli, Cluster, Database, Project, Ran, Server, until, until_some};

const LIMIT: Duration = Duration::from_secs(40);
const RESTORE: [&str; 6] = ["backup", "restore", "t/1", "--waive", "agreed with kim", "--yes"];

/// One node, one agent, one target with two steps in force.
struct Fleet {
    project: Arc<Project>,
    cli: Cli,
    database: Database,
    /// The schema of which the newest archive is.
    before: String,
    _cluster: Cluster,
    _agent: Agent,
}

impl Fleet {
    async fn start(name: &str, server: &Server) -> Self {
        let project = Arc::new(Project::new(name));
        let database = server.database("t/1").await;
        let cluster = Cluster::start(&project).await;
        let spec = AgentSpec::new("a1").serve(std::slice::from_ref(&database));
        let agent = Agent::start(&project, &cluster, &spec);
        Agent::until_observed(&cluster.client(cluster.leader().await), &["t/1"]).await;
        let cli = Cli::new(&project, &cluster, "");
        let before = String::new();
        let mut fleet = Self { project, cli, database, before, _cluster: cluster, _agent: agent };
        fleet.migration("0001_orders", "CREATE TABLE orders (id integer primary key);\n");
        fleet.cli.run("migrate m --latest").await.exits(0);
        fleet.before = fleet.database.schema().await;
        fleet.migration("0002_price", "ALTER TABLE orders ADD COLUMN price integer;\n");
        fleet.cli.run("migrate m --latest").await.exits(0);
        fleet
    }

    fn migration(&self, name: &str, up: &str) {
        self.project.write(&format!("m/{name}.up.sql"), up);
        self.project.write(&format!("m/{name}.down.sql"), "SELECT 1;\n");
    }

    /// Puts the newest archive back, where the agent runs and with its configuration.
    fn restore(&self) -> impl Future<Output = Ran> + use<> {
        let (cli, config) = (self.cli.clone(), self.project.join("a1.toml").display().to_string());
        async move { cli.run_alone(&[&RESTORE[..], &["--config", &config]].concat()).await }
    }

    /// Puts it back and meets a transaction that holds a table of it; given with that transaction.
    async fn restore_that_waits(&self) -> (tokio::task::JoinHandle<Ran>, Held) {
        let held = Held::take(&self.database).await;
        let restore = tokio::spawn(self.restore());
        let waits = || async { !self.waiting().await.is_empty() };
        until("the restore waits for the table", LIMIT, waits).await;
        (restore, held)
    }

    async fn waiting(&self) -> Vec<String> {
        let sql = match self.database.engine {
            Engine::Mysql => {
                "SELECT CAST(id AS char) FROM information_schema.processlist \
                 WHERE db = DATABASE() AND state LIKE 'Waiting for table metadata lock%'"
            }
            _ => {
                "SELECT l.pid::text FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                 WHERE NOT l.granted AND d.datname = current_database()"
            }
        };
        self.database.column(sql).await.expect("the server tells who waits")
    }

    /// Nobody can look at the target, and nobody plans for it, whatever he accepts.
    async fn nobody_gets_at_it(&self) {
        let seen = self.cli.run("targets observe -o json").await.json();
        let problem = seen["targets"][0]["problem"].as_str().unwrap_or_default();
        assert!(problem.contains("cannot look at it"), "{seen}");
        for line in ["plan m", "plan m --accept-drift", "apply m --yes"] {
            let ran = self.cli.run(line).await;
            assert_ne!(ran.code, Some(0), "{ran:?}");
            assert!(ran.stderr.contains("t/1"), "{ran:?}");
        }
    }

    async fn targets(&self) -> Value {
        self.cli.run("targets observe -o json").await.exits(0).json()
    }

    async fn restored(self) {
        assert_eq!(self.database.schema().await, self.before);
        assert_eq!(self.database.in_force().await, ["1", "2"]);
        let seen = self.targets().await;
        let problem = seen["targets"][0]["problem"].as_str().unwrap_or_default();
        assert!(problem.contains("its schema is not what it was"), "{seen}");
        self.cli.run("history verify").await.exits(0);
        self.database.remove().await;
    }
}

/// A transaction that has read the table, and is open until it is let go.
enum Held {
    Postgres(sqlx::PgConnection),
    Mysql(sqlx::MySqlConnection),
}

impl Held {
    async fn take(database: &Database) -> Self {
        let sql = "BEGIN; SELECT * FROM orders;".to_owned();
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        match database.engine {
            Engine::Mysql => {
                let connection = sqlx::MySqlConnection::connect(&database.url).await;
                let mut connection = connection.expect("the server is there");
                connection.execute(sql).await.expect("the table can be read");
                Self::Mysql(connection)
            }
            Engine::Postgres | Engine::Sqlite => {
                let connection = sqlx::PgConnection::connect(&database.url).await;
                let mut connection = connection.expect("the server is there");
                connection.execute(sql).await.expect("the table can be read");
                Self::Postgres(connection)
            }
        }
    }

    async fn let_go(self) {
        match self {
            Self::Postgres(connection) => connection.close().await,
            Self::Mysql(connection) => connection.close().await,
        }
        .expect("a connection can be closed");
    }
}

/// A target in the middle of a restore is neither looked at nor worked on.
async fn held_to_the_end(fleet: Fleet) {
    fleet.migration("0003_audit", "CREATE TABLE audit (id integer primary key);\n");
    let (restore, held) = fleet.restore_that_waits().await;
    fleet.nobody_gets_at_it().await;
    held.let_go().await;
    restore.await.expect("a command comes to an end").exits(0);
    fleet.restored().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_held_during_a_restore_on_postgres() {
    let test = "a_target_is_held_during_a_restore_on_postgres";
    let Some(server) = Server::shared(Engine::Postgres, test) else { return };
    let fleet = Fleet::start("restore-pg", &server).await;
    let after = fleet.database.schema().await;

    // Whoever puts it back is killed; the client that it had started still waits for the table.
    let (restore, held) = fleet.restore_that_waits().await;
    restore.abort();
    let unlocked = || async {
        let sql = "SELECT l.pid::text FROM pg_locks l JOIN pg_database d ON d.oid = l.database \
                   WHERE l.locktype = 'advisory' AND d.datname = current_database()";
        fleet.database.column(sql).await.expect("the server tells").is_empty()
    };
    until("the session lock is free", LIMIT, unlocked).await;
    assert!(!fleet.waiting().await.is_empty(), "the client went with its parent");
    fleet.nobody_gets_at_it().await;
    held.let_go().await;
    // Its pipe held all of the archive and the word that commits it, or not. What is seen is there to stay.
    let problem = until_some("the target can be looked at", LIMIT, || async {
        let seen = fleet.cli.run("targets observe -o json").await.json();
        let problem = seen["targets"][0]["problem"].as_str().unwrap_or_default().to_owned();
        (!problem.contains("cannot look at it")).then_some(problem)
    })
    .await;
    let schema = fleet.database.schema().await;
    assert!(schema == after || schema == fleet.before, "{schema}");
    assert_eq!(problem.is_empty(), schema == after, "{problem}");

    held_to_the_end(fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_held_during_a_restore_on_mariadb() {
    let test = "a_target_is_held_during_a_restore_on_mariadb";
    let Some(server) = Server::shared(Engine::Mysql, test) else { return };
    let fleet = Fleet::start("restore-my", &server).await;
    held_to_the_end(fleet).await;
}
