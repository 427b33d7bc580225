//! A world from a seed: targets, agents, bundles, scripts that fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skein_core::bundle::{Facts, Manifest, Migration, Script};
use skein_core::command::Command;
use skein_core::ids::{AgentId, ClusterId, Fence, Seq, TargetId, Version};
use skein_core::policy::Policy;
use skein_core::spec::{Backup, Engine, TransactionMode};

use super::agent::Agent;
use super::database::{Database, Poison, digest};
use super::dice::{Dice, Stream};
use super::executor::SECRET;
use super::leader::Leader;
use super::network::Wire;
use super::{Happening, Options, Run, Sim};
use crate::invariants::Watch;
use crate::observation::Seen;

const ENGINES: [Engine; 3] = [Engine::Postgres, Engine::Mysql, Engine::Sqlite];

/// The world of a seed, with its first happenings.
pub(super) fn sim(seed: u64, options: &Options) -> Sim {
    let mut dice = Dice::new(seed, Stream::World, 0);
    let versions = versions(&mut dice);
    let mut bundles = bundles(&mut dice, &versions);
    let batched = batched(&mut Dice::new(seed, Stream::Batches, 0), (&versions, &mut bundles));
    let count = 2 + dice.below(7);
    let mut databases: Vec<Database> = (1..=count)
        .take(options.without.databases_beyond.unwrap_or(usize::MAX))
        .map(|number| database(seed, number, &versions, options))
        .collect();
    let mut agents = agents(seed, &mut dice, databases.len());
    dump(&mut Dice::new(seed, Stream::Dumps, 0), (&mut databases, &mut agents), &versions);
    let wires = (0..agents.len())
        .map(|number| Wire {
            dice: Dice::new(seed, Stream::Network, number as u64),
            unheard_until: 0,
            deaf_until: 0,
        })
        .collect();
    // Words are looked for in every event, which takes its time.
    let secrets = if dice.chance(60) || options.mutation.is_some() {
        vec![SECRET.to_owned()]
    } else {
        Vec::new()
    };
    let mut sim = Sim {
        seed,
        loss: dice.below(150),
        now: 0,
        order: 0,
        queue: BTreeMap::new(),
        healed: false,
        leader: Leader::new(Dice::new(seed, Stream::Leader, 0)),
        agents,
        wires,
        databases,
        bundles: bundles.into_iter().map(Arc::new).collect(),
        batched,
        requests: Vec::new(),
        openings: BTreeMap::new(),
        watch: Watch::default().with_secrets(&secrets),
        options: options.clone(),
        run: Run::default(),
    };
    sim.begin(&mut dice);
    sim
}

impl Sim {
    /// Everything that is there is registered and looked at once before anything goes wrong.
    fn begin(&mut self, dice: &mut Dice) {
        let charter = digest("charter");
        let early = Command::RetireTarget { target: "t-1".into(), reason: "too early".to_owned() };
        if let Ok(Some(_)) = self.ask_under(charter, "root", None, early) {
            self.refused("nothing is done before a cluster is formed", String::new());
        }
        let command =
            Command::FormCluster { cluster: ClusterId([1; 16]), charter, bound: String::new() };
        if let Err(kind) = self.ask_under(charter, "root", None, command) {
            self.refused("a cluster is formed", format!("{kind:?}"));
        }
        if dice.chance(400) {
            let least_backup =
                [Backup::Exempt, Backup::Schema, Backup::Tables, Backup::Database][dice.place(4)];
            let policy = Policy { least_backup, refuse_irreversible: dice.chance(300) };
            self.urge("root", Command::AdoptCharter { policy, text: String::new() });
        }
        for manifest in self.bundles.clone() {
            self.urge("root", Command::StoreBundle { manifest });
        }
        for agent in 0..self.agents.len() {
            if !self.agents[agent].up {
                let late = self.agents[agent].dice.between(500, 15_000);
                self.at(late, Happening::Start { agent });
                continue;
            }
            self.join(agent);
            self.at(1, Happening::Beat { agent, life: 0 });
            for place in 0..self.agents[agent].serves.len() {
                let database = self.agents[agent].serves[place];
                let seen = Ok(self.observation(database));
                let target = self.databases[database].id.clone();
                self.seen((agent, 0), target, (seen, self.leader.applied.seq));
            }
            let first = self.agents[agent].dice.between(500, 3_000);
            self.at(first, Happening::Look { agent, life: 0 });
        }
        drop(self.make_durable());
        self.see(Seen::Leads { node: 1, term: 1 });
        self.at(0, Happening::Tick { term: 1 });
        self.at(5, Happening::Operator);
        self.at(200, Happening::Nemesis);
        let faults = dice.between(5_000, 30_000);
        self.at(faults, Happening::Heal);
    }
}

