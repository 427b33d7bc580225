//! Threads, clocks, random numbers and disks of a simulation. One test a process: `cargo nextest`; under
//! `cargo test` they take turns.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use skein_chaos_interpose::disk::{Astray, Behaviour, Left, Lie};
use skein_chaos_interpose::{Chance, Owner, Simulation, disk};

/// Runs `play` in a simulation of its own, in a thread and a directory of its own.
fn simulated<T: Send>(seed: u64, play: impl FnOnce(&Simulation) -> T + Send) -> T {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let root =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("sim-{}", std::process::id()));
    drop(fs::remove_dir_all(&root));
    fs::create_dir_all(&root).unwrap();
    std::env::set_current_dir(&root).unwrap();
    let played = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let os = Simulation::begin(seed, &root);
            play(&os)
        });
        thread.join().unwrap()
    });
    std::env::set_current_dir("/").unwrap();
    fs::remove_dir_all(&root).unwrap();
    played
}

/// The order in which some threads that wake each other get to run.
fn order(seed: u64) -> (Vec<usize>, u64) {
    simulated(seed, |os| {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let turn = Arc::new((Mutex::new(0_u32), Condvar::new()));
        let threads: Vec<_> = (0..8_usize)
            .map(|number| {
                let (seen, turn) = (Arc::clone(&seen), Arc::clone(&turn));
                std::thread::spawn(move || {
                    for _ in 0..20 {
                        let (count, changed) = &*turn;
                        let mut count = count.lock().unwrap();
                        seen.lock().unwrap().push(number);
                        *count += 1;
                        changed.notify_all();
                        let wait = Duration::from_millis(1 + number as u64);
                        drop(changed.wait_timeout(count, wait).unwrap());
                        let mut map = HashMap::new();
                        map.insert(number, ());
                    }
                })
            })
            .collect();
        for moment in 1..1_000 {
            os.advance(moment * 1_000_000);
        }
        for thread in threads {
            thread.join().unwrap();
        }
        let seen = seen.lock().unwrap().clone();
        os.note(&format!("{seen:?}"));
        (seen, os.trace())
    })
}

