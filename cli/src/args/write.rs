//! Verbs that change something.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use skein_agent::config::{Thousandths, duration, millis};
use skein_proto::v1;

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
    #[arg(long = "plan", value_name = "ID", conflicts_with_all = ["migrations", "direction", "target", "out_of_order", "accept_drift", "no_observe", "on", "labels", "condition", "file", "stages", "waves", "parallelism", "per", "per_group", "heavy", "soak", "order", "budget", "budget_scope", "cover_classes", "on_breach", "retries", "backup"])]
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
    /// Targets under way stop after the step that they are at, instead of going on to their last one
    #[arg(long)]
    pub now: bool,
    /// The same, and a statement that runs in batches is left after the batch that it is at
    #[arg(long, conflicts_with = "now")]
    pub after_batch: bool,
    #[command(flatten)]
    pub part: PartArgs,
}

/// A part of a rollout. Nothing given: all of it.
#[derive(Debug, Clone, Default, Args)]
pub struct PartArgs {
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Only this wave, counted from 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub wave: Option<u32>,
}

impl PartArgs {
    pub fn part(&self) -> Option<v1::Part> {
        let selector = (!self.selection.is_empty()).then(|| self.selection.selector());
        (selector.is_some() || self.wave.is_some())
            .then(|| v1::Part { selector, wave: self.wave.unwrap_or_default() })
    }
}

#[derive(Debug, Clone, Args)]
pub struct ResumeArgs {
    /// Rollout
    pub rollout: String,
    #[command(flatten)]
    pub part: PartArgs,
    /// Also what somebody had rolled back by choice goes forward again, not only what a breach took back
    #[arg(long, conflicts_with_all = ["on", "labels", "condition", "wave"])]
    pub rolled_back: bool,
    /// Only say what would go on, and which targets that were taken back would go forward again
    #[arg(long, visible_alias = "plan", conflicts_with_all = ["on", "labels", "condition", "wave"])]
    pub dry_run: bool,
    #[command(flatten)]
    pub follow: FollowArgs,
}

#[derive(Debug, Clone, Args)]
pub struct AbortArgs {
    /// Rollout
    pub rollout: String,
    /// Why, for the log
    #[arg(long, default_value = "asked for on the command line")]
    pub reason: String,
    #[command(flatten)]
    pub part: PartArgs,
}

#[derive(Debug, Clone, Args)]
pub struct ApproveArgs {
    /// Rollout
    pub rollout: String,
    /// Which wave, counted from 1 (default: the next one that waits for it)
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub wave: u32,
    /// Why, for the log
    #[arg(long, default_value = "asked for on the command line")]
    pub reason: String,
}

#[derive(Debug, Clone, Args)]
pub struct SetArgs {
    /// Rollout
    pub rollout: String,
    /// What: `parallelism=4`, `per.region=2`, `per_group=1`, `heavy.per_group=1`, `soak=10m`, `budget=3`, `budget=5%`, `retries=2`, `windows=off`, `throttle.NAME=2s`, `batch=500`, `batch_pause=200ms`
    #[arg(required = true, value_name = "KNOB=VALUE")]
    pub knobs: Vec<KnobArg>,
}

#[derive(Debug, Clone, Args)]
pub struct GetArgs {
    /// Rollout
    pub rollout: String,
}

/// `parallelism=4`, `soak=10m`, `budget=5%`…
#[derive(Debug, Clone, PartialEq)]
pub struct KnobArg(pub v1::Knob);

impl FromStr for KnobArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        use v1::knob::Knob;
        let (name, value) = text.split_once('=').ok_or("write KNOB=VALUE, such as soak=10m")?;
        let number = || {
            let wrong = |_not_a_number| format!("`{value}` is no number that {name} can have");
            value.parse::<u32>().map_err(wrong)
        };
        let knob = match name {
            "parallelism" => Knob::Parallelism(number()?),
            "per_group" => Knob::PerGroup(number()?),
            "heavy.per_group" => Knob::HeavyPerGroup(number()?),
            "retries" => Knob::Retries(number()?),
            "soak" => Knob::SoakMs(millis(duration(value)?)),
            "batch" => Knob::Batch(number()?.into()),
            "batch_pause" => Knob::BatchPauseMs(millis(duration(value)?)),
            "budget" | "budget.percent" if value.ends_with('%') => {
                let percent = value.trim_end_matches('%').parse();
                Knob::BudgetPercent(percent.map_err(|_no| format!("`{value}` is no share"))?)
            }
            "budget" | "budget.failed" => Knob::BudgetFailed(number()?),
            "budget.percent" => Knob::BudgetPercent(number()?),
            "windows" => Knob::Windows(match value {
                "on" => true,
                "off" => false,
                _ => return Err(format!("`{value}` is neither on nor off")),
            }),
            _ if name.strip_prefix("throttle.").is_some_and(|name| !name.is_empty()) => {
                Knob::Throttle(throttle(name.trim_start_matches("throttle."), value)?)
            }
            _ => match name.strip_prefix("per.").filter(|label| !label.is_empty()) {
                Some(label) => Knob::Limit(v1::Limit { label: label.to_owned(), most: number()? }),
                None => {
                    return Err(format!(
                        "`{name}` cannot be set while a rollout runs; these can: parallelism, \
                         per.LABEL, per_group, heavy.per_group, soak, budget, budget.percent, retries, windows, throttle.NAME, batch, batch_pause"
                    ));
                }
            },
        };
        Ok(Self(v1::Knob { knob: Some(knob) }))
    }
}

