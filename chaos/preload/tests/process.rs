//! A process of its own under the layer: its calls are seen, and a power cut takes what it had not forced.

use std::fs::{self, File, OpenOptions};
use std::io::{IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use skein_chaos_disk::{Directories, pull};

const WORK: &str = "SKEIN_PRELOAD_TEST_WORK";

/// The shared object that was built along with this test.
fn shared_object() -> PathBuf {
    let exe = std::env::current_exe().expect("a test has a file");
    let deps = exe.parent().expect("in a directory").to_owned();
    let name = "libskein_chaos_preload.so";
    let places = [deps.join(name), deps.join("..").join(name)];
    places.into_iter().find(|place| place.exists()).expect("cargo built it with this test")
}

/// In memory where there is such a place: nothing here waits for a real disk, and one would be slow.
fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a directory")
}

/// What the child does in `dir`, with the whole of std that programs use.
fn work(dir: &Path) {
    let sync_dir = || File::open(dir).and_then(|dir| dir.sync_all()).expect("synced");
    let mut durable = File::create(dir.join("durable")).expect("created");
    durable.write_all(b"forced").expect("written");
    durable.sync_data().expect("synced");
    sync_dir();
    // Each by another call: write, pwrite, writev, append, ftruncate, rename, copy, unlink.
    durable.write_all(b" and not").expect("written");
    let mut appended = OpenOptions::new().append(true).open(dir.join("durable")).expect("opened");
    appended.write_all(b", appended").expect("written");
    let many = [IoSlice::new(b"many "), IoSlice::new(b"parts")];
    let mut vectored = File::create(dir.join("vectored")).expect("created");
    assert_eq!(vectored.write_vectored(&many).expect("written"), 10);
    vectored.write_all_at(b"MANY", 0).expect("written");
    vectored.set_len(7).expect("cut");
    fs::copy(dir.join("durable"), dir.join("copied")).expect("copied");
    fs::rename(dir.join("vectored"), dir.join("renamed")).expect("renamed");
    fs::create_dir_all(dir.join("a/b")).expect("made");
    fs::hard_link(dir.join("copied"), dir.join("linked")).expect("linked");
    fs::remove_file(dir.join("copied")).expect("removed");
    let mut temporary = tempfile::NamedTempFile::new_in(dir).expect("created");
    temporary.write_all(b"persisted").expect("written");
    temporary.persist_noclobber(dir.join("persisted")).expect("persisted");
    // A thread has its own way through the layer, and a child its own layer.
    std::thread::scope(|scope| {
        scope.spawn(|| fs::write(dir.join("thread"), b"t").expect("written"));
    });
    let shell = Command::new("sh").arg("-c").arg("echo child > child").current_dir(dir).status();
    assert!(shell.expect("a shell").success());
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_process_is_seen_through() {
    if let Some(dir) = std::env::var_os(WORK) {
        work(Path::new(&dir));
        return;
    }
    let (mut nothing, mut everything, mut between, mut writes) = (0, 0, 0, 0);
    for seed in 0..60 {
        let dir = directory();
        let (root, side) = (dir.path().join("root"), dir.path().join("side"));
        fs::create_dir_all(&root).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_process_is_seen_through"])
            .env(WORK, &root)
            .env("LD_PRELOAD", shared_object())
            .env("SKEIN_DISK", format!("{}={}", root.display(), side.display()))
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        let before = names(&root);
        let expected = ["a", "child", "durable", "linked", "persisted", "renamed", "thread"]
            .map(str::to_owned);
        assert_eq!(before, expected, "the program sees its own files");
        assert_eq!(fs::read(root.join("durable")).unwrap(), b"forced and not, appended");
        assert_eq!(fs::read(root.join("renamed")).unwrap(), b"MANY pa");
        let outcome = pull(&root, &side, seed, Directories::Strict).unwrap();
        // Every name but the first was there to lose, and the writes of each file that still is.
        assert!(outcome.names >= 11 && outcome.writes >= 2, "{outcome:?}");
        writes = writes.max(outcome.writes);
        let durable = fs::read(root.join("durable")).unwrap();
        assert!(durable.starts_with(b"forced"), "seed {seed}: {durable:?}");
        match names(&root).len() {
            1 => nothing += 1,
            7 => everything += 1,
            _ => between += 1,
        }
    }
    assert!(nothing > 0 && everything > 0 && between > 10, "{nothing}, {everything}, {between}");
    assert!(writes >= 9, "{writes}: a call was not seen");
}
