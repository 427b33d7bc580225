//! Counts what nextest writes down as `JUnit` would.

use std::collections::BTreeSet;

/// What was counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) ran: usize,
    pub(super) failed: usize,
    /// `TEST — WHY` of each line `SKIPPED: …` that a test printed.
    pub(super) skipped: BTreeSet<String>,
}

/// What a test prints before it says what it could not do.
pub(super) const MARK: &str = "SKIPPED: ";

/// Reads nextest's `junit.xml`. An empty text counts nothing.
pub(super) fn read(xml: &str) -> Counted {
    let run = xml.split("<testsuites").nth(1).and_then(|rest| rest.split('>').next());
    let number = |name: &str| {
        run.and_then(|run| run.split(&format!(" {name}=\"")).nth(1))
            .and_then(|rest| rest.split('"').next())
            .and_then(|value| value.parse().ok())
            .unwrap_or(0)
    };
    Counted {
        ran: number("tests"),
        failed: number("failures") + number("errors"),
        skipped: marked(xml).map(unescape).collect(),
    }
}

/// The rest of each line that starts with the mark. In XML the first line of an output follows its
/// tag directly.
pub(super) fn marked(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let (before, rest) = line.split_once(MARK)?;
        let begins = before.trim().is_empty() || before.trim_end().ends_with('>');
        begins.then(|| rest.split("</system-").next().unwrap_or(rest).trim_end())
    })
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_skips_are_read() {
        let xml = "<?xml version=\"1.0\"?>\n\
            <testsuites name=\"nextest-run\" tests=\"7\" failures=\"2\" errors=\"1\" time=\"0.1\">\n\
            <testsuite name=\"skein-agent\" tests=\"7\" disabled=\"0\" errors=\"1\" failures=\"2\">\n\
            <testcase name=\"a\"><system-err>SKIPPED: a — 1 &lt; 2 servers\n\
            </system-err></testcase>\n\
            <testcase name=\"b\"><system-out>running\nSKIPPED: b — none</system-out></testcase>\n\
            <testcase name=\"c\"><system-out>said \"SKIPPED: \" in passing</system-out></testcase>\n\
            </testsuite></testsuites>\n";
        let counted = read(xml);
        assert_eq!((counted.ran, counted.failed), (7, 3));
        let expected = ["a — 1 < 2 servers", "b — none"];
        assert!(counted.skipped.iter().eq(expected), "{counted:?}");
    }

    #[test]
    fn no_results_count_nothing() {
        assert_eq!(read(""), Counted::default());
    }
}
