//! The form of a script in which an edit that changes nothing that runs leaves no trace.

use sha2::{Digest, Sha256};

use super::batch::directive;
use super::lex::{Kind, lex};
use super::model::Dialect;

/// `text` without comments, and with the white space outside of literals folded. Hints
/// (`/*+ … */`) steer planners and stay, and so do directives (`-- skein:…`). Between two literals a line break stays a line break, since
/// PostgreSQL joins literals across one.
pub fn normalise(dialect: Dialect, text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    write(dialect, text, |part| out.push_str(part));
    out
}

/// SHA-256 of `text` as all three dialects normalise it. A directory does not say whose SQL it holds,
/// and what is a comment in one dialect may run in another (`#`, `--x`, `/*! … */`): equal digests mean
/// that the edit changed nothing on any engine.
pub fn digest(text: &str) -> [u8; 32] {
    let mut all = Sha256::new();
    for dialect in [Dialect::Postgres, Dialect::Mysql, Dialect::Sqlite] {
        let mut one = Sha256::new();
        write(dialect, text, |part| one.update(part.as_bytes()));
        all.update(one.finalize());
    }
    all.finalize().into()
}

fn write(dialect: Dialect, text: &str, mut to: impl FnMut(&str)) {
    // Whether there was a gap since the last token, and whether it held a line break.
    let mut gap: Option<bool> = None;
    let mut previous: Option<Kind> = None;
    let mut ends_line = false;
    for token in lex(dialect, text) {
        let written = token.of(text);
        let comment = token.kind == Kind::Comment;
        let kept = comment && (written.starts_with("/*+") || directive(written).is_some());
        if !token.is_significant() && !kept {
            gap = Some(gap.unwrap_or(false) || written.contains('\n'));
            continue;
        }
        if let (Some(broken), Some(previous)) = (gap.take(), previous) {
            let joins = previous == Kind::Literal && token.kind == Kind::Literal;
            // A client's command ends with its line, and so does a directive.
            let line = broken && joins || previous == Kind::DelimiterCommand || ends_line;
            to(if line { "\n" } else { " " });
        }
        to(written);
        ends_line = comment && written.starts_with("--");
        previous = Some(token.kind);
    }
}
