//! Two agents beside one target. One is stopped, as a machine that hangs; the other takes over; the
//! one that wakes finds that it is too late. What counts is in the database: each effect once.

mod support;

use std::sync::Arc;
use std::time::Duration;

use skein_agent::db::{Engine, LedgerRow, Session, Timeouts};
use skein_proto::v1::LaneState;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use support::{
    Agent, AgentSpec, Cli, Client, Cluster, Database, Project, Server, until, until_some,
};

/// A lease is two seconds long; everything else here is quicker.
const LIMIT: Duration = Duration::from_secs(40);

struct Pair {
    project: Arc<Project>,
    cluster: Cluster,
    cli: Cli,
    client: Client,
    agents: Vec<Agent>,
    database: Database,
}

impl Pair {
    async fn start(name: &str, server: Option<Server>) -> Self {
        let project = Arc::new(Project::new(name));
        let server = server.unwrap_or_else(|| Server::sqlite(&project.join("db")));
        let database = server.database("t/1").await;
        let cluster = Cluster::start(&project).await;
        let client = cluster.client(cluster.leader().await);
        let agents = ["a1", "a2"].map(|id| {
            let mut spec = AgentSpec::new(id).serve(std::slice::from_ref(&database));
            // Nobody gives up a statement that waits for the test.
            "lock_timeout_ms = 60000".clone_into(&mut spec.more);
            Agent::start(&project, &cluster, &spec)
        });
        let both = || async {
            let targets = client.targets().await.unwrap_or_default();
            targets.first().is_some_and(|target| {
                target.agents.len() == 2 && target.observation.is_some() && target.connected
            })
        };
        until("both agents serve the target", LIMIT, both).await;
        let cli = Cli::new(&project, &cluster, "");
        Self { project, cluster, cli, client, agents: agents.into(), database }
    }

    fn migration(&self, version: u32, up: &str) {
        let name = |way: &str| format!("m/{version:04}_step.{way}.sql");
        self.project.write(&name("up"), up);
        self.project.write(&name("down"), "SELECT 1;\n");
    }

    /// Starts everything that is new, and returns the rollout.
    async fn begin(&self) -> String {
        let started = self.cli.run("migrate m --latest --detach -o json").await.exits(0).json();
        started["id"].as_str().expect("a rollout has an id").to_owned()
    }

    /// Who holds the lease, other than under `not`: agent and fence.
    async fn holder(&self, rollout: &str, not: u64) -> (String, u64) {
        until_some("the target is leased", LIMIT, || async {
            let status = self.client.rollout(rollout).await.ok()?;
            let lane = status.lanes.into_iter().next()?;
            let leased = lane.state() == LaneState::Leased && lane.fence != not;
            leased.then_some((lane.agent, lane.fence))
        })
        .await
    }

    fn agent(&mut self, id: &str) -> &mut Agent {
        let agent = self.agents.iter_mut().find(|agent| agent.id == id);
        agent.expect("a lease is held by one of the two")
    }

    fn stop(&mut self, id: &str) {
        self.agent(id).process().expect("it runs").stop();
    }

    /// Lets it go on, and waits until it knows that the lease is not its own any more.
    async fn wake(&mut self, id: &str, fence: u64) {
        let agent = self.agent(id);
        agent.process().expect("it was stopped").cont();
        let words = ["the lease is lost", "the leg was left", "the leg has ended"];
        let fence = format!("fence={fence}");
        let known = || async {
            let log = plain(&agent.log());
            log.lines()
                .any(|line| line.contains(&fence) && words.iter().any(|words| line.contains(words)))
        };
        until("the agent that was stopped knows that it is too late", LIMIT, known).await;
    }

    async fn done(&self, rollout: &str) {
        let watched = self.cli.run(&format!("watch {rollout} -o json")).await.exits(0).json();
        assert_eq!(watched["state"], "completed", "{watched}");
    }

    async fn ledger(&self) -> Vec<LedgerRow> {
        self.database.observe().await.ledger
    }

    /// Every row of `effects`, in order.
    async fn effects(&self) -> Vec<String> {
        let text = if self.database.engine == Engine::Mysql { "char" } else { "text" };
        let sql = format!("SELECT CAST(n AS {text}) FROM effects ORDER BY n");
        self.database.column(&sql).await.expect("the effects can be read")
    }

