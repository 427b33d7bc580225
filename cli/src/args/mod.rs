//! The words that `skein` understands. Nothing here does anything.

mod cluster;
mod common;
mod pace;
mod read;
mod repair;
mod roles;
mod write;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use cluster::{AgentsArgs, ClusterArgs, ClusterVerb, TargetsArgs, TargetsVerb};
pub use common::{GoalArg, LabelArg, PlanArgs, SelectionArgs, StrategyArgs, WaveArg};
pub use pace::{CancelArgs, FreezeArgs, ThawArgs, UntilArg};
pub use read::{
    BackupArgs, BackupVerb, ExplainArgs, HistoryArgs, HistoryVerb, StatusArgs, VerifyArgs,
    WatchArgs,
};
pub use repair::{
    ConsentArgs, EditedArgs, LedgerArgs, RepairArgs, RepairVerb, RetryArgs, SkipArgs,
};
pub use roles::{AgentArgs, CompletionsArgs, CoordinatorArgs, DemoArgs, InitArgs, ManArgs};
pub use write::{
    AbortArgs, ApplyArgs, ApproveArgs, ConfirmArgs, FollowArgs, GetArgs, MigrateArgs,
    MigrateDirection, MigrateType, PauseArgs, PlanVerbArgs, ResumeArgs, RollbackArgs, SetArgs,
};

const AFTER_HELP: &str = "\
Exit codes: 0 done · 2 usage · 12 still running · 21 refused, nothing changed · 30 failed and rolled back, \
fleet consistent · 31 failed, operator needed · 40 plan stale · 41 drift · 50 no coordinator · 60 history \
does not verify · 130 detached. `skein explain exit 31` tells what each means.";

/// Carries one migration across a fleet of databases, and back.
#[derive(Debug, Parser)]
#[command(name = "skein", version, about, after_help = AFTER_HELP, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// How the result is written
    #[arg(short, long, global = true, value_enum, env = "SKEIN_OUTPUT", default_value_t)]
    pub output: Format,
    /// Also write the result to FILE, in the format that its ending names (.json, .jsonl, .md, else text)
    #[arg(long, global = true, value_name = "FILE")]
    pub output_file: Option<PathBuf>,
    /// Coordinator addresses, in any order; without any, this process is coordinator and agent itself
    #[arg(
        long,
        global = true,
        value_name = "URL",
        value_delimiter = ',',
        env = "SKEIN_COORDINATOR"
    )]
    pub coordinator: Vec<String>,
    /// Configuration file (default: skein.toml here or above)
    #[arg(long, global = true, value_name = "FILE", env = "SKEIN_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where embedded mode keeps its log (default: .skein beside skein.toml)
    #[arg(long, global = true, value_name = "DIR", env = "SKEIN_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Who asks, as the log will say (default: user@host)
    #[arg(long, global = true, value_name = "NAME", env = "SKEIN_ACTOR")]
    pub actor: Option<String>,
    /// SHA-256 of the charter that this request is made under, instead of the configured file's
    #[arg(long, global = true, value_name = "HEX", env = "SKEIN_CHARTER_HASH")]
    pub charter_hash: Option<String>,
    /// How long to look for a coordinator that answers, in seconds
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        env = "SKEIN_CONNECT_TIMEOUT",
        default_value_t = 30
    )]
    pub connect_timeout: u64,
    /// Colour on stdout and stderr
    #[arg(long, global = true, value_enum, default_value_t)]
    pub color: Color,
    /// Never ask, even on a terminal
    #[arg(long, global = true, env = "SKEIN_NO_INPUT")]
    pub no_input: bool,
    /// No progress on stderr; failures are still printed
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// How a result is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For people, with whole ids and everything that `text` leaves out
    Wide,
    /// One object
    Json,
    /// One object a line; the first line names the version
    Jsonl,
    /// For a ticket or a pull request
    Markdown,
}

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write skein.toml, a charter and a first migration
    Init(InitArgs),
    /// Show what would run where, in which order, and how it is undone
    Plan(PlanVerbArgs),
    /// Carry out a plan
    Apply(ApplyArgs),
    /// Plan and carry out in one line
    Migrate(MigrateArgs),
    /// How the fleet and its rollouts stand
    Status(StatusArgs),
    /// Follow a rollout until it ends
    Watch(WatchArgs),
    /// What happened, and whether the history is what it was
    History(HistoryArgs),
    /// Hand out no more work for a rollout
    Pause(PauseArgs),
    /// Hand out work again
    Resume(ResumeArgs),
    /// Give a rollout up: steps under way are finished, nothing is undone
    Abort(AbortArgs),
    /// Kill the statements that run for a rollout, and give the targets back
    Cancel(CancelArgs),
    /// Let no rollout work on targets, for a time or until they are thawed
    Freeze(FreezeArgs),
    /// Lift a freeze
    Thaw(ThawArgs),
    /// Let a wave open that waits for somebody's word
    Approve(ApproveArgs),
    /// Change what of a rollout's strategy may change while it runs
    Set(SetArgs),
    /// What can be set of a rollout, and how it stands
    Get(GetArgs),
    /// Undo what a rollout did, target by target, in reverse
    Rollback(RollbackArgs),
    /// Set right what a ledger says, and what a rollout waits for
    Repair(RepairArgs),
    /// Look at the targets and compare them with the log and with each other
    Verify(VerifyArgs),
    /// Backups that stand behind applied steps
    Backup(BackupArgs),
    /// Agents and what they hold
    Agents(AgentsArgs),
    /// Targets and what is in force there
    Targets(TargetsArgs),
    /// Coordinator nodes
    Cluster(ClusterArgs),
    /// Run a coordinator node
    Coordinator(CoordinatorArgs),
    /// Run an agent beside its targets
    Agent(AgentArgs),
    /// See it work: twelve shards, a crash, a failure, a consistent undo and a resume
    Demo(DemoArgs),
    /// Why a rollout or one of its targets is where it is, now or in the past; or what an exit code means
    Explain(ExplainArgs),
    /// Completion script for a shell
    Completions(CompletionsArgs),
    /// Manual pages
    Man(ManArgs),
    /// The release
    Version,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::{Cli, Verb};

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn usage_errors_exit_with_two() {
        let error = Cli::try_parse_from(["skein", "plan", "--target", "sideways"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn coordinators_are_a_list() {
        let cli =
            Cli::try_parse_from(["skein", "status", "--coordinator", "http://a:1,http://b:2"])
                .unwrap();
        assert_eq!(cli.global.coordinator, ["http://a:1", "http://b:2"]);
        assert!(matches!(cli.verb, Verb::Status(_)));
    }

    #[test]
    fn every_verb_has_help() {
        for verb in Cli::command().get_subcommands() {
            assert!(verb.get_about().is_some(), "{} says nothing", verb.get_name());
        }
    }
}
