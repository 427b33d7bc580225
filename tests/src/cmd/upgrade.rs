//! `cargo xtask upgrade`: a rolling restart under load, from the program of an earlier revision to this one.
//!
//! ```text
//! target/upgrade/tree     the earlier revision, checked out
//! target/upgrade/target   its build; what comes from elsewhere is linked from this build, not built again
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use skein_tests::servers::provision;

use crate::step;
use crate::suite;

pub(super) fn run(words: &[String]) -> Result<ExitCode> {
    let from = match words {
        [] => before()?,
        [option, rev] if option == "--from" => rev.clone(),
        _ => bail!("`upgrade` takes --from REV alone; `cargo xtask help` lists what it does"),
    };
    let mut build = step::cargo(["build", "--workspace", "--bin", "skein", "--test", "releases"]);
    if !step::run(&mut build)?.success() {
        return Ok(ExitCode::FAILURE);
    }
    let old = build_at(&from)?;
    eprintln!("upgrade: from {from} ({}) to this tree", old.display());
    let mut test = step::cargo(["test", "--workspace", "--test", "releases"]);
    test.args(["--", "--nocapture", "a_rolling_restart_under_load_loses_nothing"]);
    test.env("SKEIN_OLD_BIN", &old).env("SKEIN_BIN", suite::binary());
    let good = step::run(&mut test)?.success();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The last tag before this commit, else the commit before it.
fn before() -> Result<String> {
    let tag = git(&["describe", "--tags", "--abbrev=0", "HEAD~1"]);
    tag.or_else(|_| git(&["rev-parse", "--short", "HEAD~1"]))
}

fn git(words: &[&str]) -> Result<String> {
    let mut git = Command::new("git");
    let output = git.args(words).current_dir(provision::workspace()).output();
    let output = output.context("failed to run git")?;
    if !output.status.success() {
        bail!("git {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The program of a revision.
fn build_at(rev: &str) -> Result<PathBuf> {
    let place = provision::target().join("upgrade");
    let (tree, target) = (place.join("tree"), place.join("target"));
    fs::create_dir_all(&place).with_context(|| format!("failed to make {}", place.display()))?;
    if tree.exists() {
        git(&["worktree", "remove", "--force", &tree.to_string_lossy()])?;
    }
    git(&["worktree", "prune"])?;
    git(&["worktree", "add", "--detach", "--force", &tree.to_string_lossy(), rev])?;
    share(&provision::target().join("debug"), &target.join("debug"))?;
    let mut build = step::cargo(["build", "--workspace", "--bin", "skein"]);
    build.current_dir(&tree).env("CARGO_TARGET_DIR", &target);
    let built = step::run(&mut build)?.success();
    git(&["worktree", "remove", "--force", &tree.to_string_lossy()])?;
    if !built {
        bail!("{rev} could not be built");
    }
    Ok(target.join("debug/skein"))
}

/// Links what was built of packages from elsewhere. Ours are told apart by their name, and built anew.
fn share(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        return Ok(());
    }
    for part in ["deps", "build", ".fingerprint"] {
        link(&from.join(part), &to.join(part))?;
    }
    Ok(())
}

fn link(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("failed to make {}", to.display()))?;
    let listed =
        fs::read_dir(from).with_context(|| format!("failed to list {}", from.display()))?;
    for entry in listed {
        let entry = entry?;
        let name = entry.file_name();
        let ours = name.to_string_lossy();
        let ours = ours.trim_start_matches("lib");
        if ours.starts_with("skein") || ours.starts_with("xtask") {
            continue;
        }
        let (path, place) = (entry.path(), to.join(&name));
        if entry.file_type()?.is_dir() {
            link(&path, &place)?;
        } else {
            fs::hard_link(&path, &place)
                .with_context(|| format!("failed to link {}", path.display()))?;
        }
    }
    Ok(())
}
