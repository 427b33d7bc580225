//! Names: undone, the last first, and done again where the seed keeps them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Outcome;
use crate::dice::Dice;
use crate::journal::Record;
use crate::layer::KEPT;

/// Where files wait whose name was undone.
const LIMBO: &str = "limbo";

/// Whether the directory `ino` holds this name.
pub(super) fn stands_in(record: &Record, ino: u64) -> bool {
    match record {
        Record::Name { dir, .. } | Record::Unlink { dir, .. } => *dir == ino,
        Record::Rename { dirs, .. } => dirs.contains(&ino),
        Record::Write { .. }
        | Record::Truncate { .. }
        | Record::Took { .. }
        | Record::Synced { .. }
        | Record::SyncFailed { .. }
        | Record::AllSynced { .. }
        | Record::Fault(_) => false,
    }
}

/// The root and the places beside it.
pub(super) struct Tree<'side> {
    root: &'side Path,
    kept: PathBuf,
    limbo: PathBuf,
}

impl<'side> Tree<'side> {
    pub(super) fn new(root: &'side Path, side: &Path) -> io::Result<Self> {
        let tree = Self { root, kept: side.join(KEPT), limbo: side.join(LIMBO) };
        tree.clear()?;
        fs::create_dir_all(&tree.limbo)?;
        Ok(tree)
    }

    pub(super) fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.limbo) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    pub(super) fn settle(
        &self,
        names: &[(u64, Record)],
        dice: &mut Dice,
        outcome: &mut Outcome,
    ) -> io::Result<()> {
        // What a kill left undone, or undid by calls that were not seen, is not undone again.
        let undone: Vec<bool> = names
            .iter()
            .rev()
            .map(|(at, record)| self.undo(*at, record))
            .collect::<io::Result<_>>()?;
        // Mostly, everything up to some moment; sometimes each name by itself.
        let moment = dice.below(u64::try_from(names.len()).unwrap_or(0) + 1);
        let each = dice.one_in(3);
        let mut lost: BTreeSet<PathBuf> = BTreeSet::new();
        let undone = undone.into_iter().rev();
        for (place, ((at, record), undone)) in (0_u64..).zip(names.iter().zip(undone)) {
            let chosen = if each { !dice.one_in(2) } else { place < moment };
            outcome.names += 1;
            let touched = touched(record);
            // A later change of the same name cannot be there without the earlier.
            let follows = touched.iter().all(|path| !path.ancestors().any(|p| lost.contains(p)));
            let kept = undone && chosen && follows && self.redo(*at, record)?;
            if undone && !kept {
                outcome.names_dropped += 1;
                lost.extend(touched.into_iter().map(Path::to_owned));
            }
        }
        Ok(())
    }

    fn undo(&self, at: u64, record: &Record) -> io::Result<bool> {
        match record {
            Record::Name { path, ino, .. } => {
                let path = self.root.join(path);
                if inode(&path) != Some(*ino) {
                    return Ok(false);
                }
                fs::rename(path, self.limbo.join(at.to_string()))?;
            }
            Record::Unlink { path, kept, .. } => {
                let path = self.root.join(path);
                if inode(&path).is_some() || !has_parent(&path) {
                    return Ok(false);
                }
                if kept.as_os_str().is_empty() {
                    fs::create_dir(path)?;
                } else {
                    fs::rename(self.kept.join(kept), path)?;
                }
            }
            Record::Rename { from, to, ino, replaced, .. } => {
                let (from, to) = (self.root.join(from), self.root.join(to));
                if inode(&to) != Some(*ino) || inode(&from).is_some() || !has_parent(&from) {
                    return Ok(false);
                }
                fs::rename(&to, from)?;
                if let Some(kept) = replaced {
                    fs::rename(self.kept.join(kept), to)?;
                }
            }
            Record::Write { .. }
            | Record::Truncate { .. }
            | Record::Took { .. }
            | Record::Synced { .. }
            | Record::SyncFailed { .. }
            | Record::AllSynced { .. }
            | Record::Fault(_) => return Ok(false),
        }
        Ok(true)
    }

    /// Whether it could be done: a directory on the way may be lost.
    fn redo(&self, at: u64, record: &Record) -> io::Result<bool> {
        match record {
            Record::Name { path, .. } => {
                let path = self.root.join(path);
                if inode(&path).is_some() || !has_parent(&path) {
                    return Ok(false);
                }
                fs::rename(self.limbo.join(at.to_string()), path)?;
            }
            Record::Unlink { path, ino, kept, .. } => {
                let path = self.root.join(path);
                if kept.as_os_str().is_empty() {
                    // A directory that has something in it after all stays.
                    return Ok(fs::remove_dir(path).is_ok());
                }
                if inode(&path) != Some(*ino) {
                    return Ok(false);
                }
                fs::rename(path, self.kept.join(kept))?;
            }
            Record::Rename { from, to, ino, replaced, .. } => {
                let (from, to) = (self.root.join(from), self.root.join(to));
                if inode(&from) != Some(*ino) || !has_parent(&to) {
                    return Ok(false);
                }
                if let Some(kept) = replaced
                    && inode(&to).is_some()
                {
                    fs::rename(&to, self.kept.join(kept))?;
                }
                fs::rename(from, to)?;
            }
            Record::Write { .. }
            | Record::Truncate { .. }
            | Record::Took { .. }
            | Record::Synced { .. }
            | Record::SyncFailed { .. }
            | Record::AllSynced { .. }
            | Record::Fault(_) => return Ok(false),
        }
        Ok(true)
    }

    /// Where each inode of the root stands.
    pub(super) fn places(&self) -> io::Result<BTreeMap<u64, PathBuf>> {
        let mut places = BTreeMap::new();
        let mut dirs = vec![self.root.to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    dirs.push(entry.path());
                } else if kind.is_file() {
                    places.insert(entry.metadata()?.ino(), entry.path());
                }
            }
        }
        Ok(places)
    }
}

fn touched(record: &Record) -> Vec<&Path> {
    match record {
        Record::Name { path, .. } | Record::Unlink { path, .. } => vec![path],
        Record::Rename { from, to, .. } => vec![from, to],
        Record::Write { .. }
        | Record::Truncate { .. }
        | Record::Took { .. }
        | Record::Synced { .. }
        | Record::SyncFailed { .. }
        | Record::AllSynced { .. }
        | Record::Fault(_) => Vec::new(),
    }
}

fn inode(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().map(|meta| meta.ino())
}

fn has_parent(path: &Path) -> bool {
    path.parent().is_some_and(Path::is_dir)
}
