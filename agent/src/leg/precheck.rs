//! Whether the target is what the log takes it to be, before anything is written. No IO.

use skein_proto::agent::v1::{Leg, LegStep};
use skein_proto::v1::{self, LedgerEntry};

use crate::db::{Direction, Observation};
use crate::observe::entries;

/// Where a target stands against the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// Steps of the leg that an earlier executor did: nobody reported them, or their check did not come to its end.
    pub(super) done: usize,
    /// The step after them was begun, and is neither done nor undone.
    pub(super) half: bool,
}

/// What an operator has to know, where they do not fit.
pub(super) fn check(leg: &Leg, seen: &Observation) -> Result<Standing, String> {
    same_server(&leg.expected_identity, &seen.identity.to_string())?;
    let done = same_ledger(&leg.expected, &moves(&leg.steps), &entries(seen))?;
    let Some(open) = &seen.intent else { return Ok(Standing { done, half: false }) };
    let next = leg.steps.get(done);
    if next.is_some_and(|next| next.version == open.step && direction(next) == open.direction) {
        return Ok(Standing { done, half: true });
    }
    Err(format!(
        "step {} ({}) was begun in the target at statement {} of {} and is not the next one of this \
         leg; settle it first, since nothing else may run over a half",
        open.step, open.direction, open.statement, open.statements
    ))
}

/// Whether a repair of the ledger fits: it is as the log has it, or the repair has been made in part or whole.
/// A step of the repair may have been begun.
pub(super) fn check_mend(leg: &Leg, seen: &Observation) -> Result<bool, String> {
    same_server(&leg.expected_identity, &seen.identity.to_string())?;
    let moves = moves(&leg.steps);
    let done = same_ledger(&leg.expected, &moves, &entries(seen))?;
    let open = seen.intent.as_ref();
    if let Some(open) = open.filter(|open| leg.steps.iter().all(|it| it.version != open.step)) {
        return Err(format!(
            "step {} ({}) was begun in the target at statement {} of {}; settle it first: `skein \
             repair applied {}` or `skein repair not-applied {}`",
            open.step, open.direction, open.statement, open.statements, open.step, open.step
        ));
    }
    Ok(done == moves.len() && open.is_none())
}

/// What each step of the leg does to the list of what is in force.
enum Move {
    Add(LedgerEntry),
    Remove(String),
}

impl Move {
    fn is_made_in(&self, stands: &[LedgerEntry]) -> bool {
        match self {
            Self::Add(entry) => stands.contains(entry),
            Self::Remove(version) => stands.iter().all(|entry| entry.version != *version),
        }
    }
}

fn direction(step: &LegStep) -> Direction {
    match step.script() {
        v1::Direction::Down => Direction::Down,
        v1::Direction::Up | v1::Direction::Unspecified | v1::Direction::Validate => Direction::Up,
    }
}

fn moves(steps: &[LegStep]) -> Vec<Move> {
    let one = |step: &LegStep| match direction(step) {
        Direction::Up => {
            Move::Add(LedgerEntry { version: step.version.clone(), digest: step.digest.clone() })
        }
        Direction::Down => Move::Remove(step.version.clone()),
    };
    steps.iter().map(one).collect()
}

fn same_server(expected: &str, found: &str) -> Result<(), String> {
    if expected.is_empty() || expected == found {
        return Ok(());
    }
    Err(format!(
        "the database behind this target is {found}, and the log knows it as {expected}: it was \
         cloned, moved or restored into another server. If its URL leads to the wrong one, correct \
         the URL; if the move was meant, retire the target and register it under a new id"
    ))
}

fn same_ledger(
    expected: &[LedgerEntry],
    moves: &[Move],
    found: &[LedgerEntry],
) -> Result<usize, String> {
    let mut stands = expected.to_vec();
    if stands == found {
        // Reported, and not checked: a leg begins with what it has to check again.
        return Ok(moves.iter().take_while(|one| one.is_made_in(expected)).count());
    }
    for (at, one) in moves.iter().enumerate() {
        match one {
            // A step that was applied, and whose check was not told: the log has it already.
            Move::Add(entry) if stands.contains(entry) => {}
            Move::Add(entry) => stands.push(entry.clone()),
            Move::Remove(version) => stands.retain(|entry| entry.version != *version),
        }
        if stands == found {
            return Ok(at + 1);
        }
    }
    Err(why(expected, found))
}

