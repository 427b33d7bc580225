//! One thing that is wrong with a file: where, what, why it matters and what to do next.

/// A place in a file and what was found there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("error: {message}\n --> {file}:{line}:{column}\n help: {help}")]
pub struct Finding {
    /// Path relative to the bundle's directory, with `/` between its parts; the directory itself
    /// where no file is to blame.
    pub file: String,
    /// One-based; 1 where the whole file is meant.
    pub line: u32,
    /// One-based, in characters; 1 where the whole line is meant.
    pub column: u32,
    /// What is wrong and why it matters: a lower-case sentence without its full stop.
    pub message: String,
    /// What to do next.
    pub help: String,
}

/// What one reading found: errors stop it at the end, warnings go with the bundle.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
    pub(crate) warnings: Vec<Finding>,
}

impl Report {
    pub(crate) fn error(&mut self, file: &str, place: (u32, u32), message: String, help: &str) {
        self.findings.push(Finding::new(file, place, message, help));
    }

    /// Takes over what another reading found.
    pub(crate) fn take_over(&mut self, other: &Self) {
        self.findings.extend_from_slice(&other.findings);
        self.warnings.extend_from_slice(&other.warnings);
    }

    pub(crate) fn warn(&mut self, file: &str, place: (u32, u32), message: String, help: &str) {
        self.warnings.push(Finding::new(file, place, message, help));
    }
}

impl Finding {
    fn new(file: &str, (line, column): (u32, u32), message: String, help: &str) -> Self {
        Self { file: file.to_owned(), line, column, message, help: help.to_owned() }
    }
}
