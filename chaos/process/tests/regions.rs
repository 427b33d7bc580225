//! Three regions far apart, one after another cut off: as every change has it.

use std::process::Command;

/// What has to be told of, in this order.
const PLAYS: [&str; 8] = [
    "n1 measures",
    "the leader killed: completed",
    "us cut off: everything else done",
    "a follower's region cut off: completed",
    "the leader's region cut off: n",
    "the leader's region cut off: completed",
    "the leader apart from the nodes alone: n",
    "the leader apart from the nodes alone: completed",
];

#[test]
fn rounds_of_cuts_between_regions_change_nothing_of_the_end() {
    let program = env!("CARGO_BIN_EXE_skein-chaos-process");
    let output = Command::new(program).arg("--regions").output();
    let output = output.expect("the program runs: cargo has built it");
    let said = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert!(output.status.success(), "`{program} --regions` repeats it");
    let left_out: Vec<&str> =
        said.lines().filter_map(|line| line.strip_prefix("LEFT OUT: ")).collect();
    if !left_out.is_empty() {
        let why = left_out.join("; ");
        skein_tests::skip("rounds_of_cuts_between_regions_change_nothing_of_the_end", &why);
        return;
    }
    let mut told = said.lines().filter_map(|line| line.strip_prefix("REGIONS: "));
    for play in PLAYS {
        assert!(told.any(|line| line.starts_with(play)), "nothing is told of: {play}");
    }
}