/// Names the difference in the words that fit it.
fn why(expected: &[LedgerEntry], found: &[LedgerEntry]) -> String {
    let missing = versions_without(expected, found);
    let unknown = versions_without(found, expected);
    let edited: Vec<&str> = expected
        .iter()
        .filter(|entry| {
            found.iter().any(|other| other.version == entry.version && other.digest != entry.digest)
        })
        .map(|entry| entry.version.as_str())
        .collect();
    if !missing.is_empty() && unknown.is_empty() {
        return format!(
            "the target's ledger is behind the log: it was restored from a backup, and lacks {}. \
             Compare the schema with the ledger, then let the log take the ledger as it is by \
             observing the target again, and plan anew",
            list(&missing)
        );
    }
    if missing.is_empty() && !unknown.is_empty() {
        return format!(
            "the target's ledger has {}, which the log does not know to be in force: it was applied \
             under a lease that was lost, or past this coordinator. Observe the target again and \
             plan anew",
            list(&unknown)
        );
    }
    if missing.is_empty() && !edited.is_empty() {
        return format!(
            "{} stands in the target's ledger with another digest than in the log: its file was \
             edited between two coordinators; find out which text ran",
            list(&edited)
        );
    }
    if missing.is_empty() {
        return "the target's ledger has the same migrations as the log in another order: it was \
                migrated past this coordinator. Observe the target again and plan anew"
            .to_owned();
    }
    format!(
        "the target's ledger and the log have parted: it lacks {} and has {} instead. It was \
         restored from a backup and migrated past this coordinator, or its URL leads to another \
         database",
        list(&missing),
        list(&unknown)
    )
}

fn versions_without<'a>(these: &'a [LedgerEntry], those: &[LedgerEntry]) -> Vec<&'a str> {
    these
        .iter()
        .filter(|entry| !those.iter().any(|other| other.version == entry.version))
        .map(|entry| entry.version.as_str())
        .collect()
}

/// A few of them, and how many more.
fn list(versions: &[&str]) -> String {
    const SHOWN_MAX: usize = 5;
    let shown: Vec<&str> = versions.iter().take(SHOWN_MAX).copied().collect();
    match versions.len().saturating_sub(SHOWN_MAX) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn ledger(text: &str) -> Vec<LedgerEntry> {
        let entry = |word: &str| {
            let (version, digest) = word.split_once('=').unwrap_or((word, "x"));
            LedgerEntry {
                version: version.to_owned(),
                digest: Bytes::copy_from_slice(digest.as_bytes()),
            }
        };
        text.split_whitespace().map(entry).collect()
    }

    fn steps(text: &str) -> Vec<Move> {
        let one = |word: &str| match word.strip_prefix('-') {
            Some(version) => Move::Remove(version.to_owned()),
            None => Move::Add(ledger(word).remove(0)),
        };
        text.split_whitespace().map(one).collect()
    }

    #[test]
    fn the_ledger_may_be_ahead_by_steps_of_the_leg() {
        for (expected, leg, found, done) in [
            ("", "1 2", "", 0),
            ("1", "2 3", "1", 0),
            ("1", "2 3", "1 2", 1),
            ("1", "2 3", "1 2 3", 2),
            ("1", "1 2", "1 2", 2),
            // Applied, and its gate did not pass: the log has it, and the leg begins with it again.
            ("1", "1 2", "1", 1),
            ("1 2", "1 2 3", "1 2", 2),
            ("1", "1", "1", 1),
            ("1", "-2 3", "1", 1),
            ("1=a", "2 3", "1=a", 0),
            ("1 2 3", "-3 -2", "1 2 3", 0),
            ("1 2 3", "-3 -2", "1 2", 1),
            ("1 2 3", "-3 -2", "1", 2),
        ] {
            let standing = same_ledger(&ledger(expected), &steps(leg), &ledger(found));
            assert_eq!(standing, Ok(done), "{expected} | {leg} | {found}");
        }
    }

    #[test]
    fn any_other_difference_is_named() {
        for (expected, leg, found, word) in [
            ("1 2", "3", "1", "restored from a backup, and lacks 2"),
            ("1", "2", "", "lacks 1"),
            ("1", "2 3", "1 3", "has 3, which the log does not know"),
            ("1", "-1", "1 2", "has 2, which the log does not know"),
            ("1=a", "2", "1=b", "another digest"),
            ("1 2", "3", "2 1", "another order"),
            ("1 2", "3", "1 9", "lacks 2 and has 9 instead"),
            ("1 2 3 4 5 6 7", "8", "", "1, 2, 3, 4, 5 and 2 more"),
        ] {
            let why = same_ledger(&ledger(expected), &steps(leg), &ledger(found)).unwrap_err();
            assert!(why.contains(word), "{expected} | {leg} | {found}: {why}");
        }
    }

    #[test]
    fn another_server_is_no_place_to_write() {
        assert!(same_server("", "b").is_ok() && same_server("a", "a").is_ok());
        assert!(same_server("a", "b").unwrap_err().contains("cloned"));
    }
}
