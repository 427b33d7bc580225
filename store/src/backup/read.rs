//! Checking a backup, and reading it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{BackupError, Manifest};
use crate::blobs::Blobs;
use crate::history::{Frames, History, Joint, Outgoing};
use crate::state_machine::Machine;

/// A backup of which every leaf, root and digest was found right.
#[derive(Debug)]
pub struct Backup {
    /// What it is a copy of.
    pub manifest: Manifest,
    pub(super) history: Arc<History>,
    pub(super) blobs: Blobs,
    dir: PathBuf,
}

/// Reads the backup in `dir`, recomputes everything in it, and hands its events to `machine`.
pub fn read<M: Machine>(dir: &Path, machine: &M) -> Result<Backup, BackupError> {
    if !dir.join("history").is_dir() {
        let reason = "there is no history in it".to_owned();
        return Err(BackupError::NotABackup { path: dir.to_owned(), reason });
    }
    let manifest = Manifest::load(dir)?;
    let replay = |seq, events: &[bytes::Bytes]| machine.replay(seq, events);
    // Purged to the end: a torn tail is damage here, there is no log to take it from.
    let (history, _) = History::open(&dir.join("history"), Some(u64::MAX), replay)?;
    if history.head() != manifest.head {
        let (found, expected) = (history.head(), manifest.head);
        return Err(BackupError::OtherHead { found, expected });
    }
    let blobs = Blobs::open(&dir.join("blobs"))?;
    for digest in &manifest.blobs {
        if blobs.get(digest)?.is_none() {
            return Err(BackupError::LacksBlob(*digest));
        }
    }
    Ok(Backup { manifest, history: Arc::new(history), blobs, dir: dir.to_owned() })
}

impl Backup {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The highest number that any node of it ever had.
    pub fn highest_node(&self) -> u64 {
        self.history.highest_node()
    }

    pub(super) fn frames(&self) -> Result<Frames, BackupError> {
        let whole = Outgoing::new(Arc::clone(&self.history), self.history.mark());
        Ok(whole.frames_after(&Joint::default())?)
    }
}
