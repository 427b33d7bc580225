//! Seeds hold, replay, and find bugs that are planted.

use std::path::Path;

use skein_chaos_system::mutation::Mutation;
use skein_chaos_system::{Options, Run, apart};

/// Each so long, in simulated seconds, besides the time until it is at rest.
const SECONDS: u64 = 10;

fn played(seed: u64, options: Options) -> Run {
    let program = Path::new(env!("CARGO_BIN_EXE_skein-chaos-system"));
    apart::play(program, seed, options).expect("the simulator runs")
}

fn options(mutation: Option<Mutation>) -> Options {
    Options { seconds: SECONDS, mutation, ..Options::default() }
}

#[test]
fn a_fixed_set_of_seeds_holds() {
    let mut faults = 0;
    let mut effects = 0;
    for seed in 0..4 {
        let one = played(seed, options(None));
        assert_eq!(
            one.violation, None,
            "replay: cargo run --release -p skein-chaos-system -- --seed {seed} --seconds {SECONDS} --trace"
        );
        faults += one.faults.values().sum::<u64>();
        effects += one.effects;
    }
    assert!(faults > 15, "only {faults} faults");
    assert!(effects > 10, "only {effects} effects");
}

#[test]
fn damage_on_a_nodes_disk_is_met_and_named() {
    let (mut damaged, mut mended, mut named) = (0, 0, 0);
    for seed in 10..16 {
        let one = played(seed, options(None));
        assert_eq!(
            one.violation, None,
            "replay: cargo run --release -p skein-chaos-system -- --seed {seed} --seconds {SECONDS} --trace"
        );
        damaged += one.faults.get("rot").unwrap_or(&0) + one.astray;
        (mended, named) = (mended + one.mended, named + one.named);
        let whole = played(seed, Options { damage: false, ..options(None) });
        assert!(!whole.faults.contains_key("rot") && whole.mended == 0, "{whole:?}");
    }
    assert!(damaged > 5, "{damaged}");
    assert!(mended > 0 && named > 0, "{mended} bytes mended, {named} processes named it");
}

/// A disk fails under a node at which an agent waits for a leader. It once kept a thread busy for ever there.
#[test]
fn who_waits_for_a_leader_where_consensus_has_ended_is_told() {
    let one = played(5, Options { seconds: 60, damage: false, ..options(None) });
    assert_eq!(one.violation, None);
    assert!(one.events > 100, "{one:?}");
}

#[test]
fn a_seed_is_the_same_run_again_whether_somebody_reads_it_or_not() {
    let first = played(7, options(None));
    assert!(first.events > 20, "{first:?}");
    assert_eq!(played(7, options(None)).hash, first.hash);
    let read = played(7, Options { trace: true, ..options(None) });
    assert_eq!(read.hash, first.hash);
    assert!(read.trace.lines().count() > 1_000, "{}", read.trace);
    assert_ne!(played(8, options(None)).hash, first.hash);
}

/// Seeds until a planted bug is found.
fn found(mutation: Mutation, seeds: u64) {
    let mut plays = (0..seeds).map(|seed| played(seed, options(Some(mutation))));
    assert!(
        plays.any(|one| one.violation.is_some()),
        "{mutation:?} was not found in {seeds} seeds"
    );
}

#[test]
fn an_acknowledgement_ahead_of_the_disk_is_found() {
    found(Mutation::AckedBeforeSync, 10);
}

#[test]
fn a_stale_read_is_found() {
    found(Mutation::StaleReads, 10);
}

#[test]
fn a_forgotten_fence_is_found() {
    found(Mutation::NoFence, 5);
}

#[test]
fn a_throttle_that_holds_nothing_back_is_found() {
    found(Mutation::NoThrottle, 15);
}

#[test]
fn an_effect_ahead_of_the_disk_is_found() {
    found(Mutation::EffectNotSynced, 10);
}

#[test]
fn rot_that_no_checksum_tells_is_found() {
    found(Mutation::UncheckedRot, 10);
}
