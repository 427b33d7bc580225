//! A cluster with an agent, and rounds in which machines lose their power.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use skein_chaos::place::{self, Place};
use skein_chaos_disk::{Dice, Faults, Outcome, SyncFault};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::check;
use crate::client::Client;
use crate::load::{Load, Told};
use crate::machine::{Machine, Programs};

/// How long anything may take that has to happen.
const LIMIT: Duration = Duration::from_mins(1);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// Targets of the agent.
const TARGETS: [&str; 3] = ["p1", "p2", "p3"];

/// What rounds came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    /// Rounds played.
    pub rounds: u64,
    /// Machines that lost their power.
    pub machines: u64,
    /// Bundles that were acknowledged.
    pub acknowledged: usize,
    /// Archives that the log names, each found whole.
    pub archives: u64,
    /// Archives that were restored into a scratch database.
    pub restored: u64,
    /// What the power cuts took.
    pub power: Outcome,
}

/// Everything that rounds share.
#[derive(Debug)]
pub struct Arena {
    place: Place,
    programs: Programs,
    nodes: Vec<Machine>,
    clients: Vec<Client>,
    agent: Machine,
    told: Told,
    next: Arc<AtomicU64>,
    migrations: u32,
    checked: u64,
    /// The sum so far.
    pub sum: Sum,
}

impl Arena {
    /// A cluster of `size` nodes and an agent, started.
    pub async fn start(programs: Programs, size: u16) -> Result<Self> {
        let place = Place::new("power")?;
        let dir = place.path().to_owned();
        let addresses = free_addresses(usize::from(size))?;
        let members: Vec<String> = (1..)
            .zip(&addresses)
            .map(|(node, address)| format!("[[member]]\nnode = {node}\naddress = \"{address}\"\n"))
            .collect();
        let members = members.concat();
        let (mut nodes, mut clients) = (Vec::new(), Vec::new());
        for (number, address) in (1..).zip(&addresses) {
            let name = format!("node-{number}");
            let config = dir.join(format!("{name}.toml"));
            let text = format!(
                "node = {number}\ncluster = \"power\"\ndata = \"{name}/data\"\nlisten = \"{address}\"\n\
                 lease_ms = 1000\n[raft]\nheartbeat_ms = 100\nelection_min_ms = 400\n\
                 election_max_ms = 800\nsnapshot_after = 150\nkeep_entries = 20\n{members}"
            );
            std::fs::write(&config, text)?;
            let config = config.display().to_string();
            nodes.push(Machine::new(&dir, &name, &["coordinator", "--config", &config])?);
            clients.push(Client::new(address)?);
        }
        let config = dir.join("skein.toml");
        let agent =
            Machine::new(&dir, "agent", &["agent", "--config", &config.display().to_string()])?;
        let urls: Vec<String> =
            addresses.iter().map(|address| format!("\"http://{address}\"")).collect();
        let targets: Vec<String> = TARGETS
            .iter()
            .map(|id| {
                let base = agent.root.join(format!("{id}.db")).display().to_string();
                format!("[[target]]\nid = \"{id}\"\nurl = \"sqlite:{base}?mode=rwc\"\n")
            })
            .collect();
        let targets = targets.concat();
        let text = format!(
            "[coordinator]\naddresses = [{}]\n[project]\nactor = \"power\"\nformat = \"sqlx\"\n\
             [agent]\nid = \"a\"\nbackups = \"agent/backups\"\ncache = \"agent/cache\"\n{targets}",
            urls.join(", ")
        );
        std::fs::write(&config, text)?;
        std::fs::create_dir_all(agent.root.join("backups"))?;
        for id in TARGETS {
            let base = rusqlite::Connection::open(agent.root.join(format!("{id}.db")))?;
            base.execute_batch("CREATE TABLE own (id integer PRIMARY KEY)")?;
        }
        std::fs::create_dir_all(dir.join("migrations"))?;
        let mut arena = Self {
            place,
            programs,
            nodes,
            clients,
            agent,
            told: Told::default(),
            next: Arc::default(),
            migrations: 0,
            checked: 0,
            sum: Sum::default(),
        };
        arena.start_all()?;
        arena.settled().await?;
        Ok(arena)
    }

    fn start_all(&mut self) -> Result<()> {
        for machine in self.nodes.iter_mut().chain([&mut self.agent]) {
            if !machine.runs() {
                machine.start(&self.programs)?;
            }
        }
        Ok(())
    }

