//! The line of an expression in which something is wrong, with a caret under it.

/// `range` in characters. The whole text where it means no place in it.
pub(super) fn shown(text: &str, range: Option<(usize, usize)>) -> String {
    let (from, to) = range.unwrap_or((0, text.chars().count()));
    let mut begins = 0;
    for line in text.split('\n') {
        let length = line.chars().count();
        if from <= begins + length {
            let column = from - begins;
            let wide = to.min(begins + length).saturating_sub(from).max(1);
            // A tab is as wide below as above, and nothing else steers a terminal.
            let plain = |c: char| if c.is_control() && c != '\t' { ' ' } else { c };
            let line: String = line.chars().map(plain).collect();
            let ahead = line.chars().take(column).map(|c| if c == '\t' { '\t' } else { ' ' });
            let (ahead, caret) = (ahead.collect::<String>(), "^".repeat(wide));
            return format!("  | {line}\n  | {ahead}{caret}");
        }
        begins += length + 1;
    }
    shown(text, None)
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn the_caret_stands_under_what_is_wrong() {
        assert_eq!(shown("a == b", Some((5, 6))), "  | a == b\n  |      ^");
        assert_eq!(shown("é ==\n\tzwö\n", Some((6, 9))), "  | \tzwö\n  | \t^^^");
        assert_eq!(shown("ab", Some((2, 2))), "  | ab\n  |   ^");
        assert_eq!(shown("ab", Some((9, 12))), "  | ab\n  | ^^");
        assert_eq!(shown("", None), "  | \n  | ^");
        assert_eq!(shown("a\u{1b}[31m", None), "  | a [31m\n  | ^^^^^^");
    }
}