#[test]
fn threads_take_turns_in_the_same_order_each_time() {
    let first = order(1);
    assert_eq!(first.0.len(), 160);
    for _ in 0..5 {
        assert_eq!(order(1), first);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the clock is what is looked at")]
fn time_is_what_the_simulation_says() {
    simulated(1, |os| {
        let began = Instant::now();
        let (sender, receiver) = mpsc::channel::<()>();
        let waiter = std::thread::spawn(move || {
            let end = receiver.recv_timeout(Duration::from_secs(3_600));
            (end, Instant::now())
        });
        assert_eq!(began.elapsed(), Duration::ZERO);
        os.advance(3_599_000_000_000);
        assert!(!waiter.is_finished());
        os.advance(3_600_500_000_000);
        assert!(waiter.is_finished());
        let (end, at) = waiter.join().unwrap();
        assert_eq!(end, Err(RecvTimeoutError::Timeout));
        assert_eq!(at - began, Duration::from_millis(3_600_500));
        drop(sender);
    });
}

#[test]
fn random_numbers_follow_from_the_seed() {
    let keys = |seed| {
        simulated(seed, |_| {
            let map: HashMap<u32, ()> = (0..50).map(|number| (number, ())).collect();
            map.keys().copied().collect::<Vec<_>>()
        })
    };
    assert_eq!(keys(1), keys(1));
    assert_ne!(keys(1), keys(2));
}

fn read(path: &str) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.read_to_string(&mut text).ok()?;
    Some(text)
}

fn sync_directory(path: &str) {
    File::open(path).unwrap().sync_all().unwrap();
}

#[test]
fn a_power_cut_takes_what_was_not_synced_and_nothing_else() {
    simulated(1, |_| {
        let mut chance = Chance::new(1);
        fs::create_dir("d").unwrap();
        sync_directory(".");
        let mut file = File::create("d/kept").unwrap();
        file.write_all(b"kept").unwrap();
        file.sync_all().unwrap();
        sync_directory("d");
        file.write_all(b", and not this").unwrap();
        File::create("d/unnamed").unwrap().sync_all().unwrap();
        fs::rename("d/kept", "d/other").unwrap();
        drop(file);
        assert_eq!(read("d/other").as_deref(), Some("kept, and not this"));
        disk::power_cut(Path::new("d"), Left::Nothing, &mut chance);
        assert_eq!(read("d/kept").as_deref(), Some("kept"));
        assert_eq!(read("d/other"), None);
        assert_eq!(read("d/unnamed"), None);

        // A removal that was not synced is undone, one that was is not.
        fs::remove_file("d/kept").unwrap();
        disk::power_cut(Path::new("d"), Left::Nothing, &mut chance);
        assert_eq!(read("d/kept").as_deref(), Some("kept"));
        fs::remove_file("d/kept").unwrap();
        sync_directory("d");
        disk::power_cut(Path::new("d"), Left::Nothing, &mut chance);
        assert_eq!(read("d/kept"), None);
    });
}

#[test]
fn a_torn_write_keeps_whole_sectors() {
    let mut states = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let text = simulated(seed, |_| {
            fs::create_dir("d").unwrap();
            let mut file = File::create("d/file").unwrap();
            file.write_all(&[b'a'; 1024]).unwrap();
            file.sync_all().unwrap();
            sync_directory(".");
            sync_directory("d");
            let mut file = fs::OpenOptions::new().write(true).open("d/file").unwrap();
            file.write_all(&[b'b'; 1024]).unwrap();
            drop(file);
            disk::power_cut(Path::new("d"), Left::Torn, &mut Chance::new(seed));
            read("d/file").unwrap()
        });
        let (first, second) = text.split_at(512);
        for sector in [first, second] {
            assert!(
                sector.bytes().all(|byte| byte == b'a') || sector.bytes().all(|byte| byte == b'b')
            );
        }
        states.insert((first.starts_with('b'), second.starts_with('b')));
    }
    assert_eq!(states.len(), 4, "{states:?}");
}

#[test]
fn a_failed_sync_is_not_made_good_by_a_later_one_and_a_lie_keeps_nothing() {
    simulated(1, |os| {
        let owner = Owner(1);
        fs::create_dir("d").unwrap();
        sync_directory(".");
        let mut chance = Chance::new(1);
        os.on_behalf(owner, || {
            let mut file = File::create("d/file").unwrap();
            file.sync_all().unwrap();
            sync_directory("d");
            disk::behave(owner, Behaviour { failing_syncs: 1, ..Behaviour::default() });
            file.write_all(b"gone").unwrap();
            assert!(file.sync_data().is_err());
            file.sync_data().unwrap();
        });
        assert_eq!(read("d/file").as_deref(), Some("gone"));
        disk::power_cut(Path::new("d"), Left::All, &mut chance);
        assert_eq!(read("d/file").as_deref(), Some(""));
        os.on_behalf(owner, || {
            disk::behave(owner, Behaviour { lying: Lie::All, ..Behaviour::default() });
            let mut file = fs::OpenOptions::new().append(true).open("d/file").unwrap();
            file.write_all(b"too").unwrap();
            file.sync_data().unwrap();
        });
        disk::power_cut(Path::new("d"), Left::Nothing, &mut chance);
        assert_eq!(read("d/file").as_deref(), Some(""));
    });
}

