//! What is asked between the statements of a file that runs outside of a transaction, and between the
//! batches of one.

use futures::future::BoxFuture;

use super::order::Order;
use super::sql::mentions;
use super::units::Unit;
use skein_bundle::sql::Class;

/// Somebody wants the file left where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Left;

/// How far a statement in batches has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SoFar {
    /// One-based, in its file.
    pub(crate) statement: u64,
    /// Which table, by which key.
    pub(crate) over: String,
    pub(crate) batches: u64,
    pub(crate) rows: u64,
    /// Of the range of its keys, where they are numbers.
    pub(crate) percent: Option<u8>,
    /// Keys in the next batch, unless somebody has set another number.
    pub(crate) size: u64,
}

/// Whoever may hold a file back between two statements.
pub(crate) trait Between: Send {
    /// Whether the next statement may be sent at once.
    fn is_free(&mut self) -> BoxFuture<'_, bool>;

    /// Returns when it may be sent, or when nobody waits for that any more.
    fn until_free(&mut self) -> BoxFuture<'_, Result<(), Left>>;

    /// Before each batch of a statement: returns when it may run, and how many keys are to be in it. Nobody
    /// waits where `may_wait` says that the session may hold a lock.
    fn before_batch(&mut self, so_far: SoFar, may_wait: bool) -> BoxFuture<'_, Result<u64, Left>>;

    /// The statement has no batch any more.
    fn batches_are_over(&mut self);
}

/// Whether a session may have a lock, or an open transaction, from the statements before: then to wait would
/// make others wait.
pub(super) fn may_hold_locks(before: &[Unit]) -> bool {
    const WORDS: [&str; 7] = [
        "lock",
        "get_lock",
        "autocommit",
        "pg_advisory_lock",
        "pg_advisory_lock_shared",
        "pg_try_advisory_lock",
        "pg_try_advisory_lock_shared",
    ];
    before.iter().any(|unit| match unit.class {
        // Its LOCK is a clause.
        Class::Ddl => false,
        Class::Opaque => true,
        Class::Dml | Class::Query | Class::Session | Class::TransactionControl => {
            WORDS.iter().any(|word| mentions(&unit.text, word))
        }
    })
}

/// What is said of a file that was left.
pub(super) fn left(order: &Order) -> String {
    format!("{order} was left between two statements, where it waited for a throttle")
}

/// What is said of one that was left between two batches.
pub(super) fn left_at_batch(order: &Order) -> String {
    format!("{order} was left between two batches, and goes on with the next one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_with_a_lock() {
        let unit =
            |text: &str, class| Unit { text: text.to_owned(), lines: vec![1], class, batch: None };
        for (text, class, holds) in [
            ("ALTER TABLE t ADD b int, LOCK=NONE", Class::Ddl, false),
            ("UPDATE t SET a = 1", Class::Dml, false),
            ("LOCK TABLES t WRITE", Class::Session, true),
            ("SET autocommit = 0", Class::Session, true),
            ("SET sql_mode = 'ANSI'", Class::Session, false),
            ("SELECT GET_LOCK('x', 1)", Class::Query, true),
            ("CALL repair()", Class::Opaque, true),
            ("VACUUM t", Class::Ddl, false),
            ("ANALYZE t; SELECT pg_advisory_lock(1)", Class::Opaque, true),
        ] {
            assert_eq!(may_hold_locks(&[unit(text, class)]), holds, "{text}");
        }
    }
}
