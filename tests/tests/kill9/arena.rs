//! What all rounds of a test share, and what is new in each.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use skein_agent::db::Engine;
use skein_tests::servers::{Options, mariadb, postgres};
use tokio::time::Instant;

use crate::support::{
    Agent, AgentSpec, Cli, Cluster, Database, Project, Ran, Server, Timing, Valve, until,
};
use crate::truth::Truth;

/// Targets of one round.
const TARGETS: usize = 2;

/// A takeover waits for the lease of the dead: the shorter, the more rounds.
const TIMING: Timing =
    Timing { heartbeat_ms: 100, election_min_ms: 400, election_max_ms: 800, lease_ms: 1_000 };

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    Mariadb,
}

impl Kind {
    pub(crate) fn fixture(self) -> PathBuf {
        let name = match self {
            Self::Postgres => "exactly-once-postgres",
            Self::Mariadb => "exactly-once-mariadb",
        };
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
    }

    /// Steps that run statement by statement, without one transaction around them.
    pub(crate) fn amid(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &["3", "4", "5"],
            Self::Mariadb => &["1", "2", "3", "4", "5", "6"],
        }
    }
}

/// A server of the test's own, to be killed.
pub(crate) enum Instance {
    Postgres(postgres::Instance),
    Mariadb(mariadb::Instance),
}

impl Instance {
    fn start(kind: Kind) -> Self {
        let options = Options::default();
        match kind {
            Kind::Postgres => {
                Self::Postgres(postgres::Instance::start(options).expect("PostgreSQL starts"))
            }
            Kind::Mariadb => {
                Self::Mariadb(mariadb::Instance::start(options).expect("MariaDB starts"))
            }
        }
    }

    fn server(&self) -> Server {
        match self {
            Self::Postgres(instance) => Server::at(Engine::Postgres, &instance.url()),
            Self::Mariadb(instance) => Server::at(Engine::Mysql, &instance.url()),
        }
    }

    /// SIGKILL, then a start on the same data.
    pub(crate) fn crash(&mut self) {
        match self {
            Self::Postgres(instance) => {
                instance.kill9().and_then(|()| instance.restart()).expect("PostgreSQL recovers");
            }
            Self::Mariadb(instance) => {
                instance.kill9().and_then(|()| instance.restart()).expect("MariaDB recovers");
            }
        }
    }
}

/// One cluster, one server, and what an undisturbed rollout comes to.
pub(crate) struct Arena {
    pub(crate) kind: Kind,
    pub(crate) project: Arc<Project>,
    pub(crate) cluster: Cluster,
    pub(crate) instance: Option<Instance>,
    server: Server,
    cli: Cli,
    pub(crate) truth: Truth,
    /// How long an undisturbed rollout takes.
    pub(crate) span: Duration,
}

/// The databases and agents of one round.
pub(crate) struct Round {
    pub(crate) number: u64,
    pub(crate) databases: Vec<Database>,
    /// Both serve every target.
    pub(crate) agents: Vec<Agent>,
    /// Between each agent and the leader.
    pub(crate) valves: Vec<Valve>,
    /// The first event that is of this round.
    pub(crate) since: u64,
}

impl Arena {
    /// `own`: on a server of the test's own. `None`: a server is missing, which was said.
    pub(crate) async fn start(test: &str, kind: Kind, own: bool) -> Option<Self> {
        Self::start_for(test, kind, own, false).await
    }

    /// The same; with `back`, what an undisturbed rollback comes to.
    pub(crate) async fn start_for(test: &str, kind: Kind, own: bool, back: bool) -> Option<Self> {
        let instance = own.then(|| Instance::start(kind));
        let engine = match kind {
            Kind::Postgres => Engine::Postgres,
            Kind::Mariadb => Engine::Mysql,
        };
        let server = match &instance {
            Some(instance) => instance.server(),
            None => Server::shared(engine, test)?,
        };
        let project = Arc::new(Project::new("kill9"));
        let cluster = Cluster::start_with(&project, 3, TIMING, "").await;
        let cli = Cli::new(&project, &cluster, "format = \"sqlx\"");
        let span = Duration::ZERO;
        let truth = Truth::default();
        let mut arena = Self { kind, project, cluster, instance, server, cli, truth, span };

        // Undisturbed: how it has to end, and how long it takes.
        let round = arena.round(0, 1, false).await;
        let mut begun = Instant::now();
        let done = arena.migrate(&round).await.exits(0).json();
        if back {
            begun = Instant::now();
            arena.roll_back(&done).await.exits(0);
        }
        arena.span = begun.elapsed();
        arena.truth = Truth::of(&round.databases[0]).await;
        arena.check(&round).await;
        arena.close(round).await;
        Some(arena)
    }

