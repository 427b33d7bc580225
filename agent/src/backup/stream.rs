//! The bytes' way: dump → zstd → digest → destination, and back. Never more than a few MiB of an
//! archive are in memory.
//!
//! Both ways run on a blocking thread: compression is work, pipes and files block. When the caller
//! goes away its child is killed, the pipe ends, and so does the thread.

use std::io::{self, BufReader, Read, Write};

use bytes::Bytes;
use object_store::Error as StoreError;
use sha2::{Digest, Sha256 as Hasher};
use tokio::sync::mpsc;
use zstd::stream::{read::Decoder, write::Encoder};

use super::archive::{Archive, Moved, Progress, Sha256};
use super::error::BackupError;
use super::local::Partial;

/// Chunks between a blocking thread and the object store's task: 8 of 1 MiB.
pub(super) const CHUNKS_MAX: usize = 8;
const CHUNK: usize = 1 << 20;
const BUFFER: usize = 256 << 10;

/// Level 1 keeps up with a dump tool on one core; level 3 stores a tenth less at half the speed.
const LEVEL: i32 = 1;

/// Where compressed bytes go.
#[derive(Debug)]
pub(super) enum Sink {
    File(Partial),
    Chunks(ChunkWriter),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Chunks(chunks) => chunks.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Chunks(chunks) => chunks.flush(),
        }
    }
}

/// Hands chunks to the task that uploads them.
#[derive(Debug)]
pub(super) struct ChunkWriter {
    to: mpsc::Sender<Bytes>,
    held: Vec<u8>,
}

impl ChunkWriter {
    pub(super) fn new(to: mpsc::Sender<Bytes>) -> Self {
        Self { to, held: Vec::with_capacity(CHUNK) }
    }
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        if self.held.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.held, Vec::with_capacity(CHUNK));
        self.to
            .blocking_send(full.into())
            .map_err(|_gone| io::Error::new(io::ErrorKind::BrokenPipe, "the upload has stopped"))
    }
}

/// Reads chunks that a task fetches.
#[derive(Debug)]
pub(super) struct ChunkReader {
    from: mpsc::Receiver<Result<Bytes, StoreError>>,
    held: Bytes,
}

impl ChunkReader {
    pub(super) fn new(from: mpsc::Receiver<Result<Bytes, StoreError>>) -> Self {
        Self { from, held: Bytes::new() }
    }
}

impl Read for ChunkReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.held.is_empty() {
            match self.from.blocking_recv() {
                Some(chunk) => self.held = chunk.map_err(io::Error::other)?,
                None => return Ok(0),
            }
        }
        let taken = self.held.len().min(into.len());
        let taken_bytes = self.held.split_to(taken);
        into.iter_mut().zip(taken_bytes.iter()).for_each(|(to, from)| *to = *from);
        Ok(taken)
    }
}

/// What was written.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) sink: Sink,
    pub(super) sha256: Sha256,
    pub(super) bytes: u64,
    pub(super) bytes_dumped: u64,
}

/// Which end of the pipe failed.
#[derive(Debug)]
pub(super) enum PackError {
    Read(io::Error),
    Write(io::Error),
}

/// Compresses all of `from` into `sink`. The frame carries zstd's own checksum, so that
/// `zstd --test` says something without Skein.
pub(super) fn pack(
    mut from: impl Read,
    sink: Sink,
    progress: &Progress,
) -> Result<Packed, PackError> {
    let measured = Measured { inner: sink, hasher: Hasher::new(), bytes: 0 };
    let mut encoder = Encoder::new(measured, LEVEL).map_err(PackError::Write)?;
    encoder.include_checksum(true).map_err(PackError::Write)?;
    let mut buffer = vec![0; BUFFER];
    let mut moved = Moved { dumped: 0, stored: 0 };
    let mut told = 0;
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(PackError::Read(error)),
        };
        let full = buffer.get(..read).unwrap_or_default();
        encoder.write_all(full).map_err(PackError::Write)?;
        moved.dumped += u64::try_from(read).unwrap_or(u64::MAX);
        moved.stored = encoder.get_ref().bytes;
        if moved.dumped - told >= 1 << 20 {
            told = moved.dumped;
            progress.at(moved);
        }
    }
    let mut measured = encoder.finish().map_err(PackError::Write)?;
    measured.flush().map_err(PackError::Write)?;
    progress.at(Moved { dumped: moved.dumped, stored: measured.bytes });
    Ok(Packed {
        sink: measured.inner,
        sha256: Sha256(measured.hasher.finalize().into()),
        bytes: measured.bytes,
        bytes_dumped: moved.dumped,
    })
}

/// Decompresses `from` into `into` to its end, and compares what was read with `archive`.
/// Returns the bytes after decompression.
///
/// # Errors
///
/// `Ok(Err(error))` is a failure of `into`; the archive may be good.
pub(super) fn unpack(
    from: impl Read,
    archive: &Archive,
    mut into: impl Write,
) -> Result<Result<u64, io::Error>, BackupError> {
    let measured = Measured { inner: from, hasher: Hasher::new(), bytes: 0 };
    let mut decoder = Decoder::with_buffer(BufReader::with_capacity(BUFFER, measured))
        .map_err(|error| unreadable(archive, &error))?;
    let mut buffer = vec![0; BUFFER];
    let mut unpacked: u64 = 0;
    let broken = loop {
        let read = match decoder.read(&mut buffer) {
            Ok(0) => break None,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => break Some(error),
        };
        if let Err(error) = into.write_all(buffer.get(..read).unwrap_or_default()) {
            return Ok(Err(error));
        }
        unpacked += u64::try_from(read).unwrap_or(u64::MAX);
    };
    // The digest of the rest says whether the bytes changed or never made an archive.
    let mut measured = decoder.finish().into_inner();
    let rest = loop {
        match measured.read(&mut buffer) {
            Ok(0) => break None,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Some(error),
        }
    };
    if let Some(error) = rest {
        return Err(unreadable(archive, &error));
    }
    if measured.bytes != archive.bytes {
        return Err(BackupError::SizeDiffers {
            name: archive.location.clone(),
            expected: archive.bytes,
            found: measured.bytes,
        });
    }
    let found = Sha256(measured.hasher.finalize().into());
    if found != archive.sha256 {
        return Err(BackupError::DigestDiffers {
            name: archive.location.clone(),
            expected: archive.sha256.to_string(),
            found: found.to_string(),
        });
    }
    match broken {
        Some(error) => Err(unreadable(archive, &error)),
        None => into.flush().map(|()| Ok(unpacked)).or_else(|error| Ok(Err(error))),
    }
}

fn unreadable(archive: &Archive, error: &io::Error) -> BackupError {
    BackupError::Unreadable { name: archive.location.clone(), why: error.to_string() }
}

/// Counts and digests what passes, in either direction.
struct Measured<T> {
    inner: T,
    hasher: Hasher,
    bytes: u64,
}

impl<T> Measured<T> {
    fn saw(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    }
}

impl<T: Write> Write for Measured<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.saw(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Measured<T> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.saw(into.get(..read).unwrap_or_default());
        Ok(read)
    }
}