    /// The log says the same as the target, and every node the same as the others.
    async fn end(self) {
        let all: Vec<String> = self.ledger().await.into_iter().map(|row| row.step).collect();
        let mut once = all.clone();
        once.dedup();
        assert_eq!(all, once);
        assert_eq!(self.database.observe().await.intent, None);
        let verified = self.cli.run("verify -o json").await.exits(0).json();
        assert_eq!(verified["equal"], 1, "{verified}");
        self.cluster.settled().await;
        self.cli.run("history verify").await.exits(0);
        drop(self.agents);
        self.database.remove().await;
    }
}

/// A log without its colours.
fn plain(log: &str) -> String {
    let mut text = String::new();
    let mut rest = log;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        text.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    text + rest
}

/// Stopped before a step, with nothing of the target in its hands: the other does everything, and
/// the one that wakes up with the old lease meets the fence.
async fn stopped_between_steps(pair: &mut Pair) {
    pair.migration(1, "CREATE TABLE effects (n int NOT NULL);\n");
    pair.migration(2, "INSERT INTO effects VALUES (2);\n");
    pair.migration(3, "CREATE TABLE gate (n int);\n");
    // While the test has the target's lock, whoever has the lease waits for it.
    let location = pair.database.location();
    let ours = Session::open(&location, &Timeouts::default()).await.expect("the lock is free");
    let rollout = pair.begin().await;
    let (first, old) = pair.holder(&rollout, 0).await;
    pair.stop(&first);
    assert!(pair.ledger().await.is_empty());
    let (second, new) = pair.holder(&rollout, old).await;
    assert_ne!(second, first, "the lease went to an agent that does not run");
    assert!(new > old);
    ours.close().await;
    pair.done(&rollout).await;

    let ledger = pair.ledger().await;
    assert_eq!(ledger.iter().map(|row| row.token.0).collect::<Vec<_>>(), [new, new, new]);
    assert_eq!(pair.effects().await, ["2"]);
    pair.wake(&first, old).await;
    assert_eq!(pair.ledger().await, ledger);
    assert_eq!(pair.effects().await, ["2"]);
    assert_eq!(pair.database.observe().await.fence.map(|token| token.0), Some(new));
}

/// Stopped in the middle of step 5, on a server that keeps its session: nobody else gets at the
/// target until an operator ends that session; then the other agent finishes.
async fn stopped_in_a_step(pair: &mut Pair, server: &Server, gate: &Gate<'_>) {
    pair.migration(4, "INSERT INTO effects VALUES (4);\n");
    pair.migration(5, gate.step);
    pair.migration(6, "INSERT INTO effects VALUES (6);\n");
    let held = Held::take(&pair.database, gate.hold).await;
    let rollout = pair.begin().await;
    let (first, old) = pair.holder(&rollout, 0).await;
    let waits = || async {
        !pair.database.column(gate.waits).await.expect("the server tells who waits").is_empty()
    };
    until("step 5 waits in the middle", LIMIT, waits).await;
    pair.stop(&first);
    let (second, new) = pair.holder(&rollout, old).await;
    assert_ne!(second, first, "the lease went to an agent that does not run");

    // The session of the stopped process still has the lock, and its statement still waits.
    let before = pair.ledger().await;
    assert_eq!(before.last().map(|row| row.step.as_str()), Some("4"));
    for session in pair.database.column(gate.waits).await.expect("the server tells who waits") {
        let kill = gate.kill.replace("{}", &session);
        server_run(server, &kill).await;
    }
    held.let_go().await;
    pair.done(&rollout).await;

    let ledger = pair.ledger().await;
    let tokens: Vec<(&str, u64)> =
        ledger.iter().skip(3).map(|row| (row.step.as_str(), row.token.0)).collect();
    assert_eq!(tokens, [("4", old), ("5", new), ("6", new)]);
    assert_eq!(pair.effects().await, ["2", "4", "5", "6"]);
    pair.wake(&first, old).await;
    assert_eq!(pair.ledger().await, ledger);
    assert_eq!(pair.effects().await, ["2", "4", "5", "6"]);
}

/// What keeps step 5 waiting, and how an operator sees and ends its session.
struct Gate<'a> {
    step: &'a str,
    /// Run on a connection of its own, in a transaction that stays open.
    hold: &'a str,
    /// The sessions that wait, by their number.
    waits: &'a str,
    kill: &'a str,
}

/// A transaction that is open until it is let go.
enum Held {
    Postgres(sqlx::PgConnection),
    Mysql(sqlx::MySqlConnection),
}

