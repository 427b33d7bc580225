//! A coordinator node's process.

use std::path::PathBuf;
use std::rc::Rc;

use skein_coordinator::{Config, Host, charter, config, start_on};

use crate::{wire, world};

/// How often a history is looked at, and a Raft log is purged: small, so that a run sees both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) snapshot_after: u64,
    pub(crate) keep_entries: u64,
}

pub(crate) fn host(node: u64) -> String {
    format!("node-{node}")
}

fn members(count: u64) -> Vec<(u64, String)> {
    (1..=count).map(|node| (node, format!("{}:{}", host(node), wire::PORT))).collect()
}

/// How long a lease is here.
pub(crate) const LEASE_MS: u32 = 3_000;

pub(crate) fn config(node: u64, count: u64, cut: Cut) -> Config {
    Config {
        node,
        cluster: "simulated".to_owned(),
        data: PathBuf::from(host(node)),
        listen: None,
        metrics: None,
        advertise: format!("{}:{}", host(node), wire::PORT),
        members: members(count),
        charter: charter::DEFAULT.as_bytes().to_vec(),
        charter_bound: String::new(),
        raft: config::Raft {
            snapshot_after: cut.snapshot_after,
            keep_entries: cut.keep_entries,
            ..config::Raft::default()
        },
        lease_ms: LEASE_MS,
    }
}

/// The network is simulated; sled's threads wait for each other in ways that cannot be.
fn host_of(
    incoming: impl futures::Stream<Item = std::io::Result<skein_coordinator::host::Connection>>
    + Send
    + 'static,
) -> Host {
    Host::reached_by(incoming, wire::dial()).without_index()
}

/// Runs until it cannot go on.
pub(crate) async fn run(config: Config) -> turmoil::Result {
    let name = host(config.node);
    world::begins(&name);
    let incoming = wire::listen().await?;
    let started = start_on(config, host_of(incoming)).await;
    let running = match started {
        Ok(running) => Rc::new(running),
        Err(error) => {
            let mut why = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(error) = source {
                why = format!("{why}: {error}");
                source = error.source();
            }
            world::exits(&name, why);
            return std::future::pending().await;
        }
    };
    world::world(|world| {
        if let Some(process) = world.processes.get_mut(&name) {
            process.running = Some(Rc::clone(&running));
        }
    });
    let why = running.failed().await;
    world::exits(&name, why);
    // What a process does between a failure and its end is not stopped by anybody, either.
    std::future::pending().await
}
