//! The fence: one row in the target that refuses whoever holds an older lease.

/// A fencing token: the sequence number of the event that assigned the leg. Strictly increasing
/// per target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The target was already reached by a later assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the target's fence stands at {held}, above our {ours}: another agent holds a later lease; \
     nothing was run, ask for a new assignment"
)]
pub struct StaleFence {
    pub held: Token,
    pub ours: Token,
}

/// Refuses when the row is already higher.
pub(crate) fn check(held: Option<u64>, ours: Token) -> Result<(), StaleFence> {
    match held {
        Some(held) if held > ours.0 => Err(StaleFence { held: Token(held), ours }),
        _ => Ok(()),
    }
}
