//! Counts the answers of a gate: pure.

use std::collections::VecDeque;

/// One answer, as people are to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sample {
    /// As expected.
    Good(String),
    /// Not as expected.
    Bad(String),
    /// There was none, for this reason.
    Silent(String),
}

/// What the answers so far come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Open,
    Passed,
    /// So many were not as expected that it cannot pass.
    Failed,
    /// Too few were as expected, and what lacks is answers.
    Inconclusive,
}

/// The last answers of one gate.
#[derive(Debug)]
pub(super) struct Tally {
    samples: usize,
    need: usize,
    last: VecDeque<Sample>,
}

impl Tally {
    pub(super) fn new(samples: u32, need: u32) -> Self {
        let samples = usize::try_from(samples).unwrap_or(usize::MAX).max(1);
        let need = usize::try_from(need).unwrap_or(usize::MAX).clamp(1, samples);
        Self { samples, need, last: VecDeque::new() }
    }

    /// Only the last ones count.
    pub(super) fn add(&mut self, sample: Sample) {
        if self.last.len() == self.samples {
            self.last.pop_front();
        }
        self.last.push_back(sample);
    }

    pub(super) fn verdict(&self) -> Verdict {
        let count = |of: fn(&Sample) -> bool| self.last.iter().filter(|sample| of(sample)).count();
        let good = count(|sample| matches!(sample, Sample::Good(_)));
        let bad = count(|sample| matches!(sample, Sample::Bad(_)));
        if good >= self.need {
            Verdict::Passed
        } else if bad > self.samples - self.need {
            Verdict::Failed
        } else if self.last.len() == self.samples {
            Verdict::Inconclusive
        } else {
            Verdict::Open
        }
    }

    /// The last few of them.
    pub(super) fn measured(&self) -> String {
        const SHOWN: usize = 5;
        let from = self.last.len().saturating_sub(SHOWN);
        let told = self.last.iter().skip(from).map(|sample| match sample {
            Sample::Good(told) | Sample::Bad(told) => shortened(told),
            Sample::Silent(why) => format!("no answer ({})", shortened(why)),
        });
        let told: Vec<String> = told.collect();
        let first = if from > 0 { "…, " } else { "" };
        format!("{first}{}", told.join(", "))
    }
}

/// One line of it: what a database or a program says may be long.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 100;
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = plain.take(SHOWN).collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(samples: u32, need: u32, answers: &str) -> Verdict {
        let mut tally = Tally::new(samples, need);
        for answer in answers.chars() {
            let told = answer.to_string();
            tally.add(match answer {
                '+' => Sample::Good(told),
                '-' => Sample::Bad(told),
                _ => Sample::Silent(told),
            });
        }
        tally.verdict()
    }

    #[test]
    fn silence_is_no_success() {
        for (samples, need, answers, expect) in [
            (1, 1, "+", Verdict::Passed),
            (1, 1, "-", Verdict::Failed),
            (1, 1, "?", Verdict::Inconclusive),
            (3, 2, "+", Verdict::Open),
            (3, 2, "+-", Verdict::Open),
            (3, 2, "+-+", Verdict::Passed),
            (3, 2, "--", Verdict::Failed),
            (3, 2, "??", Verdict::Open),
            (3, 2, "+??", Verdict::Inconclusive),
            (3, 2, "?++", Verdict::Passed),
            (3, 2, "-?+", Verdict::Inconclusive),
            // Only the last ones count.
            (2, 1, "+--", Verdict::Failed),
            (2, 1, "--+", Verdict::Passed),
        ] {
            assert_eq!(after(samples, need, answers), expect, "{need} of {samples}: {answers}");
        }
    }

    #[test]
    fn what_was_measured_is_short() {
        let mut tally = Tally::new(9, 9);
        for _ in 0..9 {
            tally.add(Sample::Bad("x\n".repeat(1_000)));
        }
        tally.add(Sample::Silent("gone".to_owned()));
        let told = tally.measured();
        assert!(told.len() < 600 && !told.contains('\n'), "{told}");
        assert!(told.starts_with("…, ") && told.ends_with("no answer (gone)"), "{told}");
    }
}
