//! What ran, what passed, what did not, and the line that says it all.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process::ExitCode;

/// What came of one part of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// What did not run, each with its reason: `TEST — WHY`.
    pub(crate) skipped: BTreeSet<String>,
}

impl Outcome {
    /// A part that either passes or fails as a whole.
    pub(crate) fn whole(passed: bool) -> Self {
        Self { passed: usize::from(passed), failed: usize::from(!passed), ..Self::default() }
    }

    /// A part that could not run.
    pub(crate) fn skip(why: &str) -> Self {
        Self { skipped: BTreeSet::from([why.to_owned()]), ..Self::default() }
    }

    /// A part of which `ran` tests ran to their end, `failed` of them badly, and of which some only
    /// said that they could not run.
    ///
    /// `ended_well` is the word of the program that ran them: where it disagrees with the counts,
    /// for instance because nothing was built, that is one failure more.
    pub(crate) fn counted(
        ran: usize,
        failed: usize,
        skipped: BTreeSet<String>,
        ended_well: bool,
    ) -> Self {
        let passed = ran.saturating_sub(failed).saturating_sub(skipped.len());
        let failed = if failed == 0 && !ended_well { 1 } else { failed };
        Self { passed, failed, skipped }
    }
}

/// The parts of a run, in the order in which they ran.
#[derive(Debug, Default)]
pub(crate) struct Report {
    parts: Vec<(&'static str, Outcome)>,
}

impl Report {
    pub(crate) fn add(&mut self, what: &'static str, outcome: Outcome) {
        self.parts.push((what, outcome));
    }

    /// Prints the table and, last and alone, the sum. Failure where anything failed, or where
    /// anything was skipped and a machine looks on.
    pub(crate) fn end(&self, ci: bool) -> io::Result<ExitCode> {
        let mut out = io::stdout().lock();
        self.print(ci, &mut out)?;
        out.flush()?;
        Ok(if self.is_good(ci) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn is_good(&self, ci: bool) -> bool {
        self.sum(|outcome| outcome.failed) == 0
            && self.sum(|outcome| outcome.passed) > 0
            && !(ci && self.sum(|outcome| outcome.skipped.len()) > 0)
    }

    fn print(&self, ci: bool, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "\n{:<14} {:>6} {:>7} {:>7} {:>8}  and why",
            "what", "ran", "passed", "failed", "skipped"
        )?;
        for (what, outcome) in &self.parts {
            let ran = outcome.passed + outcome.failed;
            let mut reasons = outcome.skipped.iter();
            let first = reasons.next().map_or("", String::as_str);
            let line = format!(
                "{what:<14} {ran:>6} {:>7} {:>7} {:>8}  {first}",
                outcome.passed,
                outcome.failed,
                outcome.skipped.len(),
            );
            writeln!(out, "{}", line.trim_end())?;
            for reason in reasons {
                writeln!(out, "{:48}{reason}", "")?;
            }
        }
        let skipped = self.sum(|outcome| outcome.skipped.len());
        if ci && skipped > 0 {
            writeln!(out, "CI is set: what was skipped counts as a failure of this run")?;
        }
        let (passed, failed) =
            (self.sum(|outcome| outcome.passed), self.sum(|outcome| outcome.failed));
        writeln!(out, "\n{passed} passed, {failed} failed, {skipped} skipped")
    }

    fn sum(&self, count: impl Fn(&Outcome) -> usize) -> usize {
        self.parts.iter().map(|(_, outcome)| count(outcome)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(report: &Report, ci: bool) -> String {
        let mut out = Vec::new();
        report.print(ci, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_last_line_is_the_sum_and_stands_alone() {
        let mut report = Report::default();
        report.add("tests", Outcome::counted(10, 2, ["a — no server".to_owned()].into(), false));
        report.add("demo", Outcome::whole(true));
        let text = printed(&report, false);
        assert_eq!(text.lines().last(), Some("8 passed, 2 failed, 1 skipped"), "{text}");
        assert!(text.contains("a — no server"), "{text}");
        assert!(!report.is_good(false));
    }

    #[test]
    fn a_skip_is_a_failure_only_where_a_machine_looks_on() {
        let mut report = Report::default();
        report.add("tests", Outcome::whole(true));
        report.add("deny", Outcome::skip("cargo-deny is not installed"));
        assert!(report.is_good(false));
        assert!(!report.is_good(true));
    }

    #[test]
    fn a_program_that_ends_badly_without_a_failed_test_is_one_failure() {
        let outcome = Outcome::counted(0, 0, BTreeSet::new(), false);
        assert_eq!((outcome.passed, outcome.failed), (0, 1));
    }

    #[test]
    fn a_run_in_which_nothing_passed_is_not_good() {
        assert!(!Report::default().is_good(false));
    }
}
