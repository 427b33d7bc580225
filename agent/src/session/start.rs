//! Starting and stopping an agent.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use skein_proto::agent::v1::Hello;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::{Channel, Endpoint};

use super::asks::Asks;
use super::dial::Dialler;
use super::hands::Hands;
use super::looks::Looks;
use super::mailbox::Mailbox;
use super::reads::Reads;
use super::talk::Talk;
use crate::backup::{BackupError, Destination};
use crate::bundles::Bundles;
use crate::config::{AgentId, Config, Target, TargetId, UrlError, check_address};
use crate::discovery;
use crate::gate::Asker;
use crate::leg::Site;
use crate::metrics::{Counted, Metrics};
use crate::roster::Roster;
use crate::throttle::{Gauge, Waits};

/// Connects to an endpoint by something that is not TCP.
pub type Dial = Arc<
    dyn Fn(Endpoint) -> BoxFuture<'static, Result<Channel, tonic::transport::Error>> + Send + Sync,
>;

/// How the coordinator is reached.
#[derive(Clone)]
pub enum Coordinators {
    /// `http://host:port`, any of them in any order.
    Addresses(Vec<String>),
    /// The same, by something else than TCP.
    Dialled(Vec<String>, Dial),
    /// One in this process.
    Channel(Channel),
}

impl fmt::Debug for Coordinators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses(addresses) | Self::Dialled(addresses, _) => {
                f.debug_tuple("Coordinators").field(addresses).finish()
            }
            Self::Channel(_) => f.write_str("Coordinators(in this process)"),
        }
    }
}

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("start the agent: it was given no coordinator's address; name one in [coordinator]")]
    NoAddress,
    #[error("start the agent: {address}: {why}")]
    Address { address: String, why: String },
    #[error("start the agent: target {target} stands twice in its configuration")]
    TargetTwice { target: TargetId },
    #[error(
        "start the agent: which engine target {target} is on is known from its URL only, and that \
         cannot be had; correct it, or give the target an engine"
    )]
    Target { target: TargetId, source: UrlError },
    #[error("start the agent: backups cannot be kept")]
    Backups(#[from] BackupError),
    #[error("start the agent: make the directory {}", path.display())]
    Directory { path: PathBuf, source: std::io::Error },
}

/// An agent at work. To drop it is to kill it: steps under way are cut off, and whoever gets their
/// legs next finds out from the targets how far they came.
#[derive(Debug)]
pub struct Running {
    id: AgentId,
    attached: watch::Receiver<Option<Channel>>,
    stopping: CancellationToken,
    metrics: Metrics,
    talk: AbortOnDropHandle<()>,
    _looks: AbortOnDropHandle<()>,
    _reads: AbortOnDropHandle<()>,
    _sources: AbortOnDropHandle<()>,
}

impl Running {
    pub fn id(&self) -> &AgentId {
        &self.id
    }

    /// Whether a coordinator has welcomed this agent and the stream to it stands.
    pub fn is_attached(&self) -> bool {
        self.attached.borrow().is_some()
    }

    /// Waits until a coordinator has welcomed this agent.
    pub async fn attached(&self) {
        let mut attached = self.attached.clone();
        if attached.wait_for(Option::is_some).await.is_err() {
            // The session has ended; nobody will be welcomed any more.
            std::future::pending::<()>().await;
        }
    }

    /// What it tells a system that watches it.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Takes no leg any more, finishes the steps under way however long they take, gives the legs
    /// back, waits up to five seconds for the acknowledgement of the last reports, and ends.
    pub async fn shutdown(self) {
        self.stopping.cancel();
        if let Err(error) = self.talk.await {
            tracing::error!(%error, "the session's task did not end in good order");
        }
    }
}

