//! What each release wrote is read for ever: `tests/fixtures/releases/VERSION`.
//!
//! ```text
//! data/node-N    the data directories of a cluster of three after real rollouts, as its program left them
//! expected.json  size and root of the history, and how its rollouts ended
//! session.bin    one message of each kind between agent and coordinator, each behind its length
//! schema.txt     every field of every message, on the wire and on disk
//! ```
//!
//! `cargo xtask fixtures` writes those of the release under way, and never touches a directory that is
//! there.

#[path = "../support/mod.rs"]
mod support;

mod data;
mod rolling;
mod schema;
mod session;
mod write;

use std::path::{Path, PathBuf};

/// Addresses of the nodes in the fixtures: the membership names them, and nobody else uses them.
const ADDRESSES: [&str; 3] = ["127.91.0.1:7411", "127.91.0.2:7411", "127.91.0.3:7411"];

fn releases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/releases")
}

/// The directory of each release, the oldest first.
fn each_release() -> Vec<PathBuf> {
    let listed = std::fs::read_dir(releases()).expect("there are fixtures");
    let mut found: Vec<PathBuf> =
        listed.map(|entry| entry.expect("they can be listed").path()).collect();
    found.retain(|path| path.is_dir());
    found.sort();
    assert!(!found.is_empty(), "no release has left anything");
    found
}

fn copy(from: &Path, to: &Path, leave_out: &[&str]) {
    std::fs::create_dir_all(to).expect("a directory can be made");
    for entry in std::fs::read_dir(from).expect("it can be listed") {
        let entry = entry.expect("it can be listed");
        let (from, to, name) = (entry.path(), to.join(entry.file_name()), entry.file_name());
        if leave_out.iter().any(|left| *left == name) {
            continue;
        }
        if from.is_dir() {
            copy(&from, &to, leave_out);
        } else {
            std::fs::copy(&from, &to).expect("a file can be copied");
        }
    }
}
