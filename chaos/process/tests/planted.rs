//! Bugs that are planted are found, and what is found says how to find it again.

use std::process::Command;

/// A few rounds without faults are enough for them; the first one is, as a rule.
fn found(planted: &str, broken: &str) {
    let mut run = Command::new(env!("CARGO_BIN_EXE_skein-chaos-process"));
    run.args(["--rounds", "4", "--faults", "0", "--seed", "5", "--mutation", planted]);
    let output = run.output().expect("the program runs: cargo has built it");
    let said = String::from_utf8_lossy(&output.stderr);
    for line in said.lines().filter_map(|line| line.strip_prefix("LEFT OUT: ")) {
        skein_tests::skip(&format!("planted {planted}"), line);
    }
    assert!(!output.status.success(), "{planted} was not found:\n{said}");
    assert!(said.contains(broken), "{planted} broke another promise than `{broken}`:\n{said}");
    let again = said.lines().find_map(|line| line.trim().strip_prefix("again: "));
    let again = again.expect("the command that replays it");
    assert!(again.starts_with("skein-chaos-process --seed 5 --from "), "{again}");
    assert!(again.ends_with(&format!("--rounds 1 --faults 0 --mutation {planted}")), "{again}");
    let kept = said.lines().find_map(|line| line.strip_prefix("what the run left behind: "));
    std::fs::remove_dir_all(kept.expect("what it left is named")).expect("it is there");
}

#[test]
fn steps_that_heed_no_signal_are_found() {
    found("no-throttle", "no step begins or goes on while what holds it back");
}

#[test]
fn a_row_that_no_repair_wrote_is_found() {
    found("forged-row", "nothing in it says that the target was given up");
}

#[test]
fn steps_that_heed_no_replica_that_is_behind_are_found() {
    found("no-lag", "no step begins or goes on while what holds it back");
}

#[test]
fn gates_that_pass_while_prometheus_counts_errors_are_found() {
    found("hidden-errors", "and Prometheus answered it well 0 times");
}

#[test]
fn a_plan_by_an_edited_text_of_which_nobody_spoke_is_found() {
    found("untold-edit", "nobody said that they come to the same");
}
