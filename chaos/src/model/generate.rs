//! A world from a seed: targets, agents, bundles, strategies, scripts that fail.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::bundle::{Facts, Manifest, Migration, Script};
use skein_core::command::Command;
use skein_core::ids::{AgentId, ClusterId, Digest, Fence, TargetId, Version};
use skein_core::spec::{
    Backup, Budget, Direction, Engine, Goal, OnBreach, Selector, Spec, Strategy, TransactionMode,
    Wave,
};
use skein_core::state::target::Description;

use super::database::{Database, Poison};
use super::dice::Dice;
use super::leader::Leader;
use super::{Agent, Happening, Options, Run, Sim};
use crate::invariants::Watch;

const ENGINES: [Engine; 3] = [Engine::Postgres, Engine::Mysql, Engine::Sqlite];

/// The world of a seed, with its first happenings.
pub(super) fn sim(seed: u64, options: Options) -> Sim {
    let mut dice = Dice::new(seed);
    let bundles = bundles(&mut dice);
    let databases = databases(&mut dice);
    let agents = agents(&mut dice, databases.len());
    let loss = dice.below(150);
    let mut sim = Sim {
        dice,
        loss,
        now: 0,
        order: 0,
        queue: BTreeMap::new(),
        healed: false,
        leader: Leader { up: true, ..Leader::default() },
        agents,
        databases,
        bundles,
        requests: Vec::new(),
        watch: Watch::default(),
        options,
        run: Run::default(),
    };
    sim.begin();
    sim
}

impl Sim {
    /// Everything is registered and looked at once before anything goes wrong.
    fn begin(&mut self) {
        let command = Command::FormCluster {
            cluster: ClusterId([1; 16]),
            charter: Digest::default(),
            bound: String::new(),
        };
        self.urge("root", command);
        for manifest in self.bundles.clone() {
            self.urge("root", Command::StoreBundle { manifest: Box::new(manifest) });
        }
        for agent in 0..self.agents.len() {
            self.join(agent);
            self.at(1, Happening::Beat { agent, life: 0 });
            for database in self.agents[agent].serves.clone() {
                let seen = self.observation(database);
                let target = self.databases[database].id.clone();
                self.seen(agent, target, seen);
            }
            let first = self.dice.between(500, 3_000);
            self.at(first, Happening::Look { agent, life: 0 });
        }
        drop(self.make_durable());
        self.at(0, Happening::Tick { term: 0 });
        self.at(5, Happening::Operator);
        self.at(200, Happening::Nemesis);
        let faults = self.dice.between(5_000, 30_000);
        self.at(faults, Happening::Heal);
    }

    /// An agent says what it serves.
    pub(super) fn join(&mut self, agent: usize) {
        let targets = self.agents[agent]
            .serves
            .iter()
            .map(|database| {
                let database = &self.databases[*database];
                let description = Description {
                    engine: database.engine,
                    labels: BTreeMap::new(),
                    group: String::new(),
                };
                (database.id.clone(), description)
            })
            .collect();
        let id = self.agents[agent].id.clone();
        let command = Command::JoinAgent { agent: id, version: "1.0".to_owned(), targets };
        self.urge(&self.agents[agent].actor(), command);
    }
}

fn digest(text: &str) -> Digest {
    let mut bytes = [0; 32];
    for (place, byte) in text.bytes().enumerate() {
        bytes[place % 32] ^= byte;
    }
    bytes[31] = 9;
    Digest(bytes)
}

fn bundles(dice: &mut Dice) -> Vec<Manifest> {
    let count = 2 + dice.below(4);
    let without_down = dice.chance(250).then(|| 1 + dice.below(count));
    let all: Vec<Migration> = (1..=count)
        .map(|number| Migration {
            version: Version(number.to_string()),
            name: format!("change {number}"),
            up: script(&format!("{number}.up.sql")),
            down: (Some(number) != without_down).then(|| script(&format!("{number}.down.sql"))),
            verify: false,
            probe: false,
        })
        .collect();
    let some = 1 + dice.place(all.len());
    [all[..some].to_vec(), all]
        .into_iter()
        .enumerate()
        .map(|(place, migrations)| Manifest {
            digest: digest(&format!("bundle {place}")),
            format: "model".to_owned(),
            migrations,
        })
        .collect()
}

