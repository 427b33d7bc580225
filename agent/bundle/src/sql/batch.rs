//! Statements that run in batches: the directive in front of one, and the places in it for a range of keys.
//!
//! ```text
//! -- skein:batch table=users key=id size=5000
//! UPDATE users SET email = lower(email) WHERE id BETWEEN {from} AND {to};
//! ```
//! No engine takes a brace there, so that nothing else runs such a statement by mistake: not another tool,
//! nor an agent that does not know batches. (SQLite would take a `:from` that nobody binds for NULL, change
//! nothing, and be content.)

use super::lex::{Kind, Token, lex, lex_piece};
use super::model::{Class, Dialect};
use super::split::Places;
use crate::finding::Finding;
use crate::model::{Format, Script};

/// Keys in one batch, at most.
pub const SIZE_MAX: u64 = 1_000_000;

/// How a statement is run over a range of keys at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Whose keys are counted: schema and name, or the name alone, as the catalogue writes them.
    pub table: Vec<String>,
    /// The column with the keys.
    pub key: String,
    /// Keys in one batch, unless somebody sets another number.
    pub size: u64,
    /// The statement, cut at its places for keys.
    pub parts: Vec<Part>,
}

/// A piece of a batched statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Text(String),
    /// The first key of the batch.
    From,
    /// The last one.
    To,
}

impl Batch {
    /// The statement for the keys between two literals, both included.
    pub fn statement(&self, from: &str, to: &str) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::From => from.to_owned(),
            Part::To => to.to_owned(),
        };
        self.parts.iter().map(part).collect()
    }

    /// As people name it: `users by id, 5000 at a time`.
    pub fn summary(&self) -> String {
        format!("{} by {}, {} at a time", self.table.join("."), self.key, self.size)
    }
}

/// What begins a directive, behind the dashes.
const MARK: &str = "skein:";

/// The words of a directive, if a comment is one: a line of its own that begins with two dashes.
pub(super) fn directive(comment: &str) -> Option<&str> {
    comment.strip_prefix("--")?.trim().strip_prefix(MARK)
}

/// A directive and where it stands.
#[derive(Debug)]
pub(super) struct Directive {
    place: (u32, u32),
    table: Vec<String>,
    key: String,
    size: u64,
}

/// A statement that a directive may stand in front of.
pub(super) struct Place<'a> {
    pub(super) text: &'a str,
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) class: Class,
}

impl Directive {
    /// For a file that cannot run in batches.
    pub(super) fn refuse(&self, script: &Script, why: &str, help: &str) -> Finding {
        finding(script, self.place, format!("a batched statement, and {why}"), help)
    }
}

/// The directives of a script. `pieces` are what its statements are cut from, each with its first line.
pub(super) fn directives(
    dialect: Dialect,
    script: &Script,
    pieces: &[(u32, &str)],
) -> Result<Vec<Directive>, Finding> {
    // goose drops the comments before a statement from its pieces, and keeps them in the file.
    let whole = [(script.line, script.text.as_str())];
    let pieces = if script.format == Format::Goose { whole.as_slice() } else { pieces };
    let mut found = Vec::new();
    for (line, text) in pieces {
        if !text.contains(MARK) {
            continue;
        }
        let mut places = Places::new(text, *line);
        for token in lex(dialect, text).filter(|token| token.kind == Kind::Comment) {
            if let Some(words) = directive(token.of(text)) {
                found.push(parse(script, places.of(token.start), words)?);
            }
        }
    }
    Ok(found)
}

fn parse(script: &Script, place: (u32, u32), words: &str) -> Result<Directive, Finding> {
    const HELP: &str =
        "write `-- skein:batch table=users key=id size=5000` on the line before the statement";
    let refuse = |message: String| Err(finding(script, place, message, HELP));
    let (what, settings) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
    if what != "batch" {
        return refuse(format!("there is no directive `skein:{what}`"));
    }
    let (mut table, mut key, mut size) = (None, None, None);
    let mut rest = settings.trim_start();
    while !rest.is_empty() {
        let Some((name, after)) = rest.split_once('=') else {
            return refuse(format!("`{}` is no setting of a batch", rest.trim_end()));
        };
        let Some((value, after)) = value(after) else {
            return refuse(format!(
                "the value of `{name}` is not a name, a name in quotes or a number"
            ));
        };
        let again = match name {
            "table" if value.len() <= 2 => table.replace(value).is_some(),
            "key" if value.len() == 1 => {
                std::mem::replace(&mut key, value.into_iter().next()).is_some()
            }
            "size" => {
                let number = value.first().and_then(|value| value.parse::<u64>().ok());
                let Some(number) =
                    number.filter(|n| value.len() == 1 && (1..=SIZE_MAX).contains(n))
                else {
                    return refuse(format!("the size of a batch is a number from 1 to {SIZE_MAX}"));
                };
                size.replace(number).is_some()
            }
            "table" | "key" => return refuse(format!("the {name} has too many parts")),
            _ => return refuse(format!("`{name}` is no setting of a batch")),
        };
        if again {
            return refuse(format!("`{name}` is said twice"));
        }
        rest = after.trim_start();
    }
    match (table, key, size) {
        (Some(table), Some(key), Some(size)) => Ok(Directive { place, table, key, size }),
        (None, _, _) => refuse("the batch does not say which table it goes over".to_owned()),
        (_, None, _) => refuse("the batch does not say by which key it goes".to_owned()),
        (_, _, None) => refuse("the batch does not say its size".to_owned()),
    }
}

