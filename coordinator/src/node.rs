//! A running node: opened from its data, serving, and stopped in order.

use openraft::async_runtime::WatchReceiver as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use skein_store::{OpenError, Store};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::api::{Api, ForwardLayer, Timing};
use crate::bootstrap::{bootstrap, form};
use crate::calendar::Calendar;
use crate::codec;
use crate::config::Config;
use crate::host::Host;
use crate::metrics::{Metrics, Seen};
use crate::raft::{self, Identity, Machine, Network, Peers, Raft, Service};
use crate::roll_call::call_the_roll;
use crate::round_trip::{RoundTrips, measure};
use crate::sequencer::{SILENT_ELECTIONS, Sequencer};
use crate::serve::{Incoming, Serving};
use crate::sessions::Sessions;

/// What is buffered of an in-process connection in each direction, bytes.
const DUPLEX: usize = 256 * 1024;
/// How long ordered parts of stopping may take.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A node that could not start. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its data.
    #[error("cannot open the data directory {path:?}")]
    Open {
        /// Where.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// Its address.
    #[error("cannot listen on {address}: {source}; is another process there?")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Consensus.
    #[error("consensus cannot start: {0}")]
    Raft(String),
    /// Another charter.
    #[error("{0}")]
    Charter(String),
}

/// A node that runs.
pub struct Running {
    stop: CancellationToken,
    identity: Identity,
    raft: Raft,
    machine: Arc<Machine>,
    history: Arc<skein_store::History>,
    tasks: Vec<JoinHandle<()>>,
    connections: mpsc::Sender<DuplexStream>,
    address: Option<SocketAddr>,
    dir: skein_store::DataDir,
    released: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    metrics: Metrics,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Starts a node.
///
/// # Errors
/// Its data belongs to another node or cluster or is damaged, its address is taken, or its charter is
/// not the one in force. Nothing was changed then.
pub async fn start(config: Config) -> Result<Running, StartError> {
    start_on(config, Host::default()).await
}

/// Starts a node on something else than TCP, or without its index.
///
/// # Errors
/// As for [`start`].
pub async fn start_on(config: Config, host: Host) -> Result<Running, StartError> {
    let machine = Arc::new(Machine::new());
    let store = open(&config, &machine, host.indexed).await?;
    let identity = Identity::new(config.cluster_id(), config.node, store.dir.clone());
    if let Some(cut) = &store.recovered.cut {
        tracing::warn!(%cut, "the history's tail was not wholly written; the log has it");
    }
    let charter = config.charter_hash();
    let policy = crate::charter::policy(&config.charter)
        .map_err(|error| StartError::Charter(error.to_string()))?;
    if let Some(cluster) = &machine.fleet().cluster
        && cluster.charter != charter
    {
        return Err(StartError::Charter(format!(
            "this node is configured with charter {}, and the cluster was formed under {}; give it the \
             charter file that the cluster was formed with",
            charter.short(),
            cluster.charter.short()
        )));
    }
    let outside = match (host.incoming, config.listen) {
        (Some(incoming), _) => Some(Incoming::Given(incoming)),
        (None, Some(address)) => Some(
            Incoming::listen(address)
                .await
                .map_err(|source| StartError::Listen { address, source })?,
        ),
        (None, None) => None,
    };
    let address = outside.as_ref().and_then(Incoming::address);

    let peers = Peers::new(host.dial.clone());
    let raft_config = raft::settings(&config).map_err(StartError::Raft)?;
    let raft: Raft = openraft::Raft::new(
        config.node,
        Arc::new(raft_config),
        Network::new(identity.clone(), peers.clone()),
        store.log.clone(),
        store.state_machine.clone(),
    )
    .await
    .map_err(|error| StartError::Raft(error.to_string()))?;
    // Whoever has a vote or a log may have promised something by it.
    if raft.is_initialized().await.map_err(|error| StartError::Raft(error.to_string()))? {
        identity.take_part();
    }

    let stop = CancellationToken::new();
    let lease = Duration::from_millis(config.lease_ms.into());
    let sessions = Arc::new(Sessions::new(lease));
    let calendar = Arc::new(Calendar::default());
    let (sequencer, handle) = Sequencer::new(
        raft.clone(),
        Arc::clone(&machine),
        (Arc::clone(&sessions), Arc::clone(&calendar)),
        (lease, Duration::from_millis(config.raft.election_max_ms) * SILENT_ELECTIONS),
        stop.clone(),
    );
    let trips = RoundTrips::new(config.raft.round_trip_ms());
    let seen = Seen {
        node: config.node,
        raft: raft.clone(),
        machine: Arc::clone(&machine),
        sessions: Arc::clone(&sessions),
        trips: trips.clone(),
    };
    let metrics = Metrics::new(machine.counted(), seen);
    let api = Api {
        timing: Timing { raft: config.raft.clone(), trips: trips.clone() },
        identity: identity.clone(),
        raft: raft.clone(),
        machine: Arc::clone(&machine),
        history: Arc::clone(&store.history),
        history_dir: config.data.join("history"),
        blobs: Arc::clone(&store.blobs),
        sequencer: handle.clone(),
        sessions,
        calendar,
        peers: peers.clone(),
        lease,
        stop: stop.clone(),
    };
    let service = Service {
        identity: identity.clone(),
        raft: raft.clone(),
        state_machine: store.state_machine.clone(),
        history: Arc::clone(&store.history),
        blobs: Arc::clone(&store.blobs),
        stop: stop.clone(),
    };
    // Connections of its own: what is passed on never makes consensus wait for a stream.
    let forward = ForwardLayer {
        identity: identity.clone(),
        raft: raft.clone(),
        peers: Peers::new(host.dial),
        stop: stop.clone(),
    };
    let (connections, incoming) = mpsc::channel(16);
    let bundles = api.clone();
    let serving = Serving { api, service, forward, stop: stop.clone() };
    let mut tasks = serving.spawn(outside, incoming).await.map_err(StartError::Raft)?;
    tasks.push(tokio::spawn(sequencer.run()));
    tasks.push(tokio::spawn(bundles.fetch_missing()));
    let asking = (peers.clone(), stop.clone());
    tasks.push(tokio::spawn(bootstrap(config.clone(), identity.clone(), raft.clone(), asking)));
    let measuring = (trips, stop.clone());
    tasks.push(tokio::spawn(measure(identity.clone(), raft.clone(), peers.clone(), measuring)));
    tasks.push(tokio::spawn(call_the_roll(identity.clone(), raft.clone(), peers, stop.clone())));

    let running = Running {
        stop: stop.clone(),
        identity,
        raft: raft.clone(),
        machine: Arc::clone(&machine),
        history: Arc::clone(&store.history),
        tasks,
        connections,
        address,
        dir: store.dir.clone(),
        released: Box::pin(store.released()),
        metrics,
    };
    drop(store);
    tokio::spawn(form(config, policy, machine, raft, (handle, stop)));
    Ok(running)
}

async fn open(
    config: &Config,
    machine: &Arc<Machine>,
    indexed: bool,
) -> Result<Store<Machine>, StartError> {
    let (path, machine) = (config.data.clone(), Arc::clone(machine));
    let owner =
        skein_store::Identity { cluster: config.cluster_id().0.to_vec(), node: config.node };
    tokio::task::spawn_blocking(move || {
        let terms = codec::terms;
        if indexed {
            Store::open(&path, &owner, machine, terms)
        } else {
            Store::open_unindexed(&path, &owner, machine, terms)
        }
    })
    .await
    .map_err(|error| StartError::Raft(error.to_string()))?
    .map_err(|source| StartError::Open { path: config.data.clone(), source })
}

impl Running {
    /// A connection within this process: the same services by the same protocol, and no port.
    pub fn channel(&self) -> Channel {
        let connections = self.connections.clone();
        Endpoint::from_static("http://in-process").connect_with_connector_lazy(tower::service_fn(
            move |_: Uri| {
                let connections = connections.clone();
                async move {
                    let (ours, theirs) = tokio::io::duplex(DUPLEX);
                    connections.send(theirs).await.map_err(|_closed| {
                        std::io::Error::other("the coordinator in this process has stopped")
                    })?;
                    Ok::<_, std::io::Error>(TokioIo::new(ours))
                }
            },
        ))
    }

