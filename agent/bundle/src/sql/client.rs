//! Commands that a client program keeps to itself and a server has never heard of.

use super::classify;
use super::lex::{Kind, Token, lex};
use super::model::Dialect;
use super::plan::first_words;
use super::split::Places;
use super::words::Words;
use crate::finding::Finding;
use crate::model::Script;

/// Refuses a backslash command in `text`, which begins on line `first_line` of the script's file.
pub(super) fn refuse(
    dialect: Dialect,
    script: &Script,
    first_line: u32,
    text: &str,
) -> Result<(), Finding> {
    let Some(at) = backslash(dialect, text, lex(dialect, text)) else { return Ok(()) };
    let client = match dialect {
        Dialect::Postgres => "psql",
        Dialect::Mysql => "mysql",
        Dialect::Sqlite => "a client",
    };
    Err(finding(
        &script.file,
        Places::new(text, first_line).of(at),
        &format!("a command of {client} stands here, which the server does not know"),
    ))
}

/// The first backslash outside of quotes and comments.
fn backslash(
    dialect: Dialect,
    text: &str,
    mut tokens: impl Iterator<Item = Token>,
) -> Option<usize> {
    let found = tokens.find(|token| {
        let null = dialect == Dialect::Mysql
            && text.get(token.end..).is_some_and(|rest| rest.starts_with('N'));
        token.kind == Kind::Symbol && token.of(text) == "\\" && !null
    });
    found.map(|token| token.start)
}

/// The byte at which a line begins with a backslash command, whatever dialect the text is in: all
/// three must agree that it stands outside of quotes and comments.
pub(crate) fn backslash_line(text: &str) -> Option<usize> {
    if !text.contains('\\') {
        return None;
    }
    let starts = |dialect| -> Vec<usize> {
        let symbols = lex(dialect, text).filter(|t| t.kind == Kind::Symbol && t.of(text) == "\\");
        symbols.map(|token| token.start).collect()
    };
    let [postgres, mysql, sqlite] =
        [Dialect::Postgres, Dialect::Mysql, Dialect::Sqlite].map(starts);
    postgres.into_iter().find(|at| {
        let before = text.get(..*at).unwrap_or_default();
        let opens = before.rsplit('\n').next().unwrap_or_default().trim().is_empty();
        opens && mysql.binary_search(at).is_ok() && sqlite.binary_search(at).is_ok()
    })
}

/// Refuses a statement that is a client's command, or that waits for a client's data.
pub(super) fn refuse_statement(
    dialect: Dialect,
    script: &Script,
    place: (u32, u32),
    text: &str,
) -> Result<(), Finding> {
    let message = match dialect {
        Dialect::Mysql if first_words(dialect, text, &["SOURCE"]) => {
            "`source` is a command of the mysql client, which the server does not know"
        }
        Dialect::Sqlite if text.starts_with('.') => {
            "this is a command of the sqlite3 shell, which the library does not know"
        }
        Dialect::Postgres if copies_from_client(text) => {
            "COPY … FROM STDIN waits for data that only a client such as psql would send"
        }
        _ => return Ok(()),
    };
    Err(finding(&script.file, place, message))
}

fn copies_from_client(text: &str) -> bool {
    let tokens = classify::code(Dialect::Postgres, text);
    let words = Words { text, tokens: &tokens };
    words.is(0, "COPY") && words.find(1, &["FROM"]).is_some_and(|from| words.is(from + 1, "STDIN"))
}

pub(crate) fn finding(file: &str, (line, column): (u32, u32), message: &str) -> Finding {
    Finding {
        file: file.to_owned(),
        line,
        column,
        message: message.to_owned(),
        help:
            "write it as SQL: INSERT rows by statements, and leave variables, files and output to \
               the tool that runs migrations"
                .to_owned(),
    }
}