    /// Waits until all nodes know a leader and have one history; the charter, and the leader's term.
    async fn settled(&self) -> Result<(Bytes, u64)> {
        let look = async {
            loop {
                if let Ok(found) = self.look().await {
                    return found;
                }
                sleep(PAUSE).await;
            }
        };
        timeout(LIMIT, look).await.context("the cluster does not come to serve")
    }

    async fn look(&self) -> Result<(Bytes, u64)> {
        let (mut heads, mut found) = (Vec::new(), None);
        for client in &self.clients {
            let members = client.members().await?;
            ensure!(
                members.leader > 0 && members.charter.iter().any(|byte| *byte > 0),
                "no leader"
            );
            found = Some((members.charter, members.term));
            let head = client.head(0).await?;
            heads.push((head.size, head.root));
        }
        ensure!(heads.windows(2).all(|pair| matches!(pair, [a, b] if a == b)), "not one history");
        found.context("no node")
    }

    fn next_migration(&mut self) -> Result<()> {
        self.migrations += 1;
        let number = self.migrations;
        let dir = self.place.path().join("migrations");
        let first = "CREATE TABLE effects (id integer PRIMARY KEY, step text NOT NULL);\n";
        let up = format!(
            "{}CREATE TABLE t{number} (id integer PRIMARY KEY, note text);\n\
             INSERT INTO t{number} (note) SELECT hex(randomblob(300)) FROM (VALUES (1),(2),(3),(4),(5));\n\
             INSERT INTO effects (step) VALUES ('{number}');\n",
            if number == 1 { first } else { "" }
        );
        std::fs::write(dir.join(format!("{number}_t.up.sql")), up)?;
        std::fs::write(
            dir.join(format!("{number}_t.down.sql")),
            format!("DROP TABLE t{number};\n"),
        )?;
        Ok(())
    }

    fn skein(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.programs.skein);
        command.args(words).arg("--config").arg(self.place.path().join("skein.toml"));
        command.current_dir(self.place.path()).env("NO_COLOR", "1").kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn migrate(&self) -> Command {
        self.skein(&["migrate", "migrations", "--on", "p*", "--retries", "6", "-o", "json"])
    }

    /// One round; an error says what was lost.
    pub async fn round(&mut self, seed: u64) -> Result<()> {
        let mut dice = Dice::new(seed);
        let (charter, term) = self.settled().await?;
        self.next_migration()?;
        let size = self.nodes.len();
        // One that was away gets the rest as a snapshot, and the power goes on the way.
        let away = (size > 1 && dice.one_in(4)).then(|| pick(&mut dice, size));
        if let Some(node) = away.and_then(|away| self.nodes.get_mut(away)) {
            node.kill()?;
        }
        let load = Load::start(&self.clients, 2 + size, &charter, &self.next);
        let rollout = self.migrate().spawn()?;
        let faulty = dice.one_in(4).then(|| pick(&mut dice, size));
        moment(&load, 5 + dice.below(40), &mut dice).await;
        if let Some(node) = away.and_then(|away| self.nodes.get_mut(away)) {
            node.start(&self.programs)?;
            moment(&load, 5, &mut dice).await;
        }
        if let Some(node) = faulty.and_then(|faulty| self.nodes.get_mut(faulty)) {
            stops_by_itself(node, &mut dice).await?;
        }
        let struck = self.lose_power(&mut dice, faulty)?;
        drop(rollout);
        let told = load.end().await;
        self.sum.acknowledged += told.bundles.len();
        self.told.bundles.extend(told.bundles);
        self.told.heads.extend(told.heads);
        let mut votes = Vec::new();
        for node in struck {
            let copy = self.place.path().join("copy");
            if let Some(machine) = self.nodes.get(node) {
                place::copy(&machine.root.join("data"), &copy)?;
                let vote = check::vote(&copy).await;
                votes.push(vote.with_context(|| format!("{} cannot start", machine.name))?);
                std::fs::remove_dir_all(&copy)?;
            }
        }
        let behind = votes.iter().filter(|vote| **vote < term).count();
        ensure!(
            behind <= size / 2,
            "a majority forgot its vote: {votes:?}, and the term was {term}"
        );
        self.start_all()?;
        self.checked_all().await.with_context(|| self.said())?;
        self.sum.rounds += 1;
        Ok(())
    }

