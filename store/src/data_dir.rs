//! Whose data a directory holds, and that one process at a time has it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use rustix::fs::FlockOperation;
use tokio::sync::watch;

use crate::codec;
use crate::history::{make_dir, sync_dir};
use crate::types::NodeId;

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

#[derive(Clone, PartialEq, Eq, Message)]
struct WireIdentity {
    #[prost(bytes = "vec", tag = "1")]
    cluster: Vec<u8>,
    #[prost(uint64, tag = "2")]
    node: u64,
    /// CRC-32 of the cluster, then the node as eight little-endian bytes.
    #[prost(uint32, tag = "3")]
    crc: u32,
}

impl WireIdentity {
    fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.cluster);
        hasher.update(&self.node.to_le_bytes());
        hasher.finalize()
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
    _file: File,
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
        match Self::identity(path)? {
            Some(found) if found == *identity => {}
            Some(found) => {
                let wanted = identity.clone();
                return Err(DataDirError::OtherIdentity { dir: path.to_owned(), found, wanted });
            }
            None if path.join("history").exists() || path.join("log").exists() => {
                return Err(DataDirError::NoIdentity { dir: path.to_owned() });
            }
            None => Self::write_identity(path, identity)?,
        }
        let lock = Lock { _file: lock, held: watch::Sender::new(()) };
        Ok(Self { path: path.to_owned(), lock: Arc::new(lock) })
    }

    /// Whose data is in `path`; nothing if no node ever started there. Takes no lock.
    pub fn identity(path: &Path) -> Result<Option<Identity>, DataDirError> {
        let file = path.join(IDENTITY);
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(DataDirError::Io { what: "read", path: file, source }),
        };
        let unreadable = |reason: String| DataDirError::Unreadable { path: file.clone(), reason };
        let wire: WireIdentity = codec::decode_as("an identity", bytes)
            .map_err(|error| unreadable(error.to_string()))?;
        if wire.crc != wire.checksum() {
            return Err(unreadable("its checksum does not fit".to_owned()));
        }
        Ok(Some(Identity { cluster: wire.cluster, node: wire.node }))
    }

    fn write_identity(path: &Path, identity: &Identity) -> Result<(), DataDirError> {
        let mut wire =
            WireIdentity { cluster: identity.cluster.clone(), node: identity.node, crc: 0 };
        wire.crc = wire.checksum();
        let tmp = path.join(IDENTITY_TMP);
        File::create(&tmp)
            .and_then(|mut file| {
                file.write_all(&wire.encode_to_vec()).and_then(|()| file.sync_all())
            })
            .and_then(|()| std::fs::rename(&tmp, path.join(IDENTITY)))
            .and_then(|()| sync_dir(path))
            .map_err(io_error("write", &tmp))
    }

    /// Waits until every clone of this one is gone and the directory can be taken again. For a node
    /// that is stopped and started within one process.
    pub fn released(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut held = self.lock.held.subscribe();
        async move { while held.changed().await.is_ok() {} }
    }

    /// Where the directory is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