/// `throttle.lag=2s`, `throttle.load=40`, `throttle.busy=off`.
fn throttle(name: &str, value: &str) -> Result<v1::ThrottleKnob, String> {
    use v1::throttle_knob::Setting;
    let setting = match (value, value.parse::<Thousandths>(), duration(value)) {
        ("on", ..) => Setting::On(true),
        ("off", ..) => Setting::On(false),
        (_, Ok(Thousandths(limit)), _) => Setting::Thousandths(limit),
        (_, _, Ok(limit)) => Setting::Ms(millis(limit)),
        _ => {
            return Err(format!(
                "`{value}` is no limit of a throttle: write a time like 2s for a lag, a number like 40 for \
                 what is counted, `off` or `on`"
            ));
        }
    };
    Ok(v1::ThrottleKnob { name: name.to_owned(), setting: Some(setting) })
}

#[derive(Debug, Clone, Args)]
pub struct RollbackArgs {
    /// Rollout
    pub rollout: String,
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Undo only the last N steps on each target
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, group = "depth")]
    pub step: u32,
    /// Until this version is the newest in force
    #[arg(long, value_name = "VERSION", group = "depth")]
    pub to: Option<String>,
    /// To where its targets were at this time: a day (UTC) or a point in time
    #[arg(long, value_name = "TIME", value_parser = super::common::moment, group = "depth")]
    pub to_time: Option<u64>,
    /// Only this wave, counted from 1
    #[arg(long, value_name = "N")]
    pub wave: Option<NonZeroU32>,
    /// Only say what would be undone, in which order, and what is lost
    #[arg(long, visible_alias = "plan")]
    pub dry_run: bool,
    #[command(flatten)]
    pub confirm: ConfirmArgs,
    #[command(flatten)]
    pub follow: FollowArgs,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::super::{Cli, Verb};
    use super::{GoalArg, KnobArg, MigrateArgs, MigrateDirection, v1};

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
    fn knobs_are_read() {
        use skein_proto::v1::knob::Knob;
        use skein_proto::v1::throttle_knob::Setting;
        let throttle = |setting| {
            Knob::Throttle(v1::ThrottleKnob { name: "lag".to_owned(), setting: Some(setting) })
        };
        for (text, knob) in [
            ("parallelism=4", Knob::Parallelism(4)),
            ("batch=500", Knob::Batch(500)),
            ("batch_pause=200ms", Knob::BatchPauseMs(200)),
            ("batch_pause=0s", Knob::BatchPauseMs(0)),
            ("soak=10m", Knob::SoakMs(600_000)),
            ("budget=5%", Knob::BudgetPercent(5)),
            ("budget=5", Knob::BudgetFailed(5)),
            ("per.region=2", Knob::Limit(v1::Limit { label: "region".to_owned(), most: 2 })),
            ("throttle.lag=2s", throttle(Setting::Ms(2_000))),
            ("throttle.lag=500ms", throttle(Setting::Ms(500))),
            ("throttle.lag=0.8", throttle(Setting::Thousandths(800))),
            ("throttle.lag=off", throttle(Setting::On(false))),
        ] {
            assert_eq!(text.parse(), Ok(KnobArg(v1::Knob { knob: Some(knob) })), "{text}");
        }
        for text in [
            "",
            "soak",
            "soak=soon",
            "backup=none",
            "parallelism=-1",
            "per.=1",
            "throttle.=1",
            "throttle.a=soon",
        ] {
            assert!(text.parse::<KnobArg>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_plan_id_takes_no_other_question() {
        let parses = |words: &[&str]| {
            Cli::try_parse_from(["skein", "apply", "--plan", "7c1e"].iter().chain(words)).is_ok()
        };
        assert!(parses(&[]));
        assert!(parses(&["--yes", "--waive", "agreed", "--detach"]));
        assert!(parses(&["--timeout", "5m", "-o", "json"]));
        for words in [
            &["m"][..],
            &["--on", "eu-1"],
            &["--label", "region=eu"],
            &["--where", "region == \"eu\""],
            &["--direction", "up"],
            &["--target", "latest"],
            &["--out-of-order"],
            &["--accept-drift"],
            &["--strategy", "careful.toml"],
            &["--wave", "canary=10%"],
            &["--parallelism", "1"],
            &["--soak", "10m"],
            &["--backup", "none"],
        ] {
            assert!(!parses(words), "{words:?}");
        }
    }

    #[test]
    fn whatever_makes_a_plan_is_refused_beside_the_id_of_one() {
        let mut skein = Cli::command();
        skein.build();
        let of = |verb| skein.find_subcommand(verb).expect("a verb");
        let (plan, apply) = (of("plan"), of("apply"));
        let id = apply.get_arguments().find(|arg| arg.get_id() == "id").expect("--plan");
        let refused = apply.get_arg_conflicts_with(id);
        let no_plan = ["detailed_exitcode", "dry_run", "help"];
        for arg in plan.get_arguments() {
            let name = arg.get_id().as_str();
            if !arg.is_global_set() && !no_plan.contains(&name) {
                assert!(refused.iter().any(|other| other.get_id() == name), "{name}");
            }
        }
    }
}
