//! Where everything of one test stands.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The program under test: what `SKEIN_BIN` names, else the one of this working tree.
///
/// # Panics
///
/// Where there is none, saying how to build it.
pub(crate) fn binary() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug/skein");
    let path = std::env::var_os("SKEIN_BIN").map_or(built, PathBuf::from);
    assert!(
        path.is_file(),
        "there is no program to test at {}: `cargo build -p skein-cli` makes it, or SKEIN_BIN names \
         another",
        path.display()
    );
    path
}

/// A directory that goes when the test has passed, and stays, with its name told, when it has not.
#[derive(Debug)]
pub(crate) struct Project {
    dir: Option<TempDir>,
}

impl Project {
    pub(crate) fn new(name: &str) -> Self {
        let prefix = format!("skein-{name}-");
        let dir = tempfile::Builder::new().prefix(&prefix).tempdir();
        Self { dir: Some(dir.expect("a temporary directory can be made")) }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.as_ref().expect("it is taken away in drop only").path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file, with the directories on its way.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        let parent = path.parent().expect("a file is in a directory");
        std::fs::create_dir_all(parent).expect("a directory can be made");
        std::fs::write(&path, text).expect("a file can be written");
        path
    }

    /// A migration that makes a table, given as its name and columns.
    pub(crate) fn table(&self, version: u32, table: &str) {
        let (name, _) = table.split_once(' ').expect("a table has columns");
        let up = format!("CREATE TABLE {table};\n");
        let down = format!("DROP TABLE {name};\n");
        self.migration(&format!("migrations/{version:04}_{name}"), &up, &down);
    }

    /// Writes `NAME.up.sql` and `NAME.down.sql`.
    pub(crate) fn migration(&self, name: &str, up: &str, down: &str) {
        self.write(&format!("{name}.up.sql"), up);
        self.write(&format!("{name}.down.sql"), down);
    }
}

impl Drop for Project {
    #[expect(clippy::print_stderr, reason = "a failed test says where its files are")]
    fn drop(&mut self) {
        let keep = std::thread::panicking() || std::env::var_os("SKEIN_KEEP").is_some();
        if let (true, Some(dir)) = (keep, self.dir.take()) {
            eprintln!("what the test left behind: {}", dir.keep().display());
        }
    }
}
