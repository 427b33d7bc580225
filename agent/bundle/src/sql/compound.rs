//! Where one statement ends, for each dialect's compound statements.
//!
//! - PostgreSQL: as psql counts, a semicolon ends a statement outside of parentheses and outside of
//!   the `BEGIN ATOMIC … END` body of a function or procedure.
//! - SQLite: as `sqlite3_complete` decides, `CREATE TRIGGER` ends at `; END ;`.
//! - MySQL and MariaDB: see [`super::routine`].

use super::lex::{Kind, Token};
use super::model::Dialect;
use super::routine;
use super::split::Unsure;

/// How many of `tokens` (significant ones, from a statement's first) belong to it, its delimiter left
/// out.
pub(super) fn statement_length(
    dialect: Dialect,
    text: &str,
    tokens: &[Token],
) -> Result<usize, Unsure> {
    match dialect {
        Dialect::Postgres => postgres(text, tokens),
        Dialect::Sqlite => sqlite(text, tokens),
        Dialect::Mysql => routine::statement_length(text, tokens),
    }
}

fn is(text: &str, token: Option<&Token>, word: &str) -> bool {
    token.is_some_and(|token| token.kind == Kind::Word && token.of(text).eq_ignore_ascii_case(word))
}

fn postgres(text: &str, tokens: &[Token]) -> Result<usize, Unsure> {
    let mut head = usize::from(is(text, tokens.first(), "create"));
    if is(text, tokens.get(head), "or") {
        head += 2;
    }
    let routine = head > 0
        && (is(text, tokens.get(head), "function") || is(text, tokens.get(head), "procedure"));
    let mut open = Vec::new();
    let mut blocks = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Delimiter if open.is_empty() && blocks.is_empty() => return Ok(at),
            Kind::Symbol if token.of(text) == "(" => open.push(token.start),
            Kind::Symbol if token.of(text) == ")" => {
                open.pop();
            }
            Kind::Word if routine && open.is_empty() => {
                let qualified = at > 0 && tokens.get(at - 1).is_some_and(|t| t.of(text) == ".");
                let word = Some(token);
                if qualified {
                } else if is(text, word, "begin") && is(text, tokens.get(at + 1), "atomic")
                    || is(text, word, "case") && !blocks.is_empty()
                {
                    blocks.push(token.start);
                } else if is(text, word, "end") {
                    blocks.pop();
                }
            }
            _ => {}
        }
    }
    match (blocks.first(), open.first()) {
        (Some(at), _) => Err(Unsure::new("the body that begins here has no END", *at)),
        (None, Some(at)) => Err(Unsure::new("the parenthesis opened here is never closed", *at)),
        (None, None) => Ok(tokens.len()),
    }
}

fn sqlite(text: &str, tokens: &[Token]) -> Result<usize, Unsure> {
    let is_at = |at: usize, word| is(text, tokens.get(at), word);
    let mut head = usize::from(is_at(0, "explain"));
    if head > 0 && is_at(head, "query") {
        head += 2;
    }
    let created = is_at(head, "create");
    head += 1;
    if is_at(head, "temp") || is_at(head, "temporary") {
        head += 1;
    }
    let trigger = created && is_at(head, "trigger");
    let delimiter = |at: usize| tokens.get(at).is_some_and(|t| t.kind == Kind::Delimiter);
    for at in 0..tokens.len() {
        if trigger {
            let closes = is_at(at, "end") && at > 0 && delimiter(at - 1);
            if closes && (at + 1 == tokens.len() || delimiter(at + 1)) {
                return Ok(at + 1);
            }
        } else if delimiter(at) {
            return Ok(at);
        }
    }
    if trigger {
        let start = tokens.first().map_or(0, |token| token.start);
        return Err(Unsure::new("the trigger that begins here has no `; END`", start));
    }
    Ok(tokens.len())
}