fn versions(dice: &mut Dice) -> Vec<Version> {
    let count = 2 + dice.below(4);
    let times = dice.chance(250);
    (1..=count)
        .map(|number| {
            Version(if times { format!("2024010100{number:04}") } else { number.to_string() })
        })
        .collect()
}

/// Two that fit together, the later one longer; and some that do not fit.
fn bundles(dice: &mut Dice, versions: &[Version]) -> Vec<Manifest> {
    let without_down = dice.chance(250).then(|| dice.place(versions.len()));
    let not_on_sqlite = dice.chance(60).then(|| dice.place(versions.len()));
    let all: Vec<Migration> = versions
        .iter()
        .enumerate()
        .map(|(place, version)| {
            let refusal = if not_on_sqlite == Some(place) { "no such function" } else { "" };
            migration(version, "", without_down != Some(place), refusal)
        })
        .collect();
    let some = 1 + dice.place(all.len());
    let mut bundles = vec![all[..some].to_vec(), all.clone()];
    // A comment was edited, what runs was changed, the first one is gone, one has come late.
    for text in ["~", "*"] {
        let mut edited = all.clone();
        edited[0] = migration(&versions[0], text, true, "");
        bundles.push(edited);
    }
    bundles.push(all[1..].to_vec());
    let mut late = all.clone();
    late.insert(1, migration(&Version("1.5".to_owned()), "", true, ""));
    bundles.push(late);
    let mut twice = all.clone();
    twice.push(all[0].clone());
    bundles.push(twice);
    bundles
        .into_iter()
        .enumerate()
        .map(|(place, migrations)| Manifest {
            digest: digest(&format!("bundle {place}")),
            format: "model".to_owned(),
            migrations,
        })
        .collect()
}

/// One of them may be a statement in batches, which runs outside of a transaction on every engine.
fn batched(dice: &mut Dice, (versions, bundles): (&[Version], &mut [Manifest])) -> Option<Version> {
    let version = dice.chance(300).then(|| versions[dice.place(versions.len())].clone())?;
    let migrations = bundles.iter_mut().flat_map(|bundle| &mut bundle.migrations);
    for migration in migrations.filter(|migration| migration.version == version) {
        for script in [Some(&mut migration.up), migration.down.as_mut()].into_iter().flatten() {
            for facts in &mut script.facts {
                facts.mode = TransactionMode::Statements;
                "it runs in batches".clone_into(&mut facts.why);
            }
        }
    }
    Some(version)
}

/// As the golden scripts of the core make it.
fn migration(version: &Version, mark: &str, down: bool, refusal: &str) -> Migration {
    let edit = if mark == "~" { " edited" } else { "" };
    let change = if mark == "*" { " changed" } else { "" };
    let mut up = script(
        format!("{version}.up.sql"),
        &format!("{version}.up{edit}{change}"),
        &format!("{version}.up normalised{change}"),
        refusal,
    );
    // Some change rows alone, and readers of an earlier release do not say which.
    for facts in &mut up.facts {
        facts.defines = (!version.as_str().ends_with('3')).then_some(!rows_alone(version));
    }
    let text = format!("{version}.down");
    Migration {
        version: version.clone(),
        name: format!("change {version}"),
        up,
        down: down.then(|| script(format!("{version}.down.sql"), &text, &text, "")),
        verify: false,
        // Some authors wrote one.
        probe: version.as_str().ends_with(['2', '4']),
    }
}

