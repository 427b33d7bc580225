//! Several statements in one message, and which answer belongs to which.

/// SQL under construction.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    sql: String,
    len: usize,
}

/// Where in the answers a statement's answer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At(pub(crate) usize);

impl Batch {
    /// Adds one statement, which ends in a semicolon.
    pub(crate) fn add(&mut self, statement: &str) -> At {
        self.add_many(statement, 1)
    }

    /// Adds `len` statements; the answer is that of the first.
    pub(crate) fn add_many(&mut self, statements: &str, len: usize) -> At {
        let at = At(self.len);
        self.sql.push_str(statements);
        if !statements.ends_with('\n') {
            self.sql.push('\n');
        }
        self.len += len;
        at
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn into_sql(self) -> String {
        self.sql
    }
}

/// The answer at a place; an empty one where the server gave fewer.
pub(crate) fn answer(
    answers: &[super::answer::Answer],
    at: At,
) -> std::borrow::Cow<'_, super::answer::Answer> {
    answers.get(at.0).map_or_else(
        || std::borrow::Cow::Owned(super::answer::Answer::default()),
        std::borrow::Cow::Borrowed,
    )
}
