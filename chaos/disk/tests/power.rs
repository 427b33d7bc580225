//! What a power cut may leave, over many seeds: all that is legal is seen, and nothing else.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use skein_chaos_disk::{Directories, Faults, Injected, Layer, Outcome, SyncFault, injected, pull};
use tempfile::TempDir;

const SEEDS: u64 = 150;

/// In memory where there is such a place: nothing here waits for a real disk, and one would be slow.
fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a directory")
}

/// A disk under the layer, with calls as a program makes them.
struct Disk {
    dir: TempDir,
    layer: Layer,
}

impl Disk {
    fn new() -> Self {
        let dir = directory();
        let layer = Layer::open(&dir.path().join("root"), &dir.path().join("side"));
        Self { layer: layer.expect("a layer"), dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("root").join(name)
    }

    fn side(&self) -> PathBuf {
        self.dir.path().join("side")
    }

    fn open(&self, name: &str, empties: bool) -> io::Result<File> {
        let path = self.path(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(empties);
        self.layer.open_file(&path, empties, || options.open(&path)).expect("it is of the root")
    }

    fn write(&self, file: &File, at: u64, data: &[u8]) -> io::Result<usize> {
        let real = |data: &[u8]| file.write_at(data, at);
        self.layer.write(file, Some(at), data, real).expect("it is of the root")
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.layer.sync(file, || Ok(())).expect("it is of the root")
    }

    fn sync_dir(&self, name: &str) {
        let dir = File::open(self.path(name)).expect("a directory");
        self.sync(&dir).expect("synced");
    }

    fn rename(&self, from: &str, to: &str) {
        let (from, to) = (self.path(from), self.path(to));
        self.layer.rename(&from, &to, || fs::rename(&from, &to)).expect("ours").expect("renamed");
    }

    fn unlink(&self, name: &str) {
        let path = self.path(name);
        self.layer.unlink(&path, || fs::remove_file(&path)).expect("ours").expect("removed");
    }

    fn make_dir(&self, name: &str) {
        let path = self.path(name);
        self.layer.name(&path, true, || fs::create_dir(&path)).expect("ours").expect("made");
    }

    fn truncate(&self, file: &File, len: u64) {
        self.layer.truncate(file, len, || file.set_len(len)).expect("ours").expect("cut");
    }

    /// A file with this content, durable, name and all.
    fn durable(&self, name: &str, content: &[u8]) -> File {
        self.durable_in("", name, content)
    }

    /// The same in a directory, whose own name is as durable as it was.
    fn durable_in(&self, dir: &str, name: &str, content: &[u8]) -> File {
        let file = self.open(name, false).expect("opened");
        self.write(&file, 0, content).expect("written");
        self.sync(&file).expect("synced");
        self.sync_dir(dir);
        file
    }

    fn pull(&self, seed: u64, directories: Directories) -> Outcome {
        pull(&self.path(""), &self.side(), seed, directories).expect("pulled")
    }
}

fn read(path: &Path) -> Option<Vec<u8>> {
    fs::read(path).ok()
}

/// What is found in file `f` after `work` and a power cut, over all seeds.
fn left(work: impl Fn(&Disk), directories: Directories) -> BTreeSet<Option<Vec<u8>>> {
    (0..SEEDS)
        .map(|seed| {
            let disk = Disk::new();
            work(&disk);
            disk.pull(seed, directories);
            read(&disk.path("f"))
        })
        .collect()
}

fn strict(work: impl Fn(&Disk)) -> BTreeSet<Option<Vec<u8>>> {
    left(work, Directories::Strict)
}

fn set<const N: usize>(of: [Option<&[u8]>; N]) -> BTreeSet<Option<Vec<u8>>> {
    of.into_iter().map(|one| one.map(<[u8]>::to_vec)).collect()
}

#[test]
fn what_was_forced_to_the_disk_stays() {
    let found = strict(|disk| drop(disk.durable("f", &[7; 2000])));
    assert_eq!(found, set([Some(&[7; 2000])]));
}

#[test]
fn a_write_is_kept_dropped_or_torn_at_blocks() {
    let found = strict(|disk| {
        let file = disk.durable("f", &[1; 1536]);
        disk.write(&file, 100, &[2; 1000]).unwrap();
    });
    // Blocks 0, 1 and 2 have 412, 512 and 76 bytes of the write.
    let mut legal = BTreeSet::new();
    for mask in 0..8_u8 {
        let mut bytes = vec![1; 1536];
        for (block, range) in [100..512, 512..1024, 1024..1100].into_iter().enumerate() {
            if mask & (1 << block) != 0 {
                bytes[range].fill(2);
            }
        }
        legal.insert(Some(bytes));
    }
    assert_eq!(found, legal, "all of them, and nothing else");
}

#[test]
fn of_two_writes_to_one_block_the_later_never_comes_alone() {
    let found = strict(|disk| {
        let file = disk.durable("f", &[0; 512]);
        disk.write(&file, 0, b"a").unwrap();
        disk.write(&file, 1, b"b").unwrap();
    });
    let first: BTreeSet<_> = found.iter().flatten().map(|bytes| (bytes[0], bytes[1])).collect();
    assert_eq!(first, [(0, 0), (b'a', 0), (b'a', b'b')].into());
}

#[test]
fn a_file_that_grew_may_have_zeros_or_its_old_length() {
    let found = strict(|disk| {
        let file = disk.durable("f", b"old");
        disk.write(&file, 3, b"new").unwrap();
    });
    assert_eq!(found, set([Some(b"old"), Some(b"old\0\0\0"), Some(b"oldnew")]));
}

#[test]
fn a_cut_is_there_or_not() {
    let found = strict(|disk| {
        let file = disk.durable("f", b"a long one");
        disk.truncate(&file, 2);
        disk.write(&file, 2, b"-").unwrap();
    });
    let legal: [&[u8]; 4] = [b"a long one", b"a ", b"a \0", b"a -"];
    assert_eq!(found, legal.map(|one| Some(one.to_vec())).into());
}

#[test]
fn opening_to_empty_is_a_cut() {
    let found = strict(|disk| {
        disk.durable("f", b"content");
        disk.open("f", true).unwrap();
    });
    assert_eq!(found, set([Some(b"content"), Some(b"")]));
}

#[test]
fn a_file_is_not_there_before_its_directory_was_forced() {
    let work = |disk: &Disk| {
        let file = disk.open("f", false).unwrap();
        disk.write(&file, 0, b"x").unwrap();
        disk.sync(&file).unwrap();
    };
    assert_eq!(strict(work), set([None, Some(b"x")]));
    // ext4 forces the name along with the file.
    assert_eq!(left(work, Directories::Ordered), set([Some(b"x")]));
}

#[test]
fn what_is_in_a_directory_goes_with_it() {
    let mut found = BTreeSet::new();
    for seed in 0..SEEDS {
        let disk = Disk::new();
        disk.make_dir("d");
        drop(disk.durable_in("d", "d/f", b"x"));
        disk.pull(seed, Directories::Strict);
        found.insert(read(&disk.path("d/f")));
        assert_eq!(disk.path("d").exists(), disk.path("d/f").exists(), "seed {seed}");
    }
    assert_eq!(found, set([None, Some(b"x")]));
}

#[test]
fn a_replacement_is_the_old_file_or_the_new_one() {
    let replace = |disk: &Disk, sync: bool| {
        disk.durable("f", b"old");
        let file = disk.open("tmp", true).unwrap();
        disk.write(&file, 0, b"new").unwrap();
        if sync {
            disk.sync(&file).unwrap();
        }
        disk.rename("tmp", "f");
    };
    assert_eq!(strict(|disk| replace(disk, true)), set([Some(b"old"), Some(b"new")]));
    // Without the sync the name may be there before the bytes.
    let torn = strict(|disk| replace(disk, false));
    assert_eq!(torn, set([Some(b"old"), Some(b"new"), Some(b""), Some(b"\0\0\0")]));
    let durable = |disk: &Disk| {
        replace(disk, true);
        disk.sync_dir("");
    };
    assert_eq!(strict(durable), set([Some(b"new")]));
}

#[test]
fn a_removed_file_may_be_back() {
    let found = strict(|disk| {
        disk.durable("f", b"here");
        disk.unlink("f");
    });
    assert_eq!(found, set([None, Some(b"here")]));
    let found = strict(|disk| {
        disk.durable("f", b"here");
        disk.unlink("f");
        disk.sync_dir("");
    });
    assert_eq!(found, set([None]));
}

#[test]
fn a_new_file_of_an_old_inode_is_another_file() {
    let found = strict(|disk| {
        let file = disk.durable("f", b"first");
        disk.write(&file, 0, b"FIRST").unwrap();
        drop(file);
        disk.unlink("f");
        disk.durable("f", b"second");
    });
    assert_eq!(found, set([Some(b"second")]));
}

#[test]
fn a_sync_that_failed_or_lied_makes_nothing_durable() {
    for fault in [SyncFault::Fail(1), SyncFault::FailAlways, SyncFault::Lie] {
        let found = strict(|disk| {
            let file = disk.durable("f", b"old");
            Faults { sync: fault, ..Faults::default() }.store(&disk.side()).unwrap();
            disk.write(&file, 0, b"new").unwrap();
            assert_eq!(disk.sync(&file).is_err(), fault != SyncFault::Lie);
            if fault == SyncFault::Fail(1) {
                // The kernel has called the page clean; this one has nothing left to write.
                disk.sync(&file).unwrap();
            }
        });
        assert_eq!(found, set([Some(b"old"), Some(b"new")]), "{fault:?}");
    }
}

#[test]
fn what_is_written_again_after_a_failed_sync_and_forced_is_durable() {
    let found = strict(|disk| {
        let file = disk.durable("f", b"old");
        Faults { sync: SyncFault::Fail(1), ..Faults::default() }.store(&disk.side()).unwrap();
        disk.write(&file, 3, b", lost").unwrap();
        assert!(disk.sync(&file).is_err());
        disk.write(&file, 9, b", kept").unwrap();
        disk.sync(&file).unwrap();
        disk.write(&file, 3, b", lost").unwrap();
        disk.sync(&file).unwrap();
    });
    assert_eq!(found, set([Some(b"old, lost, kept")]));
    let found = strict(|disk| {
        let file = disk.durable("f", b"old");
        Faults { sync: SyncFault::Fail(1), ..Faults::default() }.store(&disk.side()).unwrap();
        disk.write(&file, 3, b", lost").unwrap();
        assert!(disk.sync(&file).is_err());
        disk.write(&file, 9, b", kept").unwrap();
        disk.sync(&file).unwrap();
    });
    let hole = b"old\0\0\0\0\0\0, kept".as_slice();
    assert_eq!(found, set([Some(b"old, lost, kept"), Some(hole)]));
}

#[test]
fn a_full_disk_takes_nothing_new_and_a_short_write_takes_half() {
    let disk = Disk::new();
    let file = disk.durable("f", b"1234");
    Faults { full: true, ..Faults::default() }.store(&disk.side()).unwrap();
    assert_eq!(disk.write(&file, 0, b"abcd").unwrap(), 4, "there is room already");
    let error = disk.write(&file, 2, b"cdef").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.open("g", false).unwrap_err().kind(), io::ErrorKind::StorageFull);
    Faults { short_one_in: 1, ..Faults::default() }.store(&disk.side()).unwrap();
    assert_eq!(disk.write(&file, 4, b"efgh").unwrap(), 2);
    assert_eq!(fs::read(disk.path("f")).unwrap(), b"abcdef");
    Faults { flip_one_in: 1, only: "f".to_owned(), ..Faults::default() }
        .store(&disk.side())
        .unwrap();
    let mut bytes = *b"abcdef";
    disk.layer.read(&file, &mut bytes).unwrap();
    let flipped: u32 = bytes.iter().zip(b"abcdef").map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!(flipped, 1);
    let counts = injected(&disk.side()).unwrap();
    let kinds = [Injected::Full, Injected::Short, Injected::Flipped];
    assert_eq!(kinds.map(|kind| counts.get(&kind).copied().unwrap_or(0)), [2, 1, 1]);
}

/// Random work over few files and directories; what was forced is there, and a file has nothing that was
/// never written to it.
#[test]
fn random_work_keeps_what_was_forced() {
    let mut total = Outcome::default();
    for seed in 0..SEEDS {
        let mut dice = skein_chaos_disk::Dice::new(seed ^ 0xD15C);
        let disk = Disk::new();
        let mut length = 0_u64;
        let (mut forced, mut names_forced) = (0_u64, false);
        let file = disk.open("f", false).unwrap();
        let mut copies = 0;
        for _ in 0..dice.below(40) {
            match dice.below(6) {
                0..=2 => {
                    let more: Vec<u8> =
                        (length..length + dice.below(900)).map(|at| at.to_le_bytes()[0]).collect();
                    disk.write(&file, length, &more).unwrap();
                    length += u64::try_from(more.len()).unwrap();
                }
                3 => {
                    disk.sync(&file).unwrap();
                    forced = length;
                }
                4 => {
                    disk.sync_dir("");
                    names_forced = true;
                }
                _ => {
                    let copy = disk.open("copy.tmp", true).unwrap();
                    disk.write(&copy, 0, b"whole").unwrap();
                    disk.sync(&copy).unwrap();
                    disk.rename("copy.tmp", "copy");
                    disk.sync_dir("");
                    names_forced = true;
                    copies += 1;
                }
            }
        }
        drop(file);
        total += disk.pull(seed, Directories::Strict);
        let found = read(&disk.path("f"));
        assert!(found.is_some() || !names_forced, "seed {seed}: the name is gone");
        if let Some(found) = found {
            let forced = usize::try_from(forced).unwrap();
            assert!(found.len() >= forced, "seed {seed}: {} < {forced}", found.len());
            for (at, byte) in (0_u64..).zip(&found) {
                let right = at.to_le_bytes()[0] == *byte;
                let unwritten = *byte == 0 && at >= u64::try_from(forced).unwrap();
                assert!(right || unwritten, "seed {seed}: byte {at} is {byte}");
            }
        }
        assert!(
            copies == 0 || read(&disk.path("copy")).as_deref() == Some(b"whole"),
            "seed {seed}"
        );
    }
    assert!(total.torn > 30 && total.dropped > 30 && total.names_dropped > 5, "{total:?}");
}
