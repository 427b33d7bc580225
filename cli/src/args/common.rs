//! What several verbs share: which targets, how far, in which waves.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use skein_agent::config::{PER_BAR, duration, millis};
use skein_proto::v1;

/// `2026-12-24` (where that day begins, UTC) or `2026-12-24T18:00:00Z`, as milliseconds since 1970.
pub(super) fn moment(text: &str) -> Result<u64, String> {
    let day = || format!("{text}T00:00:00Z").parse::<jiff::Timestamp>();
    let at = text.parse::<jiff::Timestamp>().or_else(|_| day()).ok();
    at.and_then(|at| u64::try_from(at.as_millisecond()).ok()).ok_or_else(|| {
        "write a day, 2026-12-24, or a point in time, 2026-12-24T18:00:00Z".to_owned()
    })
}

/// Which targets.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Targets")]
pub struct SelectionArgs {
    /// Only targets with this id; `*` stands for anything (repeat for more)
    #[arg(long = "on", value_name = "GLOB", value_delimiter = ',')]
    pub on: Vec<String>,
    /// Only targets whose label has one of these values (repeat: all must hold)
    #[arg(long = "label", value_name = "NAME=VALUE[,VALUE]")]
    pub labels: Vec<LabelArg>,
    /// Only targets of which this holds, in CEL: `region == "eu" && version.at_least("0042")`
    #[arg(long = "where", value_name = "CONDITION")]
    pub condition: Option<String>,
}

impl SelectionArgs {
    pub fn selector(&self) -> v1::Selector {
        let labels = self.labels.iter().map(LabelArg::label);
        // No coordinator that knows nothing of conditions may take the rest for the whole.
        let bar = self.condition.as_ref().map(|_| v1::LabelMatch::default());
        v1::Selector {
            targets: self.on.clone(),
            labels: labels.chain(bar).collect(),
            // One that says nothing is for the coordinator to refuse, and not to be left out.
            r#where: self.condition.as_ref().map_or_else(String::new, |condition| {
                if condition.is_empty() { " ".to_owned() } else { condition.clone() }
            }),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.on.is_empty() && self.labels.is_empty() && self.condition.is_none()
    }
}

/// `region=eu,us`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelArg {
    pub name: String,
    pub values: Vec<String>,
}

impl LabelArg {
    fn label(&self) -> v1::LabelMatch {
        v1::LabelMatch { name: self.name.clone(), values: self.values.clone() }
    }
}

impl FromStr for LabelArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, values) =
            text.split_once('=').ok_or("a label is chosen as NAME=VALUE, for example region=eu")?;
        let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
        if name.trim().is_empty() || values.iter().any(String::is_empty) {
            return Err("neither the label's name nor a value may be empty".to_owned());
        }
        Ok(Self { name: name.trim().to_owned(), values })
    }
}

/// How far: `latest`, `version=V`, `step=N`, `timestamp=T`, `none`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum GoalArg {
    #[default]
    Latest,
    Version(String),
    Steps(u32),
    Timestamp(String),
    Nothing,
}

impl GoalArg {
    /// `known` tells a version as the migrations have it.
    pub fn goal(&self, known: impl Fn(&str) -> String) -> v1::Goal {
        use v1::goal::Goal;
        let goal = match self {
            Self::Latest => Goal::Latest(true),
            Self::Version(version) => Goal::Version(known(version)),
            Self::Steps(steps) => Goal::Steps(*steps),
            Self::Timestamp(digits) => Goal::Timestamp(digits.clone()),
            Self::Nothing => Goal::None(true),
        };
        v1::Goal { goal: Some(goal) }
    }

    /// `step=N`; at least one.
    pub fn steps(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(0) => Err("at least one step".to_owned()),
            Ok(steps) => Ok(Self::Steps(steps)),
            Err(_not_a_number) => Err(format!("`{text}` is not a number of steps")),
        }
    }

    /// A point in time in any usual spelling, kept as its leading digits: `YYYYMMDD`, or with `hhmmss` behind it.
    pub fn timestamp(text: &str) -> Result<Self, String> {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        let separators = text.chars().all(|c| c.is_ascii_digit() || "-:TZ _/.".contains(c));
        if !separators || !matches!(digits.len(), 8 | 12 | 14) {
            return Err(format!(
                "`{text}` is not a point in time: write YYYYMMDDhhmmss, for example 20260131235959 \
                 or 2026-01-31T23:59:59"
            ));
        }
        // A day or a minute means all of it.
        let rest = match digits.len() {
            8 => "235959",
            12 => "59",
            _ => "",
        };
        Ok(Self::Timestamp(digits + rest))
    }
}

