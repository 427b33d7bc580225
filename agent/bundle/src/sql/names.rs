//! Words of a script that may be names of tables, as numbers. They are compared with the tables that a target has,
//! to estimate what a step touches; nothing is decided by them.
//!
//! The numbers stand in logs, so that they are the same for ever: FNV-1a, in 32 bits, of the name as the engine keeps
//! it. Two names that share one are taken for one table, in a script and a target, once in a million times.

use super::lex::{Kind, lex};
use super::model::Dialect;

/// A script with more words names whatever it likes: nothing is said of it.
const WORDS_MAX: usize = 1_024;

/// The number of a table's name, as its catalogue has it.
pub fn number(dialect: Dialect, name: &str) -> u32 {
    let folds = match dialect {
        // What has no quotes was folded when it was written.
        Dialect::Postgres => false,
        // By the server's file system, which nobody knows here.
        Dialect::Mysql | Dialect::Sqlite => true,
    };
    let byte = |byte: u8| if folds { byte.to_ascii_lowercase() } else { byte };
    name.bytes()
        .map(byte)
        .fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Of every word and quoted name of a script, in their order; schemas before a name are words as well. `None`: there
/// are too many.
pub fn of(dialect: Dialect, text: &str) -> Option<Vec<u32>> {
    let mut names = std::collections::BTreeSet::new();
    for token in lex(dialect, text) {
        let word = token.of(text);
        let name = match token.kind {
            Kind::Word => word.to_ascii_lowercase(),
            Kind::Quoted => unquoted(word),
            Kind::Space
            | Kind::Comment
            | Kind::ConditionalOpen
            | Kind::ConditionalClose
            | Kind::Literal
            | Kind::Number
            | Kind::Symbol
            | Kind::Delimiter
            | Kind::DelimiterCommand
            | Kind::Unterminated => continue,
        };
        names.insert(number(dialect, &name));
        if names.len() > WORDS_MAX {
            return None;
        }
    }
    Some(names.into_iter().collect())
}

/// What stands in the quotes; a quote that is doubled is one.
pub(super) fn unquoted(word: &str) -> String {
    let mut chars = word.chars();
    let (Some(open), Some(close)) = (chars.next(), chars.next_back()) else { return String::new() };
    let inner = chars.as_str();
    if open == '[' {
        inner.to_owned()
    } else {
        inner.replace(&format!("{close}{close}"), &close.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dialect: Dialect, text: &str, name: &str) -> bool {
        let words = of(dialect, text).expect("they are few");
        words.binary_search(&number(dialect, name)).is_ok()
    }

    #[test]
    fn a_table_is_named_by_the_rules_of_its_engine() {
        use Dialect::{Mysql, Postgres, Sqlite};
        for (dialect, text, name, is) in [
            (Postgres, "UPDATE Orders SET a = 1;", "orders", true),
            (Postgres, "UPDATE public.orders SET a = 1;", "orders", true),
            (Postgres, "UPDATE \"Orders\" SET a = 1;", "Orders", true),
            (Postgres, "UPDATE \"Orders\" SET a = 1;", "orders", false),
            (Postgres, "UPDATE Orders SET a = 1;", "Orders", false),
            (Postgres, "UPDATE \"a \"\"b\"\"\" SET a = 1;", "a \"b\"", true),
            (Postgres, "INSERT INTO notes VALUES ('orders');", "orders", false),
            (Postgres, "INSERT INTO notes SELECT $$orders$$;", "orders", false),
            (Postgres, "DELETE FROM notes; -- and orders\n/* orders */", "orders", false),
            (Mysql, "DELETE FROM `Orders`;", "orders", true),
            (Mysql, "DELETE FROM shop.orders;", "Orders", true),
            (Mysql, "DELETE FROM notes WHERE a = \"orders\";", "orders", false),
            (Mysql, "/*!50003 DELETE FROM orders */;", "orders", true),
            (Sqlite, "DELETE FROM [Orders];", "orders", true),
            (Sqlite, "DELETE FROM ORDERS;", "orders", true),
            (Sqlite, "DELETE FROM order_items;", "orders", false),
        ] {
            assert_eq!(names(dialect, text, name), is, "{dialect:?}: {text}");
        }
    }

    #[test]
    fn numbers_are_for_ever() {
        assert_eq!(number(Dialect::Postgres, "orders"), number(Dialect::Sqlite, "ORDERS"));
        assert_eq!(number(Dialect::Postgres, ""), 0x811c_9dc5);
        assert_eq!(number(Dialect::Postgres, "a"), 0xe40c_292c);
        assert_eq!(number(Dialect::Postgres, "foobar"), 0xbf9c_f968);
    }

    #[test]
    fn of_too_many_words_nothing_is_said() {
        use std::fmt::Write as _;
        let mut text = String::new();
        for word in 0..=WORDS_MAX {
            write!(text, "w{word} ").expect("a string takes everything");
        }
        assert_eq!(of(Dialect::Sqlite, &text), None);
    }
}