    /// New databases, and agents that have looked at them. `valves`: each agent knows no other way to
    /// a coordinator than its valve.
    pub(crate) async fn round(&self, number: u64, agents: usize, valves: bool) -> Round {
        let mut databases = Vec::new();
        for target in 1..=TARGETS {
            databases.push(self.server.database(&format!("r{number}/{target}")).await);
        }
        let leader = self.cluster.leader().await;
        let client = self.cluster.client(leader);
        let since = client.head(0).await.expect("the leader answers").size;
        let mut round = Round { number, databases, agents: Vec::new(), valves: Vec::new(), since };
        for agent in 1..=agents {
            let mut spec = AgentSpec::new(&format!("r{number}-{agent}")).serve(&round.databases);
            if valves {
                let valve = Valve::to(&self.cluster.address(leader)).await;
                spec.addresses = vec![format!("http://{}", valve.address)];
                round.valves.push(valve);
            }
            round.agents.push(Agent::start(&self.project, &self.cluster, &spec));
        }
        let ids: Vec<&str> = round.databases.iter().map(|database| database.id.as_str()).collect();
        Agent::until_observed(&client, &ids).await;
        round
    }

    /// The whole history onto the targets of a round, by the command line.
    pub(crate) fn migrate(&self, round: &Round) -> impl Future<Output = Ran> + Send + use<> {
        let cli = self.cli.clone();
        let fixture = self.kind.fixture().display().to_string();
        let on = format!("r{}/*", round.number);
        async move {
            let words = ["migrate", &fixture, "--on", &on, "--retries", "6", "-o", "json"];
            cli.run_words(&words).await
        }
    }

    /// Undoes what [`Arena::migrate`] did, but for its first step.
    pub(crate) fn roll_back(
        &self,
        rollout: &serde_json::Value,
    ) -> impl Future<Output = Ran> + Send + use<> {
        let rollout = rollout["id"].as_str().expect("a rollout has an id");
        self.run_words_later(&["rollback", rollout, "--step", "5", "--yes", "-o", "json"])
    }

    pub(crate) async fn run(&self, line: &str) -> Ran {
        self.cli.run(line).await
    }

    pub(crate) async fn run_words(&self, words: &[&str]) -> Ran {
        self.cli.run_words(words).await
    }

    /// The same, to be run by somebody else.
    pub(crate) fn run_words_later(
        &self,
        words: &[&str],
    ) -> impl Future<Output = Ran> + Send + use<> {
        let cli = self.cli.clone();
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        async move { cli.run_words(&words.iter().map(String::as_str).collect::<Vec<_>>()).await }
    }

    /// Ends the calls that run in a database, and returns when none does.
    pub(crate) async fn end_calls(&self, database: &Database) {
        let name = &database.name;
        let find = match self.kind {
            Kind::Postgres => format!(
                "SELECT pid::text FROM pg_stat_activity WHERE datname = '{name}' AND query LIKE 'CALL%'"
            ),
            // What is listed is the statement inside of the procedure, not the call.
            Kind::Mariadb => format!(
                "SELECT CAST(id AS char) FROM information_schema.processlist \
                 WHERE db = '{name}' AND id <> CONNECTION_ID()"
            ),
        };
        until("no call runs", Duration::from_secs(20), async || {
            let running = database.column(&find).await.expect("the server lists its sessions");
            for session in &running {
                let end = match self.kind {
                    Kind::Postgres => format!("SELECT pg_terminate_backend({session})"),
                    Kind::Mariadb => format!("KILL {session}"),
                };
                // One that has just ended cannot be ended.
                drop(database.raw(&end).await);
            }
            running.is_empty()
        })
        .await;
    }

    /// Effects, schema, ledger and log of every target say the same, and so do all nodes.
    pub(crate) async fn check(&self, round: &Round) -> Seen {
        let (size, _) = self.cluster.settled().await;
        let client = self.cluster.client(self.cluster.leader().await);
        let events = client.events(round.since).await.expect("the leader tells the log");
        assert!(events.last().is_some_and(|event| event.seq + 1 >= size), "the log is told whole");
        let mut seen = Seen::default();
        for database in &round.databases {
            self.truth.check(database, &events, &mut seen).await;
        }
        self.run("history verify -o json").await.exits(0);
        seen
    }

    /// How the targets stand at this moment, right after the fault.
    pub(crate) async fn struck(&self, round: &Round) -> Seen {
        let mut seen = Seen::default();
        for database in &round.databases {
            let now = database.observe().await;
            seen.amid += usize::from(now.intent.is_some());
            seen.struck |= usize::from(now.ledger.len() < self.truth.steps());
        }
        seen
    }

    pub(crate) async fn close(&self, round: Round) {
        drop(round.agents);
        for database in round.databases {
            database.remove().await;
        }
    }
}

/// What tells that the faults were met.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    /// Rounds in which something was left to do when the fault struck.
    pub(crate) struck: usize,
    /// Targets that were in the middle of a file without a transaction then.
    pub(crate) amid: usize,
    /// Leases that ran out.
    pub(crate) expired: usize,
    /// Steps whose effect a later holder found in the ledger.
    pub(crate) already: usize,
    /// Failures that were tried again.
    pub(crate) failed: usize,
    /// Steps that an operator had to look at.
    pub(crate) stuck: usize,
}

impl std::ops::AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.struck += other.struck;
        self.amid += other.amid;
        self.expired += other.expired;
        self.already += other.already;
        self.failed += other.failed;
        self.stuck += other.stuck;
    }
}
