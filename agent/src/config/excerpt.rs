//! A line of a file with a caret under what is wrong, and without its passwords.

use std::ops::Range;

/// Where in a file, one-based, and how the line looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Excerpt {
    pub(super) line: usize,
    /// In characters.
    pub(super) column: usize,
    /// Three lines: a rule, the line, the caret.
    pub(super) shown: String,
}

/// The line of `text` in which `span` (bytes) begins.
pub(super) fn excerpt(text: &str, span: &Range<usize>) -> Excerpt {
    let start = floor(text, span.start);
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.matches('\n').count() + 1;
    let content = text.get(line_start..).unwrap_or_default();
    let content = content.split('\n').next().unwrap_or_default().trim_end_matches('\r');
    let ahead = text.get(line_start..start).unwrap_or_default();
    let column = ahead.chars().count() + 1;
    let marked = text.get(start..floor(text, span.end)).unwrap_or_default();
    let wide = marked.split('\n').next().unwrap_or_default().trim_end().chars().count();

    // What is masked before the caret moves it to the left.
    let secrets = secrets(content);
    let shown = masked(content, &secrets);
    let place = |chars: usize| masked_len(content, &secrets, chars);
    let from = place(column - 1);
    let to = place(column - 1 + wide).max(from + 1);
    let number = line.to_string();
    let gutter = " ".repeat(number.len());
    let caret = format!("{}{}", " ".repeat(from), "^".repeat(to - from));
    let shown = format!("{gutter} |\n{number} | {shown}\n{gutter} | {caret}");
    Excerpt { line, column, shown }
}

/// `text` without what may be passwords in URLs.
pub(super) fn without_secrets(text: &str) -> String {
    text.split('\n').map(|line| masked(line, &secrets(line))).collect::<Vec<_>>().join("\n")
}

const MASK: &str = "***";

/// The byte ranges of one line that are not for showing: between `://` and the last `@`, and the
/// value of `password=`. Wider than any one URL needs, since the line may be broken.
fn secrets(line: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    if let (Some(scheme), Some(at)) = (line.find("://"), line.rfind('@')) {
        let from = scheme + "://".len();
        if from < at {
            found.push(from..at);
        }
    }
    let lower = line.to_ascii_lowercase();
    for (at, word) in lower.match_indices("password=") {
        let from = at + word.len();
        let rest = line.get(from..).unwrap_or_default();
        let len = rest.find(['&', '"', '\'', ' ']).unwrap_or(rest.len());
        let inside = found.iter().any(|range| range.contains(&from));
        if len > 0 && !inside {
            found.push(from..from + len);
        }
    }
    found.sort_by_key(|range| range.start);
    found
}

fn masked(line: &str, secrets: &[Range<usize>]) -> String {
    let mut shown = String::new();
    let mut from = 0;
    for secret in secrets {
        shown.push_str(line.get(from..secret.start).unwrap_or_default());
        shown.push_str(MASK);
        from = secret.end;
    }
    shown.push_str(line.get(from..).unwrap_or_default());
    shown
}

/// How many characters of the masked line the first `chars` characters of the line become.
fn masked_len(line: &str, secrets: &[Range<usize>], chars: usize) -> usize {
    let end = line.char_indices().nth(chars).map_or(line.len(), |(at, _)| at);
    let beyond = chars.saturating_sub(line.chars().count());
    let mut len = beyond;
    let mut from = 0;
    for secret in secrets.iter().take_while(|secret| secret.start < end) {
        len += line.get(from..secret.start).unwrap_or_default().chars().count() + MASK.len();
        from = secret.end;
    }
    len + line.get(from..end).unwrap_or_default().chars().count()
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_what_is_wrong() {
        let text = "a = 1\nzwö = 2\n";
        let at = text.find("zwö").unwrap();
        let found = excerpt(text, &(at..at + "zwö".len()));
        assert_eq!((found.line, found.column), (2, 1));
        assert_eq!(found.shown, "  |\n2 | zwö = 2\n  | ^^^");
    }

    #[test]
    fn a_password_is_masked_and_the_caret_follows() {
        let text = r#"url = "postgres://app:hunter2@db/orders", oops = 1"#;
        let at = text.find("oops").unwrap();
        let found = excerpt(text, &(at..at + 4));
        let lines: Vec<_> = found.shown.lines().collect();
        assert_eq!(lines[1], r#"1 | url = "postgres://***@db/orders", oops = 1"#);
        assert_eq!(lines[2].find('^'), lines[1].find("oops"));
        assert_eq!(without_secrets("host=x password=hunter2&a=b"), "host=x password=***&a=b");
    }

    #[test]
    fn the_end_of_the_file_is_a_place_too() {
        let found = excerpt("a = ", &(4..4));
        assert_eq!((found.line, found.column), (1, 5));
        assert!(found.shown.ends_with('^'));
    }
}