fn script(file: &str) -> Script {
    let facts = ENGINES.map(|engine| Facts {
        engine,
        mode: match engine {
            Engine::Mysql => TransactionMode::Statements,
            Engine::Postgres | Engine::Sqlite => TransactionMode::OneTransaction,
        },
        why: String::new(),
        locks: Vec::new(),
        destructive: false,
        refusal: String::new(),
        statements: 2,
    });
    Script {
        file: file.to_owned(),
        raw: digest(file),
        normalised: digest(file),
        facts: facts.into(),
    }
}

fn databases(dice: &mut Dice) -> Vec<Database> {
    (1..=2 + dice.below(7))
        .map(|number| {
            let mut poison = BTreeMap::new();
            for version in 1..=5_u32 {
                for down in [false, true] {
                    if dice.chance(60) {
                        let one = Poison {
                            times: 1 + dice.below(3),
                            retryable: dice.chance(500),
                            half: dice.chance(300),
                            verification: dice.chance(200),
                        };
                        poison.insert((Version(version.to_string()), down), one);
                    }
                }
            }
            Database {
                id: TargetId(format!("t-{number}")),
                engine: ENGINES[dice.place(3)],
                identity: format!("server {number}"),
                fence: Fence(0),
                ledger: Vec::new(),
                intent: None,
                lock: None,
                poison,
            }
        })
        .collect()
}

fn agents(dice: &mut Dice, databases: usize) -> Vec<Agent> {
    let count = 1 + dice.place(3);
    let mut agents: Vec<Agent> = (0..count)
        .map(|number| Agent {
            id: AgentId(format!("a{number}")),
            serves: Vec::new(),
            slots: 1 + dice.below(5),
            up: true,
            life: 0,
            stalled_until: 0,
            executors: BTreeMap::new(),
            finished: BTreeSet::new(),
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

/// A question for the planner.
pub(super) fn spec(dice: &mut Dice, bundles: &[Manifest], databases: &[Database]) -> Spec {
    let direction = match dice.below(10) {
        0 => Direction::Validate,
        1 => Direction::Down,
        _ => Direction::Up,
    };
    let goal = match (direction, dice.below(3)) {
        (Direction::Down, 0) => Goal::Nothing,
        (Direction::Down, _) | (_, 0) => Goal::Steps(1 + dice.below(2)),
        (Direction::Up | Direction::Validate, _) => Goal::Latest,
    };
    let mut waves = Vec::new();
    for _ in 0..dice.below(3) {
        let mut wave = Wave::default();
        if dice.chance(500) {
            wave.percent = 20 + dice.below(60);
        } else {
            wave.selector.targets = vec![databases[dice.place(databases.len())].id.0.clone()];
        }
        waves.push(wave);
    }
    let selector = if dice.chance(300) {
        let ids = databases.iter().filter(|_| dice.chance(500)).map(|one| one.id.0.clone());
        Selector { targets: ids.chain(["t-1".to_owned()]).collect(), labels: Vec::new() }
    } else {
        Selector::default()
    };
    Spec {
        bundle: bundles[dice.place(bundles.len())].digest,
        selector,
        direction,
        goal,
        strategy: Strategy {
            waves,
            parallelism: 1 + dice.below(5),
            budget: Budget { failed: dice.below(3), percent: 30 * dice.below(2) },
            on_breach: [
                OnBreach::Halt,
                OnBreach::RollbackTarget,
                OnBreach::RollbackWave,
                OnBreach::RollbackRollout,
            ][dice.place(4)],
            retries: dice.below(3),
            backup: if dice.chance(100) { Backup::Exempt } else { Backup::Database },
        },
        out_of_order: false,
        accept_drift: dice.chance(200),
    }
}