    /// What it has recorded, for whoever runs it in his own process.
    pub fn history(&self) -> &skein_store::History {
        &self.history
    }

    /// The state behind that, as it is now.
    pub fn fleet(&self) -> skein_core::Fleet {
        self.machine.fleet().clone()
    }

    /// The term that it leads in, if it believes to.
    pub fn leads(&self) -> Option<u64> {
        let metrics = self.raft.metrics();
        let now = metrics.borrow_watched();
        now.state.is_leader().then_some(now.current_term)
    }

    /// What it tells a system that watches it.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Resolves when the node cannot go on: a disk that fails, a history that contradicts itself, or
    /// data that is not the node's. The process should exit.
    pub async fn failed(&self) -> String {
        tokio::select! {
            why = self.identity.condemned() => why,
            why = self.consensus_failed() => why,
        }
    }

    async fn consensus_failed(&self) -> String {
        let mut metrics = self.raft.metrics();
        loop {
            if let Err(fatal) = &metrics.borrow_watched().running_state {
                return fatal.to_string();
            }
            if metrics.changed().await.is_err() {
                return "consensus has stopped".to_owned();
            }
        }
    }

    /// Stops in order: no new requests, sessions closed, consensus stopped, history on disk.
    pub async fn shutdown(self) {
        self.stop.cancel();
        let deadline = tokio::time::Instant::now() + STOP_LIMIT;
        for task in self.tasks {
            // A connection that does not end keeps nobody waiting.
            drop(tokio::time::timeout_at(deadline, task).await);
        }
        let sound = self.raft.metrics().borrow_watched().running_state.is_ok();
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "consensus did not stop in order");
        }
        let (history, dir) = (self.history, self.dir);
        let ended = tokio::task::spawn_blocking(move || {
            if let Err(error) = history.sync() {
                tracing::error!(%error, "the history could not be forced to the disk");
            } else if sound && let Err(error) = dir.end_in_order() {
                tracing::warn!(%error, "the data directory is left as by a process that was killed");
            }
        });
        if let Err(error) = ended.await {
            tracing::error!(%error, "the history could not be forced to the disk");
        }
        drop((self.raft, self.identity, self.connections, self.metrics));
        // Whoever opens the data next in this process finds it free.
        if tokio::time::timeout(STOP_LIMIT, self.released).await.is_err() {
            tracing::warn!("the data directory is still in use by this process");
        }
    }
}
