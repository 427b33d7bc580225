//! Every verb through a node that does not lead, and every end that a rollout can have, by its exit
//! code and by what stands in the targets.

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use skein_agent::db::{Session, Timeouts};
use support::{Agent, AgentSpec, Cli, Cluster, Database, Project, Ran, Server, until};

const LIMIT: Duration = Duration::from_secs(30);

/// Three nodes, one agent, SQLite targets, and a user who knows one follower's address only.
struct Fleet {
    project: Arc<Project>,
    cluster: Cluster,
    databases: Vec<Database>,
    _agent: Agent,
    cli: Cli,
    follower: u64,
    address: String,
}

impl Fleet {
    async fn start(name: &str, targets: usize) -> Self {
        let project = Arc::new(Project::new(name));
        let cluster = Cluster::start(&project).await;
        let server = Server::sqlite(&project.join("db"));
        let mut databases = Vec::new();
        for number in 1..=targets {
            databases.push(server.database(&format!("t/{number}")).await);
        }
        let agent = Agent::start(&project, &cluster, &AgentSpec::new("a1").serve(&databases));
        let leader = cluster.leader().await;
        let ids: Vec<&str> = databases.iter().map(|database| database.id.as_str()).collect();
        Agent::until_observed(&cluster.client(leader), &ids).await;
        let follower = cluster.numbers().into_iter().find(|node| *node != leader);
        let follower = follower.expect("there are three");
        let address = format!("http://{}", cluster.address(follower));
        let cli = Cli::new(&project, &cluster, "");
        Self { project, cluster, databases, _agent: agent, cli, follower, address }
    }

    fn migration(&self, name: &str, up: &str, down: Option<&str>) {
        self.project.write(&format!("m/{name}.up.sql"), up);
        if let Some(down) = down {
            self.project.write(&format!("m/{name}.down.sql"), down);
        }
    }

    fn table(&self, version: u32, name: &str) {
        let up = format!("CREATE TABLE {name} (id integer primary key);\n");
        let down = format!("DROP TABLE {name};\n");
        self.migration(&format!("{version:04}_{name}"), &up, Some(&down));
    }

    /// Through the follower.
    async fn run(&self, line: &str) -> Ran {
        self.cli.run(&format!("{line} --coordinator {}", self.address)).await
    }

    async fn json(&self, line: &str, code: i32) -> Value {
        self.run(&format!("{line} -o json")).await.exits(code).json()
    }

    async fn in_force(&self) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        for database in &self.databases {
            all.push(database.in_force().await);
        }
        all
    }

    /// The follower is still one, so that everything went through it to another.
    async fn asked_a_follower(&self) {
        let members = self.json("cluster members", 0).await;
        assert_eq!(members["answered_by"], self.follower, "{members}");
        assert_ne!(members["leader"], self.follower, "{members}");
        assert_ne!(members["leader"], 0, "{members}");
    }
}

