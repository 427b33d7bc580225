//! Repairs.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::common::SelectionArgs;
use super::write::FollowArgs;

#[derive(Debug, Clone, Args)]
pub struct RepairArgs {
    #[command(subcommand)]
    pub verb: RepairVerb,
}

#[derive(Debug, Clone, Subcommand)]
pub enum RepairVerb {
    /// Versions are in force, though the ledger lacks them: write the rows, run nothing
    Applied(LedgerArgs),
    /// Versions are not in force, though the ledger has them or one was begun: take the rows away, run nothing
    NotApplied(LedgerArgs),
    /// A database that has no ledger is at a version already: give it one, run nothing
    Adopt(LedgerArgs),
    /// Files were edited after they were applied, and come to the same: accept it for the whole fleet
    AcceptEdited(EditedArgs),
    /// Try failed targets of a rollout again, and nothing else
    Retry(RetryArgs),
    /// Let a rollout go on and end without some of its targets
    Skip(SkipArgs),
    /// The newest repairs
    List,
    /// How a repair stands
    Show {
        /// Repair
        repair: String,
    },
    /// What nobody has begun of a repair is not to be done
    Withdraw {
        /// Repair
        repair: String,
        /// Why, for the log
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Clone, Args)]
pub struct LedgerArgs {
    /// Versions, as their files have them
    #[arg(value_name = "VERSION", required = true)]
    pub versions: Vec<String>,
    /// Directory of migrations (default: the project's)
    #[arg(long, value_name = "DIR")]
    pub migrations: Option<PathBuf>,
    #[command(flatten)]
    pub selection: SelectionArgs,
    #[command(flatten)]
    pub consent: ConsentArgs,
    /// Go by what is known of the targets, without having the agents look again
    #[arg(long)]
    pub no_observe: bool,
    #[command(flatten)]
    pub follow: FollowArgs,
}

#[derive(Debug, Clone, Args)]
pub struct EditedArgs {
    /// Versions, as their files have them
    #[arg(value_name = "VERSION", required = true)]
    pub versions: Vec<String>,
    /// Directory of migrations (default: the project's)
    #[arg(long, value_name = "DIR")]
    pub migrations: Option<PathBuf>,
    #[command(flatten)]
    pub selection: SelectionArgs,
    #[command(flatten)]
    pub consent: ConsentArgs,
}

#[derive(Debug, Clone, Args)]
pub struct RetryArgs {
    /// Rollout
    pub rollout: String,
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Only say which targets
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub follow: FollowArgs,
}

#[derive(Debug, Clone, Args)]
pub struct SkipArgs {
    /// Rollout
    pub rollout: String,
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Only until then: a day (UTC) or a point in time; from then on they owe what they were spared
    #[arg(long, value_name = "DATE", value_parser = super::common::moment)]
    pub until: Option<u64>,
    #[command(flatten)]
    pub consent: ConsentArgs,
}

/// Consent to a repair.
#[derive(Debug, Clone, Default, Args)]
pub struct ConsentArgs {
    /// Only say what would be changed, and on what evidence
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Take responsibility for what nothing proves; the reason is recorded
    #[arg(long, value_name = "REASON")]
    pub waive: Option<String>,
}
