//! Literals and names inside the SQL that we write ourselves.

use super::location::Engine;

/// A text literal that no session setting (`standard_conforming_strings`,
/// `NO_BACKSLASH_ESCAPES`, `ANSI_QUOTES`) reads otherwise.
pub(crate) fn literal(engine: Engine, text: &str) -> String {
    let plain = |byte: u8| byte != b'\'' && byte != b'\\' && byte != 0 && byte.is_ascii();
    if text.bytes().all(plain) {
        return format!("'{text}'");
    }
    match engine {
        Engine::Postgres => {
            // The server knows no NUL in text; none of our texts can hold one and stay equal.
            let text = text.replace('\0', "").replace('\\', "\\\\").replace('\'', "''");
            format!("E'{text}'")
        }
        Engine::Mysql => format!("CONVERT(X'{}' USING utf8mb4)", hex(text.as_bytes())),
        Engine::Sqlite => format!("CAST(X'{}' AS TEXT)", hex(text.as_bytes())),
    }
}

/// A quoted name.
pub(crate) fn name(engine: Engine, text: &str) -> String {
    match engine {
        Engine::Postgres | Engine::Sqlite => format!("\"{}\"", text.replace('"', "\"\"")),
        Engine::Mysql => format!("`{}`", text.replace('`', "``")),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// 32 bytes out of 64 hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Whether `word` stands in `text` as a word of its own, in any case.
pub(crate) fn mentions(text: &str, word: &str) -> bool {
    if word.is_empty() {
        return false;
    }
    let part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
    let (text, word) = (text.to_lowercase(), word.to_lowercase());
    let bytes = text.as_bytes();
    text.match_indices(&word).any(|(at, found)| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        let after = bytes.get(at + found.len());
        !before.is_some_and(|byte| part(*byte)) && !after.is_some_and(|byte| part(*byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_cannot_be_left() {
        assert_eq!(literal(Engine::Postgres, "20240101"), "'20240101'");
        assert_eq!(literal(Engine::Postgres, "a'b\\"), "E'a''b\\\\'");
        assert_eq!(literal(Engine::Mysql, "a'"), "CONVERT(X'6127' USING utf8mb4)");
        assert_eq!(literal(Engine::Sqlite, "\\"), "CAST(X'5c' AS TEXT)");
        assert_eq!(name(Engine::Mysql, "a`b"), "`a``b`");
    }

    #[test]
    fn words_are_found_whole() {
        assert!(mentions("ALTER TABLE `Users` ADD x INT", "users"));
        assert!(mentions("DROP TABLE app.users;", "users"));
        assert!(!mentions("ALTER TABLE users_old ADD x INT", "users"));
        assert!(!mentions("ALTER TABLE t", ""));
    }

    #[test]
    fn digests_survive_their_text() {
        let digest = [0xa7; 32];
        assert_eq!(unhex(&hex(&digest)), Some(digest));
        assert_eq!(unhex("00"), None);
        assert_eq!(unhex(&"é".repeat(32)), None);
    }
}
