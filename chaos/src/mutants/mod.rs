//! Bugs that are planted in the core's own sources, in a copy: the product has no switch for them.
//!
//! A copy of the core and of this crate's model is built once for each, and asked for seeds until a
//! promise breaks.

mod list;

pub use list::{Edit, MUTANTS, Mutant};

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A copy of the sources, in which one thing after the other is broken.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
}

/// What of this crate the copy is made of.
const ROOMS: [&str; 7] =
    ["cmd", "history.rs", "invariants", "model", "mutants", "observation.rs", "shrink"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

impl Scratch {
    /// A fresh copy in `folder`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let (core, chaos) = (workspace().join("coordinator/core"), workspace().join("chaos"));
        std::fs::create_dir_all(folder.join("chaos/src"))?;
        copy(&core.join("src"), &folder.join("core/src"))?;
        for room in ROOMS {
            copy(&chaos.join("src").join(room), &folder.join("chaos/src").join(room))?;
        }
        let package = |name: &str, rest: &str| {
            format!(
                "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n{rest}"
            )
        };
        let write = |path: &str, text: &str| std::fs::write(folder.join(path), text);
        write(
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"core\", \"chaos\"]\n\n\
             [profile.dev]\ndebug = 0\n",
        )?;
        write("core/Cargo.toml", &package("skein-core", ""))?;
        write(
            "chaos/Cargo.toml",
            &package("skein-chaos", "\n[dependencies]\nskein-core = { path = \"../core\" }\n"),
        )?;
        write(
            "chaos/src/lib.rs",
            "pub mod cmd;\npub mod history;\npub mod invariants;\npub mod model;\npub mod mutants;\n\
             pub mod observation;\npub mod shrink;\n",
        )?;
        write(
            "chaos/src/main.rs",
            "fn main() -> std::io::Result<()> {\n    let mut out = std::io::stdout().lock();\n    \
             let asked = skein_chaos::cmd::model::read(std::env::args().skip(1));\n    \
             skein_chaos::cmd::model::main(&asked.expect(\"words\"), &mut out)?;\n    Ok(())\n}\n",
        )?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Breaks one thing and builds it, without optimisation: most are found within few seeds, so that
    /// building takes longer than playing; gives what cargo said where it could not be built.
    ///
    /// # Errors
    /// The sources are no longer what the mutant was written for, or cargo cannot be run.
    pub fn build(&self, mutant: &Mutant) -> io::Result<Result<(), String>> {
        copy(&workspace().join("coordinator/core/src"), &self.folder.join("core/src"))?;
        for (file, text) in broken(mutant)? {
            std::fs::write(self.folder.join("core/src").join(file), text)?;
        }
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--offline", "--quiet"]).current_dir(&self.folder);
        cargo.env("CARGO_TARGET_DIR", self.folder.join("target")).env("RUSTFLAGS", "-Awarnings");
        let built = cargo.output()?;
        let said = String::from_utf8_lossy(&built.stderr).into_owned();
        Ok(if built.status.success() { Ok(()) } else { Err(said) })
    }

    /// Plays seeds in what was built last.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn play(&self, seeds: std::ops::Range<u64>) -> io::Result<Output> {
        Command::new(self.folder.join("target/debug/skein-chaos"))
            .args(["--seeds", &format!("{}..{}", seeds.start, seeds.end)])
            .output()
    }
}

/// The files that a mutant changes, as it has them.
///
/// # Errors
/// The sources are no longer what the mutant was written for.
pub fn broken(mutant: &Mutant) -> io::Result<BTreeMap<&'static str, String>> {
    let core = workspace().join("coordinator/core/src");
    let mut files: BTreeMap<&'static str, String> = BTreeMap::new();
    for Edit { file, find, with } in mutant.edits {
        let text = match files.remove(file) {
            Some(text) => text,
            None => std::fs::read_to_string(core.join(file))?,
        };
        if text.matches(find).count() != 1 {
            return Err(io::Error::other(format!(
                "{}: {file} does not have {find:?} once; write the mutant anew",
                mutant.name
            )));
        }
        files.insert(file, text.replacen(find, with, 1));
    }
    Ok(files)
}

/// A file, or a folder with all that is in it. What is the same is left alone, so that cargo sees it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    let new = std::fs::read(from)?;
    if std::fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    std::fs::write(to, new)
}
