//! A node's configuration: one TOML file, checked whole before anything starts.

mod timing;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use skein_core::ids::{ClusterId, Digest};
use toml::Spanned;

use crate::charter;

pub use timing::{LEASE_MS, NEAR_PERCENT, ROUND_TRIP_MS, Raft, lease_ms};

/// A node's configuration, as checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// This node's number; never given to another node, even after this one is gone.
    pub node: u64,
    /// The cluster's name: the same on all nodes, and different from any other cluster's.
    pub cluster: String,
    /// Where everything is kept.
    pub data: PathBuf,
    /// Where to listen. `None`: in this process only.
    pub listen: Option<SocketAddr>,
    /// Where metrics are served. `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// How others reach this node: `host:port`.
    pub advertise: String,
    /// The nodes that form the cluster, with their addresses. Empty: wait to be added.
    pub members: Vec<(u64, String)>,
    /// The charter's text.
    pub charter: Vec<u8>,
    /// An identifier issued elsewhere that stands for the same charter; may be empty.
    pub charter_bound: String,
    /// Consensus timing.
    pub raft: Raft,
    /// How long a lease lives without a heartbeat, milliseconds.
    pub lease_ms: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    node: u64,
    cluster: String,
    data: PathBuf,
    listen: SocketAddr,
    metrics: Option<SocketAddr>,
    advertise: Option<String>,
    #[serde(default, rename = "member")]
    members: Vec<Member>,
    charter: Option<PathBuf>,
    #[serde(default)]
    charter_bound: String,
    #[serde(default)]
    raft: timing::Raw,
    lease_ms: Option<Spanned<u32>>,
    round_trip_ms: Option<Spanned<u64>>,
    /// There is no encryption yet: an address that others can reach must be asked for.
    #[serde(default)]
    plaintext_beyond_loopback: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    node: u64,
    address: String,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file, or one that it names.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong kind.
    #[error("{path} is not a coordinator's configuration: {message}")]
    Parse {
        /// Which.
        path: PathBuf,
        /// Where, with the line.
        message: String,
    },
    /// Readable, and wrong.
    #[error("{path}: {message}")]
    Invalid {
        /// Which.
        path: PathBuf,
        /// What, why, and what to do.
        message: String,
    },
}

