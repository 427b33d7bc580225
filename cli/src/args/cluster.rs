//! Who takes part: nodes, agents, targets.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::common::SelectionArgs;

#[derive(Debug, Clone, Args)]
pub struct AgentsArgs {}

#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct TargetsArgs {
    #[command(subcommand)]
    pub verb: Option<TargetsVerb>,
    #[command(flatten)]
    pub selection: SelectionArgs,
}

#[derive(Debug, Clone, Subcommand)]
pub enum TargetsVerb {
    /// Targets and what is in force there
    List {
        #[command(flatten)]
        selection: SelectionArgs,
    },
    /// Have the agents look at their targets again
    Observe {
        #[command(flatten)]
        selection: SelectionArgs,
        /// How long an agent may take to answer (30s, 5m)
        #[arg(long, value_name = "TIME", value_parser = skein_agent::config::duration, default_value = "60s")]
        timeout: Duration,
    },
    /// Have the agents read their sources of targets (`[[discovery]]`) again
    Discover {
        /// How long an agent may take to answer (30s, 5m)
        #[arg(long, value_name = "TIME", value_parser = skein_agent::config::duration, default_value = "60s")]
        timeout: Duration,
    },
    /// What is different in the schema of one target from that of another, as both are now
    Diff {
        /// Seen from this one
        one: String,
        other: String,
        /// How long an agent may take to answer (30s, 5m)
        #[arg(long, value_name = "TIME", value_parser = skein_agent::config::duration, default_value = "30s")]
        timeout: Duration,
    },
    /// A target is gone for good: plans no longer count it
    Retire {
        target: String,
        /// Why, for the log
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Clone, Args)]
pub struct ClusterArgs {
    #[command(subcommand)]
    pub verb: ClusterVerb,
}

#[derive(Debug, Clone, Subcommand)]
pub enum ClusterVerb {
    /// The nodes and how far each has the log
    Members,
    /// A new node: it gets the log and has no vote yet
    Add {
        /// Its number, never used before
        node: u64,
        /// Where the others reach it
        address: String,
    },
    /// Give a node that has caught up its vote
    Promote { node: u64 },
    /// Take a node out of the cluster
    Remove { node: u64 },
    /// Make another voter the leader
    Transfer { node: u64 },
    /// Copy everything that the coordinators keep: history, bundles, whose they are
    Backup {
        /// Where the copy will be; nothing may be there
        dir: PathBuf,
        /// Instead of asking a running node, copy the data directory of one that is stopped
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Begin again from a backup, as one new node; --config names its coordinator.toml
    Restore {
        /// What `skein cluster backup` wrote
        dir: PathBuf,
        /// Why, for the log
        #[arg(long)]
        reason: String,
    },
}
