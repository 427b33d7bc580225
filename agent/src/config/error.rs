//! What can be wrong with `skein.toml`.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::excerpt::{excerpt, without_secrets};

/// Why the file cannot be gone by.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// Something in it is wrong. The text shows the line with a caret, and no password.
    #[error("{}:{line}:{column}: {message}\n{shown}", path.display())]
    Invalid {
        path: PathBuf,
        /// One-based.
        line: usize,
        /// One-based, in characters.
        column: usize,
        message: String,
        /// The line and a caret below it.
        shown: String,
    },
    /// The file says nothing wrong, and yet too little.
    #[error("{}: {message}", path.display())]
    Incomplete { path: PathBuf, message: String },
}

impl ConfigError {
    pub(super) fn at(path: &Path, text: &str, span: &Range<usize>, message: &str) -> Self {
        let found = excerpt(text, span);
        Self::Invalid {
            path: path.to_owned(),
            line: found.line,
            column: found.column,
            message: without_secrets(message),
            shown: found.shown,
        }
    }

    pub(super) fn toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let mut message = error.message().trim_end().replace('\n', "; ");
        if let Some(meant) = did_you_mean(&message) {
            message = format!("{message}; did you mean `{meant}`?");
        }
        let span = error.span().unwrap_or(0..0);
        Self::at(path, text, &span, &message)
    }
}

/// The nearest of the words that serde says it expected. Its sentence is "unknown field `x`,
/// expected one of `a`, `b`", of variants likewise.
fn did_you_mean(message: &str) -> Option<&str> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let mut words = message.split('`').skip(1).step_by(2);
    let found = words.next()?;
    words
        .map(|word| (strsim::damerau_levenshtein(found, word), word))
        .filter(|(distance, word)| *distance <= word.len().max(found.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}
