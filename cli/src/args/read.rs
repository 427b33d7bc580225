//! Verbs that look.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::common::SelectionArgs;

#[derive(Debug, Clone, Default, Args)]
pub struct StatusArgs {
    /// A rollout, with every target's lane; without one, the fleet
    pub rollout: Option<String>,
    /// Answer from the node's memory, without asking the leader
    #[arg(long)]
    pub local: bool,
}

#[derive(Debug, Clone, Args)]
pub struct WatchArgs {
    /// Rollout (default: the newest one that has not ended, else the newest)
    pub rollout: Option<String>,
    /// Stop watching after so long (30s, 5m, 2h) and exit with 12; nothing is cancelled
    #[arg(long, value_name = "TIME", value_parser = skein_agent::config::duration)]
    pub timeout: Option<Duration>,
}

#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct HistoryArgs {
    #[command(subcommand)]
    pub verb: Option<HistoryVerb>,
    /// Only what concerns this target
    #[arg(long, value_name = "ID")]
    pub target: Option<String>,
    /// Only what concerns this rollout
    #[arg(long, value_name = "ID")]
    pub rollout: Option<String>,
    /// From this event on
    #[arg(long, value_name = "SEQ", default_value_t = 0, hide_default_value = true)]
    pub since_seq: u64,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub limit: u32,
    /// And then new ones as they come (with -o text or jsonl)
    #[arg(short, long)]
    pub follow: bool,
}

#[derive(Debug, Clone, Subcommand)]
pub enum HistoryVerb {
    /// Have every node check its disk, and compare their hash trees at the smallest common size
    Verify {
        /// Check a data directory that no node is using, instead
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// How long an agent may take to answer (30s, 5m)
    #[arg(long, value_name = "TIME", value_parser = skein_agent::config::duration, default_value = "60s")]
    pub timeout: Duration,
}

#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    #[command(subcommand)]
    pub verb: BackupVerb,
}

#[derive(Debug, Clone, Subcommand)]
pub enum BackupVerb {
    /// Every backup in the log
    List {
        /// Only of this target
        #[arg(long, value_name = "ID")]
        target: Option<String>,
        /// Only of this rollout
        #[arg(long, value_name = "ID")]
        rollout: Option<String>,
    },
    /// Restore an archive into a scratch database and compare it with what was backed up
    Verify {
        /// An archive's name, or a target for its newest archive
        #[arg(value_name = "ARCHIVE|TARGET")]
        what: String,
    },
    /// Put a target back to where an archive was taken; every later write is lost
    Restore {
        /// An archive's name, or a target for its newest archive
        #[arg(value_name = "ARCHIVE|TARGET")]
        what: String,
        /// Take responsibility, naming what is lost: "writes since 14:02, agreed with support"
        #[arg(long, value_name = "REASON")]
        waive: Option<String>,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// A rollout, or `exit`
    #[arg(value_name = "ROLLOUT|exit")]
    pub what: String,
    /// One target of the rollout; behind `exit` a number (default: all of them)
    #[arg(value_name = "TARGET|CODE")]
    pub which: Option<String>,
    /// As it was right after this event of the log, by its number in `skein history`
    #[arg(long, value_name = "SEQ")]
    pub at: Option<u64>,
}