impl FromStr for GoalArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "latest" => Ok(Self::Latest),
            None if text == "none" => Ok(Self::Nothing),
            Some(("version", version)) if !version.is_empty() => {
                Ok(Self::Version(version.to_owned()))
            }
            Some(("step" | "steps", steps)) => Self::steps(steps),
            Some(("timestamp", time)) => Self::timestamp(time),
            _ => Err("one of latest, version=V, step=N, timestamp=T, none".to_owned()),
        }
    }
}

/// In which waves. What is not said here comes from `[strategy]` in skein.toml.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Strategy")]
pub struct StrategyArgs {
    /// A file with what [strategy] in skein.toml may hold, instead of that section
    #[arg(long = "strategy", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// A stage, in order, with the version of its last migration: it is in force everywhere before the next one begins
    #[arg(long = "stage", value_name = "NAME=VERSION", value_parser = stage)]
    pub stages: Vec<v1::StageSpec>,
    /// A wave, in order: a share (`canary=10%`), a number (`pilot=count:5`), one target of each class
    /// (`canary=each-class`) or targets (`canary=eu-1,us-*`); behind it `;soak=10m`, `;parallelism=2`,
    /// `;approval`, `;per=region` (a wave for each value of that label, one after another; `all` takes all
    /// that have it), `;label=region=eu,us` and `;where=EXPRESSION` (only of those). What no wave takes is a last one
    #[arg(long = "wave", value_name = "NAME=WHAT[;…]")]
    pub waves: Vec<WaveArg>,
    /// Targets worked on at one time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub parallelism: Option<u32>,
    /// The same for each value of a label, such as region=2 (repeat for more)
    #[arg(long = "per", value_name = "LABEL=N", value_parser = limit)]
    pub per: Vec<v1::Limit>,
    /// The same for each resource group, over all rollouts
    #[arg(long, value_name = "N")]
    pub per_group: Option<u32>,
    /// Versions that a host bears few of at one time, and how many for each resource group, over all rollouts
    /// (`7,12=1`)
    #[arg(long, value_name = "VERSIONS=N", value_parser = heavy)]
    pub heavy: Option<v1::Heavy>,
    /// How long each wave is watched when it is done, before the next one opens (30s, 10m, 2h)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub soak: Option<Duration>,
    /// Who comes first: a label, or its values in order (`region` or `region=eu,us`)
    #[arg(long, value_name = "LABEL[=VALUES]", value_parser = order)]
    pub order: Option<v1::Order>,
    /// Targets of one wave that may fail before the rollout stops: a number or a percentage
    #[arg(long, value_name = "N|P%", value_parser = budget)]
    pub budget: Option<v1::Budget>,
    /// Of what that is a part
    #[arg(long, value_enum, value_name = "SCOPE")]
    pub budget_scope: Option<BudgetScopeArg>,
    /// Whether the first of several waves gets a target of each class that it lacks
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub cover_classes: Option<bool>,
    /// What happens when more than that fail
    #[arg(long, value_enum, value_name = "WHAT")]
    pub on_breach: Option<OnBreachArg>,
    /// Attempts after the first, for failures that may pass by themselves
    #[arg(long, value_name = "N")]
    pub retries: Option<u32>,
    /// What is backed up before a target's first step
    #[arg(long, value_enum, value_name = "SCOPE")]
    pub backup: Option<BackupArg>,
}

