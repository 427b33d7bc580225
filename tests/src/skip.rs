//! A test that cannot run says so, where a person and a program both see it.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// The variable that names the file to which skipped tests add a line `TEST — WHY`.
pub const SKIPS: &str = "SKEIN_SKIPS";

/// Says that `test` could not run, and why: `if no_server { skip("name", "why"); return; }`.
///
/// The line goes to standard error and to the file that `SKEIN_SKIPS` names, where
/// `cargo xtask test` counts it. A test of a crate that cannot use this function prints the same
/// line, `SKIPPED: TEST — WHY`, and is counted as well.
///
/// # Panics
///
/// Where `CI` is set: there a test that did not run is a failure.
pub fn skip(test: &str, why: &str) {
    let line = format!("{test} — {why}");
    assert!(!in_ci(), "under CI a skipped test is a failure: {line}");
    let file = std::env::var_os(SKIPS);
    let said = say(&line, file.as_ref().map(Path::new), &mut io::stderr());
    assert!(said.is_ok(), "failed to write down the skipped test {line}: {said:?}");
}

/// Whether a machine looks on, rather than a person: `CI` is `true` or `1`.
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

fn say(line: &str, file: Option<&Path>, err: &mut dyn Write) -> io::Result<()> {
    writeln!(err, "SKIPPED: {line}")?;
    if let Some(path) = file {
        // One write of one line: several tests add to this file at the same time.
        let mut file = File::options().create(true).append(true).open(path)?;
        file.write_all(format!("{line}\n").as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_said_and_written_down_after_those_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("skips");
        let mut said = Vec::new();
        say("a — no server", Some(&file), &mut said).unwrap();
        say("b — no client", Some(&file), &mut said).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "a — no server\nb — no client\n");
        let said = String::from_utf8(said).unwrap();
        assert_eq!(said, "SKIPPED: a — no server\nSKIPPED: b — no client\n");
    }

    #[test]
    fn a_skip_that_cannot_be_written_down_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(say("a — b", Some(dir.path()), &mut Vec::new()).is_err());
    }
}
