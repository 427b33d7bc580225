//! Where rounds on disks take place, and how a process comes under the disk layer.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A directory that goes when a round was right, and stays when it was not.
#[derive(Debug)]
pub struct Place(TempDir);

impl Place {
    /// In memory where there is such a place: what is durable is the layer's to say, and a real disk
    /// would only be slow.
    pub fn new(name: &str) -> io::Result<Self> {
        let prefix = format!("skein-{name}-");
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix(&prefix);
        let memory = Path::new("/dev/shm");
        let made = if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() };
        made.map(Self)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// It stays.
    pub fn keep(self) -> PathBuf {
        self.0.keep()
    }
}

/// Puts `command` under the layer, with `root` as its disk.
pub fn under(command: &mut Command, preload: &Path, root: &Path, side: &Path) {
    command.env("LD_PRELOAD", preload);
    command.env("SKEIN_DISK", format!("{}={}", root.display(), side.display()));
}

/// The layer's shared object, which cargo builds along with this program.
pub fn preload() -> io::Result<PathBuf> {
    preload_beside(&std::env::current_exe()?)
}

/// The same for a program at `exe`.
pub fn preload_beside(exe: &Path) -> io::Result<PathBuf> {
    let name = "libskein_chaos_preload.so";
    let near =
        exe.parent().into_iter().flat_map(|dir| [dir.join(name), dir.join("deps").join(name)]);
    near.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        let missing = format!("{name} is not beside {}: cargo build -p skein-chaos", exe.display());
        io::Error::new(io::ErrorKind::NotFound, missing)
    })
}

/// Copies a directory with all that is in it.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let goal = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &goal)?;
        } else if entry.file_type()?.is_file() {
            fs::copy(entry.path(), goal)?;
        }
    }
    Ok(())
}
