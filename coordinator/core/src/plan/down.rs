//! What is taken back, in the exact reverse of the order in which it was applied.

use super::Step;
use super::make::Asked;
use super::up::point_in_time;
use crate::ids::Version;
use crate::refusal::{Kind, Refusal};
use crate::spec::{Direction, Goal};
use crate::state::ledger::Entry;

/// The steps down, given what is in force and where that stands in the bundle.
pub(super) fn steps(
    asked: &Asked<'_>,
    before: &[Entry],
    positions: &[usize],
) -> Result<Vec<Step>, Refusal> {
    let keep = match &asked.spec.goal {
        Goal::Nothing => 0,
        Goal::Steps(count) => {
            before.len().saturating_sub(usize::try_from(*count).unwrap_or(usize::MAX))
        }
        Goal::Version(version) => before
            .iter()
            .position(|entry| entry.version == *version)
            .map_or_else(|| Err(not_in_force(asked, version)), |position| Ok(position + 1))?,
        Goal::Timestamp(time) => {
            let limit = point_in_time(&Version(time.clone()))?;
            let mut keep = before.len();
            while let Some(entry) = keep.checked_sub(1).and_then(|top| before.get(top)) {
                if point_in_time(&entry.version)? <= limit {
                    break;
                }
                keep -= 1;
            }
            keep
        }
        Goal::Latest => {
            return Err(Refusal::new(
                Kind::Invalid,
                "down has no latest version to go to",
                "say how far: --step N, --version V, --timestamp T, or --target none",
            ));
        }
    };
    positions
        .iter()
        .skip(keep)
        .rev()
        .map(|position| asked.step(*position, Direction::Down))
        .collect()
}

fn not_in_force(asked: &Asked<'_>, version: &Version) -> Refusal {
    Refusal::new(
        Kind::Missing,
        format!("version {version} is not in force on {}", asked.example),
        "`skein targets` shows what is in force where",
    )
}
