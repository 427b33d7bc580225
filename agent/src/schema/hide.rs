//! Puts tags in the places of strings and comments.

use sha2::{Digest as _, Sha256};
use skein_bundle::sql::Dialect;
use skein_bundle::sql::lex::{Kind, lex};

use crate::db::Engine;
use crate::text::hex;

/// One string within another, within another…: deeper ones are hidden as a whole.
const DEPTH_MAX: u32 = 4;

/// How one engine's definitions are hidden, with one salt.
pub(super) struct Hidden<'a> {
    engine: Engine,
    salt: &'a [u8],
}

impl<'a> Hidden<'a> {
    pub(super) fn new(engine: Engine, salt: &'a [u8]) -> Self {
        Self { engine, salt }
    }

    /// The lines of an object, fit for showing.
    pub(super) fn lines(&self, kind: &str, lines: &[String]) -> Vec<String> {
        let text = lines.join("\n");
        // Only what is SQL within can be told apart from its strings.
        let of_sql = ["LANGUAGE sql", "LANGUAGE plpgsql"].iter().any(|of| text.contains(of));
        let depth = if of_sql { 0 } else { DEPTH_MAX };
        let told = self.text(&text, depth);
        let list = self.engine == Engine::Sqlite && kind == "table";
        told.lines().map(|line| if list { of_a_list(line) } else { line }.to_owned()).collect()
    }

    fn text(&self, text: &str, depth: u32) -> String {
        let dialect = match self.engine {
            Engine::Postgres => Dialect::Postgres,
            Engine::Mysql => Dialect::Mysql,
            Engine::Sqlite => Dialect::Sqlite,
        };
        let mut told = String::with_capacity(text.len());
        // SQLite takes a name in quotes for a string where no name can be, and canonical words have no quotes.
        let mut bare = false;
        for token in lex(dialect, text) {
            let part = token.of(text);
            match token.kind {
                Kind::Literal => match dollars(part).filter(|_| depth < DEPTH_MAX) {
                    Some((quote, body)) => {
                        told.push_str(quote);
                        told.push_str(&self.text(body, depth + 1));
                        told.push_str(quote);
                    }
                    None => self.hide(part, ("'", "'"), &mut told),
                },
                Kind::Comment | Kind::Unterminated | Kind::DelimiterCommand => {
                    self.hide(part, ("/*", "*/"), &mut told);
                }
                Kind::Word | Kind::Number | Kind::Symbol if bare && !is_plain(part) => {
                    self.hide(part, ("'", "'"), &mut told);
                }
                Kind::ConditionalOpen
                | Kind::ConditionalClose
                | Kind::Space
                | Kind::Word
                | Kind::Quoted
                | Kind::Number
                | Kind::Symbol
                | Kind::Delimiter => told.push_str(part),
            }
            if self.engine == Engine::Sqlite && token.is_significant() {
                let begins = part.eq_ignore_ascii_case("default");
                bare = begins || (bare && !is_plain(part));
            }
        }
        told
    }

    fn hide(&self, part: &str, (open, close): (&str, &str), told: &mut String) {
        for piece in [open, "#", &self.tag(part), close] {
            told.push_str(piece);
        }
    }

    /// Tells two texts apart, and to nobody without the salt which of many it is: eight digits.
    fn tag(&self, text: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.salt);
        hash.update(text);
        let whole: [u8; 32] = hash.finalize().into();
        hex(whole.split_at(4).0)
    }
}

/// `$tag$ … $tag$`: the quote, and what stands between.
fn dollars(literal: &str) -> Option<(&str, &str)> {
    let inner = literal.strip_prefix('$')?;
    let quote = literal.get(..inner.find('$')? + 2)?;
    Some((quote, literal.strip_prefix(quote)?.strip_suffix(quote)?))
}

/// What may stand behind DEFAULT without quotes, or behind that.
fn is_plain(word: &str) -> bool {
    const PLAIN: [&str; 23] = [
        "null",
        "true",
        "false",
        "current_time",
        "current_date",
        "current_timestamp",
        "not",
        "primary",
        "unique",
        "check",
        "references",
        "collate",
        "constraint",
        "generated",
        "always",
        "as",
        "on",
        "(",
        ")",
        ",",
        "+",
        "-",
        "strict",
    ];
    word.parse::<f64>().is_ok() || PLAIN.iter().any(|plain| word.eq_ignore_ascii_case(plain))
}

