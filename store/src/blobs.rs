//! Content by digest: files that never change, assembled from chunks.
//!
//! ```text
//!   blobs/<sha-256 in hex>        whole, checked, on the disk
//!   blobs/<sha-256 in hex>.part   chunks so far
//!   blobs/<sha-256 in hex>.damaged  was found to be something else; kept for inspection
//! ```

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::history::{make_dir, sync_dir};

/// A blob may have this many bytes at most. A larger one is refused, never stored in part.
pub const BLOB_MAX: u64 = 1024 * 1024 * 1024;
const PART: &str = "part";
const DAMAGED: &str = "damaged";

/// The SHA-256 of a blob's content: its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// The digest that `hex` spells, in 64 lower-case digits; `None` for anything else.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let mut digest = [0; 32];
        let pairs = hex.as_bytes().chunks_exact(2);
        let digits = hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if hex.len() != 64 || !digits {
            return None;
        }
        for (byte, pair) in digest.iter_mut().zip(pairs) {
            let pair = std::str::from_utf8(pair).ok()?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(digest))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A piece of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Of the whole blob.
    pub digest: Digest,
    /// Where this piece starts, in bytes.
    pub offset: u64,
    /// How long the whole blob is, in bytes.
    pub total: u64,
    /// The piece.
    pub bytes: Bytes,
}

/// What became of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// Kept; more is to come.
    Part,
    /// The blob is whole, checked and on the disk (now, or since before).
    Whole,
    /// It was the last chunk, but the content is not what the digest says: chunks before it are
    /// missing here or wrong. Everything was dropped; send the blob again, or fetch it from a peer.
    Mismatch,
    /// Not a piece of a blob: it reaches past the blob's end, or the blob is over [`BLOB_MAX`].
    Refused,
}

/// The blob store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
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
    /// The file's content is not what its name says.
    #[error(
        "blob {path:?} is damaged: its content does not have the digest it is named after; it was \
         set aside as {aside:?} and counts as missing, fetch it again from a peer"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it is kept for inspection.
        aside: PathBuf,
    },
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BlobError {
    let path = path.to_owned();
    move |source| BlobError::Io { what, path, source }
}

/// The blobs of one node. Share it in an `Arc`.
#[derive(Debug)]
pub struct Blobs {
    dir: PathBuf,
    /// Held while a chunk is taken in: a bundle may come through the log and from a peer at once, and
    /// both write to one file.
    putting: Mutex<()>,
}

impl Blobs {
    /// Opens the store in `dir`, creating it when absent.
    pub fn open(dir: &Path) -> Result<Self, BlobError> {
        make_dir(dir).map_err(io_error("create", dir))?;
        Ok(Self { dir: dir.to_owned(), putting: Mutex::new(()) })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(digest.to_string())
    }

    /// Takes a chunk in; the same chunk again changes nothing. Returns when the chunk is on the
    /// disk, because the entry that brought it is then not applied again.
    pub fn put(&self, chunk: &Chunk) -> Result<Stored, BlobError> {
        let len = u64::try_from(chunk.bytes.len()).unwrap_or(u64::MAX);
        let end = chunk.offset.saturating_add(len);
        if chunk.total > BLOB_MAX || end > chunk.total {
            return Ok(Stored::Refused);
        }
        // What a panic left behind is a part file, which any order of chunks may continue.
        let _alone = self.putting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has(&chunk.digest) {
            return Ok(Stored::Whole);
        }
        let part = self.path(&chunk.digest).with_extension(PART);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&part);
        let file = file.map_err(io_error("open", &part))?;
        file.write_all_at(&chunk.bytes, chunk.offset).map_err(io_error("write", &part))?;
        file.sync_data().map_err(io_error("force to the disk", &part))?;
        if end == chunk.total {
            return self.finish(&file, &part, chunk);
        }
        if chunk.offset == 0 {
            sync_dir(&self.dir).map_err(io_error("force to the disk", &self.dir))?;
        }
        Ok(Stored::Part)
    }

    fn finish(&self, file: &File, part: &Path, chunk: &Chunk) -> Result<Stored, BlobError> {
        file.set_len(chunk.total).map_err(io_error("cut", part))?;
        let whole = digest_of(part)? == chunk.digest;
        if whole {
            file.sync_all().map_err(io_error("force to the disk", part))?;
            std::fs::rename(part, self.path(&chunk.digest)).map_err(io_error("rename", part))?;
        } else {
            std::fs::remove_file(part).map_err(io_error("remove", part))?;
        }
        sync_dir(&self.dir).map_err(io_error("force to the disk", &self.dir))?;
        Ok(if whole { Stored::Whole } else { Stored::Mismatch })
    }

    /// Whether the whole blob is here.
    pub fn has(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    /// Which of `wanted` are not here whole.
    pub fn missing(&self, wanted: &[Digest]) -> Vec<Digest> {
        wanted.iter().copied().filter(|digest| !self.has(digest)).collect()
    }

    /// The whole blobs, by digest.
    pub fn list(&self) -> Result<Vec<Digest>, BlobError> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(io_error("list", &self.dir))? {
            let name = entry.map_err(io_error("list", &self.dir))?.file_name();
            found.extend(name.to_str().and_then(Digest::from_hex));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The whole content, checked against its digest; `None` if it is not here. A damaged blob is an
    /// error once, and missing from then on.
    pub fn get(&self, digest: &Digest) -> Result<Option<Bytes>, BlobError> {
        let path = self.path(digest);
        let content = match std::fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(BlobError::Io { what: "read", path, source }),
        };
        if Digest::of(&content) != *digest {
            // Out of the way, so that it counts as missing and can be fetched again.
            let aside = path.with_extension(DAMAGED);
            std::fs::rename(&path, &aside).map_err(io_error("set aside", &path))?;
            return Err(BlobError::Damaged { path, aside });
        }
        Ok(Some(content.into()))
    }

    /// The chunk of a blob that starts at `offset`, `len_max` bytes long or what is left; `None` if
    /// the blob is not here or ends before.
    pub fn chunk(
        &self,
        digest: &Digest,
        offset: u64,
        len_max: usize,
    ) -> Result<Option<Chunk>, BlobError> {
        let path = self.path(digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(BlobError::Io { what: "open", path, source }),
        };
        let total = file.metadata().map_err(io_error("read", &path))?.len();
        if offset > total || (offset == total && total > 0) {
            return Ok(None);
        }
        let len = usize::try_from(total - offset).unwrap_or(usize::MAX).min(len_max);
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, offset).map_err(io_error("read", &path))?;
        Ok(Some(Chunk { digest: *digest, offset, total, bytes: bytes.into() }))
    }
}

fn digest_of(path: &Path) -> Result<Digest, BlobError> {
    let mut file = File::open(path).map_err(io_error("open", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer).map_err(io_error("read", path))?;
        match buffer.get(..read) {
            Some(bytes) if !bytes.is_empty() => hasher.update(bytes),
            Some(_) | None => return Ok(Digest(hasher.finalize().into())),
        }
    }
}
