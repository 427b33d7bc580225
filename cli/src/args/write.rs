//! Verbs that change something.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::common::{DirectionArg, GoalArg, PlanArgs, SelectionArgs, StrategyArgs};

#[derive(Debug, Clone, Args)]
pub struct PlanVerbArgs {
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Exit with 10 when there is something to do
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Only compute: record nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Consent.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfirmArgs {
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Take responsibility for steps that cannot be undone; the reason is recorded
    #[arg(long, value_name = "REASON")]
    pub waive: Option<String>,
}

/// What happens after the start.
#[derive(Debug, Clone, Default, Args)]
pub struct FollowArgs {
    /// Start it and return; the exit code says only that it was started
    #[arg(long)]
    pub detach: bool,
    /// Stop watching after so long (30s, 5m, 2h) and exit with 12; nothing is cancelled
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
}

#[derive(Debug, Clone, Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    pub plan: PlanArgs,
    /// Carry out exactly this plan, or nothing when the fleet has moved since
    #[arg(long = "plan", value_name = "ID", conflicts_with_all = ["migrations", "direction", "target", "on", "labels", "waves"])]
    pub id: Option<String>,
    #[command(flatten)]
    pub confirm: ConfirmArgs,
    #[command(flatten)]
    pub follow: FollowArgs,
}

#[derive(Debug, Clone, Args)]
pub struct MigrateArgs {
    /// Directory of migrations (default: the project's)
    #[arg(value_name = "SPEC")]
    pub migrations: Option<PathBuf>,
    /// What kind of migrations
    #[arg(long = "type", value_enum, default_value_t)]
    pub kind: MigrateType,
    /// Which way, or what to look at
    #[arg(long, value_enum, default_value_t)]
    pub direction: MigrateDirection,
    /// How far: latest, version=V, step=N, timestamp=T, or none (down: everything)
    #[arg(long, value_name = "GOAL", conflicts_with_all = ["step", "version", "latest", "timestamp"])]
    pub target: Option<GoalArg>,
    /// Short for --target step=N
    #[arg(long, value_name = "N", value_parser = GoalArg::steps, conflicts_with_all = ["version", "latest", "timestamp"])]
    pub step: Option<GoalArg>,
    /// Short for --target version=V
    #[arg(long, value_name = "V", conflicts_with_all = ["latest", "timestamp"])]
    pub version: Option<String>,
    /// Short for --target latest
    #[arg(long, conflicts_with = "timestamp")]
    pub latest: bool,
    /// Short for --target timestamp=T
    #[arg(long, value_name = "T", value_parser = GoalArg::timestamp)]
    pub timestamp: Option<GoalArg>,
    /// Short for --direction validate
    #[arg(long, conflicts_with_all = ["direction", "status"])]
    pub validate: bool,
    /// Short for --direction status
    #[arg(long, conflicts_with = "direction")]
    pub status: bool,
    /// Show the plan and stop
    #[arg(long)]
    pub plan: bool,
    /// First try every step on one target of each class, in a transaction that is rolled back
    #[arg(long)]
    pub think: bool,
    #[command(flatten)]
    pub selection: SelectionArgs,
    #[command(flatten)]
    pub strategy: StrategyArgs,
    /// Apply versions that are lower than one already in force
    #[arg(long)]
    pub out_of_order: bool,
    /// Go on although a schema is not what it was after the last step
    #[arg(long)]
    pub accept_drift: bool,
    /// Take responsibility for steps that cannot be undone; the reason is recorded
    #[arg(long, value_name = "REASON")]
    pub waive: Option<String>,
    #[command(flatten)]
    pub follow: FollowArgs,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum MigrateType {
    /// SQL on databases
    #[default]
    Database,
    /// The same, for migrations that only change rows
    Data,
    /// Everything that the directory holds
    Full,
    /// Source code
    Code,
    /// API routes
    Api,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum MigrateDirection {
    /// Apply what is missing
    #[default]
    Up,
    /// Take back what is in force
    Down,
    /// Only look
    Status,
    /// Try every step inside a transaction that is rolled back
    Validate,
}

impl MigrateArgs {
    pub fn direction(&self) -> MigrateDirection {
        match (self.status, self.validate) {
            (true, _) => MigrateDirection::Status,
            (false, true) => MigrateDirection::Validate,
            (false, false) => self.direction,
        }
    }

    /// The goal in whichever spelling; by default everything up, one step down.
    pub fn goal(&self) -> GoalArg {
        let short =
            self.target.clone().or_else(|| self.step.clone()).or_else(|| self.timestamp.clone());
        let short = short.or_else(|| self.version.clone().map(GoalArg::Version));
        let fallback = || match (self.latest, self.direction()) {
            (false, MigrateDirection::Down) => GoalArg::Steps(1),
            _ => GoalArg::Latest,
        };
        short.unwrap_or_else(fallback)
    }

    /// The same question as `skein plan` asks it; `None` for `status`.
    pub fn plan_args(&self) -> Option<PlanArgs> {
        let direction = match self.direction() {
            MigrateDirection::Up => DirectionArg::Up,
            MigrateDirection::Down => DirectionArg::Down,
            MigrateDirection::Validate => DirectionArg::Validate,
            MigrateDirection::Status => return None,
        };
        Some(PlanArgs {
            migrations: self.migrations.clone(),
            direction,
            target: self.goal(),
            selection: self.selection.clone(),
            strategy: self.strategy.clone(),
            out_of_order: self.out_of_order,
            accept_drift: self.accept_drift,
            no_observe: false,
        })
    }
}

#[derive(Debug, Clone, Args)]
pub struct PauseArgs {
    /// Rollout
    pub rollout: String,
    /// Why, for the log
    #[arg(long, default_value = "asked for on the command line")]
    pub reason: String,
}

#[derive(Debug, Clone, Args)]
pub struct ResumeArgs {
    /// Rollout
    pub rollout: String,
    #[command(flatten)]
    pub follow: FollowArgs,
}

#[derive(Debug, Clone, Args)]
pub struct RollbackArgs {
    /// Rollout
    pub rollout: String,
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Undo only the last N steps on each target
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub step: u32,
    /// Only say what would be undone
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub confirm: ConfirmArgs,
    #[command(flatten)]
    pub follow: FollowArgs,
}

/// `90`, `90s`, `5m`, `2h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time: write 90s, 5m or 2h");
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at_checked(at).ok_or_else(wrong)?,
        None => (text, "s"),
    };
    let number: u64 = number.parse().map_err(|_not_a_number| wrong())?;
    let seconds = match unit {
        "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3_600),
        _ => None,
    };
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser as _;