/// Whether a column is the last one of its table says nothing of the column.
fn of_a_list(line: &str) -> &str {
    line.strip_suffix(" ,").or_else(|| line.strip_suffix(" )")).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(engine: Engine, kind: &str, text: &str) -> String {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        Hidden::new(engine, b"salt").lines(kind, &lines).join("\n")
    }

    #[test]
    fn no_string_and_no_comment_is_told() {
        let function = "CREATE OR REPLACE FUNCTION f()\n RETURNS text\n LANGUAGE plpgsql\n\
                        AS $function$\nBEGIN -- pa55word\n PERFORM dblink('pa55word'); \
                        EXECUTE $x$SELECT E'pa55\\'word'$x$;\nEND\n$function$\n";
        let python = "CREATE FUNCTION g()\n LANGUAGE plpython3u\nAS $function$\nx = \"pa55word\"\n$function$";
        for (engine, kind, text, kept) in [
            (Engine::Postgres, "table", "column a text default 'pa55word'::text", "default '#"),
            (Engine::Postgres, "function", function, "BEGIN /*#"),
            (Engine::Postgres, "function", python, "LANGUAGE plpython3u"),
            (
                Engine::Postgres,
                "policy",
                "r to public using ((a = 'pa55word'::text))",
                "using ((a =",
            ),
            (
                Engine::Mysql,
                "table",
                "`a` int(11) COMMENT 'the pa55word is ''pa55word'''",
                "`a` int(11)",
            ),
            (
                Engine::Mysql,
                "table",
                ") ENGINE=FEDERATED CONNECTION='mysql://u:pa55word@h/d'",
                "CONNECTION=",
            ),
            (
                Engine::Mysql,
                "procedure",
                "BEGIN # pa55word\nSELECT \"pa55word\", 'a\\'pa55word'; END",
                "BEGIN",
            ),
            (Engine::Sqlite, "table", "a text default 'pa55word' ,", "a text default '#"),
            (Engine::Sqlite, "table", "a text default pa55word )", "a text default '#"),
            (
                Engine::Sqlite,
                "table",
                "a text default the pa55word is 7pa55! not null )",
                "not null",
            ),
            (Engine::Postgres, "view", " SELECT 1 AS x /* pa55word", "SELECT 1 AS x"),
        ] {
            let told = told(engine, kind, text);
            assert!(!told.contains("pa55") && told.contains(kept), "{text}\n{told}");
        }
    }

    #[test]
    fn equal_texts_have_equal_tags_and_others_have_others() {
        let default = |value: &str| {
            told(Engine::Postgres, "table", &format!("column a text default '{value}'::text"))
        };
        assert_eq!(default("a"), default("a"));
        assert_ne!(default("a"), default("b"));
        let other = Hidden::new(Engine::Postgres, b"pepper");
        assert_ne!(other.lines("table", &["x default 'a'".to_owned()])[0], default("a"));
    }

    #[test]
    fn the_rest_is_told_as_it_is() {
        for (engine, kind, text, expect) in [
            (
                Engine::Sqlite,
                "table",
                "b integer not null default null )",
                "b integer not null default null",
            ),
            (Engine::Sqlite, "table", "c check ( c > 0 ) ,", "c check ( c > 0 )"),
            (Engine::Sqlite, "index", "create index i on t (\na )", "create index i on t (\na )"),
            (
                Engine::Mysql,
                "table",
                "`price` decimal(10,2) NOT NULL DEFAULT 0.00",
                "`price` decimal(10,2) NOT NULL DEFAULT 0.00",
            ),
            (
                Engine::Postgres,
                "index",
                "CREATE INDEX \"I\" ON t USING btree (a)",
                "CREATE INDEX \"I\" ON t USING btree (a)",
            ),
        ] {
            assert_eq!(told(engine, kind, text), expect);
        }
    }
}
