//! Whose data a directory holds, and that one process at a time has it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use prost::Message;
use rustix::fs::FlockOperation;
use tokio::sync::watch;

use crate::codec;
use crate::history::{make_dir, sync_dir};
use crate::types::{NodeId, StoreId};

const IDENTITY: &str = "identity";
const IDENTITY_TMP: &str = "identity.tmp";
const LOCK: &str = "lock";

/// Which node of which cluster a data directory belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster, as bytes that are never given to another one.
    pub cluster: Vec<u8>,
    /// The node in it.
    pub node: NodeId,
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {} of cluster ", self.node)?;
        self.cluster.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Which beginning of the cluster a directory belongs to. A cluster that is restored from a backup begins
/// again: what is left of it from before is another cluster from then on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Incarnation(pub [u8; 16]);

impl Incarnation {
    /// A new one, by chance.
    pub fn draw() -> Self {
        Self(rand::random())
    }

    /// What `bytes` say; nothing is the first.
    pub fn read(bytes: &[u8]) -> Self {
        bytes.try_into().map_or_else(|_short| Self::default(), Self)
    }

    /// Whether the cluster was never restored.
    pub fn is_first(&self) -> bool {
        *self == Self::default()
    }

    /// To bytes; the first is empty, as in everything from before clusters could be restored.
    pub fn to_bytes(self) -> Bytes {
        if self.is_first() { Bytes::new() } else { Bytes::copy_from_slice(&self.0) }
    }
}

impl std::fmt::Display for Incarnation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a directory says of itself. The first builds wrote the first three fields, and skip the others.
#[derive(Clone, PartialEq, Eq, Message)]
struct WireIdentity {
    #[prost(bytes = "vec", tag = "1")]
    cluster: Vec<u8>,
    #[prost(uint64, tag = "2")]
    node: u64,
    /// CRC-32 of the cluster, then the node as eight little-endian bytes.
    #[prost(uint32, tag = "3")]
    crc: u32,
    /// Empty: the first.
    #[prost(bytes = "bytes", tag = "4")]
    incarnation: Bytes,
    /// Empty: from before stores had ids.
    #[prost(bytes = "bytes", tag = "5")]
    store: Bytes,
    /// CRC-32 of the incarnation, then the store.
    #[prost(uint32, tag = "6")]
    later_crc: u32,
    /// CRC-32 of cluster, node, incarnation and store, each behind its length in eight little-endian bytes:
    /// the two above hold for a store under the name of an incarnation, too. Absent: from before it.
    #[prost(uint32, optional, tag = "7")]
    whole_crc: Option<u32>,
}

impl WireIdentity {
    fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.cluster);
        hasher.update(&self.node.to_le_bytes());
        hasher.finalize()
    }

    fn later_checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.incarnation);
        hasher.update(&self.store);
        hasher.finalize()
    }

    fn whole_checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        let node = self.node.to_le_bytes();
        for field in [&self.cluster[..], &node, &self.incarnation, &self.store] {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field);
        }
        hasher.finalize()
    }

    fn fits(&self) -> bool {
        self.crc == self.checksum()
            && self.later_crc == self.later_checksum()
            && self.whole_crc.is_none_or(|crc| crc == self.whole_checksum())
    }

    fn read(path: &Path) -> Result<Option<Self>, DataDirError> {
        let file = path.join(IDENTITY);
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(DataDirError::Io { what: "read", path: file, source }),
        };
        let unreadable = |reason: String| DataDirError::Unreadable { path: file.clone(), reason };
        let wire: Self = codec::decode_as("an identity", bytes)
            .map_err(|error| unreadable(error.to_string()))?;
        if !wire.fits() {
            return Err(unreadable("its checksum does not fit".to_owned()));
        }
        Ok(Some(wire))
    }

    fn write(mut self, path: &Path) -> Result<(), DataDirError> {
        self.crc = self.checksum();
        self.later_crc = self.later_checksum();
        self.whole_crc = Some(self.whole_checksum());
        let tmp = path.join(IDENTITY_TMP);
        File::create(&tmp)
            .and_then(|mut file| {
                file.write_all(&self.encode_to_vec()).and_then(|()| file.sync_all())
            })
            .and_then(|()| std::fs::rename(&tmp, path.join(IDENTITY)))
            .and_then(|()| sync_dir(path))
            .map_err(io_error("write", &tmp))
    }

    fn identity(&self) -> Identity {
        Identity { cluster: self.cluster.clone(), node: self.node }
    }
}