impl StrategyArgs {
    /// What was said here over what the configuration says.
    pub fn over(&self, mut strategy: v1::Strategy) -> v1::Strategy {
        if !self.stages.is_empty() {
            strategy.stages.clone_from(&self.stages);
        }
        if self.heavy.is_some() {
            strategy.heavy.clone_from(&self.heavy);
        }
        // A coordinator that knows of no stages or heavy steps refuses it.
        let news = !self.stages.is_empty() || self.heavy.is_some();
        if news && !strategy.limits.contains(&v1::Limit::default()) {
            strategy.limits.push(v1::Limit::default());
        }
        if !self.waves.is_empty() {
            strategy.waves = self.waves.iter().map(WaveArg::wave).collect();
        }
        if let Some(parallelism) = self.parallelism {
            strategy.parallelism = parallelism;
        }
        if let Some(budget) = self.budget {
            let scope = strategy.budget.map_or(0, |budget| budget.scope);
            strategy.budget = Some(v1::Budget { scope, ..budget });
        }
        if let Some(scope) = self.budget_scope {
            let budget = strategy.budget.unwrap_or_default();
            strategy.budget = Some(v1::Budget { scope: scope.wire().into(), ..budget });
        }
        if let Some(cover) = self.cover_classes {
            strategy.cover_classes = cover;
        }
        for limit in &self.per {
            strategy.limits.retain(|other| other.label != limit.label);
            strategy.limits.push(limit.clone());
        }
        if let Some(per_group) = self.per_group {
            strategy.per_group = per_group;
        }
        if let Some(soak) = self.soak {
            strategy.soak_ms = millis(soak);
        }
        if let Some(order) = &self.order {
            strategy.order = Some(order.clone());
        }
        if let Some(on_breach) = self.on_breach {
            strategy.on_breach = on_breach.wire().into();
        }
        if let Some(retries) = self.retries {
            strategy.retries = retries;
        }
        if let Some(backup) = self.backup {
            strategy.backup = backup.wire().into();
        }
        strategy
    }
}

fn stage(text: &str) -> Result<v1::StageSpec, String> {
    match text.split_once('=') {
        Some((name, to)) if !name.is_empty() && !to.is_empty() => {
            Ok(v1::StageSpec { name: name.to_owned(), to: to.to_owned() })
        }
        _ => Err(format!("`{text}` is not NAME=VERSION, for example expand=4")),
    }
}

fn heavy(text: &str) -> Result<v1::Heavy, String> {
    let wrong = || format!("`{text}` is not VERSIONS=N, for example 7,12=1");
    let (steps, most) = text.split_once('=').ok_or_else(wrong)?;
    let steps = steps.split(',').filter(|step| !step.is_empty()).map(str::to_owned).collect();
    let per_group = most.parse().map_err(|_not_a_number| wrong())?;
    Ok(v1::Heavy { steps, per_group })
}

fn limit(text: &str) -> Result<v1::Limit, String> {
    let wrong = || format!("`{text}` is not LABEL=N, for example region=2");
    let (label, most) =
        text.split_once('=').filter(|(label, _)| !label.is_empty()).ok_or_else(wrong)?;
    let most = most.parse().map_err(|_not_a_number| wrong())?;
    Ok(v1::Limit { label: label.to_owned(), most })
}

fn order(text: &str) -> Result<v1::Order, String> {
    let (label, values) = text.split_once('=').unwrap_or((text, ""));
    if label.is_empty() {
        return Err("an order is LABEL or LABEL=VALUE,VALUE, for example region=eu,us".to_owned());
    }
    let values = values.split(',').filter(|value| !value.is_empty()).map(str::to_owned).collect();
    Ok(v1::Order { label: label.to_owned(), values })
}

fn budget(text: &str) -> Result<v1::Budget, String> {
    let wrong = || format!("`{text}` is neither a number of targets nor a percentage");
    match text.strip_suffix('%') {
        Some(percent) => match percent.parse() {
            Ok(percent @ 0..=100) => Ok(v1::Budget { percent, ..Default::default() }),
            _ => Err(wrong()),
        },
        None => text
            .parse()
            .map(|failed| v1::Budget { failed, ..Default::default() })
            .map_err(|_not_a_number| wrong()),
    }
}

/// `canary=10%`, `pilot=count:5`, `canary=each-class` or `canary=eu-1,us-*`, with what holds for it.
#[derive(Debug, Clone, PartialEq)]
pub struct WaveArg(v1::WaveSpec);

impl WaveArg {
    fn wave(&self) -> v1::WaveSpec {
        self.0.clone()
    }
}

