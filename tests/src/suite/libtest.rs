//! Counts what cargo's own test runner prints.

use std::collections::BTreeSet;

use super::junit::marked;

/// What was counted, over all crates.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) ran: usize,
    pub(super) failed: usize,
    pub(super) skipped: BTreeSet<String>,
    /// Tests marked `#[ignore]`, as `TEST — WHY`.
    pub(super) ignored: BTreeSet<String>,
}

/// Reads the lines `test result: …` and `test NAME ... ignored` among all that was printed.
pub(super) fn read(said: &str) -> Counted {
    let mut counted =
        Counted { skipped: marked(said).map(str::to_owned).collect(), ..Counted::default() };
    for line in said.lines() {
        if let Some(result) = line.strip_prefix("test result: ") {
            let failed = number(result, "failed");
            counted.failed += failed;
            counted.ran += failed + number(result, "passed");
        } else if let Some((test, rest)) =
            line.strip_prefix("test ").and_then(|line| line.split_once(" ... ignored"))
        {
            let why = rest.strip_prefix(", ").unwrap_or("marked #[ignore]");
            counted.ignored.insert(format!("{test} — {why}"));
        }
    }
    counted
}

/// The number before a word, as in `3 passed;`.
fn number(line: &str, word: &str) -> usize {
    line.split([';', '.'])
        .filter_map(|part| part.trim().strip_suffix(word)?.trim().parse::<usize>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_all_crates_are_added_up() {
        let said = "running 3 tests\n\
            test a ... ok\n\
            test b ... FAILED\n\
            test c ... ignored, needs an hour\n\
            SKIPPED: a — no server\n\
            test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out\n\
            test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out\n";
        let counted = read(said);
        assert_eq!((counted.ran, counted.failed), (6, 1));
        assert!(counted.skipped.iter().eq(["a — no server"]), "{counted:?}");
        assert!(counted.ignored.iter().eq(["c — needs an hour"]), "{counted:?}");
    }
}
