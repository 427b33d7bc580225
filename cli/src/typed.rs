//! The command as it was typed, to be typed again: whole, so that it does what was asked for and no more.

use std::ffi::OsString;

/// This process's command with one word more.
pub(crate) fn again_with(word: &str) -> String {
    again(std::env::args_os().skip(1), word)
}

fn again(words: impl Iterator<Item = OsString>, word: &str) -> String {
    let mut line = vec!["skein".to_owned()];
    line.extend(words.map(|word| quoted(&word.to_string_lossy())));
    // What stands behind `--` is no option.
    let at = line.iter().position(|word| word == "--").unwrap_or(line.len());
    line.insert(at, word.to_owned());
    line.join(" ")
}

/// A word as a shell reads it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::again;

    #[test]
    fn nothing_is_dropped_and_every_word_stays_one() {
        let words = |line: &[&str]| again(line.iter().map(|word| (*word).into()), "--yes");
        assert_eq!(
            words(&["rollback", "mig-7", "--on", "eu-1,us-*", "--where", r#"region == "eu""#]),
            r#"skein rollback mig-7 --on 'eu-1,us-*' --where 'region == "eu"' --yes"#
        );
        assert_eq!(
            words(&["repair", "skip", "mig-7", "--until", "2026-12-24", "--waive", "kim's $word"]),
            r"skein repair skip mig-7 --until 2026-12-24 --waive 'kim'\''s $word' --yes"
        );
        assert_eq!(words(&["rollback", "--", "mig-7"]), "skein rollback --yes -- mig-7");
        assert_eq!(words(&["x", ""]), "skein x '' --yes");
    }
}