impl Config {
    /// Reads a configuration file. Paths in it are relative to it.
    ///
    /// # Errors
    /// Names the file, the line and what to do.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::read_with(path, None)
    }

    /// The same, with metrics served at another address than the file says.
    ///
    /// # Errors
    /// As for [`Config::read`].
    pub fn read_with(path: &Path, metrics: Option<SocketAddr>) -> Result<Self, ConfigError> {
        let text = read(path)?;
        let text = String::from_utf8_lossy(&text);
        let file: File = toml::from_str(&text).map_err(|error| ConfigError::Parse {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        let base = path.parent().unwrap_or(Path::new(""));
        let charter = match &file.charter {
            Some(charter) => {
                let path = base.join(charter);
                let text = read(&path)?;
                charter::policy(&text)
                    .map_err(|error| ConfigError::Invalid { path, message: error.to_string() })?;
                text
            }
            None => charter::DEFAULT.as_bytes().to_vec(),
        };
        let written = timing::Written {
            round_trip_ms: file.round_trip_ms,
            lease_ms: file.lease_ms,
            raft: file.raft,
        };
        let timing = written.settle().map_err(|(at, what)| ConfigError::Invalid {
            path: path.to_owned(),
            message: match at {
                Some(at) => format!("line {}: {what}", line(&text, at)),
                None => what,
            },
        })?;
        let config = Self {
            node: file.node,
            cluster: file.cluster,
            data: base.join(file.data),
            listen: Some(file.listen),
            metrics: metrics.or(file.metrics),
            advertise: file.advertise.unwrap_or_else(|| file.listen.to_string()),
            members: file.members.into_iter().map(|member| (member.node, member.address)).collect(),
            charter,
            charter_bound: file.charter_bound,
            raft: timing.raft,
            lease_ms: timing.lease_ms,
        };
        config
            .check(file.plaintext_beyond_loopback)
            .map_err(|message| ConfigError::Invalid { path: path.to_owned(), message })?;
        Ok(config)
    }

    /// A single node inside another process, with its data in `data`.
    pub fn embedded(data: &Path, charter: Vec<u8>) -> Self {
        Self {
            node: 1,
            cluster: "embedded".to_owned(),
            data: data.to_owned(),
            listen: None,
            metrics: None,
            advertise: "in-process".to_owned(),
            members: vec![(1, "in-process".to_owned())],
            charter,
            charter_bound: String::new(),
            // Alone it is leader at once; nobody can miss its heartbeats.
            raft: Raft {
                heartbeat_ms: 50,
                election_min_ms: 51,
                election_max_ms: 60,
                ..Raft::default()
            },
            lease_ms: LEASE_MS,
        }
    }

    fn check(&self, beyond_loopback: bool) -> Result<(), String> {
        if self.node == 0 {
            return Err("`node` is 0; give it a number from 1 on that no node ever had".to_owned());
        }
        if self.cluster.is_empty() {
            return Err("`cluster` is empty; name the cluster, the same on all nodes".to_owned());
        }
        if let Some(listen) = self.listen
            && !listen.ip().is_loopback()
            && !beyond_loopback
        {
            return Err(format!(
                "`listen = \"{listen}\"` can be reached from other machines, and connections are not \
                 encrypted; put an encrypted tunnel in front, or say `plaintext_beyond_loopback = true`"
            ));
        }
        if let Some(metrics) = self.metrics
            && !metrics.ip().is_loopback()
            && !beyond_loopback
        {
            return Err(format!(
                "metrics at {metrics} can be read from other machines, by everybody and not encrypted; \
                 serve them at a loopback address, or say `plaintext_beyond_loopback = true`"
            ));
        }
        if self.members.len() > 7 {
            return Err(format!(
                "{} members; more than seven make every commit slower and nothing safer",
                self.members.len()
            ));
        }
        dialled(&self.advertise).map_err(|why| format!("`advertise`: {why}"))?;
        if !self.members.is_empty() && !self.members.iter().any(|(node, _)| *node == self.node) {
            return Err(format!(
                "node {} is not among the members; add it, or leave `member` out to be added later",
                self.node
            ));
        }
        self.check_members()?;
        Ok(())
    }

    /// Each member has a number of its own and an address of its own that can be dialled.
    fn check_members(&self) -> Result<(), String> {
        let mut numbers = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        for (node, address) in &self.members {
            if *node == 0 {
                return Err("a member has number 0; nodes are numbered from 1 on".to_owned());
            }
            if !numbers.insert(node) {
                return Err(format!("node {node} is a member twice"));
            }
            if !addresses.insert(address) {
                return Err(format!("two members have the address {address}"));
            }
            dialled(address).map_err(|why| format!("node {node}: {why}"))?;
        }
        Ok(())
    }

    /// The cluster's identity, from its name.
    pub fn cluster_id(&self) -> ClusterId {
        let mut hash = Sha256::new();
        hash.update(b"skein cluster\0");
        hash.update(self.cluster.as_bytes());
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        ClusterId(id)
    }

    /// The constitutional hash.
    pub fn charter_hash(&self) -> Digest {
        charter::hash(&self.charter)
    }
}

/// Whether others can reach a node by this.
fn dialled(address: &str) -> Result<(), String> {
    let wrong =
        || format!("`{address}` is no address; write it as host:port, without a scheme or a path");
    let authority = address.parse::<http::uri::Authority>().map_err(|_invalid| wrong())?;
    let named = !authority.host().is_empty() && !address.contains('@');
    if named && authority.port_u16().is_some() { Ok(()) } else { Err(wrong()) }
}

/// The line of a place in a text, counted from 1.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}