    use super::super::{Cli, Verb};
    use super::{GoalArg, MigrateArgs, MigrateDirection, duration};

    fn migrate(line: &str) -> MigrateArgs {
        let words = ["skein", "migrate"].into_iter().chain(line.split_whitespace());
        let Verb::Migrate(args) = Cli::try_parse_from(words).unwrap().verb else {
            panic!("{line}")
        };
        args
    }

    #[test]
    fn short_spellings_mean_the_long_ones() {
        for (line, goal) in [
            ("", GoalArg::Latest),
            ("--latest", GoalArg::Latest),
            ("--target latest", GoalArg::Latest),
            ("--step 2", GoalArg::Steps(2)),
            ("--target step=2", GoalArg::Steps(2)),
            ("--version 0042", GoalArg::Version("0042".to_owned())),
            ("--target version=0042", GoalArg::Version("0042".to_owned())),
            ("--timestamp 20260131", GoalArg::Timestamp("20260131235959".to_owned())),
            ("--direction down", GoalArg::Steps(1)),
            ("--direction down --target none", GoalArg::Nothing),
        ] {
            assert_eq!(migrate(line).goal(), goal, "{line}");
        }
    }

    #[test]
    fn directions() {
        for (line, direction) in [
            ("", MigrateDirection::Up),
            ("--direction up", MigrateDirection::Up),
            ("--direction down", MigrateDirection::Down),
            ("--direction status", MigrateDirection::Status),
            ("--status", MigrateDirection::Status),
            ("--direction validate", MigrateDirection::Validate),
            ("--validate", MigrateDirection::Validate),
        ] {
            assert_eq!(migrate(line).direction(), direction, "{line}");
        }
        assert!(migrate("--status").plan_args().is_none());
    }

    #[test]
    fn contradictions_are_refused() {
        for line in [
            "--step 1 --latest",
            "--version 1 --step 1",
            "--target latest --step 1",
            "--status --validate",
            "--status --direction up",
        ] {
            let words = ["skein", "migrate"].into_iter().chain(line.split_whitespace());
            assert!(Cli::try_parse_from(words).is_err(), "{line}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(duration("2h"), Ok(Duration::from_hours(2)));
        for text in ["", "m", "5 m", "-1s", "99999999999999999999h", "5d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_plan_id_takes_no_other_question() {
        assert!(Cli::try_parse_from(["skein", "apply", "--plan", "7c1e", "--on", "eu-1"]).is_err());
        assert!(Cli::try_parse_from(["skein", "apply", "--plan", "7c1e"]).is_ok());
    }
}
