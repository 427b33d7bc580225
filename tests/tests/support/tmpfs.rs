//! A disk that can be full: a file system in memory, a few mebibytes small.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Taken away when dropped.
#[derive(Debug)]
pub(crate) struct Tmpfs(PathBuf);

impl Tmpfs {
    /// `None`, said aloud, where this may not be done.
    pub(crate) fn mount(path: &Path, size: &str, test: &str) -> Option<Self> {
        std::fs::create_dir_all(path).expect("a directory can be made");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(path);
        let why = match mount.output() {
            Ok(output) if output.status.success() => return Some(Self(path.to_owned())),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        skein_tests::skip(test, &format!("a file system cannot be mounted: {why}"));
        None
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Leaves nothing of it; the file that takes it all.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut file = std::fs::File::create(&path).expect("the ballast can be made");
        let block = vec![1; 4096];
        while file.write_all(&block).is_ok() {}
        path
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a process that ends just now may still have a file open.
        drop(Command::new("umount").arg("-l").arg(&self.0).output());
    }
}