impl FromStr for WaveArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(';');
        let (name, what) = parts
            .next()
            .and_then(|first| first.split_once('='))
            .filter(|(name, what)| !name.is_empty() && !what.is_empty())
            .ok_or("a wave is NAME=SHARE or NAME=GLOB[,GLOB], for example canary=10%")?;
        let mut wave = v1::WaveSpec { name: name.to_owned(), ..Default::default() };
        if let Some(share) = what.strip_suffix('%') {
            wave.percent = match share.parse() {
                Ok(percent @ 1..=100) => percent,
                _ => return Err(format!("`{what}` is not a share between 1% and 100%")),
            };
        } else if let Some(count) = what.strip_prefix("count:") {
            wave.count = match count.parse() {
                Ok(count @ 1..) => count,
                _ => return Err(format!("`{what}` is not a number of targets from 1 on")),
            };
        } else if what == "each-class" {
            wave.one_per_class = true;
        } else if what == "all" {
            // Without a selector: whoever no earlier wave took.
        } else {
            let targets = what.split(',').map(|glob| glob.trim().to_owned()).collect();
            wave.selector = Some(v1::Selector { targets, ..Default::default() });
        }
        for part in parts {
            let chosen = || wave.selector.clone().unwrap_or_default();
            match part.trim().split_once('=') {
                Some(("label", label)) => {
                    let label = label.parse::<LabelArg>()?;
                    let mut selector = chosen();
                    selector.labels.push(label.label());
                    wave.selector = Some(selector);
                }
                Some(("where", condition)) if !condition.trim().is_empty() => {
                    let mut selector = chosen();
                    if !selector.r#where.is_empty() {
                        return Err(format!("`{text}` has two conditions: join them with &&"));
                    }
                    condition.trim().clone_into(&mut selector.r#where);
                    // A coordinator that knows no conditions finds nothing by an empty label.
                    selector.labels.push(v1::LabelMatch::default());
                    wave.selector = Some(selector);
                }
                None if part.trim() == "approval" => wave.approval = true,
                Some(("per", label)) if !label.is_empty() => label.clone_into(&mut wave.per),
                Some(("soak", time)) => wave.soak_ms = Some(millis(duration(time)?)),
                Some(("parallelism", most)) => {
                    let wrong = |_no| format!("`{most}` is no number of targets");
                    wave.parallelism = most.parse().map_err(wrong)?;
                }
                _ => {
                    return Err(format!(
                        "`{part}` says nothing about a wave; soak=10m, parallelism=2, per=region, \
                         label=region=eu, where=EXPRESSION and approval do"
                    ));
                }
            }
        }
        if !wave.per.is_empty() {
            // A coordinator that does not know such waves refuses a share above 100.
            wave.percent += PER_BAR;
        }
        Ok(Self(wave))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BudgetScopeArg {
    /// The open wave
    Wave,
    /// All of the rollout
    Rollout,
}

