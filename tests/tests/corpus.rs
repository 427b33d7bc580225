//! Real migration histories over a fleet of eight, up and down, as a user carries them out. After
//! each step of the way every target is what the same files make on the same server without Skein.

mod support;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use skein_agent::db::Engine;
use support::{
    Agent, AgentSpec, Cli, Cluster, Corpus, Database, Project, Ran, Reference, Server, dump,
};

/// Targets of a fleet.
const TARGETS: usize = 8;

/// A fleet of one engine, and a user.
struct Fleet {
    cluster: Cluster,
    cli: Cli,
    databases: Vec<Database>,
    agents: Vec<Agent>,
    migrations: PathBuf,
    waive: bool,
}

impl Fleet {
    /// Three coordinators, two agents with four targets each.
    async fn start(name: &str, server: Option<Server>, corpus: &Corpus) -> (Self, Server) {
        let project = Arc::new(Project::new(name));
        let server = server.unwrap_or_else(|| Server::sqlite(&project.join("targets")));
        let cluster = Cluster::start(&project).await;
        let mut databases = Vec::new();
        for number in 1..=TARGETS {
            databases.push(server.database(&format!("{name}/{number}")).await);
        }
        let (one, two) = databases.split_at(TARGETS / 2);
        let agents = [("agent-1", one), ("agent-2", two)];
        let agents = agents.map(|(id, databases)| {
            Agent::start(&project, &cluster, &AgentSpec::new(id).serve(databases))
        });
        let ids: Vec<&str> = databases.iter().map(|database| database.id.as_str()).collect();
        Agent::until_observed(&cluster.client(cluster.leader().await), &ids).await;
        let cli = Cli::new(&project, &cluster, "");
        let migrations = corpus.migrations.clone();
        let waive = false;
        let fleet = Self { cluster, cli, databases, agents: agents.into(), migrations, waive };
        (fleet, server)
    }

    async fn migrate(&self, words: &[&str]) -> Ran {
        let migrations = self.migrations.display().to_string();
        let mut line = vec!["migrate", &migrations, "-o", "json"];
        line.extend(words);
        if self.waive {
            line.extend(["--waive", "agreed with the owners of the data"]);
        }
        self.cli.run_words(&line).await
    }

    /// Every target has these versions in force, and nothing under way.
    async fn has(&self, versions: &[String]) {
        for database in &self.databases {
            let seen = database.observe().await;
            let in_force: Vec<&str> = seen.applied().iter().map(|row| row.step.as_str()).collect();
            assert_eq!(in_force, versions, "{}", database.id);
            assert_eq!(seen.intent, None, "{}", database.id);
        }
    }

    /// Every target's schema is the reference's; the tool of the server says so of one.
    async fn equals(&self, reference: &Reference) {
        let expected = reference.database.schema().await;
        for database in &self.databases {
            same(&database.schema().await, &expected, &database.id);
        }
        let (theirs, ours) = (dump(&reference.database).await, dump(&self.databases[0]).await);
        same(&ours, &theirs, "in the words of the server's tool");
    }

    /// `status` counts all targets at `version`.
    async fn stands_at(&self, version: &str) {
        let status = self.cli.run("migrate --status -o json").await.exits(0).json();
        let versions = serde_json::json!([{ "version": version, "targets": TARGETS }]);
        assert_eq!(status["versions"], versions, "{status}");
        assert_eq!(status["targets_connected"], TARGETS, "{status}");
        assert_eq!(status["held"], serde_json::json!([]), "{status}");
        assert_eq!(status["events"], status["events_under_charter"], "{status}");
    }

    /// The history of every node is whole and the same.
    async fn end(self, reference: Reference) {
        self.cluster.settled().await;
        self.cli.run("history verify -o json").await.exits(0);
        drop(self.agents);
        for database in self.databases.into_iter().chain([reference.database]) {
            database.remove().await;
        }
    }
}

/// The first line that differs, rather than two whole schemas.
#[track_caller]
fn same(ours: &str, theirs: &str, whose: &str) {
    for (number, (ours, theirs)) in (1..).zip(ours.lines().zip(theirs.lines())) {
        assert_eq!(ours, theirs, "line {number} of the schema: {whose}");
    }
    assert_eq!(ours.len(), theirs.len(), "one schema goes on where the other ends: {whose}");
    assert!(!theirs.is_empty(), "{whose}");
}

fn residual(rollout: &Value) -> BTreeSet<String> {
    let lanes = rollout["residual"].as_array().expect("a rollout lists what is residual");
    let name = |lane: &Value| lane["target"].as_str().expect("a lane has a target").to_owned();
    lanes.iter().map(name).collect()
}