/// A data directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// The operating system refused.
    #[error("cannot {what} {path:?}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A second process.
    #[error(
        "{0:?} is in use by another process; stop it first, or give this node its own data directory"
    )]
    InUse(PathBuf),
    /// Another node's data.
    #[error(
        "{dir:?} holds the data of {found}, not of {wanted}; starting on it could split the cluster. \
         Give this node its own data directory"
    )]
    OtherIdentity {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        found: Identity,
        /// Who asked.
        wanted: Identity,
    },
    /// The identity file is damaged.
    #[error(
        "{path:?} does not say whose data this is ({reason}); restore the file, or replace this node by one with a new id"
    )]
    Unreadable {
        /// The identity file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Data without an owner.
    #[error(
        "{dir:?} holds data but no identity file; restore it, or give this node an empty data directory"
    )]
    NoIdentity {
        /// The directory.
        dir: PathBuf,
    },
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_owned();
    move |source| DataDirError::Io { what, path, source }
}

/// A data directory that this process has. It is released when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
    lock: Arc<Lock>,
}

/// Fields are dropped in this order: whoever hears of the end finds the file unlocked.
#[derive(Debug)]
struct Lock {
    /// Not empty while a process has the directory, and after one that did not end in order. It is never
    /// forced to the disk: where the power went too, nothing is left in the page cache.
    file: File,
    /// Whether the last process did not end in order.
    left: bool,
    says: Mutex<WireIdentity>,
    held: watch::Sender<()>,
}

impl DataDir {
    /// Takes `path` for `identity`, creating it when absent. An error if another process has it or
    /// if it belongs to another node.
    pub fn open(path: &Path, identity: &Identity) -> Result<Self, DataDirError> {
        make_dir(path).map_err(io_error("create", path))?;
        let lock_path = path.join(LOCK);
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&lock_path);
        let lock = lock.map_err(io_error("open", &lock_path))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(DataDirError::InUse(path.to_owned())),
            Err(errno) => return Err(io_error("lock", &lock_path)(errno.into())),
        }
        let left = lock.metadata().map_err(io_error("read", &lock_path))?.len() > 0;
        lock.set_len(1).map_err(io_error("write", &lock_path))?;
        let mut says = match WireIdentity::read(path)? {
            Some(found) if found.identity() == *identity => found,
            Some(found) => {
                let (found, wanted) = (found.identity(), identity.clone());
                return Err(DataDirError::OtherIdentity { dir: path.to_owned(), found, wanted });
            }
            None if path.join("history").exists() || path.join("log").exists() => {
                return Err(DataDirError::NoIdentity { dir: path.to_owned() });
            }
            None => WireIdentity {
                cluster: identity.cluster.clone(),
                node: identity.node,
                ..WireIdentity::default()
            },
        };
        if StoreId::read(&says.store).is_none() {
            says.store = StoreId::draw().to_bytes();
            says.clone().write(path)?;
        } else if says.whole_crc.is_none() {
            says.clone().write(path)?;
        }
        let held = watch::Sender::new(());
        let lock = Lock { file: lock, left, says: Mutex::new(says), held };
        Ok(Self { path: path.to_owned(), lock: Arc::new(lock) })
    }

    fn says(&self) -> MutexGuard<'_, WireIdentity> {
        // It is replaced whole or not at all.
        self.lock.says.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What tells this directory from one that is made anew for the same node.
    pub fn store(&self) -> StoreId {
        StoreId::read(&self.says().store).unwrap_or_default()
    }

    /// Which beginning of the cluster the data is of.
    pub fn incarnation(&self) -> Incarnation {
        Incarnation::read(&self.says().incarnation)
    }

    /// From here on the data is of another beginning. On the disk when this returns. For a directory
    /// that holds nothing yet.
    pub fn adopt(&self, incarnation: Incarnation) -> Result<(), DataDirError> {
        let mut says = self.says();
        let new = WireIdentity { incarnation: incarnation.to_bytes(), ..says.clone() };
        new.clone().write(&self.path)?;
        *says = new;
        Ok(())
    }

    /// Whose data is in `path`; nothing if no node ever started there. Takes no lock.
    pub fn identity(path: &Path) -> Result<Option<Identity>, DataDirError> {
        Ok(WireIdentity::read(path)?.map(|says| says.identity()))
    }

    /// Waits until every clone of this one is gone and the directory can be taken again. For a node
    /// that is stopped and started within one process.
    pub fn released(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut held = self.lock.held.subscribe();
        async move { while held.changed().await.is_ok() {} }
    }

    /// Whether the process that had the directory before was killed, or met a failing disk. What it wrote is
    /// read from the page cache then, and may be on the disk or not: after an fsync that failed the kernel
    /// takes pages for written that are not, and the next fsync finds nothing to do.
    pub(crate) fn was_left(&self) -> bool {
        self.lock.left
    }

    /// Everything is on the disk, and nothing more is written.
    pub fn end_in_order(&self) -> Result<(), DataDirError> {
        self.lock.file.set_len(0).map_err(io_error("write", &self.path.join(LOCK)))
    }

    /// Where the directory is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
