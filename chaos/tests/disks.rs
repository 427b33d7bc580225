//! Short runs of what `skein-chaos kill` and `skein-chaos power` do for longer.

use std::path::{Path, PathBuf};

use skein_chaos::place;
use skein_chaos::writer::rounds::{Asked, End, Report, play};

fn rounds(rounds: u64, seed: u64, end: End) -> Report {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_skein-chaos"));
    play(&Asked { program, rounds, seed, end }).expect("the rounds can be played")
}

fn preload() -> PathBuf {
    place::preload_beside(Path::new(env!("CARGO_BIN_EXE_skein-chaos"))).expect("built with it")
}

#[test]
fn rounds_of_kill_lose_nothing() {
    let report = rounds(25, 7, End::Kill);
    assert_eq!(report.violations, Vec::<String>::new());
    assert!(report.promises > 200, "{report}");
}

#[test]
fn rounds_of_power_loss_lose_nothing() {
    let report = rounds(40, 7, End::Power { preload: preload(), lie: false });
    assert_eq!(report.violations, Vec::<String>::new());
    let power = report.power;
    assert!(power.dropped > 20 && power.torn > 5 && power.names_dropped > 5, "{report}");
    assert!(report.faults.len() >= 4 && report.stopped > 3, "{report}");
}

/// A check that finds nothing proves nothing.
#[test]
fn rounds_with_a_lying_disk_are_found_out() {
    let report = rounds(20, 7, End::Power { preload: preload(), lie: true });
    assert!(!report.violations.is_empty(), "{report}");
}