fn lanes(rollout: &Value, state: &str) -> Vec<String> {
    let lanes = rollout["lanes"].as_array().expect("a rollout was asked for with its lanes");
    let those = lanes.iter().filter(|lane| lane["state"] == state);
    those.map(|lane| lane["target"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_works_through_a_follower() {
    let fleet = Fleet::start("verbs", 4).await;
    fleet.asked_a_follower().await;
    fleet.table(1, "a");
    fleet.table(2, "b");
    let migrations = "m";

    // Looking before anything was done.
    let agents = fleet.json("agents", 0).await;
    assert_eq!(agents["agents"][0]["id"], "a1", "{agents}");
    assert_eq!(agents["agents"][0]["connected"], true, "{agents}");
    for line in ["targets", "targets list", "targets observe"] {
        let targets = fleet.json(line, 0).await;
        assert_eq!(targets["targets"].as_array().map(Vec::len), Some(4), "{line}: {targets}");
    }
    let on = fleet.json("targets --on t/2", 0).await;
    assert_eq!(on["targets"].as_array().map(Vec::len), Some(1), "{on}");

    // A plan, and exactly that plan.
    fleet.run(&format!("plan {migrations} --dry-run")).await.exits(0);
    fleet.run(&format!("plan {migrations} --detailed-exitcode")).await.exits(10);
    let plan = fleet.json(&format!("plan {migrations}"), 0).await;
    let plan = plan["id"].as_str().expect("a plan has an id").to_owned();
    let nobody = fleet.run(&format!("apply {migrations}")).await.exits(2);
    assert!(nobody.stderr.contains("skein apply --plan"), "{nobody:?}");
    assert_eq!(fleet.in_force().await, vec![Vec::<String>::new(); 4]);
    let applied = fleet.json(&format!("apply --plan {plan}"), 0).await;
    assert_eq!(applied["state"], "completed", "{applied}");
    assert_eq!(fleet.in_force().await, vec![["1", "2"]; 4]);
    fleet.run(&format!("plan {migrations} --detailed-exitcode")).await.exits(0);

    // Looking at what was done.
    for line in ["status", "status --local", "migrate --status"] {
        let status = fleet.json(line, 0).await;
        assert_eq!(status["versions"], json!([{ "version": "2", "targets": 4 }]), "{line}");
    }
    let status = fleet.json("status mig-0001", 0).await;
    assert_eq!(lanes(&status, "done").len(), 4, "{status}");
    assert_eq!(fleet.json("watch mig-0001", 0).await["state"], "completed");
    assert_eq!(fleet.json("watch", 0).await["id"], "mig-0001");
    let history = fleet.json("history --rollout mig-0001 --target t/3", 0).await;
    let what: Vec<&str> = history["events"]
        .as_array()
        .expect("a history has events")
        .iter()
        .filter(|event| event["target"] == "t/3")
        .filter_map(|event| event["what"].as_str())
        .collect();
    let step = ["step_applied", "step_verified"];
    let expected = [&["leg_assigned", "step_backed_up"][..], &step, &step].concat();
    assert_eq!(what, expected, "{history}");
    let few = fleet.json("history --since-seq 2 --limit 3", 0).await;
    assert_eq!(few["events"].as_array().map(Vec::len), Some(3), "{few}");
    let verified = fleet.json("history verify", 0).await;
    assert_eq!(verified["nodes"].as_array().map(Vec::len), Some(3), "{verified}");
    assert_eq!(fleet.json("verify", 0).await["equal"], 4);
    let backups = fleet.json("backup list", 0).await;
    assert_eq!(backups["backups"].as_array().map(Vec::len), Some(4), "{backups}");
    let of_one = fleet.json("backup list --target t/1", 0).await;
    assert_eq!(of_one["backups"].as_array().map(Vec::len), Some(1), "{of_one}");

    pause_and_resume(&fleet).await;
    part_of_the_fleet_goes_back(&fleet).await;

    // A target that is gone for good.
    fleet.run("targets retire t/4 --reason sold").await.exits(0);
    let left = fleet.json("targets", 0).await;
    let live = left["targets"].as_array().expect("targets are listed");
    let retired = live.iter().filter(|target| target["id"] == "t/4" && target["retired"] != true);
    assert_eq!(retired.count(), 0, "{left}");
    assert_eq!(fleet.json("status", 0).await["targets"], 3);

    fleet.asked_a_follower().await;
    fleet.cluster.settled().await;
}

/// Paused in the middle: what runs ends, nothing new begins; resumed, it goes on to its end.
async fn pause_and_resume(fleet: &Fleet) {
    fleet.table(3, "c");
    let mut held = Vec::new();
    for database in &fleet.databases {
        let session = Session::open(&database.location(), &Timeouts::default()).await;
        held.push(session.expect("the target's lock is free"));
    }
    let started = fleet.json("migrate m --parallelism 1 --detach", 0).await;
    let id = started["id"].as_str().expect("a rollout has an id").to_owned();
    let leased =
        || async { lanes(&fleet.json(&format!("status {id}"), 0).await, "running").len() == 1 };
    until("one target is leased", LIMIT, leased).await;
    fleet.run(&format!("watch {id} --timeout 1s")).await.exits(12);
    let paused = fleet.json(&format!("pause {id} --reason lunch"), 0).await;
    assert_eq!(paused["state"], "paused", "{paused}");
    for session in held {
        session.close().await;
    }
    // The leg that was given out ends.
    let rested = || async {
        let status = fleet.json(&format!("status {id}"), 0).await;
        lanes(&status, "running").is_empty() && lanes(&status, "done").len() == 1
    };
    until("the leg under way has ended", LIMIT, rested).await;
    fleet.run(&format!("watch {id} --timeout 1s")).await.exits(12);
    let has_three = fleet.in_force().await.iter().filter(|versions| versions.len() == 3).count();
    assert_eq!(has_three, 1, "work was handed out during the pause");
    let log = fleet.json(&format!("history --rollout {id}"), 0).await.to_string();
    assert!(log.contains("lunch"), "the reason is in the log: {log}");

    let resumed = fleet.json(&format!("resume {id}"), 0).await;
    assert_eq!(resumed["state"], "completed", "{resumed}");
    assert_eq!(fleet.in_force().await, vec![["1", "2", "3"]; 4]);
    // It has ended: there is nothing to pause or resume.
    for verb in ["pause", "resume"] {
        let refused = fleet.run(&format!("{verb} {id}")).await.exits(21);
        assert!(refused.stderr.contains("is completed"), "{refused:?}");
    }
    for verb in ["pause", "resume", "rollback --yes", "status", "watch"] {
        fleet.run(&format!("{verb} mig-0999")).await.exits(2);
    }
}

/// Two of four targets go back, in reverse order; then one step of the others; then the rest.
async fn part_of_the_fleet_goes_back(fleet: &Fleet) {
    fleet.table(4, "d");
    fleet.table(5, "e");
    let up = fleet.json("migrate m", 0).await;
    let id = up["id"].as_str().expect("a rollout has an id").to_owned();
    let all = ["1", "2", "3", "4", "5"];
    assert_eq!(fleet.in_force().await, vec![all; 4]);
    let shown = fleet.run(&format!("rollback {id} --on t/1,t/2 --dry-run")).await.exits(0);
    assert!(shown.stdout.contains("t/1") && !shown.stdout.contains("t/3"), "{shown:?}");
    let unasked = fleet.run(&format!("rollback {id} --on t/1,t/2")).await.exits(2);
    assert!(unasked.stderr.contains("--yes"), "{unasked:?}");
    assert_eq!(fleet.in_force().await, vec![all; 4]);

    fleet.run(&format!("rollback {id} --on t/1,t/2 --yes")).await.exits(0);
    let in_force = fleet.in_force().await;
    assert_eq!(in_force[..2], vec![all[..3].to_vec(); 2]);
    assert_eq!(in_force[2..], vec![all.to_vec(); 2]);
    fleet.run(&format!("rollback {id} --on t/3,t/4 --step 1 --yes")).await.exits(0);
    assert_eq!(fleet.in_force().await[2..], vec![all[..4].to_vec(); 2]);
    let rest = fleet.json(&format!("rollback {id} --yes"), 0).await;
    assert_eq!(rest["state"], "rolled back", "{rest}");
    assert_eq!(fleet.in_force().await, vec![all[..3].to_vec(); 4]);

    // On each target the undo ran in the exact reverse of the order of the apply.
    for database in &fleet.databases {
        let rows = database.observe().await.ledger;
        let downs: Vec<&str> = rows
            .iter()
            .filter(|row| row.direction == skein_agent::db::Direction::Down)
            .map(|row| row.step.as_str())
            .collect();
        assert_eq!(downs, ["5", "4"], "{}", database.id);
    }
    assert_eq!(fleet.json("verify", 0).await["equal"], 4);
    // Undone is undone: asking again changes nothing.
    let head = fleet.cluster.settled().await;
    fleet.run(&format!("rollback {id} --yes")).await.exits(0);
    assert_eq!(fleet.cluster.settled().await, head);
}

/// How the ways to fail are told apart by a script.
#[tokio::test(flavor = "multi_thread")]
async fn every_end_has_its_exit_code() {
    let fleet = Fleet::start("ends", 3).await;
    fleet.table(1, "a");
    fleet.run("migrate m").await.exits(0);

    // 2: nothing is sent. 50: nobody is there, and that is said soon.
    for line in ["plan --target sideways", "frobnicate", "migrate m --type code", "status mig-x"] {
        fleet.run(line).await.exits(2);
    }
    let away = fleet.cli.run("status --coordinator http://127.0.0.1:1 --connect-timeout 1").await;
    let away = away.exits(50);
    assert!(away.stderr.contains("http://127.0.0.1:1"), "{away:?}");

    // 21: a trial that fails changes nothing; what is in order passes one.
    fleet.table(2, "b");
    fleet.run("migrate m --validate").await.exits(0);
    let broken = "CREATE TABLE c (id integer primary key);\nINSERT INTO nowhere VALUES (1);\n";
    fleet.migration("0003_c", broken, Some("DROP TABLE c;\n"));
    let trial = fleet.run("migrate m --validate").await.exits(21);
    assert!(trial.stdout.contains("0003_c.up.sql:2"), "{trial:?}");
    assert!(!trial.stdout.contains("operator"), "{trial:?}");
    assert_eq!(fleet.in_force().await, vec![["1"]; 3]);

    // 30: it fails on one target, and everything goes back, those that had succeeded as well.
    let schema = fleet.databases[0].schema().await;
    fleet.databases[2].raw("CREATE TABLE nowhere (id int)").await.expect("a table is made");
    fleet.databases[0].raw("CREATE TABLE nowhere (id int)").await.expect("a table is made");
    let drifted = fleet.run("plan m").await.exits(41);
    assert!(drifted.stderr.contains("t/1"), "{drifted:?}");
    let differs = fleet.json("verify", 41).await;
    assert_eq!(differs["equal"], 1, "{differs}");
    let failed =
        fleet.json("migrate m --accept-drift --retries 0 --on-breach rollback-rollout", 30).await;
    assert_eq!(failed["state"], "rolled back", "{failed}");
    let reason = failed["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("t/2") && reason.contains("0003_c.up.sql:2"), "{failed}");
    assert_eq!(fleet.in_force().await, vec![["1"]; 3]);
    assert_eq!(fleet.databases[1].schema().await, schema);

    // 31: it stops where it is, and says where that is, and why.
    let halted = fleet.json("migrate m --retries 0 --on-breach halt --accept-drift", 31).await;
    let residual = halted["residual"].as_array().expect("what is left is listed");
    let note = residual.iter().find(|lane| lane["target"] == "t/2").expect("it failed there");
    assert!(note["note"].as_str().unwrap_or_default().contains("0003_c.up.sql:2"), "{halted}");
    assert_eq!(fleet.databases[1].in_force().await, ["1", "2"]);
    // Mended from outside, it is resumed to its end.
    fleet.databases[1].raw("CREATE TABLE nowhere (id int)").await.expect("a table is made");
    let id = halted["id"].as_str().expect("a rollout has an id");
    let resumed = fleet.json(&format!("resume {id}"), 0).await;
    assert_eq!(resumed["state"], "completed", "{resumed}");
    assert_eq!(fleet.in_force().await, vec![["1", "2", "3"]; 3]);

    // 40: the plan was made on another state.
    fleet.table(4, "d");
    let plan = fleet.json("plan m", 0).await;
    let plan = plan["id"].as_str().expect("a plan has an id");
    fleet.run("migrate m --on t/1").await.exits(0);
    let stale = fleet.run(&format!("apply --plan {plan}")).await.exits(40);
    assert!(stale.stderr.contains("next: "), "{stale:?}");
    assert_eq!(fleet.databases[1].in_force().await, ["1", "2", "3"]);
    fleet.run("migrate m").await.exits(0);

    waiver(&fleet).await;
    fleet.cluster.settled().await;
    fleet.run("history verify").await.exits(0);
}

/// What nothing undoes is started by whoever takes the responsibility, and the log keeps the words.
async fn waiver(fleet: &Fleet) {
    fleet.migration("0005_e", "CREATE TABLE e (id integer primary key);\n", None);
    let before = fleet.in_force().await;
    let refused = fleet.run("migrate m").await.exits(21);
    for words in ["5 e on 3 targets (0005_e.up.sql)", "--waive"] {
        assert!(refused.stderr.contains(words), "{words}: {refused:?}");
    }
    assert_eq!(fleet.in_force().await, before);
    fleet.cli.run_words(&["migrate", "m", "--waive", " "]).await.exits(2);
    assert_eq!(fleet.in_force().await, before);
    let words = ["migrate", "m", "--waive", "agreed with kim", "-o", "json"];
    let done = fleet.cli.run_words(&words).await.exits(0).json();
    let id = done["id"].as_str().expect("a rollout has an id").to_owned();
    let log = fleet.json(&format!("history --rollout {id}"), 0).await.to_string();
    assert!(log.contains("agreed with kim"), "{log}");
    // A rollback says what it cannot do before it does anything.
    let stuck = fleet.run(&format!("rollback {id} --yes")).await.exits(21);
    assert!(stuck.stderr.contains("step 5"), "{stuck:?}");
    assert_eq!(fleet.databases[0].in_force().await.last().map(String::as_str), Some("5"));
}

/// One bit of one event, on one node's disk: found by that node while it runs, and without it.
#[tokio::test(flavor = "multi_thread")]
async fn one_flipped_byte_in_a_history_is_found() {
    let mut fleet = Fleet::start("tampered", 2).await;
    fleet.table(1, "a");
    fleet.run("migrate m").await.exits(0);
    let (size, _) = fleet.cluster.settled().await;
    fleet.run("history verify").await.exits(0);
    let node = fleet.follower;
    let data = fleet.cluster.data(node);
    let path = history_file(&data);
    let mut bytes = std::fs::read(&path).expect("a history can be read");
    // In the words of an event rather than in a frame's head.
    let place =
        bytes.windows(9).position(|part| part == b"agent/a1\x1a" || part.starts_with(b"agent/a1"));
    let place = place.expect("an event names its actor") + 7;
    bytes[place] ^= 1;
    std::fs::write(&path, &bytes).expect("a history can be written past the node");

    let verified = fleet.json("history verify", 60).await;
    assert_eq!(verified["verified"], false, "{verified}");
    for one in verified["nodes"].as_array().expect("nodes are listed") {
        let fault = one["fault"].as_str().expect("a node has a fault or an empty one");
        assert_eq!(fault.is_empty(), one["number"] != node, "{verified}");
    }
    let text = fleet.run("history verify").await.exits(60);
    assert!(
        text.stdout.contains(&format!("node {node}")) || text.stdout.contains(&node.to_string())
    );
    let dir = data.display().to_string();
    let offline =
        fleet.cli.run(&format!("history verify --data {dir} -o json")).await.exits(60).json();
    let fault = offline["nodes"][0]["fault"].as_str().unwrap_or_default().to_owned();
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    assert!(fault.contains(&file) || fault.contains("event"), "the place is named: {fault}");
    // The others are whole, also offline, to the last event.
    for other in fleet.cluster.numbers().into_iter().filter(|other| *other != node) {
        let dir = fleet.cluster.data(other).display().to_string();
        let whole = fleet.cli.run(&format!("history verify --data {dir} -o json")).await.exits(0);
        assert_eq!(whole.json()["nodes"][0]["events"], size);
    }
    // A node whose history is not what it was does not serve.
    fleet.cluster.kill9(node);
    fleet.cluster.start_node(node);
    let process = fleet.cluster.process(node).expect("it was started");
    let mut ended = false;
    until("the node refuses to start", LIMIT, || {
        ended = !process.runs();
        std::future::ready(ended)
    })
    .await;
    let log = process.log();
    assert!(log.contains("error: ") && log.contains("history"), "{log}");
    // Put back as it was, it serves again.
    bytes[place] ^= 1;
    std::fs::write(&path, &bytes).expect("a history can be written");
    fleet.cluster.start_node(node);
    fleet.cluster.leader().await;
    fleet.cluster.settled().await;
    fleet.run("history verify").await.exits(0);
}

/// The file with the first events.
fn history_file(data: &std::path::Path) -> std::path::PathBuf {
    let files = std::fs::read_dir(data.join("history")).expect("a node has a history");
    let mut files: Vec<_> = files
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| {
            let bytes = std::fs::read(path).unwrap_or_default();
            bytes.windows(8).any(|part| part == b"agent/a1")
        })
        .collect();
    files.sort();
    files.into_iter().next().expect("a history names its actors")
}