impl BudgetScopeArg {
    fn wire(self) -> v1::BudgetScope {
        match self {
            Self::Wave => v1::BudgetScope::ScopeWave,
            Self::Rollout => v1::BudgetScope::ScopeRollout,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnBreachArg {
    /// Stop and leave everything as it stands
    Halt,
    /// Take back what the failed targets did
    RollbackTarget,
    /// Take back what the wave did
    RollbackWave,
    /// Take back everything
    RollbackRollout,
}

impl OnBreachArg {
    fn wire(self) -> v1::OnBreach {
        match self {
            Self::Halt => v1::OnBreach::Halt,
            Self::RollbackTarget => v1::OnBreach::RollbackTarget,
            Self::RollbackWave => v1::OnBreach::RollbackWave,
            Self::RollbackRollout => v1::OnBreach::RollbackRollout,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackupArg {
    /// The whole database
    Database,
    /// The tables that the steps name
    Tables,
    /// The schema without its rows
    Schema,
    /// Nothing; the exemption is recorded
    None,
}

impl BackupArg {
    fn wire(self) -> v1::BackupScope {
        match self {
            Self::Database => v1::BackupScope::BackupDatabase,
            Self::Tables => v1::BackupScope::BackupTables,
            Self::Schema => v1::BackupScope::BackupSchema,
            Self::None => v1::BackupScope::BackupNone,
        }
    }
}

/// What a plan is made of.
#[derive(Debug, Clone, Default, Args)]
pub struct PlanArgs {
    /// Directory of migrations (default: the project's)
    #[arg(value_name = "MIGRATIONS")]
    pub migrations: Option<PathBuf>,
    /// Which way
    #[arg(long, value_enum, default_value_t)]
    pub direction: DirectionArg,
    /// How far: latest, version=V, step=N, timestamp=T, or none (down: everything)
    #[arg(
        long,
        value_name = "GOAL",
        default_value = "latest",
        default_value_if("direction", "down", "step=1")
    )]
    pub target: GoalArg,
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
    /// Plan on what is known of the targets, without having the agents look again
    #[arg(long)]
    pub no_observe: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum DirectionArg {
    /// Apply what is missing
    #[default]
    Up,
    /// Take back what is in force
    Down,
    /// Try every step inside a transaction that is rolled back
    Validate,
}

impl DirectionArg {
    pub fn wire(self) -> v1::Direction {
        match self {
            Self::Up => v1::Direction::Up,
            Self::Down => v1::Direction::Down,
            Self::Validate => v1::Direction::Validate,
        }
    }
}

#[cfg(test)]
mod tests {
    use skein_proto::v1;

    use super::{GoalArg, LabelArg, PER_BAR, WaveArg, budget, moment};

    #[test]
    fn moments() {
        assert_eq!(moment("1970-01-02"), Ok(86_400_000));
        assert_eq!(moment("1970-01-01T00:00:01.5Z"), Ok(1_500));
        assert_eq!(moment("1970-01-01T02:00:00+02:00"), Ok(0));
        for wrong in ["", "tomorrow", "1969-12-31", "1970-01-01T00:00:01"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn goals() {
        for (text, expect) in [
            ("latest", GoalArg::Latest),
            ("none", GoalArg::Nothing),
            ("version=0042", GoalArg::Version("0042".to_owned())),
            ("step=2", GoalArg::Steps(2)),
            ("timestamp=20260131235959", GoalArg::Timestamp("20260131235959".to_owned())),
            ("timestamp=2026-01-31", GoalArg::Timestamp("20260131235959".to_owned())),
            ("timestamp=2026-01-31T12:30", GoalArg::Timestamp("20260131123059".to_owned())),
        ] {
            assert_eq!(text.parse::<GoalArg>(), Ok(expect), "{text}");
        }
        for text in [
            "",
            "newest",
            "version=",
            "step=0",
            "step=x",
            "step=-1",
            "timestamp=soon",
            "timestamp=2026",
        ] {
            assert!(text.parse::<GoalArg>().is_err(), "{text}");
        }
    }

    #[test]
    fn waves_and_budgets() {
        let wave = "canary=10%".parse::<WaveArg>().unwrap().wave();
        assert_eq!((wave.percent, wave.selector), (10, None));
        let wave = "canary=eu-1,us-*".parse::<WaveArg>().unwrap().wave();
        assert_eq!(wave.selector.unwrap().targets, ["eu-1", "us-*"]);
        let wave =
            "pilot=count:5;soak=10m;parallelism=2;approval".parse::<WaveArg>().unwrap().wave();
        assert_eq!((wave.count, wave.soak_ms, wave.parallelism), (5, Some(600_000), 2));
        assert!(wave.approval);
        assert!("each=each-class".parse::<WaveArg>().unwrap().wave().one_per_class);
        let wave = "each=all;per=region".parse::<WaveArg>().unwrap().wave();
        assert_eq!((wave.selector, wave.per.as_str(), wave.percent), (None, "region", PER_BAR));
        let wave = "canary=10%;per=region".parse::<WaveArg>().unwrap().wave();
        assert_eq!((wave.per.as_str(), wave.percent), ("region", PER_BAR + 10));
        let wave = "eu=50%;label=region=eu,us;where=size > '3'".parse::<WaveArg>().unwrap().wave();
        let chosen = wave.selector.unwrap();
        assert_eq!((wave.percent, chosen.r#where.as_str()), (50, "size > '3'"));
        let labels: Vec<&str> = chosen.labels.iter().map(|label| label.name.as_str()).collect();
        assert_eq!(labels, ["region", ""]);
        let chosen = "eu=all;label=region=eu".parse::<WaveArg>().unwrap().wave().selector.unwrap();
        assert_eq!(chosen.labels.len(), 1);
        for text in ["a=1%;label=region", "a=1%;where=", "a=1%;where=x;where=y"] {
            assert!(text.parse::<WaveArg>().is_err(), "{text}");
        }
        let bad = ["canary", "=10%", "canary=", "canary=0%", "canary=101%", "a=count:0"];
        for text in bad.into_iter().chain(["a=1%;soak=x", "a=1%;parallel=2", "a=1%;", "a=1%;per="])
        {
            assert!(text.parse::<WaveArg>().is_err(), "{text}");
        }
        assert_eq!(budget("3"), Ok(v1::Budget { failed: 3, ..Default::default() }));
        assert_eq!(budget("5%"), Ok(v1::Budget { percent: 5, ..Default::default() }));
        assert!(budget("101%").is_err());
        assert!(budget("-1").is_err());
    }

    #[test]
    fn labels() {
        let label: LabelArg = "region=eu,us".parse().unwrap();
        assert_eq!(
            (label.name.as_str(), label.values.as_slice()),
            ("region", &["eu".to_owned(), "us".to_owned()][..])
        );
        for text in ["region", "=eu", "region=", "region=eu,"] {
            assert!(text.parse::<LabelArg>().is_err(), "{text}");
        }
    }
}
