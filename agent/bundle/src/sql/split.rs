//! Cuts a script into statements, compound ones included, and says so where it cannot.
//!
//! A wrong cut would send half a procedure to a server and count the other half as a statement, so
//! every doubt ends in [`Split::Whole`]: a block that is not closed, an `END` that closes nothing, a
//! delimiter inside a conditional comment, a session mode that changes how text is quoted.

use super::classify;
use super::compound;
use super::lex::{Kind, Token, lex, lex_piece};
use super::model::{Dialect, Split, Statement};

/// Why the splitter gave up, and the byte where it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unsure {
    pub(super) why: String,
    pub(super) at: usize,
}

impl Unsure {
    pub(super) fn new(why: &str, at: usize) -> Self {
        Self { why: why.to_owned(), at }
    }
}

/// The statements of `text`, whose first line is line `first_line` of its file. Each statement goes
/// from its first significant token to its last one: comments and blank lines around it are left out,
/// those inside it are kept.
pub fn split(dialect: Dialect, text: &str, first_line: u32) -> Split {
    let tokens = significant(lex(dialect, text));
    let mut places = Places::new(text, first_line);
    let mut statements = Vec::new();
    match ranges(dialect, text, &tokens) {
        Ok(ranges) => {
            for (start, end) in ranges {
                let text = text.get(start..end).unwrap_or_default();
                let class = classify::facts(dialect, text).class;
                statements.push(Statement {
                    text: text.to_owned(),
                    line: places.of(start).0,
                    class,
                    batch: None,
                });
            }
            Split::Statements(statements)
        }
        Err(unsure) => Split::Whole { why: unsure.why, line: places.of(unsure.at).0 },
    }
}

/// The byte ranges of the statements.
pub(super) fn ranges(
    dialect: Dialect,
    text: &str,
    tokens: &[Token],
) -> Result<Vec<(usize, usize)>, Unsure> {
    let mut found = Vec::new();
    let mut custom = false;
    // Where the author has said what ends a statement, pieces between delimiters are judged alone.
    for piece in tokens.split_inclusive(|token| token.kind == Kind::DelimiterCommand) {
        let (tokens, command) = match piece.split_last() {
            Some((last, before)) if last.kind == Kind::DelimiterCommand => (before, Some(last)),
            _ => (piece, None),
        };
        if custom {
            author_delimited(dialect, text, tokens, &mut found)?;
        } else {
            plain(dialect, text, tokens, 0, &mut found)?;
        }
        if let Some(command) = command {
            custom = command.of(text).split_ascii_whitespace().nth(1) != Some(";");
        }
    }
    Ok(found)
}

/// Under `DELIMITER //`: each piece is cut further where that is sure, and is one statement where it
/// is not, because the author has said so.
fn author_delimited(
    dialect: Dialect,
    text: &str,
    tokens: &[Token],
    found: &mut Vec<(usize, usize)>,
) -> Result<(), Unsure> {
    for piece in tokens.split(|token| token.kind == Kind::Delimiter) {
        let Some((start, end)) = bounds(piece) else { continue };
        if let Some(open) = piece.iter().find(|token| token.kind == Kind::Unterminated) {
            return Err(unterminated(text, *open));
        }
        let inner = text.get(start..end).unwrap_or_default();
        let mut cut = Vec::new();
        match plain(dialect, inner, &significant(lex_piece(dialect, inner)), start, &mut cut) {
            Ok(()) => found.append(&mut cut),
            Err(_) => found.push((start, end)),
        }
    }
    Ok(())
}

/// Cuts at semicolons, past those that belong to a compound statement. `base` is added to each byte.
fn plain(
    dialect: Dialect,
    text: &str,
    tokens: &[Token],
    base: usize,
    found: &mut Vec<(usize, usize)>,
) -> Result<(), Unsure> {
    if let Some(open) = tokens.last().filter(|token| token.kind == Kind::Unterminated) {
        let mut unsure = unterminated(text, *open);
        unsure.at += base;
        return Err(unsure);
    }
    let conditional = |kind| matches!(kind, Kind::ConditionalOpen | Kind::ConditionalClose);
    let code: Vec<Token> =
        tokens.iter().copied().filter(|token| !conditional(token.kind)).collect();
    let mut rest = code.as_slice();
    let mut uncut = tokens;
    // A conditional comment with nothing in it leaves no code, and is not lost all the same.
    while !uncut.is_empty() {
        let length = if rest.is_empty() {
            0
        } else {
            compound::statement_length(dialect, text, rest)
                .map_err(|unsure| Unsure { at: unsure.at + base, ..unsure })?
        };
        let end = rest.get(length).map_or(text.len(), |delimiter| delimiter.start);
        let count = uncut.iter().take_while(|token| token.start < end).count();
        let (statement, after) = uncut.split_at_checked(count).unwrap_or((uncut, &[]));
        if let Some((start, end)) = bounds(statement) {
            let opened = statement.iter().filter(|t| t.kind == Kind::ConditionalOpen).count();
            let closed = statement.iter().filter(|t| t.kind == Kind::ConditionalClose).count();
            if opened != closed {
                let why = "a delimiter stands inside the conditional comment of this statement";
                return Err(Unsure::new(why, start + base));
            }
            // Alone on its way to the server, it would turn into a comment.
            let alone = text.get(start..end).unwrap_or_default();
            if dialect == Dialect::Mysql && alone.ends_with("--") {
                return Err(Unsure::new("this statement ends in `--`", start + base));
            }
            found.push((start + base, end + base));
        }
        // Past the delimiter, in both.
        rest = rest.get(length + 1..).unwrap_or_default();
        uncut = after.get(1..).unwrap_or_default();
    }
    Ok(())
}

/// Only what is neither white space nor comment.
pub(super) fn significant(tokens: impl Iterator<Item = Token>) -> Vec<Token> {
    tokens.filter(Token::is_significant).collect()
}

fn bounds(tokens: &[Token]) -> Option<(usize, usize)> {
    Some((tokens.first()?.start, tokens.last()?.end))
}

fn unterminated(text: &str, token: Token) -> Unsure {
    let opening: String = token.of(text).chars().take(2).collect();
    let what = if opening == "/*" {
        "the comment opened here is never closed".to_owned()
    } else {
        let quote = opening.chars().next().unwrap_or('\'');
        format!("the text opened here by {quote} is never closed")
    };
    Unsure { why: what, at: token.start }
}

/// Lines and columns of rising byte offsets, counted once over the text.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    column: u32,
}

impl<'a> Places<'a> {
    pub(crate) fn new(text: &'a str, first_line: u32) -> Self {
        Self { text, at: 0, line: first_line, column: 1 }
    }

    /// The line and the column (in characters), both one-based, of byte `offset`, which must not be
    /// before the last one asked for.
    pub(crate) fn of(&mut self, offset: usize) -> (u32, u32) {
        let passed = self.text.get(self.at..offset).unwrap_or_default();
        for character in passed.chars() {
            if character == '\n' {
                self.line = self.line.saturating_add(1);
                self.column = 1;
            } else {
                self.column = self.column.saturating_add(1);
            }
        }
        self.at = self.at.max(offset);
        (self.line, self.column)
    }
}