/// As its agent finds it: no schema tells whether it is in force.
pub(super) fn rows_alone(version: &Version) -> bool {
    version.as_str().ends_with(['3', '5'])
}

fn script(file: String, text: &str, normalised: &str, not_on_sqlite: &str) -> Script {
    let facts = ENGINES.map(|engine| Facts {
        engine,
        mode: match engine {
            Engine::Mysql => TransactionMode::Statements,
            Engine::Postgres | Engine::Sqlite => TransactionMode::OneTransaction,
        },
        why: String::new(),
        locks: Vec::new(),
        destructive: false,
        refusal: if engine == Engine::Sqlite { not_on_sqlite.to_owned() } else { String::new() },
        statements: 1,
        defines: None,
        words: None,
    });
    Script { file, raw: digest(text), normalised: digest(normalised), facts: facts.into() }
}

fn database(seed: u64, number: u32, versions: &[Version], options: &Options) -> Database {
    let mut dice = Dice::new(seed, Stream::Database, u64::from(number));
    let mut poison = BTreeMap::new();
    for version in versions {
        for down in [false, true] {
            let one = Poison {
                times: 1 + dice.below(3),
                retryable: dice.chance(500),
                half: dice.chance(300),
                verification: dice.chance(200),
            };
            if dice.chance(60) && !options.without.poison {
                poison.insert((version.clone(), down), one);
            }
        }
    }
    let ring = if dice.chance(500) { "red" } else { "blue" };
    let engine = ENGINES[dice.place(3)];
    // Some were migrated before anybody looked at them.
    let found = if dice.chance(150) { dice.place(versions.len()) } else { 0 };
    Database {
        id: TargetId(format!("t-{number}")),
        engine,
        labels: BTreeMap::from([("ring".to_owned(), ring.to_owned())]),
        identity: format!("server-of-t-{number}"),
        fence: Fence(0),
        ledger: versions[..found].iter().map(entry).collect(),
        intent: None,
        lock: None,
        poison,
        down_until: 0,
        by_hand: 0,
        unrecorded: BTreeSet::new(),
        undone: BTreeSet::new(),
        restored: false,
    }
}

/// Now and then one comes late, and out of a dump of another: with its schema, and without its ledger.
fn dump(
    dice: &mut Dice,
    (databases, agents): (&mut [Database], &mut [Agent]),
    versions: &[Version],
) {
    if !dice.chance(250) || databases.len() < 2 {
        return;
    }
    let last = databases.len() - 1;
    let engine = databases[0].engine;
    let count = if dice.chance(700) { versions.len() } else { 1 + dice.place(versions.len()) };
    let database = &mut databases[last];
    database.engine = engine;
    database.ledger.clear();
    database.unrecorded = versions[..count].iter().cloned().collect();
    let until = dice.between(1_000, 12_000);
    for agent in agents.iter_mut().filter(|agent| agent.serves.contains(&last)) {
        agent.unnamed.insert(last, until);
    }
}

fn entry(version: &Version) -> skein_core::state::ledger::Entry {
    skein_core::state::ledger::Entry {
        version: version.clone(),
        digest: digest(&format!("{version}.up")),
    }
}

fn agents(seed: u64, dice: &mut Dice, databases: usize) -> Vec<Agent> {
    let count = 1 + dice.place(3);
    let mut agents: Vec<Agent> = (0..count)
        .map(|number| {
            let mut own = Dice::new(seed, Stream::Agent, number as u64);
            Agent {
                id: AgentId(format!("a{number}")),
                serves: Vec::new(),
                slots: 1 + own.below(5),
                up: number == 0 || !own.chance(250),
                life: 0,
                stalled_until: 0,
                heard: Seq(0),
                executors: BTreeMap::new(),
                unnamed: BTreeMap::new(),
                told: false,
                asks: BTreeMap::new(),
                finished: BTreeSet::new(),
                dice: Dice::new(seed, Stream::Work, number as u64),
            }
        })
        .collect();
    for database in 0..databases {
        let first = dice.place(count);
        agents[first].serves.push(database);
        let second = dice.place(count);
        if second != first && dice.chance(600) {
            agents[second].serves.push(database);
        }
    }
    agents
}
