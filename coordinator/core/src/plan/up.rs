//! What is missing, in the bundle's order.

use super::Step;
use super::make::Asked;
use crate::ids::Version;
use crate::refusal::{Kind, Refusal};
use crate::spec::{Direction, Goal};

/// The steps up, given where the migrations in force stand in the bundle.
pub(super) fn steps(asked: &Asked<'_>, in_force: &[usize]) -> Result<Vec<Step>, Refusal> {
    let end = end(asked)?;
    let mut missing: Vec<usize> =
        (0..end).filter(|position| !in_force.contains(position)).collect();
    if let Goal::Steps(count) = asked.spec.goal {
        missing.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    }
    let newest = in_force.iter().max();
    if !asked.spec.out_of_order
        && let Some(late) = missing.iter().find(|position| Some(position) < newest.as_ref())
        && let Some(migration) = asked.manifest.migrations.get(*late)
    {
        return Err(Refusal::new(
            Kind::Unfit,
            format!(
                "version {} ({}) is lower than one already in force on {}: it came late",
                migration.version, migration.up.file, asked.example
            ),
            "give it a higher version, or plan with --out-of-order",
        ));
    }
    missing.into_iter().map(|position| asked.step(position, asked.spec.direction)).collect()
}

/// How many migrations of the bundle the goal takes in.
pub(super) fn end(asked: &Asked<'_>) -> Result<usize, Refusal> {
    let migrations = &asked.manifest.migrations;
    match &asked.spec.goal {
        Goal::Latest | Goal::Steps(_) => Ok(migrations.len()),
        Goal::Version(version) => {
            asked.manifest.position(version).map(|position| position + 1).ok_or_else(|| {
                Refusal::new(
                    Kind::Missing,
                    format!("version {version} is not in the bundle"),
                    newest(asked),
                )
            })
        }
        Goal::Timestamp(time) => {
            let mut end = 0;
            for (position, migration) in migrations.iter().enumerate() {
                if point_in_time(&migration.version)? <= point_in_time(&Version(time.clone()))? {
                    end = position + 1;
                }
            }
            Ok(end)
        }
        Goal::Nothing => Err(Refusal::new(
            Kind::Invalid,
            format!(
                "{} goes towards the newest version: `none` is a goal for down only",
                match asked.spec.direction {
                    Direction::Validate => "validate",
                    Direction::Up | Direction::Down => "up",
                }
            ),
            "ask for --direction down, or for another goal",
        )),
    }
}

fn newest(asked: &Asked<'_>) -> String {
    asked.manifest.migrations.last().map_or_else(
        || "the bundle is empty".to_owned(),
        |migration| format!("its newest version is {}", migration.version),
    )
}

/// A version that is a point in time, as fourteen digits.
pub(super) fn point_in_time(version: &Version) -> Result<u64, Refusal> {
    const DIGITS: usize = 14;
    let text = version.as_str();
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && (8..=DIGITS).contains(&text.len()) {
        let mut padded = text.to_owned();
        while padded.len() < DIGITS {
            padded.push('0');
        }
        if let Ok(number) = padded.parse() {
            return Ok(number);
        }
    }
    Err(Refusal::new(
        Kind::Invalid,
        format!("version {text} is no point in time (YYYYMMDDhhmmss)"),
        "name a version or a number of steps instead of a timestamp",
    ))
}
