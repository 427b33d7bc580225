//! Whether an answer is as expected.

use skein_proto::v1::gate::Question;
use skein_proto::v1::{Comparison, Gate};

use super::tally::Sample;

/// As numbers, where both are; else as text, of which nothing is less or more.
pub(super) fn judge(gate: &Gate, answer: &str) -> Sample {
    let (answer, expected) = (answer.trim(), gate.expected.trim());
    let numbers = answer.parse::<f64>().ok().zip(expected.parse::<f64>().ok());
    let numbers = numbers.filter(|(answer, expected)| answer.is_finite() && expected.is_finite());
    #[expect(clippy::float_cmp, reason = "what is meant is the number that is written")]
    let holds = match (gate.comparison(), numbers) {
        (Comparison::Equal, Some((answer, expected))) => answer == expected,
        (Comparison::Equal, None) => answer == expected,
        (Comparison::NotEqual, Some((answer, expected))) => answer != expected,
        (Comparison::NotEqual, None) => answer != expected,
        (Comparison::Below, Some((answer, expected))) => answer < expected,
        (Comparison::AtMost, Some((answer, expected))) => answer <= expected,
        (Comparison::Above, Some((answer, expected))) => answer > expected,
        (Comparison::AtLeast, Some((answer, expected))) => answer >= expected,
        (
            Comparison::Below | Comparison::AtMost | Comparison::Above | Comparison::AtLeast,
            None,
        ) => return Sample::Silent(format!("{answer} is no number")),
        (Comparison::Unspecified, _) => {
            return Sample::Silent("this agent does not know how to compare it".to_owned());
        }
    };
    let told = answer.to_owned();
    if holds { Sample::Good(told) } else { Sample::Bad(told) }
}

/// As people write it.
pub(super) fn expectation(gate: &Gate) -> String {
    let often = match (gate.need, gate.samples) {
        (_, 0 | 1) => String::new(),
        (need, samples) => format!(", {need} of {samples} times"),
    };
    if let Some(Question::Latency(latency)) = &gate.question {
        return format!("{}{often}", super::latency::expectation(&latency.ceilings));
    }
    let sign = match gate.comparison() {
        Comparison::NotEqual => "!= ",
        Comparison::Below => "< ",
        Comparison::AtMost => "<= ",
        Comparison::Above => "> ",
        Comparison::AtLeast => ">= ",
        Comparison::Equal | Comparison::Unspecified => "",
    };
    format!("{sign}{}{often}", gate.expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers() {
        let judged = |comparison: Comparison, expected: &str, answer: &str| {
            let expected = expected.to_owned();
            let gate = Gate { comparison: comparison.into(), expected, ..Gate::default() };
            match judge(&gate, answer) {
                Sample::Good(_) => '+',
                Sample::Bad(_) => '-',
                Sample::Silent(_) => '?',
            }
        };
        for (comparison, expected, answer, expect) in [
            (Comparison::Equal, "0", "0.000", '+'),
            (Comparison::Equal, "0", " 1\n", '-'),
            (Comparison::Equal, "ok", "ok", '+'),
            (Comparison::Equal, "0", "", '-'),
            (Comparison::NotEqual, "f", "t", '+'),
            (Comparison::Below, "10", "9", '+'),
            (Comparison::Below, "10", "NaN", '?'),
            (Comparison::AtLeast, "10", "abc", '?'),
            (Comparison::AtMost, "-1", "-1", '+'),
            (Comparison::Above, "5", "5", '-'),
            (Comparison::Unspecified, "5", "5", '?'),
        ] {
            assert_eq!(judged(comparison, expected, answer), expect, "{comparison:?} {answer}");
        }
    }
}
