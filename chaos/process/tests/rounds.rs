//! A short run, as every change has it. Long ones are commands: `docs/reliability.md`.

use std::process::Command;

/// Rounds of a run, and faults in each: within half a minute on two cores.
const ROUNDS: &str = "1";
const FAULTS: &str = "7";

#[test]
fn rounds_of_chaos_on_real_processes_hold() {
    let mut run = Command::new(env!("CARGO_BIN_EXE_skein-chaos-process"));
    run.args(["--rounds", ROUNDS, "--faults", FAULTS]);
    if let Ok(seed) = std::env::var("SKEIN_SEED") {
        run.args(["--seed", &seed]);
    }
    let output = run.output().expect("the program runs: cargo has built it");
    let (said, report) =
        (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    println!("{said}\n{report}");
    assert!(output.status.success(), "SKEIN_SEED repeats it");
    // What a machine does not allow is told like a test that could not run.
    for line in said.lines().filter_map(|line| line.strip_prefix("LEFT OUT: ")) {
        skein_tests::skip("rounds_of_chaos_on_real_processes_hold", line);
    }
    assert!(
        report.contains("1 rounds, 7 faults") && !report.contains("| strategies planned | 0 |"),
        "a run in which nothing happens proves nothing"
    );
    // What never came up is named.
    assert!(said.contains("NEVER PLAYED: ") == report.contains("\nNever played in these rounds: "));
}
