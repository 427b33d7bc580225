//! Which of SQLite's settings keeps a commit through a power cut.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use skein_chaos_disk::{Directories, pull};

fn shared_object() -> PathBuf {
    let exe = std::env::current_exe().expect("a test has a file");
    let deps = exe.parent().expect("in a directory").to_owned();
    let name = "libskein_chaos_preload.so";
    let places = [deps.join(name), deps.join("..").join(name)];
    places.into_iter().find(|place| place.exists()).expect("cargo built it with this test")
}

fn sqlite(root: &Path) -> Command {
    let mut command = Command::new("sqlite3");
    command.arg("-batch").arg("-bail").arg(root.join("t.db"));
    command
}

/// How many of two commits are there after a power cut, the least over many.
fn least(synchronous: &str) -> usize {
    let mut least = usize::MAX;
    for seed in 0..40 {
        let dir = if Path::new("/dev/shm").is_dir() {
            tempfile::tempdir_in("/dev/shm").unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        let (root, side) = (dir.path().join("root"), dir.path().join("side"));
        fs::create_dir_all(&root).unwrap();
        let work = format!(
            "PRAGMA synchronous = {synchronous}; CREATE TABLE t (a); INSERT INTO t VALUES (1); \
             INSERT INTO t VALUES (2);"
        );
        let done = sqlite(&root)
            .arg(work)
            .env("LD_PRELOAD", shared_object())
            .env("SKEIN_DISK", format!("{}={}", root.display(), side.display()))
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
        pull(&root, &side, seed, Directories::Strict).unwrap();
        let found = sqlite(&root).arg("PRAGMA integrity_check; SELECT a FROM t;").output().unwrap();
        let found = String::from_utf8(found.stdout).unwrap();
        assert!(found.starts_with("ok"), "{synchronous}, seed {seed}: {found:?}");
        least = least.min(found.lines().count() - 1);
    }
    least
}

/// A commit ends by removing the journal. With FULL that removal is not forced to the disk: the journal may
/// be back, and rolls the commit back. The agent opens its targets with EXTRA.
#[test]
fn only_extra_keeps_the_last_commit() {
    if Command::new("sqlite3").arg("--version").output().is_err() {
        skein_tests::skip("only_extra_keeps_the_last_commit", "sqlite3 is not installed");
        return;
    }
    assert_eq!(least("EXTRA"), 2);
    assert_eq!(least("FULL"), 1, "FULL would do");
}
