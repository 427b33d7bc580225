//! A test that cannot run says so, where a person and a program both see it.

use std::fs::File;
use std::io::Write as _;

/// The variable that names the file to which skipped tests add a line `TEST — WHY`.
pub const SKIPS: &str = "SKEIN_SKIPS";

/// Says that `test` could not run, and why: `if no_server { skip("name", "why"); return; }`.
///
/// The line goes to standard error and to the file that `SKEIN_SKIPS` names, where
/// `cargo xtask test` counts it.
///
/// # Panics
///
/// Where `CI` is set: there a test that did not run is a failure.
#[expect(clippy::print_stderr, reason = "the line is what a skipped test leaves for its reader")]
pub fn skip(test: &str, why: &str) {
    let line = format!("{test} — {why}");
    eprintln!("SKIPPED: {line}");
    assert!(!in_ci(), "under CI a skipped test is a failure: {line}");
    if let Some(path) = std::env::var_os(SKIPS) {
        // One write of one line: several tests add to this file at the same time.
        let added = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = added {
            panic!("failed to add a skipped test to {}: {error}", path.display());
        }
    }
}

/// Whether a machine looks on, rather than a person: `CI` is `true` or `1`.
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}