    /// Some machines lose power at one moment; which nodes did.
    fn lose_power(&mut self, dice: &mut Dice, faulty: Option<usize>) -> Result<Vec<usize>> {
        let agent = dice.one_in(2);
        let all = dice.one_in(2);
        let mut struck: Vec<usize> = (0..self.nodes.len())
            .filter(|node| all || Some(*node) == faulty || dice.one_in(2))
            .collect();
        if struck.is_empty() && !agent {
            struck.push(pick(dice, self.nodes.len()));
        }
        let mut machines: Vec<&mut Machine> = self
            .nodes
            .iter_mut()
            .enumerate()
            .filter(|(node, _)| struck.contains(node))
            .map(|(_, machine)| machine)
            .collect();
        if agent {
            machines.push(&mut self.agent);
        }
        for machine in &mut machines {
            machine.kill()?;
        }
        for machine in machines {
            self.sum.power += machine.lose_power(dice.next_u64())?;
            self.sum.machines += 1;
        }
        Ok(struck)
    }

    async fn checked_all(&mut self) -> Result<()> {
        self.settled().await?;
        self.finish_rollout().await?;
        self.settled().await?;
        let events = check::nodes(&self.clients, &self.told).await?;
        let targets = TARGETS.map(str::to_owned);
        self.sum.archives += check::targets(&self.agent.root, &targets, &events, self.checked)?;
        self.checked = events.last().map_or(0, |event| event.seq + 1);
        let target =
            TARGETS.get(usize::try_from(self.migrations)? % TARGETS.len()).unwrap_or(&"p1");
        let verified = self.skein(&["backup", "verify", target]).output().await?;
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        ensure!(verified.status.success(), "the backup of {target} cannot be restored: {said}");
        self.sum.restored += 1;
        Ok(())
    }

    /// The rollout of this round ends well, by itself or when it is asked for again.
    async fn finish_rollout(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let ran = timeout(LIMIT, self.migrate().output()).await;
            let ran = ran.context("`skein migrate` hangs")??;
            if ran.status.success() {
                return Ok(());
            }
            if begun.elapsed() > LIMIT {
                let said = String::from_utf8_lossy(&ran.stderr).into_owned();
                bail!("the rollout does not end: {:?}: {said}", ran.status.code());
            }
            sleep(PAUSE).await;
        }
    }

    fn said(&self) -> String {
        let machines = self.nodes.iter().chain([&self.agent]);
        let said: Vec<String> =
            machines.map(|machine| format!("--- {}\n{}\n", machine.name, machine.said())).collect();
        said.concat()
    }

    /// The disks stay, for whoever looks into it.
    pub fn keep(self) -> PathBuf {
        drop((self.nodes, self.agent));
        self.place.keep()
    }
}

/// The node's disk fails, and it must not go on.
async fn stops_by_itself(node: &mut Machine, dice: &mut Dice) -> Result<()> {
    let faults = if dice.one_in(2) {
        Faults { sync: SyncFault::FailAlways, ..Faults::default() }
    } else {
        // One failure, where it counts.
        Faults { sync: SyncFault::Fail(1), only: "data/log".to_owned(), ..Faults::default() }
    };
    node.fault(&faults)?;
    let stopped = async {
        while node.runs() {
            sleep(PAUSE).await;
        }
    };
    let stopped = timeout(Duration::from_secs(20), stopped).await;
    stopped.with_context(|| format!("{} goes on although fsync fails: {}", node.name, node.said()))
}

/// A random moment once `more` bundles were acknowledged, or a second has gone by.
async fn moment(load: &Load, more: u64, dice: &mut Dice) {
    let goal = load.acknowledged() + usize::try_from(more).unwrap_or(0);
    let enough = async {
        while load.acknowledged() < goal {
            sleep(Duration::from_millis(2)).await;
        }
    };
    // Where nothing is acknowledged, such as by a node that has stopped, time goes on all the same.
    if timeout(Duration::from_secs(1), enough).await.is_ok() {
        sleep(Duration::from_micros(dice.below(3_000))).await;
    }
}

fn pick(dice: &mut Dice, size: usize) -> usize {
    usize::try_from(dice.below(u64::try_from(size).unwrap_or(1))).unwrap_or(0)
}

/// Ports that nobody listens on, below the range out of which outgoing connections get theirs.
fn free_addresses(count: usize) -> Result<Vec<String>> {
    let mut held = BTreeMap::new();
    let mut dice = Dice::new(u64::from(std::process::id()));
    for _ in 0..1_000 {
        if held.len() < count {
            let port = u16::try_from(12_000 + dice.below(20_000))?;
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
                held.insert(format!("127.0.0.1:{port}"), listener);
            }
        }
    }
    ensure!(held.len() == count, "no free ports were found on loopback");
    Ok(held.into_keys().collect())
}
