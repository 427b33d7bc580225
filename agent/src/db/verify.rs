//! Verify scripts: every statement must succeed, and every row must begin with a true value.

use super::answer::{Answer, is_true, text};

/// What a verify script said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checks {
    /// Statements that ran.
    pub statements: usize,
    /// The first statement (one-based) that returned a value that is not true, and the value.
    pub failed: Option<(usize, String)>,
}

impl Checks {
    pub(crate) fn of(answers: &[Answer]) -> Self {
        let failed = answers.iter().enumerate().find_map(|(at, answer)| {
            let row = answer.rows.first()?;
            let value = text(row, 0);
            (!is_true(value)).then(|| (at + 1, value.unwrap_or("NULL").to_owned()))
        });
        Self { statements: answers.len(), failed }
    }

    pub fn passed(&self) -> bool {
        self.failed.is_none()
    }
}
