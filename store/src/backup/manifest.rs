//! What a backup is a copy of.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use bytes::Bytes;
use prost::Message;

use super::{BackupError, io_error};
use crate::blobs::Digest;
use crate::codec;
use crate::data_dir::Incarnation;
use crate::history::{self, Hash, TreeHead};
use crate::types::NodeId;

const FILE: &str = "backup";

/// What a backup is a copy of, and what must be in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The cluster's name, as bytes.
    pub cluster: Vec<u8>,
    /// Which beginning of it.
    pub incarnation: Incarnation,
    /// Whose data was copied.
    pub node: NodeId,
    /// When, milliseconds since the Unix epoch.
    pub taken_ms: u64,
    /// Of the program that wrote it.
    pub release: String,
    /// Size and root of the history.
    pub head: TreeHead,
    /// The bundles.
    pub blobs: Vec<Digest>,
    /// Entries of the Raft log that are in the history, and that the node did not know to be committed.
    pub doubtful: u64,
}

/// Fields are added, never changed.
#[derive(Clone, PartialEq, Eq, Message)]
struct WireManifest {
    #[prost(bytes = "vec", tag = "1")]
    cluster: Vec<u8>,
    #[prost(bytes = "bytes", tag = "2")]
    incarnation: Bytes,
    #[prost(uint64, tag = "3")]
    node: u64,
    #[prost(uint64, tag = "4")]
    taken_ms: u64,
    #[prost(string, tag = "5")]
    release: String,
    #[prost(uint64, tag = "6")]
    tree_size: u64,
    #[prost(bytes = "vec", tag = "7")]
    root: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    blobs: Vec<Vec<u8>>,
    #[prost(uint64, tag = "9")]
    doubtful: u64,
}

impl Manifest {
    /// As it is sent.
    pub fn encode(&self) -> Bytes {
        let wire = WireManifest {
            cluster: self.cluster.clone(),
            incarnation: self.incarnation.to_bytes(),
            node: self.node,
            taken_ms: self.taken_ms,
            release: self.release.clone(),
            tree_size: self.head.size,
            root: self.head.root.0.to_vec(),
            blobs: self.blobs.iter().map(|digest| digest.0.to_vec()).collect(),
            doubtful: self.doubtful,
        };
        wire.encode_to_vec().into()
    }

    /// From what was sent.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: Bytes) -> Result<Self, String> {
        let wire: WireManifest =
            codec::decode_as("a backup's manifest", bytes).map_err(|error| error.to_string())?;
        let hash = |bytes: Vec<u8>| {
            <[u8; 32]>::try_from(bytes).map_err(|_long| "a hash has not 32 bytes".to_owned())
        };
        let blobs = wire.blobs.into_iter().map(|blob| hash(blob).map(Digest));
        Ok(Self {
            cluster: wire.cluster,
            incarnation: Incarnation::read(&wire.incarnation),
            node: wire.node,
            taken_ms: wire.taken_ms,
            release: wire.release,
            head: TreeHead { size: wire.tree_size, root: Hash(hash(wire.root)?) },
            blobs: blobs.collect::<Result<_, _>>()?,
            doubtful: wire.doubtful,
        })
    }

    /// Reads the one in a backup.
    pub(super) fn load(dir: &Path) -> Result<Self, BackupError> {
        let path = dir.join(FILE);
        let bytes = std::fs::read(&path).map_err(io_error("read", &path))?;
        let body = history::unseal(&Bytes::from(bytes)).and_then(Self::decode);
        body.map_err(|reason| BackupError::NotABackup { path, reason })
    }

    pub(super) fn store(&self, dir: &Path) -> Result<(), BackupError> {
        let path = dir.join(FILE);
        let too_long = |len| BackupError::NotABackup {
            path: path.clone(),
            reason: format!("a manifest of {len} bytes is too long"),
        };
        let sealed = history::seal(&self.encode()).map_err(too_long)?;
        File::create(&path)
            .and_then(|mut file| file.write_all(&sealed).and_then(|()| file.sync_all()))
            .map_err(io_error("write", &path))
    }
}