/// Starts an agent. Returns once everything on this host is in order; the coordinator may be away.
///
/// # Errors
///
/// [`StartError`]: what is wrong with the configuration, and nothing that the network may heal.
pub async fn start(config: Config, coordinators: Coordinators) -> Result<Running, StartError> {
    check(&coordinators)?;
    let destination = destination(&config.backups).await?;
    make_directory(config.cache.clone()).await?;
    let listed: Vec<Target> = futures::stream::iter(config.targets)
        .map(with_engine)
        .buffered(RESOLVE_MAX)
        .try_collect()
        .await?;
    let mut targets = BTreeMap::new();
    for target in listed {
        if let Some(twice) = targets.insert(target.id.clone(), target) {
            return Err(StartError::TargetTwice { target: twice.id });
        }
    }
    let sources = config.discoveries.iter().map(|discovery| discovery.name.clone()).collect();
    let roster = Arc::new(Roster::new(targets, sources));
    let (wishes, wished) = watch::channel(0);

    let (channel, attached) = watch::channel(None);
    let (renewed, lease) = watch::channel(None);
    let mailbox = Arc::new(Mailbox::default());
    let looks = Arc::new(Looks::default());
    let reads = Arc::new(Reads::default());
    let stopping = CancellationToken::new();
    let asker = Arc::new(Asker::new(roster.clone(), config.gates, config.directory));
    let (waits, counted) = (Arc::new(Waits::default()), Counted::default());
    let site = Arc::new(Site {
        asker: asker.clone(),
        gauge: Arc::new(Gauge::new(roster.clone(), asker.clone())),
        waits: waits.clone(),
        progress: Arc::default(),
        counted: counted.clone(),
        roster: roster.clone(),
        timeouts: config.timeouts,
        destination,
        bundles: Bundles::new(config.cache, attached.clone()),
    });
    let slots = usize::try_from(config.slots.get()).unwrap_or(usize::MAX);
    let watched = (roster.clone(), waits.clone());
    let metrics = Metrics::new(&counted, attached.clone(), watched, slots);
    let talk = Talk {
        hello: Hello {
            agent: config.id.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            slots: config.slots.get(),
            charter: config.charter.map(Bytes::from_owner).unwrap_or_default(),
            asks_gates: true,
            gate_sources: asker.sources(),
            knows_throttles: true,
            knows_batches: true,
            reads_schemas: true,
            ..Hello::default()
        },
        dialler: Dialler::new(coordinators),
        asks: Asks::new(asker, mailbox.clone()),
        hands: Hands::new(site, mailbox.clone(), lease, slots),
        mailbox,
        looks: looks.clone(),
        reads: reads.clone(),
        news: roster.news(),
        throttled: waits.changes(),
        roster: roster.clone(),
        wishes,
        renewed,
        channel,
        stopping: stopping.clone(),
    };
    Ok(Running {
        id: config.id,
        attached,
        stopping,
        metrics,
        talk: AbortOnDropHandle::new(tokio::spawn(talk.run())),
        _looks: AbortOnDropHandle::new(tokio::spawn(looks.run(roster.clone()))),
        _reads: AbortOnDropHandle::new(tokio::spawn(reads.run(roster.clone()))),
        _sources: AbortOnDropHandle::new(tokio::spawn(discovery::run(
            config.discoveries,
            roster,
            wished,
        ))),
    })
}

/// URLs looked up at one time: some are behind commands.
const RESOLVE_MAX: usize = 8;

/// The target, with its engine found out.
async fn with_engine(target: Target) -> Result<Target, StartError> {
    if target.engine.is_some() {
        return Ok(target);
    }
    match target.locate().await {
        Ok((location, _)) => Ok(Target { engine: Some(location.engine()), ..target }),
        Err(source) => Err(StartError::Target { target: target.id, source }),
    }
}

fn check(coordinators: &Coordinators) -> Result<(), StartError> {
    let (Coordinators::Addresses(addresses) | Coordinators::Dialled(addresses, _)) = coordinators
    else {
        return Ok(());
    };
    if addresses.is_empty() {
        return Err(StartError::NoAddress);
    }
    for address in addresses {
        check_address(address)
            .map_err(|why| StartError::Address { address: address.clone(), why })?;
    }
    Ok(())
}

async fn destination(backups: &str) -> Result<Destination, StartError> {
    let destination = Destination::parse(backups)?;
    if !backups.contains("://") {
        make_directory(PathBuf::from(backups)).await?;
    }
    Ok(destination)
}

async fn make_directory(path: PathBuf) -> Result<(), StartError> {
    tokio::fs::create_dir_all(&path).await.map_err(|source| StartError::Directory { path, source })
}
