//! What most tests begin with: a cluster, databases, and agents that serve them, each looked at.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use skein_proto::log::v1::event::Body;
use skein_proto::log::v1::{Event, GateJudged};
use skein_proto::v1::{Lane, LaneState, RolloutStatus};

use super::agent::{Agent, AgentSpec};
use super::cli::{Cli, Ran};
use super::client::Client;
use super::cluster::Cluster;
use super::database::Database;
use super::project::Project;
use super::runbook::Runbook;
use super::wait::{until, until_some};

/// How long a rollout may take to come to what a test waits for.
const LIMIT: Duration = Duration::from_mins(3);

/// All of one test. A test that needs another one of something puts it in its place.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) project: Arc<Project>,
    pub(crate) cluster: Cluster,
    pub(crate) cli: Cli,
    /// Of the node that led when it was asked last.
    pub(crate) client: Client,
    pub(crate) databases: Vec<Database>,
    pub(crate) agents: Vec<Agent>,
}

impl World {
    /// Three nodes and one agent, which has looked at everything that it serves.
    pub(crate) async fn start(
        project: Arc<Project>,
        databases: Vec<Database>,
        spec: &AgentSpec,
    ) -> Self {
        let cluster = Cluster::start(&project).await;
        let mut world = Self::of(project, cluster, databases).await;
        world.comes(spec).await;
        world
    }

    /// Around a cluster that runs; nobody serves the databases yet.
    pub(crate) async fn of(
        project: Arc<Project>,
        cluster: Cluster,
        databases: Vec<Database>,
    ) -> Self {
        let client = cluster.client(cluster.leader().await);
        let cli = Cli::new(&project, &cluster, "");
        Self { project, cluster, cli, client, databases, agents: Vec::new() }
    }

    /// An agent comes, and looks at everything that it serves.
    pub(crate) async fn comes(&mut self, spec: &AgentSpec) {
        self.comes_with(spec, &[]).await;
    }

    /// The same of one that has these variables.
    pub(crate) async fn comes_with(&mut self, spec: &AgentSpec, variables: &[(&str, &str)]) {
        let mut agent = Agent::prepare(&self.project, &self.cluster, spec, variables);
        agent.restart();
        self.agents.push(agent);
        let ids: Vec<&str> = spec.targets.iter().map(|(id, _, _)| id.as_str()).collect();
        Agent::until_observed(&self.client, &ids).await;
    }

    pub(crate) fn database(&self, id: &str) -> &Database {
        self.databases.iter().find(|one| one.id == id).unwrap_or_else(|| panic!("no target {id}"))
    }

    /// A command that does what it is asked.
    pub(crate) async fn ran(&self, line: &str) -> Ran {
        self.cli.run(line).await.exits(0)
    }

    /// Begins what the project's migrations and its strategy say.
    pub(crate) async fn begin(&self) {
        self.ran("apply migrations --strategy strategy.toml --yes --detach").await;
    }

    /// The next command on a page, which does what it is asked.
    pub(crate) async fn follow(&self, page: &mut Runbook, begins: &str) -> Ran {
        self.cli.follow(page, begins).await.exits(0)
    }

    /// The leader dies, and is started again when another one leads.
    pub(crate) async fn behead(&mut self) {
        self.client = self.cluster.behead().await;
    }

    pub(crate) async fn status(&self, rollout: &str) -> RolloutStatus {
        let told = || async { self.client.rollout(rollout).await.ok() };
        until_some("somebody tells the status", LIMIT, told).await
    }

    pub(crate) async fn until_it(
        &self,
        rollout: &str,
        what: &str,
        holds: impl Fn(&RolloutStatus) -> bool,
    ) {
        let holds = || async { self.client.rollout(rollout).await.is_ok_and(|it| holds(&it)) };
        until(what, LIMIT, holds).await;
    }

    pub(crate) async fn lane(&self, rollout: &str, target: &str) -> Option<Lane> {
        let status = self.client.rollout(rollout).await.ok()?;
        status.lanes.into_iter().find(|lane| lane.target == target)
    }

    /// Waits until a target's lane is such a one, and gives it.
    pub(crate) async fn until_lane(
        &self,
        (rollout, target): (&str, &str),
        what: &str,
        holds: impl Fn(&Lane) -> bool,
    ) -> Lane {
        let lane = || async { self.lane(rollout, target).await.filter(|lane| holds(lane)) };
        until_some(&format!("{target} of {rollout} {what}"), LIMIT, lane).await
    }

    pub(crate) async fn until_is(&self, lane: (&str, &str), state: LaneState) -> Lane {
        self.until_lane(lane, &format!("is {state:?}"), |it| it.state() == state).await
    }

    /// The whole log.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let log = || async { self.client.events(0).await.ok() };
        until_some("the log can be read", LIMIT, log).await
    }

    /// Each step that took effect: of which rollout, in which target, and its version.
    pub(crate) async fn applied(&self) -> Vec<(u32, String, String)> {
        let applied = |event: Event| match event.body {
            Some(Body::StepApplied(step)) => Some((step.rollout, step.target, step.version)),
            _ => None,
        };
        self.events().await.into_iter().filter_map(applied).collect()
    }

    /// What came of gates, in order, and whether they passed.
    pub(crate) async fn judged(&self) -> Vec<(bool, GateJudged)> {
        let judged = |event: Event| match event.body {
            Some(Body::GatePassed(judged)) => Some((true, judged)),
            Some(Body::GateFailed(judged) | Body::GateBreached(judged)) => Some((false, judged)),
            _ => None,
        };
        self.events().await.into_iter().filter_map(judged).collect()
    }

    /// Of each database, the versions in force.
    pub(crate) async fn in_force(&self) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        for database in &self.databases {
            all.push(database.in_force().await);
        }
        all
    }

    /// Every database is at the same versions.
    pub(crate) async fn all_at(&self, versions: &[&str]) {
        for database in &self.databases {
            assert_eq!(database.in_force().await, versions, "{}", database.id);
        }
    }

    /// All nodes have one log, which can be proved.
    pub(crate) async fn agrees(&self) {
        self.cluster.settled().await;
        self.ran("history verify").await;
    }

    /// So it is, and everything is taken away.
    pub(crate) async fn end(self) {
        self.agrees().await;
        drop(self.agents);
        for database in self.databases {
            database.remove().await;
        }
    }
}

/// Nothing stands twice; how many there are.
#[track_caller]
pub(crate) fn once_each<T: Ord + Debug>(all: impl IntoIterator<Item = T>) -> usize {
    let mut all: Vec<T> = all.into_iter().collect();
    all.sort_unstable();
    let twice: Vec<_> = all.windows(2).filter(|pair| pair.first() == pair.last()).collect();
    assert!(twice.is_empty(), "{twice:?}");
    all.len()
}
