//! What the values on the wire are called.

use skein_proto::v1;

/// Digits of an id that people get to see.
const SHORT: usize = 8;

pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('?');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The first digits of an id, or all of them.
pub fn id(hex: &str, wide: bool) -> &str {
    if wide { hex } else { hex.get(..SHORT).unwrap_or(hex) }
}

/// `None` unless `text` is an even number of hexadecimal digits.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes()
        .chunks(2)
        .map(|two| std::str::from_utf8(two).ok().and_then(|two| u8::from_str_radix(two, 16).ok()))
        .collect()
}

pub fn engine(engine: v1::Engine) -> &'static str {
    match engine {
        v1::Engine::Unspecified => "unknown engine",
        v1::Engine::Postgres => "PostgreSQL",
        v1::Engine::Mysql => "MariaDB/MySQL",
        v1::Engine::Sqlite => "SQLite",
    }
}

pub fn mode(mode: v1::TransactionMode) -> &'static str {
    match mode {
        v1::TransactionMode::Unspecified => "unknown mode",
        v1::TransactionMode::OneTransaction => "one transaction",
        v1::TransactionMode::Statements => "statement by statement",
        v1::TransactionMode::Whole => "in one piece",
    }
}

pub fn direction(direction: v1::Direction) -> &'static str {
    match direction {
        v1::Direction::Unspecified => "unknown direction",
        v1::Direction::Up => "up",
        v1::Direction::Down => "down",
        v1::Direction::Validate => "validate",
    }
}

pub fn goal(goal: Option<&v1::Goal>) -> String {
    use v1::goal::Goal;
    match goal.and_then(|goal| goal.goal.as_ref()) {
        Some(Goal::Latest(_)) | None => "latest".to_owned(),
        Some(Goal::Version(version)) => format!("version {version}"),
        Some(Goal::Steps(1)) => "1 step".to_owned(),
        Some(Goal::Steps(steps)) => format!("{steps} steps"),
        Some(Goal::Timestamp(digits)) => format!("everything until {digits}"),
        Some(Goal::None(_)) => "nothing in force".to_owned(),
    }
}

/// How a planned step is undone.
pub fn undo(undo: v1::Undo, direction: v1::Direction) -> &'static str {
    match (undo, direction) {
        (v1::Undo::Unspecified, _) => "unknown",
        (v1::Undo::Script, v1::Direction::Down) => "up script",
        (v1::Undo::Script, _) => "down script",
        (v1::Undo::None, _) => "cannot be undone",
        (v1::Undo::NotNeeded, _) => "nothing to undo",
    }
}

pub fn backup(scope: v1::BackupScope) -> &'static str {
    match scope {
        v1::BackupScope::Unspecified => "unknown",
        v1::BackupScope::BackupDatabase => "database",
        v1::BackupScope::BackupTables => "tables",
        v1::BackupScope::BackupSchema => "schema",
        v1::BackupScope::BackupNone => "none",
    }
}

pub fn on_breach(what: v1::OnBreach) -> &'static str {
    match what {
        v1::OnBreach::Unspecified => "unknown",
        v1::OnBreach::Halt => "stop and leave everything as it stands",
        v1::OnBreach::RollbackTarget => "take back what the failed targets did",
        v1::OnBreach::RollbackWave => "take back what the wave did",
        v1::OnBreach::RollbackRollout => "take back everything",
    }
}

pub fn rollout(state: v1::RolloutState) -> &'static str {
    match state {
        v1::RolloutState::Unspecified => "unknown",
        v1::RolloutState::Planned => "planned",
        v1::RolloutState::Running => "running",
        v1::RolloutState::Paused => "paused",
        v1::RolloutState::Unwinding => "unwinding",
        v1::RolloutState::Completed => "completed",
        v1::RolloutState::RolledBack => "rolled back",
        v1::RolloutState::Halted => "halted",
    }
}

pub fn lane(state: v1::LaneState) -> &'static str {
    match state {
        v1::LaneState::Unspecified => "unknown",
        v1::LaneState::Waiting => "waiting",
        v1::LaneState::Ready => "ready",
        v1::LaneState::Leased => "running",
        v1::LaneState::Done => "done",
        v1::LaneState::Failed => "failed",
        v1::LaneState::Stuck => "stuck",
        v1::LaneState::UndoReady => "undo ready",
        v1::LaneState::UndoLeased => "undoing",
        v1::LaneState::Undone => "undone",
        v1::LaneState::Residual => "residual",
        v1::LaneState::Waived => "skipped",
    }
}

/// A wave's name behind that of its stage.
pub fn in_stage(stage: &str, name: &str) -> String {
    if stage.is_empty() { name.to_owned() } else { format!("{stage}: {name}") }
}

/// "1 target", "2 targets".
pub fn count(number: impl Into<u64>, one: &str) -> String {
    let number = number.into();
    let many = if number == 1 { "" } else { "s" };
    format!("{number} {one}{many}")
}

pub fn bytes(bytes: u64) -> String {
    const STEP: u64 = 1024;
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut whole, mut tenth, mut unit) = (bytes, 0, 0);
    while whole >= STEP && unit + 1 < units.len() {
        tenth = whole % STEP * 10 / STEP;
        whole /= STEP;
        unit += 1;
    }
    let name = units.get(unit).copied().unwrap_or("B");
    if unit == 0 { format!("{whole} {name}") } else { format!("{whole}.{tenth} {name}") }
}

#[cfg(test)]
mod tests {
    use super::{bytes, count, hex, id, unhex};

    #[test]
    fn ids() {
        assert_eq!(hex(&[0, 0x7c, 0xff]), "007cff");
        assert_eq!(unhex("007cff"), Some(vec![0, 0x7c, 0xff]));
        assert_eq!((unhex("007"), unhex("0g"), unhex("é")), (None, None, None));
        assert_eq!(id("7c1e90d2aa", false), "7c1e90d2");
        assert_eq!(id("7c1e90d2aa", true), "7c1e90d2aa");
        assert_eq!(id("7c", false), "7c");
    }

    #[test]
    fn amounts() {
        assert_eq!(count(1_u32, "target"), "1 target");
        assert_eq!(count(0_u32, "target"), "0 targets");
        assert_eq!(bytes(1_023), "1023 B");
        assert_eq!(bytes(1_536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16777215.9 TiB");
    }
}
