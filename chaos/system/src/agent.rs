//! An agent's process: the real one, on real SQLite files on the simulated disk.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use skein_agent::config::{AgentId, Secret, Target, TargetId, Url};
use skein_agent::db::{Engine, Timeouts};
use skein_agent::{Config, Coordinators};

use crate::{node, wire, world};

pub(crate) fn host(agent: u64) -> String {
    format!("agent-{agent}")
}

/// The directory with the databases: one disk.
pub(crate) const TARGETS: &str = "targets";

pub(crate) fn target(number: u64) -> String {
    format!("shard-{number}")
}

pub(crate) fn file(target: &str) -> PathBuf {
    PathBuf::from(TARGETS).join(format!("{target}.db"))
}

/// Every agent serves every target: when one is gone, another has its legs.
pub(crate) fn config(agent: u64, targets: u64) -> Config {
    let one = |number: u64| {
        let id = target(number);
        Target {
            url: Url::Plain(Secret::new(format!("sqlite:{}", file(&id).display()))),
            id: TargetId::parse(&id).expect("a target's name"),
            engine: Some(Engine::Sqlite),
            labels: BTreeMap::from([(
                "region".to_owned(),
                if number.is_multiple_of(2) { "eu" } else { "us" }.to_owned(),
            )]),
            group: format!("host-{}", number % 2),
            schema: None,
            replicas: Vec::new(),
            directory: PathBuf::from("."),
        }
    };
    Config {
        id: AgentId::parse(&host(agent)).expect("an agent's name"),
        slots: NonZeroU32::new(2).unwrap_or(NonZeroU32::MIN),
        // Beside the simulated disks: what a dead process leaves there is not taken back.
        backups: "../archives".to_owned(),
        cache: PathBuf::from(format!("../cache-{}", host(agent))),
        timeouts: Timeouts {
            lock_ms: 1_000,
            session_lock_poll_ms: 50,
            session_lock_wait_ms: 5_000,
            ..Timeouts::default()
        },
        charter: None,
        targets: (1..=targets).map(one).collect(),
        discoveries: Vec::new(),
        gates: BTreeMap::new(),
        directory: PathBuf::from("."),
    }
}

/// Runs until it is killed.
pub(crate) async fn run(agent: u64, nodes: u64, targets: u64) -> turmoil::Result {
    let name = host(agent);
    world::begins(&name);
    // One more comes when rollouts are under way.
    let targets = if world::world(|world| world.grown) { targets } else { targets - 1 };
    let mut addresses: Vec<String> =
        (1..=nodes).map(|node| format!("http://{}:{}", node::host(node), wire::PORT)).collect();
    // Not all of them go to the same node first.
    let first = usize::try_from(agent).unwrap_or(0) % addresses.len().max(1);
    addresses.rotate_left(first);
    let coordinators = Coordinators::Dialled(addresses, wire::from_agents());
    match skein_agent::start(config(agent, targets), coordinators).await {
        Ok(running) => {
            let _running = running;
            std::future::pending().await
        }
        Err(error) => {
            world::exits(&name, error.to_string());
            std::future::pending().await
        }
    }
}