/// The parts of a value, and what stands behind it.
fn value(text: &str) -> Option<(Vec<String>, &str)> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, after) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted.split_once('"')?
        } else {
            let word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
            rest.split_at(rest.find(|c: char| !word(c)).unwrap_or(rest.len()))
        };
        if part.is_empty() {
            return None;
        }
        parts.push(part.to_owned());
        match after.strip_prefix('.') {
            Some(after) => rest = after,
            None if after.is_empty() || after.starts_with(char::is_whitespace) => {
                return Some((parts, after));
            }
            None => return None,
        }
    }
}

/// Which statements run in batches: for each its batch, where it has one.
pub(super) fn attach(
    dialect: Dialect,
    script: &Script,
    statements: &[Place<'_>],
    directives: Vec<Directive>,
) -> Result<Vec<Option<Batch>>, Finding> {
    let mut batches: Vec<Option<Batch>> = statements.iter().map(|_| None).collect();
    for directive in directives {
        let line = directive.place.0;
        let refuse = |message: &str| {
            let help = "put it on a line of its own, directly in front of the statement";
            Err(finding(script, directive.place, message.to_owned(), help))
        };
        let holds = |one: &Place<'_>| one.line <= line && line <= last_line(one);
        if statements.iter().any(holds) {
            return refuse("the directive stands in or behind a statement");
        }
        let next = statements.iter().zip(&mut batches).filter(|(one, _)| one.line > line);
        let Some((statement, batch)) = next.min_by_key(|(one, _)| (one.line, one.column)) else {
            return refuse("no statement follows the directive");
        };
        if batch.is_some() {
            return refuse("a second directive for the same statement");
        }
        *batch = Some(batched(dialect, script, statement, directive)?);
    }
    let unmarked = statements.iter().zip(&batches).filter(|(_, batch)| batch.is_none());
    for (statement, _) in unmarked {
        if cut(dialect, statement.text).iter().any(|part| !matches!(part, Part::Text(_))) {
            return Err(finding(
                script,
                (statement.line, statement.column),
                "{from} and {to} stand for the keys of a batch, and no directive says of which table"
                    .to_owned(),
                "write `-- skein:batch table=users key=id size=5000` on the line before the statement",
            ));
        }
    }
    Ok(batches)
}

fn last_line(place: &Place<'_>) -> u32 {
    let breaks = place.text.bytes().filter(|byte| *byte == b'\n').count();
    place.line.saturating_add(u32::try_from(breaks).unwrap_or(u32::MAX))
}

fn batched(
    dialect: Dialect,
    script: &Script,
    statement: &Place<'_>,
    directive: Directive,
) -> Result<Batch, Finding> {
    let refuse = |message: String, help: &str| {
        Err(finding(script, (statement.line, statement.column), message, help))
    };
    if statement.class != Class::Dml {
        return refuse(
            "only a statement that changes rows can run in batches".to_owned(),
            "put the directive in front of an INSERT, UPDATE or DELETE",
        );
    }
    let parts = cut(dialect, statement.text);
    for (part, name) in [(Part::From, "{from}"), (Part::To, "{to}")] {
        if !parts.contains(&part) {
            return refuse(
                format!(
                    "the batched statement has no place for {name}: each batch would change every row"
                ),
                "bound it to the keys of a batch: `WHERE id BETWEEN {from} AND {to}`",
            );
        }
    }
    let name = directive.table.last().map(String::as_str).unwrap_or_default();
    if !names(dialect, statement.text, name) || !names(dialect, statement.text, &directive.key) {
        let Directive { table, key, .. } = &directive;
        return refuse(
            format!(
                "the batch goes over {} by {key}, and its statement does not name both",
                table.join(".")
            ),
            "name in the directive the table and the column that the statement is bound by",
        );
    }
    let Directive { table, key, size, .. } = directive;
    Ok(Batch { table, key, size, parts })
}

/// Whether a table or column of this name stands in a statement, quoted or not.
fn names(dialect: Dialect, text: &str, name: &str) -> bool {
    lex_piece(dialect, text).any(|token| match token.kind {
        Kind::Word => token.of(text).eq_ignore_ascii_case(name),
        Kind::Quoted => {
            let inner = token.of(text).get(1..).and_then(|text| text.get(..text.len() - 1));
            inner.is_some_and(|inner| inner.eq_ignore_ascii_case(name))
        }
        // MariaDB with ANSI_QUOTES.
        Kind::Literal => token.of(text).trim_matches('"').eq_ignore_ascii_case(name),
        _ => false,
    })
}

/// Cuts a statement at its places for keys. What stands in a text or a comment is none.
fn cut(dialect: Dialect, text: &str) -> Vec<Part> {
    let tokens: Vec<Token> = lex_piece(dialect, text).collect();
    let mut parts = Vec::new();
    let mut begun = 0;
    for window in tokens.windows(3) {
        let [open, word, close] = window else { continue };
        let part = match (open.of(text), word.of(text), close.of(text)) {
            ("{", "from", "}") => Part::From,
            ("{", "to", "}") => Part::To,
            _ => continue,
        };
        parts.push(Part::Text(text.get(begun..open.start).unwrap_or_default().to_owned()));
        parts.push(part);
        begun = close.end;
    }
    parts.push(Part::Text(text.get(begun..).unwrap_or_default().to_owned()));
    parts
}

fn finding(script: &Script, (line, column): (u32, u32), message: String, help: &str) -> Finding {
    Finding { file: script.file.clone(), line, column, message, help: help.to_owned() }
}