impl Held {
    async fn take(database: &Database, sql: &str) -> Self {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match database.engine {
            Engine::Postgres => {
                let connection = sqlx::PgConnection::connect(&database.url).await;
                let mut connection = connection.expect("the server is there");
                connection.execute(sql).await.expect("the gate can be held");
                Self::Postgres(connection)
            }
            Engine::Mysql => {
                let connection = sqlx::MySqlConnection::connect(&database.url).await;
                let mut connection = connection.expect("the server is there");
                connection.execute(sql).await.expect("the gate can be held");
                Self::Mysql(connection)
            }
            Engine::Sqlite => panic!("SQLite has no sessions to hold anything in"),
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

/// As the server's operator, through a database of the operator's own.
async fn server_run(server: &Server, sql: &str) {
    let operator = server.database("operator").await;
    operator.raw(sql).await.expect("an operator may end a session");
    operator.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_agent_writes_nothing_more_on_postgres() {
    let test = "a_stopped_agent_writes_nothing_more_on_postgres";
    let Some(server) = Server::shared(Engine::Postgres, test) else { return };
    let mut pair = Pair::start("takeover-pg", Some(server.clone())).await;
    stopped_between_steps(&mut pair).await;
    let gate = Gate {
        step: "INSERT INTO effects VALUES (5);\nINSERT INTO gate VALUES (5);\n",
        hold: "BEGIN; LOCK TABLE gate IN SHARE MODE",
        waits: "SELECT pid::text FROM pg_locks WHERE relation = 'gate'::regclass AND NOT granted",
        kill: "SELECT pg_terminate_backend({})",
    };
    stopped_in_a_step(&mut pair, &server, &gate).await;
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_agent_writes_nothing_more_on_mariadb() {
    let test = "a_stopped_agent_writes_nothing_more_on_mariadb";
    let Some(server) = Server::shared(Engine::Mysql, test) else { return };
    let mut pair = Pair::start("takeover-my", Some(server.clone())).await;
    stopped_between_steps(&mut pair).await;
    let gate = Gate {
        step: "INSERT INTO effects VALUES (5);\nALTER TABLE gate ADD COLUMN m int;\n",
        hold: "START TRANSACTION; SELECT * FROM gate",
        waits: "SELECT CAST(id AS char) FROM information_schema.processlist WHERE db = DATABASE() \
                AND state LIKE 'Waiting for table metadata lock%'",
        kill: "KILL {}",
    };
    stopped_in_a_step(&mut pair, &server, &gate).await;
    assert_eq!(
        pair.database
            .column(
                "SELECT CAST(count(*) AS char) FROM information_schema.columns WHERE \
                     table_schema = DATABASE() AND table_name = 'gate' AND column_name = 'm'"
            )
            .await
            .expect("the catalogue can be read"),
        ["1"]
    );
    pair.end().await;
}

/// SQLite has no server whose session could be ended: the lock is the stopped process's own, so
/// that nobody writes until it wakes; then it ends the step that it was in, and the other finds it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_agent_writes_nothing_twice_on_sqlite() {
    let mut pair = Pair::start("takeover-lite", None).await;
    stopped_between_steps(&mut pair).await;
    pair.migration(4, "INSERT INTO effects VALUES (4);\n");
    let slow = "INSERT INTO effects SELECT 5 FROM (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL \
                SELECT x + 1 FROM c WHERE x < 4000000) SELECT max(x) FROM c);\n";
    pair.migration(5, slow);
    pair.migration(6, "INSERT INTO effects VALUES (6);\n");
    let rollout = pair.begin().await;
    let (first, old) = pair.holder(&rollout, 0).await;
    let four = || async { pair.ledger().await.iter().any(|row| row.step == "4") };
    until("step 4 is done", LIMIT, four).await;
    pair.stop(&first);
    let stopped_at = pair.ledger().await;
    assert_eq!(stopped_at.last().map(|row| row.step.as_str()), Some("4"), "step 5 is too quick");
    let (second, new) = pair.holder(&rollout, old).await;
    assert_ne!(second, first, "the lease went to an agent that does not run");
    assert_eq!(pair.ledger().await, stopped_at, "somebody wrote past the lock");
    pair.wake(&first, old).await;
    pair.done(&rollout).await;

    let ledger = pair.ledger().await;
    let steps: Vec<&str> = ledger.iter().map(|row| row.step.as_str()).collect();
    assert_eq!(steps, ["1", "2", "3", "4", "5", "6"]);
    let tokens: Vec<u64> = ledger.iter().skip(3).map(|row| row.token.0).collect();
    assert!(
        tokens.is_sorted() && tokens.iter().all(|token| [old, new].contains(token)),
        "{tokens:?}"
    );
    assert_eq!(pair.effects().await, ["2", "4", "5", "6"]);
    pair.end().await;
}