#[test]
fn what_is_damaged_is_put_back_but_where_something_else_was_written_since() {
    simulated(1, |_| {
        fs::create_dir("d").unwrap();
        let mut file = File::create("d/file").unwrap();
        file.write_all(b"right and more").unwrap();
        assert!(!disk::strike(Path::new("d/file"), 0, b"w"), "nothing of it is on the disk");
        file.sync_all().unwrap();
        sync_directory("d");
        sync_directory(".");
        assert!(!disk::strike(Path::new("d/file"), 14, b"!"), "there is no such place");
        assert!(disk::strike(Path::new("d/file"), 0, b"wrong"));
        assert!(disk::strike(Path::new("d/file"), 10, b"less"));
        assert_eq!(read("d/file").as_deref(), Some("wrong and less"));
        let seen = disk::undamaged(Path::new("d"), || read("d/file"));
        assert_eq!(seen.as_deref(), Some("right and more"));
        disk::power_cut(Path::new("d"), Left::Nothing, &mut Chance::new(1));
        assert_eq!(read("d/file").as_deref(), Some("wrong and less"), "it lasts");
        // What was read is written again, and then a part of it is overwritten, and another one cut.
        let mut file = fs::OpenOptions::new().write(true).open("d/file").unwrap();
        file.write_all(b"wrong and less").unwrap();
        file.sync_all().unwrap();
        file.set_len(10).unwrap();
        file.seek(SeekFrom::Start(10)).unwrap();
        file.write_all(b"then").unwrap();
        file.sync_all().unwrap();
        drop(file);
        disk::mend(Path::new("d"));
        assert_eq!(read("d/file").as_deref(), Some("right and then"));
        assert_eq!(disk::count().mended, 5);
        disk::power_cut(Path::new("d"), Left::Nothing, &mut Chance::new(1));
        assert_eq!(read("d/file").as_deref(), Some("right and then"));
    });
}

#[test]
fn a_sector_goes_astray_once_and_comes_back_when_the_disk_is_mended() {
    for (way, kept) in [(Astray::Also, true), (Astray::Instead, false)] {
        simulated(1, |os| {
            let owner = Owner(1);
            fs::create_dir("d").unwrap();
            fs::write("d/other", [b'o'; 512]).unwrap();
            File::open("d/other").unwrap().sync_all().unwrap();
            fs::write("d/file", [b'a'; 512]).unwrap();
            File::open("d/file").unwrap().sync_all().unwrap();
            sync_directory("d");
            sync_directory(".");
            disk::lead_astray(owner, way, Path::new("d"), "/file", Chance::new(1));
            os.on_behalf(owner, || {
                for (name, content) in [("d/file", b'b'), ("d/file", b'c')] {
                    let file = fs::OpenOptions::new().write(true).open(name).unwrap();
                    file.write_all_at(&[content; 512], 0).unwrap();
                    file.sync_all().unwrap();
                    if content == b'b' {
                        let (file, other) = (read("d/file").unwrap(), read("d/other").unwrap());
                        assert_eq!(file.starts_with('b'), kept, "{way:?}");
                        assert!(other.starts_with('b'), "{way:?}");
                    }
                }
            });
            assert!(read("d/file").unwrap().starts_with('c'), "{way:?}: only once");
            disk::mend(Path::new("d"));
            assert!(read("d/file").unwrap().starts_with('c'), "{way:?}: it was written since");
            assert!(read("d/other").unwrap().starts_with('o'), "{way:?}");
            assert_eq!(disk::count().astray, 1);
        });
    }
}

#[test]
fn the_dead_write_nothing_and_their_threads_end() {
    simulated(1, |os| {
        let owner = Owner(1);
        fs::create_dir("d").unwrap();
        let behaviour =
            Behaviour { sync_least: 5_000_000, sync_most: 5_000_000, ..Behaviour::default() };
        disk::behave(owner, behaviour);
        let writer = os.on_behalf(owner, || {
            std::thread::spawn(|| {
                let mut file = File::create("d/file").unwrap();
                file.write_all(b"first").unwrap();
                let synced = file.sync_all();
                (synced.is_ok(), file.write_all(b"second").is_ok())
            })
        });
        assert!(!writer.is_finished(), "it waits for its disk");
        os.kill(owner);
        assert!(os.buried(owner));
        assert_eq!(writer.join().unwrap(), (false, false));
        assert_eq!(read("d/file").as_deref(), Some("first"));
    });
}
