//! Writing a backup.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{BackupError, Manifest, make_beside, put_in_place};
use crate::blobs::{Blobs, Chunk, Digest};
use crate::history::{History, Incoming, TreeHead};
use crate::state_machine::Applied;
use crate::types::{LogId, Membership};

/// A backup that is being written. Dropped before it is finished, it leaves its directory beside the
/// place, which the next run names.
#[derive(Debug)]
pub struct Writer {
    place: PathBuf,
    made: PathBuf,
    history: History,
    incoming: Option<Incoming>,
    blobs: Blobs,
}

impl Writer {
    /// Begins a backup that will be at `place`, where nothing may be.
    pub fn create(place: &Path) -> Result<Self, BackupError> {
        let made = make_beside(place, ".partial")?;
        let (history, _) = History::open(&made.join("history"), None, |_, _| Ok(()))?;
        let incoming = Some(history.receive()?);
        let blobs = Blobs::open(&made.join("blobs"))?;
        Ok(Self { place: place.to_owned(), made, history, incoming, blobs })
    }

    /// Takes the next frame of the history.
    pub fn frame(&mut self, sealed: &Bytes) -> Result<(), BackupError> {
        if self.incoming.is_none() {
            self.incoming = Some(self.history.receive()?);
        }
        let incoming = self.incoming.as_mut().map_or(Ok(()), |incoming| incoming.push(sealed));
        Ok(incoming?)
    }

    /// Takes a piece of a bundle.
    pub fn chunk(&mut self, chunk: &Chunk) -> Result<(), BackupError> {
        self.blobs.put(chunk)?;
        Ok(())
    }

    /// Takes what an entry of the Raft log came to, behind all frames.
    pub fn entry(
        &mut self,
        log_id: LogId,
        membership: Option<&Membership>,
        applied: Applied,
    ) -> Result<(), BackupError> {
        self.install()?;
        if let Some(chunk) = &applied.chunk {
            self.blobs.put(chunk)?;
        }
        self.history.append(log_id, membership, applied.events)?;
        Ok(())
    }

    fn install(&mut self) -> Result<(), BackupError> {
        if let Some(incoming) = self.incoming.take() {
            let upto = incoming.joint().last;
            self.history.install(incoming, upto)?;
        }
        Ok(())
    }

    /// Which of these bundles it does not have.
    pub fn missing(&self, wanted: &[Digest]) -> Vec<Digest> {
        self.blobs.missing(wanted)
    }

    /// Size and root so far.
    pub fn head(&mut self) -> Result<TreeHead, BackupError> {
        self.install()?;
        Ok(self.history.head())
    }

    /// Checks it against what it should be, and puts it in its place. It is on the disk then.
    pub fn finish(mut self, manifest: &Manifest) -> Result<(), BackupError> {
        let found = self.head()?;
        if found != manifest.head {
            return Err(BackupError::OtherHead { found, expected: manifest.head });
        }
        if let Some(lacks) = self.blobs.missing(&manifest.blobs).first() {
            return Err(BackupError::LacksBlob(*lacks));
        }
        self.history.sync()?;
        manifest.store(&self.made)?;
        put_in_place(&self.made, &self.place)
    }
}
