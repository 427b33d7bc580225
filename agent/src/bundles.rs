//! Bundles by digest: in memory, else on disk, else fetched from the coordinator. What is not what
//! its digest says is never used. How a script is run is worked out once, for however many targets.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use skein_bundle::sql::{Dialect, ScriptPlan, plan_script};
use skein_bundle::{Bundle, Finding, Script};
use skein_proto::agent::v1::FetchBundleRequest;
use skein_proto::agent::v1::session_client::SessionClient;
use tokio::sync::{Mutex, OnceCell, watch};
use tonic::transport::Channel;

use crate::db::Direction;
use crate::text::hex;
use crate::wire::{self, WireError};

/// Bundles kept in memory: the rollouts that run at one time are few.
const IN_MEMORY_MAX: usize = 8;
/// No bundle is larger than this, in bytes.
const BYTES_MAX: usize = 64 << 20;
/// Tries before a leg gives up over its bundle.
const TRIES_MAX: usize = 4;

/// Why a bundle cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum BundleError {
    #[error("fetch bundle {digest} from the coordinator: {why}")]
    Fetch { digest: String, why: String },
    #[error(
        "fetch bundle {digest} from the coordinator: the bytes that came have the digest {found}; \
         nothing of them is used"
    )]
    OtherBytes { digest: String, found: String },
    #[error("fetch bundle {digest} from the coordinator: it is larger than {BYTES_MAX} bytes")]
    TooLarge { digest: String },
    #[error("fetch bundle: the leg names it by {bytes} bytes, a digest has 32")]
    NoDigest { bytes: usize },
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("fetch bundle: the agent's session has ended")]
    Ended,
}

impl BundleError {
    /// May pass when tried again.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Fetch { .. } | Self::OtherBytes { .. } | Self::Ended => true,
            Self::TooLarge { .. } | Self::NoDigest { .. } | Self::Wire(_) => false,
        }
    }
}

type Cell = Arc<OnceCell<Arc<Loaded>>>;

/// A bundle at hand.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) bundle: Bundle,
    plans: std::sync::Mutex<BTreeMap<(usize, Direction, Dialect), Planned>>,
}

type Planned = Result<Arc<ScriptPlan>, Finding>;

impl Loaded {
    pub(crate) fn new(bundle: Bundle) -> Self {
        Self { bundle, plans: std::sync::Mutex::default() }
    }

    /// How `script`, which is the one of migration `at` in that direction, is run.
    pub(crate) fn plan(
        &self,
        (at, direction, dialect): (usize, Direction, Dialect),
        script: &Script,
    ) -> Planned {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        plans
            .entry((at, direction, dialect))
            .or_insert_with(|| plan_script(dialect, script).map(Arc::new))
            .clone()
    }
}

/// The bundles of one agent.
#[derive(Debug)]
pub(crate) struct Bundles {
    directory: PathBuf,
    /// The way to the coordinator while there is one.
    channel: watch::Receiver<Option<Channel>>,
    kept: Mutex<BTreeMap<[u8; 32], Cell>>,
}

impl Bundles {
    pub(crate) fn new(directory: PathBuf, channel: watch::Receiver<Option<Channel>>) -> Self {
        Self { directory, channel, kept: Mutex::default() }
    }

    /// The bundle of that digest. Legs that ask at one time wait for one fetch. While the coordinator
    /// is away this waits for it.
    pub(crate) async fn get(&self, digest: &[u8]) -> Result<Arc<Loaded>, BundleError> {
        let digest: [u8; 32] =
            digest.try_into().ok().ok_or(BundleError::NoDigest { bytes: digest.len() })?;
        let cell = self.cell(digest).await;
        cell.get_or_try_init(|| self.read_or_fetch(digest)).await.cloned()
    }

    async fn cell(&self, digest: [u8; 32]) -> Cell {
        let mut kept = self.kept.lock().await;
        if kept.len() >= IN_MEMORY_MAX && !kept.contains_key(&digest) {
            kept.retain(|_, cell| Arc::strong_count(cell) > 1 || !cell.initialized());
            // What is still in use stays with its users.
            while kept.len() >= IN_MEMORY_MAX && kept.pop_first().is_some() {}
        }
        kept.entry(digest).or_default().clone()
    }

    async fn read_or_fetch(&self, digest: [u8; 32]) -> Result<Arc<Loaded>, BundleError> {
        let name = hex(&digest);
        let path = self.directory.join(format!("{name}.bundle"));
        match tokio::fs::read(&path).await {
            Ok(bytes) if wire::digest(&bytes) == digest => {
                return Ok(Arc::new(Loaded::new(wire::decode(&bytes)?)));
            }
            Ok(_) => tracing::warn!(bundle = name, "the cached bundle was damaged; fetching it"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(bundle = name, %error, "the cached bundle cannot be read");
            }
        }
        let bytes = self.fetch_patiently(&digest, &name).await?;
        let bundle = Arc::new(Loaded::new(wire::decode(&bytes)?));
        let kept = tokio::task::spawn_blocking(move || keep(&path, &bytes)).await;
        if let Ok(Err(error)) = kept {
            // The leg can go on without; only the next start has to fetch again.
            tracing::warn!(bundle = name, %error, "the bundle cannot be cached");
        }
        Ok(bundle)
    }

    async fn fetch_patiently(&self, digest: &[u8], name: &str) -> Result<Bytes, BundleError> {
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(Duration::from_secs(5))
            .with_max_times(TRIES_MAX)
            .with_jitter()
            .build();
        let mut channel = self.channel.clone();
        loop {
            let way = channel.wait_for(Option::is_some).await.ok().and_then(|way| way.clone());
            let Some(way) = way else { return Err(BundleError::Ended) };
            match fetch(way, digest, name).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) if error.is_retryable() => match pauses.next() {
                    Some(pause) => {
                        tracing::info!(%error, ?pause, "trying again");
                        tokio::time::sleep(pause).await;
                    }
                    None => return Err(error),
                },
                Err(error) => return Err(error),
            }
        }
    }
}

async fn fetch(channel: Channel, digest: &[u8], name: &str) -> Result<Bytes, BundleError> {
    let failed = |status: tonic::Status| BundleError::Fetch {
        digest: name.to_owned(),
        why: format!("{} ({:?})", status.message(), status.code()),
    };
    let request = FetchBundleRequest { digest: Bytes::copy_from_slice(digest) };
    let mut client = SessionClient::new(channel);
    let mut chunks = client.fetch_bundle(request).await.map_err(failed)?.into_inner();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.message().await.map_err(failed)? {
        if bytes.len() + chunk.data.len() > BYTES_MAX {
            return Err(BundleError::TooLarge { digest: name.to_owned() });
        }
        bytes.extend_from_slice(&chunk.data);
    }
    let found = wire::digest(&bytes);
    if found != digest {
        let (digest, found) = (name.to_owned(), hex(&found));
        return Err(BundleError::OtherBytes { digest, found });
    }
    Ok(Bytes::from(bytes))
}

/// Writes a file whole or not at all.
fn keep(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
