//! The schema of a SQLite file: what it stores of each object's SQL, read word by word, so that
//! spacing, comments, quotes around names and the case of words do not count.

use crate::db::answer::{Answer, text};
use crate::db::fingerprint::{Key, Schema};

pub(super) const QUERY: &str = r"SELECT type, name, tbl_name, sql FROM main.sqlite_master
WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\' AND tbl_name NOT LIKE '\_skein\_%' ESCAPE '\'";

pub(super) fn read(answer: Option<&Answer>) -> Schema {
    let mut schema = Schema::default();
    for row in answer.map(|answer| answer.rows.as_slice()).unwrap_or_default() {
        let part = |at| text(row, at).unwrap_or_default();
        let (kind, name, on) = (part(0), part(1).to_lowercase(), part(2).to_lowercase());
        let key = Key { kind: kind.to_owned(), name, on };
        schema.push(key, lines(part(3)));
    }
    schema
}

/// The words of a definition, one line for each part between its outermost parentheses.
fn lines(sql: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut depth = 0_u32;
    words(sql, |word| {
        match word {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        let ends = (depth == 1 && (word == "," || word == "(")) || (depth == 0 && word == ")");
        if ends {
            lines.push(std::mem::take(&mut line));
        }
    });
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Calls `each` with every word in turn. One buffer serves them all: a fleet's schemas are read often.
fn words(sql: &str, mut each: impl FnMut(&str)) {
    let mut word = String::new();
    let mut rest = sql.chars().peekable();
    while let Some(first) = rest.next() {
        word.clear();
        match first {
            _ if first.is_whitespace() => continue,
            '-' if rest.peek() == Some(&'-') => {
                while rest.next().is_some_and(|c| c != '\n') {}
                continue;
            }
            '/' if rest.peek() == Some(&'*') => {
                rest.next();
                let mut star = false;
                for c in rest.by_ref() {
                    if star && c == '/' {
                        break;
                    }
                    star = c == '*';
                }
                continue;
            }
            '\'' => {
                word.push('\'');
                word.push_str(&quoted(&mut rest, '\'').replace('\'', "''"));
                word.push('\'');
            }
            '"' | '`' => word.push_str(&quoted(&mut rest, first).to_lowercase()),
            '[' => word.push_str(&quoted(&mut rest, ']').to_lowercase()),
            _ if part_of_word(first) => {
                word.push(first);
                while let Some(c) = rest.next_if(|c| part_of_word(*c)) {
                    word.push(c);
                }
                if word.is_ascii() {
                    word.make_ascii_lowercase();
                } else {
                    word = word.to_lowercase();
                }
            }
            _ => word.push(first),
        }
        each(&word);
    }
}

fn part_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || c == '.'
}

/// What stands before the closing quote; two of them in a row are one within.
fn quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, close: char) -> String {
    let mut text = String::new();
    while let Some(c) = rest.next() {
        if c == close && (close == ']' || rest.next_if_eq(&close).is_none()) {
            break;
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn only_what_changes_the_table_changes_its_lines() {
        let plain = lines("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT DEFAULT 'It''s (x), Y')");
        for same in [
            "CREATE TABLE \"t\" (\n  a integer primary key, -- the key\n  b text default 'It''s (x), Y'\n)",
            "CREATE TABLE [T](`a` INTEGER PRIMARY KEY,/* b */B TEXT DEFAULT 'It''s (x), Y')",
        ] {
            assert_eq!(lines(same), plain, "{same}");
        }
        for other in [
            "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT DEFAULT 'it''s (x), Y')",
            "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT DEFAULT 'It''s (x), Y' CHECK (b <> ''))",
            "CREATE TABLE t (b TEXT DEFAULT 'It''s (x), Y', a INTEGER PRIMARY KEY)",
            "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT DEFAULT 'It''s (x), Y') STRICT",
        ] {
            assert_ne!(lines(other), plain, "{other}");
        }
        assert_eq!(plain.len(), 3, "{plain:?}");
    }
}
