//! `[agent]`: who this agent is and what it may take.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::discovery::Discovery;
use super::error::ConfigError;
use super::file::File;
use super::gate::GateSource;
use super::id::AgentId;
use super::target::Target;
use crate::db::Timeouts;

/// The section as it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Agent {
    /// Default: the host's name.
    pub id: Option<AgentId>,
    /// Legs at one time. Default: twice the processors, 8 at most.
    pub slots: Option<NonZeroU32>,
    /// A directory, or the URL of an object store. Default `.skein/backups`.
    pub backups: Option<String>,
    /// How long a statement waits for a lock, in milliseconds. Default 5000.
    pub lock_timeout_ms: Option<u32>,
    /// How long a statement may run, in milliseconds; 0, the default, is no bound.
    pub statement_timeout_ms: Option<u32>,
    /// Where bundles are kept. Default `.skein/cache`.
    pub cache: Option<PathBuf>,
    /// Where metrics are served. Default: nowhere.
    pub metrics: Option<SocketAddr>,
    /// They may be served at an address that other machines can reach: everybody there can read them.
    pub metrics_beyond_loopback: bool,
    /// What it may ask for gates besides its targets, by name.
    #[serde(rename = "gate")]
    pub gates: BTreeMap<String, GateSource>,
}

/// Everything that an agent needs to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub id: AgentId,
    /// Legs at one time.
    pub slots: NonZeroU32,
    /// A directory, or the URL of an object store.
    pub backups: String,
    /// Where bundles are kept by digest.
    pub cache: PathBuf,
    pub timeouts: Timeouts,
    /// The charter that the agent goes by; `None`: whatever is in force.
    pub charter: Option<[u8; 32]>,
    pub targets: Vec<Target>,
    /// Where more of them are found, while it runs.
    pub discoveries: Vec<Discovery>,
    /// What it may ask for gates besides its targets, by name.
    pub gates: BTreeMap<String, GateSource>,
    /// What relative paths in these are relative to.
    pub directory: PathBuf,
}

impl File {
    /// What an agent started from this file needs.
    pub fn agent_config(&self) -> Result<Config, ConfigError> {
        let incomplete =
            |message: String| ConfigError::Incomplete { path: self.path.clone(), message };
        let id = match &self.agent.id {
            Some(id) => id.clone(),
            None => host_name().ok_or_else(|| {
                incomplete("the host has no usable name; give [agent] an id".to_owned())
            })?,
        };
        let defaults = Timeouts::default();
        Ok(Config {
            id,
            slots: self.agent.slots.unwrap_or_else(default_slots),
            backups: self.backups(),
            cache: match &self.agent.cache {
                Some(cache) => self.directory.join(cache),
                None => self.directory.join(".skein").join("cache"),
            },
            timeouts: Timeouts {
                lock_ms: self.agent.lock_timeout_ms.unwrap_or(defaults.lock_ms),
                statement_ms: self.agent.statement_timeout_ms.unwrap_or(defaults.statement_ms),
                ..defaults
            },
            charter: None,
            targets: self.targets.clone(),
            discoveries: self.discoveries.clone(),
            gates: self.agent.gates.clone(),
            directory: self.directory.clone(),
        })
    }

    /// Where backups go: a directory (absolute) or a URL.
    pub fn backups(&self) -> String {
        let below = |path: &Path| self.directory.join(path).to_string_lossy().into_owned();
        match &self.agent.backups {
            Some(text) if text.contains("://") => text.clone(),
            Some(text) => below(Path::new(text)),
            None => below(Path::new(".skein/backups")),
        }
    }
}

fn default_slots() -> NonZeroU32 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let slots = u32::try_from(processors.saturating_mul(2)).unwrap_or(8).min(8);
    NonZeroU32::new(slots).unwrap_or(NonZeroU32::MIN)
}

/// The host's name as the kernel has it, else as it is configured.
fn host_name() -> Option<AgentId> {
    ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .into_iter()
        .find_map(|path| AgentId::parse(std::fs::read_to_string(path).ok()?.trim()).ok())
}