/// Up to the latest, down two steps, down two more, and up again.
async fn up_and_down(fleet: &Fleet, reference: &Reference, corpus: &Corpus) {
    let versions = corpus.versions();
    let count = versions.len();
    let up = fleet.migrate(&["--direction", "up", "--target", "latest"]).await.exits(0).json();
    assert_eq!(up["state"], "completed", "{up}");
    assert_eq!(up["steps_verified"], TARGETS * count, "{up}");
    reference.up(&corpus.steps).await;
    fleet.has(&versions).await;
    fleet.equals(reference).await;
    fleet.stands_at(&versions[count - 1]).await;

    for left in [count - 2, count - 4] {
        let down = fleet.migrate(&["--direction", "down", "--step", "2"]).await.exits(0).json();
        assert_eq!(down["state"], "completed", "{down}");
        reference.down(&corpus.steps[left..left + 2]).await;
        fleet.has(&versions[..left]).await;
        fleet.equals(reference).await;
        fleet.stands_at(&versions[left - 1]).await;
    }

    let again = fleet.migrate(&["--latest"]).await.exits(0).json();
    assert_eq!(again["state"], "completed", "{again}");
    reference.up(&corpus.steps[count - 4..]).await;
    fleet.has(&versions).await;
    fleet.equals(reference).await;
    fleet.stands_at(&versions[count - 1]).await;

    // There is nothing left to do, and that is no failure.
    fleet.migrate(&["--latest"]).await.exits(0);
    fleet.has(&versions).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn corpus_svix_goes_up_and_down_on_postgres() {
    let test = "corpus_svix_goes_up_and_down_on_postgres";
    let Some(corpus) = Corpus::find("svix-pg-sqlx", test) else { return };
    let Some(server) = Server::shared(Engine::Postgres, test) else { return };
    let (fleet, server) = Fleet::start("svix", Some(server), &corpus).await;
    let reference = Reference::new(&server).await;
    up_and_down(&fleet, &reference, &corpus).await;
    fleet.end(reference).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn corpus_authelia_goes_up_and_down_on_mariadb() {
    let test = "corpus_authelia_goes_up_and_down_on_mariadb";
    let Some(corpus) = Corpus::find("authelia-mysql-gomigrate", test) else { return };
    let Some(server) = Server::shared(Engine::Mysql, test) else { return };
    let (fleet, server) = Fleet::start("authelia", Some(server), &corpus).await;
    let reference = Reference::new(&server).await;
    up_and_down(&fleet, &reference, &corpus).await;
    fleet.end(reference).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn corpus_taproot_goes_up_and_down_on_sqlite() {
    let test = "corpus_taproot_goes_up_and_down_on_sqlite";
    let Some(corpus) = Corpus::find("taproot-sqlite-gomigrate", test) else { return };
    let (mut fleet, server) = Fleet::start("taproot", None, &corpus).await;
    let reference = Reference::new(&server).await;
    // Two of its migrations have no down: nobody starts that without saying so.
    let refused = fleet.migrate(&["--latest"]).await.exits(21);
    for version in ["50", "51"] {
        assert!(refused.stderr.contains(version), "{}", refused.stderr);
    }
    fleet.has(&[]).await;
    fleet.waive = true;
    up_and_down(&fleet, &reference, &corpus).await;
    fleet.end(reference).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn corpus_atuin_goes_up_by_a_waiver_and_is_never_taken_down() {
    let test = "corpus_atuin_goes_up_by_a_waiver_and_is_never_taken_down";
    let Some(corpus) = Corpus::find("atuin-client-sqlite-sqlx", test) else { return };
    let (mut fleet, server) = Fleet::start("atuin", None, &corpus).await;
    let reference = Reference::new(&server).await;
    let refused = fleet.migrate(&["--latest"]).await.exits(21);
    assert!(refused.stderr.contains("--waive"), "{}", refused.stderr);
    fleet.has(&[]).await;

    fleet.waive = true;
    let up = fleet.migrate(&["--latest"]).await.exits(0).json();
    assert_eq!(up["state"], "completed", "{up}");
    reference.up(&corpus.steps).await;
    fleet.has(&corpus.versions()).await;
    fleet.equals(&reference).await;
    fleet.stands_at("20260818000000").await;

    // A waiver is for going up without a way back. It writes no down script.
    for waive in [true, false] {
        fleet.waive = waive;
        let refused = fleet.migrate(&["--direction", "down", "--step", "2"]).await.exits(21);
        assert!(refused.stderr.contains("20260818000000"), "{}", refused.stderr);
        fleet.has(&corpus.versions()).await;
        fleet.equals(&reference).await;
    }
    fleet.end(reference).await;
}

/// Where a failed rollout left its lanes, by its own account: the same for each target.
#[track_caller]
fn all_residual(rollout: &Value, fleet: &Fleet, state: &str, applied: usize, note: &[&str]) {
    assert_eq!(rollout["state"], "halted", "{rollout}");
    let ids: BTreeSet<String> = fleet.databases.iter().map(|one| one.id.clone()).collect();
    assert_eq!(residual(rollout), ids, "{rollout}");
    for lane in rollout["residual"].as_array().expect("it was listed") {
        assert_eq!(lane["state"], state, "{lane}");
        assert_eq!(lane["applied"], applied, "{lane}");
        assert_eq!(lane["verified"], applied, "{lane}");
        assert_eq!(lane["backed_up"], true, "{lane}");
        let said = lane["note"].as_str().unwrap_or_default();
        for words in note {
            assert!(said.contains(words), "{words:?} is not in {said:?}");
        }
    }
}

/// Its index went with its column: no server runs that down, and nothing of it stays.
#[tokio::test(flavor = "multi_thread")]
async fn corpus_svix_a_down_that_fails_by_itself_is_told_and_unwound() {
    let test = "corpus_svix_a_down_that_fails_by_itself_is_told_and_unwound";
    let Some(corpus) = Corpus::find("svix-pg-sqlx", test) else { return };
    let Some(server) = Server::shared(Engine::Postgres, test) else { return };
    let (fleet, server) = Fleet::start("svix-fails", Some(server), &corpus).await;
    let reference = Reference::new(&server).await;
    let versions = corpus.versions();
    fleet.migrate(&["--latest"]).await.exits(0);
    reference.up(&corpus.steps).await;
    let down = ["--direction", "down", "--version", "20220218061228"];

    // Asked to take a failure back: every target stands where it stood before.
    let unwinding = [&down[..], &["--on-breach", "rollback-rollout"]].concat();
    let rolled = fleet.migrate(&unwinding).await.exits(30).json();
    assert_eq!(rolled["state"], "rolled back", "{rolled}");
    assert_eq!(residual(&rolled), BTreeSet::new(), "{rolled}");
    fleet.has(&versions).await;
    fleet.equals(&reference).await;
    fleet.stands_at(&versions[versions.len() - 1]).await;

    // Asked to stop: the twelve before it are undone, it is in force, and each target is named.
    let failing = corpus.at("20220428190104");
    let halted = fleet.migrate(&down).await.exits(31).json();
    let note = ["20220428190104", "message_payload_not_null_pidx"];
    all_residual(&halted, &fleet, "failed", 12, &note);
    fleet.has(&versions[..=failing]).await;
    reference.down(&corpus.steps[failing + 1..]).await;
    let error = reference.down_one(&corpus.steps[failing]).await.expect_err("it fails by itself");
    assert!(error.to_string().contains("message_payload_not_null_pidx"), "{error}");
    fleet.equals(&reference).await;

    // Nobody has to stay there.
    let up = fleet.migrate(&["--latest"]).await.exits(0).json();
    assert_eq!(up["state"], "completed", "{up}");
    reference.up(&corpus.steps[failing + 1..]).await;
    fleet.has(&versions).await;
    fleet.equals(&reference).await;
    fleet.end(reference).await;
}

/// A statement in its middle meets a key that is there; what ran before it stays, as the server
/// commits each statement by itself.
#[tokio::test(flavor = "multi_thread")]
async fn corpus_authelia_a_down_that_fails_half_way_says_how_far_it_came() {
    let test = "corpus_authelia_a_down_that_fails_half_way_says_how_far_it_came";
    let Some(corpus) = Corpus::find("authelia-mysql-gomigrate", test) else { return };
    let Some(server) = Server::shared(Engine::Mysql, test) else { return };
    let (fleet, server) = Fleet::start("authelia-fails", Some(server), &corpus).await;
    let reference = Reference::new(&server).await;
    let versions = corpus.versions();
    fleet.migrate(&["--version", "12"]).await.exits(0);
    let twelve = &corpus.steps[..=corpus.at("12")];
    reference.up(twelve).await;
    fleet.has(&versions[..twelve.len()]).await;
    fleet.equals(&reference).await;

    // What stands half-way has no way back: asked to take it back, Skein says so and touches nothing.
    let failing = corpus.at("7");
    let undone = twelve.len() - failing - 1;
    let unwinding = ["--direction", "down", "--version", "6", "--on-breach", "rollback-rollout"];
    let halted = fleet.migrate(&unwinding).await.exits(31).json();
    let note = ["7: ", "Duplicate key name 'kid'", "the first 29 of 42 statements are in force"];
    all_residual(&halted, &fleet, "residual", undone, &note);
    reference.down(&corpus.steps[failing + 1..twelve.len()]).await;
    let error = reference.down_one(&corpus.steps[failing]).await.expect_err("it fails by itself");
    assert!(error.to_string().contains("Duplicate key name 'kid'"), "{error}");
    fleet.equals(&reference).await;
    for database in &fleet.databases {
        let seen = database.observe().await;
        let in_force: Vec<&str> = seen.applied().iter().map(|row| row.step.as_str()).collect();
        assert_eq!(in_force, versions[..=failing], "{}", database.id);
        let open = seen.intent.expect("a half is written down");
        assert_eq!((open.step.as_str(), open.statement, open.statements), ("7", 30, 42));
    }

    // No other step runs over a half: the targets are held, and say why.
    let status = fleet.cli.run("status -o json").await.exits(0).json();
    let held = status["held"].as_array().expect("held targets are listed");
    assert_eq!(held.len(), TARGETS, "{status}");
    let refused = fleet.migrate(&["--latest"]).await;
    assert!(matches!(refused.code, Some(21 | 41)), "{refused:?}");
    fleet.equals(&reference).await;
    fleet.end(reference).await;
}
