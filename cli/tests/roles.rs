//! The long-running roles as processes of their own: three coordinators, one agent, and the commands
//! that talk to them.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its processes has failed")]

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

struct Fleet {
    dir: TempDir,
    ports: Vec<u16>,
    coordinators: Vec<Option<Child>>,
    agent: Option<Child>,
}

impl Fleet {
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        // Held together, so that they differ; given back before the processes take them.
        let held: Vec<TcpListener> =
            (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = held.iter().map(|port| port.local_addr().unwrap().port()).collect();
        drop(held);
        let mut fleet = Self { dir, ports, coordinators: Vec::new(), agent: None };
        fleet.write_files();
        for node in 1..=3 {
            let child = fleet.role(&format!("--config node-{node}.toml coordinator"));
            fleet.coordinators.push(Some(child));
        }
        fleet.agent = Some(fleet.role("agent"));
        fleet
    }

    fn write_files(&self) {
        let members: Vec<String> = (1..)
            .zip(&self.ports)
            .map(|(node, port)| {
                format!("[[member]]\nnode = {node}\naddress = \"127.0.0.1:{port}\"\n")
            })
            .collect();
        for (node, port) in (1..).zip(&self.ports) {
            let text = format!(
                "node = {node}\ncluster = \"roles\"\ndata = \"node-{node}\"\n\
                 listen = \"127.0.0.1:{port}\"\n{}",
                members.concat()
            );
            self.write(&format!("node-{node}.toml"), &text);
        }
        let addresses: Vec<String> =
            self.ports.iter().map(|port| format!("\"http://127.0.0.1:{port}\"")).collect();
        let mut config = format!(
            "[project]\nformat = \"sqlx\"\n[coordinator]\naddresses = [{}]\n\
             [agent]\nid = \"agent-1\"\n",
            addresses.join(", ")
        );
        for id in ["a", "b"] {
            self.write(&format!("{id}.db"), "");
            let target = format!("[[target]]\nid = \"{id}\"\nurl = \"sqlite:{id}.db\"\n");
            config.push_str(&target);
        }
        self.write("skein.toml", &config);
        fs::create_dir(self.path().join("migrations")).unwrap();
        self.write("migrations/1_t.up.sql", "CREATE TABLE t (id INTEGER PRIMARY KEY);");
        self.write("migrations/1_t.down.sql", "DROP TABLE t;");
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
        command.args(words.split_whitespace()).current_dir(self.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SKEIN_")) {
            command.env_remove(name);
        }
        command
    }

    fn role(&self, words: &str) -> Child {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path().join("roles.log"))
            .unwrap();
        self.command(words).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path().join("roles.log")).unwrap_or_default()
    }

    fn json(&self, code: i32, words: &str) -> Value {
        let output = self.command(&format!("{words} -o json")).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "skein {words}\n{err}\n{}", self.log());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Asks again until the answer is so; the test's own time limit ends what never comes.
    fn until(&self, words: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        loop {
            let answer = self.json(0, words);
            if is_so(&answer) {
                return answer;
            }
        }
    }

    fn leader(&self) -> usize {
        let members = self.until("cluster members", |members| members["leader"] != 0);
        usize::try_from(members["leader"].as_u64().unwrap()).unwrap()
    }

    fn kill(&mut self, node: usize) {
        let mut child = self.coordinators[node - 1].take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

fn terminate(mut child: Child) -> Option<i32> {
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    child.wait().unwrap().code()
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for mut child in self.coordinators.drain(..).flatten().chain(self.agent.take()) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

#[test]
fn a_cluster_loses_its_leader_and_nothing_else() {
    let mut fleet = Fleet::start();
    let members = fleet.until("cluster members", |members| members["leader"] != 0);
    assert_eq!(members["nodes"].as_array().unwrap().len(), 3);
    fleet.until("targets", |targets| {
        let targets = targets["targets"].as_array().unwrap();
        targets.len() == 2 && targets.iter().all(|target| target["connected"] == true)
    });

    let done = fleet.json(0, "apply --yes");
    assert_eq!((&done["state"], &done["steps_verified"]), (&"completed".into(), &2.into()));
    let audit = fleet.json(0, "history verify");
    let roots: Vec<&Value> =
        audit["nodes"].as_array().unwrap().iter().map(|node| &node["common_root"]).collect();
    assert_eq!(roots.len(), 3);
    assert!(roots.iter().all(|root| *root == roots[0] && *root != ""), "{audit}");

    let first = fleet.leader();
    let other = if first == 1 { 2 } else { 1 };
    fleet.json(0, &format!("cluster transfer {other}"));
    fleet.until("cluster members", |members| members["leader"] == other);
    fleet.kill(other);
    // The same commands find whoever leads now; what was done is still known.
    let undone = fleet.json(0, "rollback mig-0001 --yes");
    assert_eq!(undone["state"], "rolled back");
    let audit = fleet.json(50, "history verify --connect-timeout 1");
    assert_eq!(audit["verified"], true, "the two that answer agree");
    let silent =
        audit["nodes"].as_array().unwrap().iter().filter(|node| node["unreachable"] == true);
    assert_eq!(silent.count(), 1);

    assert_eq!(terminate(fleet.agent.take().unwrap()), Some(0), "{}", fleet.log());
    for node in 0..3 {
        if let Some(child) = fleet.coordinators[node].take() {
            assert_eq!(terminate(child), Some(0), "node {}\n{}", node + 1, fleet.log());
        }
    }
}

#[test]
fn configurations_can_be_checked_without_starting() {
    let dir = TempDir::new().unwrap();
    let check = |text: &str| {
        fs::write(dir.path().join("coordinator.toml"), text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
        command.args(["coordinator", "--check"]).current_dir(dir.path()).env_remove("SKEIN_CONFIG");
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let whole = "node = 1\ncluster = \"c\"\ndata = \"d\"\nlisten = \"127.0.0.1:7301\"\n";
    assert_eq!(check(whole).0, Some(0));
    let (code, err) = check(&whole.replace("node = 1", "node = 0"));
    assert_eq!(code, Some(2));
    assert!(err.contains("`node` is 0"), "{err}");
    assert!(!dir.path().join("d").exists(), "nothing is made by a check");
}
