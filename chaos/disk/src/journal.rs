//! What the layer writes down: one record a call, in one file for all processes of a root.
//!
//! A record is appended by one write. A process that is killed in it leaves a piece, which the reader
//! steps over.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

const MAGIC: [u8; 4] = *b"skdj";
const HEADER: usize = 12;

/// A fault that was done to a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Injected {
    /// fsync failed.
    SyncFailed,
    /// fsync lied.
    SyncLied,
    /// fsync took its time.
    SyncSlow,
    /// No space was left.
    Full,
    /// A write took half.
    Short,
    /// A read had a flipped bit.
    Flipped,
}

const INJECTED: [Injected; 6] = [
    Injected::SyncFailed,
    Injected::SyncLied,
    Injected::SyncSlow,
    Injected::Full,
    Injected::Short,
    Injected::Flipped,
];

/// A call, and what takes it back. Paths are relative to the root; `dir` is a directory's inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// Bytes of a file: those that stood there, as far as it reached, and those that replaced them.
    Write { ino: u64, offset: u64, size: u64, old: Vec<u8>, new: Vec<u8> },
    /// A file's length; `cut` is what a shorter one loses.
    Truncate { ino: u64, size: u64, to: u64, cut: Vec<u8> },
    /// The write at this place in the journal took only so many bytes.
    Took { at: u64, len: u64 },
    /// All that was recorded for this file or directory before `upto` is durable.
    Synced { ino: u64, upto: u64 },
    /// The same was asked for and failed.
    SyncFailed { ino: u64, upto: u64 },
    /// Everything before `upto` is durable.
    AllSynced { upto: u64 },
    /// A new name: of a new file or directory, or a second one of `ino`.
    Name { dir: u64, path: PathBuf, ino: u64, fresh: bool },
    /// A name that is gone; the file is kept under this name in the side directory.
    Unlink { dir: u64, path: PathBuf, ino: u64, kept: PathBuf },
    /// A name that moved, and the file that it replaced, if it did.
    Rename { dirs: [u64; 2], from: PathBuf, to: PathBuf, ino: u64, replaced: Option<PathBuf> },
    /// A fault was done.
    Fault(Injected),
}

/// Appends for one process.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
}

impl Journal {
    pub(crate) fn path(side: &Path) -> PathBuf {
        side.join("journal")
    }

    pub(crate) fn open(side: &Path) -> io::Result<Self> {
        let file =
            OpenOptions::new().create(true).append(true).read(true).open(Self::path(side))?;
        Ok(Self { file })
    }

    /// The file that all processes of a root lock while they change anything.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Where the next record will stand. Under the lock only.
    pub(crate) fn end(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    pub(crate) fn append(&self, record: &Record) -> io::Result<()> {
        let body = encode(record);
        let len = u32::try_from(body.len()).map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        (&self.file).write_all(&bytes)
    }

    /// Everything that was written down, with the place of each record.
    pub(crate) fn read(side: &Path) -> io::Result<Vec<(u64, Record)>> {
        let bytes = match std::fs::read(Self::path(side)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut records = Vec::new();
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= HEADER) {
            match whole(rest) {
                Some((record, len)) => {
                    records.push((as_u64(at), record));
                    at += len;
                }
                // A piece of a record; its writer was killed.
                None => at += 1,
            }
        }
        Ok(records)
    }
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn whole(bytes: &[u8]) -> Option<(Record, usize)> {
    let body = bytes.strip_prefix(&MAGIC)?;
    let (len, body) = body.split_first_chunk::<4>()?;
    let (crc, body) = body.split_first_chunk::<4>()?;
    let body = body.get(..usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
    if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
        return None;
    }
    Some((Reader(body).record()?, HEADER + body.len()))
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self = self.number(as_u64(bytes.len()));
        self.0.extend_from_slice(bytes);
        self
    }

    fn path(self, path: &Path) -> Self {
        self.bytes(path.as_os_str().as_bytes())
    }
}

fn encode(record: &Record) -> Vec<u8> {
    let of = |kind: u8| Writer(vec![kind]);
    let written = match record {
        Record::Write { ino, offset, size, old, new } => {
            of(1).number(*ino).number(*offset).number(*size).bytes(old).bytes(new)
        }
        Record::Truncate { ino, size, to, cut } => {
            of(2).number(*ino).number(*size).number(*to).bytes(cut)
        }
        Record::Took { at, len } => of(3).number(*at).number(*len),
        Record::Synced { ino, upto } => of(4).number(*ino).number(*upto),
        Record::SyncFailed { ino, upto } => of(5).number(*ino).number(*upto),
        Record::AllSynced { upto } => of(6).number(*upto),
        Record::Name { dir, path, ino, fresh } => {
            of(7).number(*dir).path(path).number(*ino).number(u64::from(*fresh))
        }
        Record::Unlink { dir, path, ino, kept } => {
            of(8).number(*dir).path(path).number(*ino).path(kept)
        }
        Record::Rename { dirs: [from_dir, to_dir], from, to, ino, replaced } => {
            let replaced = replaced.as_deref().unwrap_or(Path::new(""));
            of(9).number(*from_dir).number(*to_dir).path(from).path(to).number(*ino).path(replaced)
        }
        Record::Fault(injected) => {
            let place = INJECTED.iter().position(|one| one == injected).unwrap_or_default();
            of(10).number(as_u64(place))
        }
    };
    written.0
}

struct Reader<'bytes>(&'bytes [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let len = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes.to_vec())
    }

    fn path(&mut self) -> Option<PathBuf> {
        Some(std::ffi::OsString::from_vec(self.bytes()?).into())
    }

    fn record(mut self) -> Option<Record> {
        let (kind, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(match kind {
            1 => Record::Write {
                ino: self.number()?,
                offset: self.number()?,
                size: self.number()?,
                old: self.bytes()?,
                new: self.bytes()?,
            },
            2 => Record::Truncate {
                ino: self.number()?,
                size: self.number()?,
                to: self.number()?,
                cut: self.bytes()?,
            },
            3 => Record::Took { at: self.number()?, len: self.number()? },
            4 => Record::Synced { ino: self.number()?, upto: self.number()? },
            5 => Record::SyncFailed { ino: self.number()?, upto: self.number()? },
            6 => Record::AllSynced { upto: self.number()? },
            7 => Record::Name {
                dir: self.number()?,
                path: self.path()?,
                ino: self.number()?,
                fresh: self.number()? != 0,
            },
            8 => Record::Unlink {
                dir: self.number()?,
                path: self.path()?,
                ino: self.number()?,
                kept: self.path()?,
            },
            9 => Record::Rename {
                dirs: [self.number()?, self.number()?],
                from: self.path()?,
                to: self.path()?,
                ino: self.number()?,
                replaced: Some(self.path()?).filter(|path| !path.as_os_str().is_empty()),
            },
            10 => Record::Fault(*INJECTED.get(usize::try_from(self.number()?).ok()?)?),
            _ => return None,
        })
    }
}
