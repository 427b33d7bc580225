//! The demo's processes: this binary in its other roles. They die with the demo.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::shards::{SHARDS, region};
use super::{Stage, project};
use crate::exit::ExitCode;
use crate::failure::Failure;

/// How long a process may take to do what it was started for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Three coordinators, and an agent in each region.
#[derive(Debug)]
pub(crate) struct Processes {
    coordinators: Vec<(u64, Option<Child>)>,
    agents: Vec<Child>,
    pub(crate) addresses: Vec<String>,
}

/// The regions, in the order of the shards.
pub(crate) fn regions() -> Vec<&'static str> {
    let mut regions: Vec<&str> = SHARDS.iter().map(|shard| region(shard)).collect();
    regions.dedup();
    regions
}

fn failed(what: &str, error: &dyn std::error::Error) -> Failure {
    Failure::caused(ExitCode::Internal, what, error)
}

/// This binary, in the demo's directory, without what the caller's environment says.
pub(crate) fn skein(dir: &Path) -> Result<Command, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| failed("this program cannot be found again", &error))?;
    let mut command = Command::new(program);
    command.current_dir(dir).kill_on_drop(true);
    for name in ["SKEIN_CONFIG", "SKEIN_COORDINATOR", "SKEIN_DATA_DIR", "SKEIN_CHARTER_HASH"] {
        command.env_remove(name);
    }
    Ok(command)
}

impl Processes {
    /// Starts all of them. They come up by themselves; whoever asks first waits.
    pub(crate) fn start(stage: &Stage) -> Result<Self, Failure> {
        let addresses = free_addresses(3)
            .map_err(|error| failed("no free port on the loopback address", &error))?;
        let mut processes =
            Self { coordinators: Vec::new(), agents: Vec::new(), addresses: addresses.clone() };
        let unwritten = |error| failed("the demo's files could not be written", &error);
        for node in 0..addresses.len() {
            project::write_coordinator(stage, node, &addresses).map_err(unwritten)?;
            processes.coordinators.push((node as u64 + 1, None));
            processes.start_coordinator(stage, node as u64 + 1)?;
        }
        for region in regions() {
            project::write_agent(stage, region, &addresses).map_err(unwritten)?;
            let agent = role(stage, "agent", &format!("agent-{region}"))?;
            processes.agents.push(agent);
        }
        Ok(processes)
    }

    /// Starts a coordinator, or starts it again on its data.
    pub(crate) fn start_coordinator(&mut self, stage: &Stage, node: u64) -> Result<(), Failure> {
        let child = role(stage, "coordinator", &format!("coordinator-{node}"))?;
        for (number, place) in &mut self.coordinators {
            if *number == node {
                *place = Some(child);
                break;
            }
        }
        Ok(())
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) async fn kill_coordinator(&mut self, node: u64) -> Result<(), Failure> {
        for (number, place) in &mut self.coordinators {
            if *number == node
                && let Some(child) = place
            {
                child.kill().await.map_err(|error| failed("kill -9 failed", &error))?;
                *place = None;
            }
        }
        Ok(())
    }

    /// Ends all of them.
    pub(crate) async fn stop(self) {
        let coordinators = self.coordinators.into_iter().filter_map(|(_, child)| child);
        for mut child in self.agents.into_iter().chain(coordinators) {
            // Whatever is still to be said is in the logs beside them.
            drop(child.kill().await);
        }
    }
}

fn role(stage: &Stage, role: &str, name: &str) -> Result<Child, Failure> {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(stage.dir.join(format!("{name}.log")))
        .map_err(|error| failed("a log file cannot be opened", &error))?;
    skein(&stage.dir)?
        .args([role, "--config", &format!("{name}.toml")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|error| failed(&format!("{name} cannot be started"), &error))
}

/// Addresses that nobody listens on now.
fn free_addresses(count: usize) -> std::io::Result<Vec<String>> {
    let held =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
    held.iter().map(|listener| listener.local_addr().map(|address| address.to_string())).collect()
}
