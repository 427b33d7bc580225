//! The durable mark: up to here the history has been forced to the disk.
//!
//! It tells a torn tail from damage. Everything before it was whole once, so whatever is wrong
//! there is damage. Everything after it is still in the Raft log, which is never purged past the
//! mark, so a tail may be cut there and comes back.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;

use super::error::HistoryError;
use super::frame;
use super::tree::{Hash, TreeHead};
use crate::codec::{self, WireLogId, WireStoredMembership};
use crate::types::{LogId, StoredMembership};

const FILE: &str = "synced";
const TMP: &str = "synced.tmp";

#[derive(Clone, PartialEq, Eq, Message)]
struct WireMark {
    #[prost(uint64, tag = "1")]
    segment: u64,
    #[prost(uint64, tag = "2")]
    offset: u64,
    #[prost(uint64, tag = "3")]
    tree_size: u64,
    #[prost(bytes = "vec", tag = "4")]
    root: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    last: Option<WireLogId>,
    #[prost(message, optional, tag = "6")]
    membership: Option<WireStoredMembership>,
}

/// Where the history was, the last time it was forced to the disk.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mark {
    /// The segment, by the index of its first entry.
    pub(super) segment: u64,
    /// The end of its last frame then, in bytes.
    pub(super) offset: u64,
    pub(crate) head: TreeHead,
    pub(crate) last: LogId,
    pub(crate) membership: StoredMembership,
}

impl Mark {
    pub(super) fn load(dir: &Path) -> Result<Option<Self>, HistoryError> {
        let path = dir.join(FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(HistoryError::Io { what: "read", path, source }),
        };
        match Self::decode(&bytes) {
            Ok(mark) => Ok(Some(mark)),
            Err(reason) => Err(HistoryError::Corrupt { path, offset: 0, seq: 0, reason }),
        }
    }

    fn decode(bytes: &Bytes) -> Result<Self, String> {
        let body = frame::unseal(bytes).map_err(|fault| fault.reason)?;
        if body.len() + frame::HEADER_LEN != bytes.len() {
            return Err("bytes follow the mark".to_owned());
        }
        let wire: WireMark =
            codec::decode_as("the durable mark", body).map_err(|error| error.to_string())?;
        let root = wire.root.try_into().map_err(|_long| "its root is not a hash".to_owned())?;
        let last = wire.last.ok_or("it names no entry")?;
        let membership = wire.membership.map(StoredMembership::try_from).transpose();
        Ok(Self {
            segment: wire.segment,
            offset: wire.offset,
            head: TreeHead { size: wire.tree_size, root: Hash(root) },
            last: last.into(),
            membership: membership.map_err(|error| error.to_string())?.unwrap_or_default(),
        })
    }

    /// Replaces the mark on the disk; it is the old one or the new one after any crash.
    pub(super) fn store(&self, dir: &Path) -> Result<(), HistoryError> {
        let wire = WireMark {
            segment: self.segment,
            offset: self.offset,
            tree_size: self.head.size,
            root: self.head.root.0.to_vec(),
            last: Some((&self.last).into()),
            membership: Some((&self.membership).into()),
        };
        let tmp: PathBuf = dir.join(TMP);
        let bytes = frame::seal(&wire.encode_to_vec()).map_err(|len| HistoryError::TooLarge {
            index: self.last.index,
            len,
            max: frame::BODY_MAX,
        })?;
        let written = File::create(&tmp)
            .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&tmp, dir.join(FILE)))
            .and_then(|()| sync_dir(dir));
        written.map_err(HistoryError::io("write the durable mark", &tmp))
    }

    /// Whether the place is before the mark, and so was forced to the disk.
    pub(super) fn covers(&self, segment: u64, offset: u64) -> bool {
        (segment, offset) < (self.segment, self.offset)
    }

    pub(super) fn is_at(&self, segment: u64, offset: u64) -> bool {
        (segment, offset) == (self.segment, self.offset)
    }
}

/// Makes `dir` and what is missing on the way to it, durably: a file that was forced to the disk is gone
/// all the same when the name of a directory above it was not.
pub(crate) fn make_dir(dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
    std::fs::create_dir_all(dir)?;
    missing.into_iter().rev().try_for_each(sync_name)?;
    match sync_name(dir) {
        // Somebody made it for this process, and does not let it look around.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        done => done,
    }
}

/// Makes the name of `path` durable.
fn sync_name(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) if dir.as_os_str().is_empty() => sync_dir(Path::new(".")),
        Some(dir) => sync_dir(dir),
        None => Ok(()),
    }
}

/// Makes names in `dir` (created, renamed, removed) durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
