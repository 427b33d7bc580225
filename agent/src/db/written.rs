//! How much an engine writes to its log while a step runs: what has to be written, kept and sent to replicas
//! so that the change lasts.
//!
//! ```text
//! PostgreSQL   where the next record of the write-ahead log goes
//! MariaDB      the same of InnoDB's redo log
//! SQLite       the rollback journal, as each commit found it, and what the file grew by;
//!              with a write-ahead log, what was added to that
//! ```
//! A server's log is one for all of its sessions and databases: what others wrote meanwhile is in the
//! difference, so that it says *at most*. It is read in messages that are sent anyway.

use super::answer::Answer;

/// How far a log had come at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Only grows.
    pub(crate) logged: u64,
    /// Of a file whose new pages are in no log. It may shrink, which takes nothing back.
    pub(crate) size: u64,
}

impl Position {
    /// What a server answered: one number, in the last column.
    pub(crate) fn of(answer: &Answer) -> Option<Self> {
        let logged = answer.rows.first()?.last()?.as_deref()?.parse().ok()?;
        Some(Self { logged, size: 0 })
    }

    fn since(self, before: Self) -> u64 {
        let grown = self.size.saturating_sub(before.size);
        self.logged.saturating_sub(before.logged).saturating_add(grown)
    }
}

/// Bytes between two moments. `None`: one of them is not known.
pub(crate) fn between(before: Option<Position>, after: Option<Position>) -> Option<u64> {
    Some(after?.since(before?))
}

#[cfg(test)]
mod tests {
    use super::{Position, between};

    #[test]
    fn a_file_that_shrinks_takes_nothing_back() {
        let at = |logged, size| Some(Position { logged, size });
        assert_eq!(between(at(10, 100), at(30, 150)), Some(70));
        assert_eq!(between(at(10, 100), at(30, 40)), Some(20));
        assert_eq!(between(None, at(30, 40)), None);
        // A server that came back with an older log.
        assert_eq!(between(at(30, 0), at(10, 0)), Some(0));
    }
}
