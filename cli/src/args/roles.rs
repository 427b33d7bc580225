//! Long-running roles, and the files that come with an installation.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// Where (default: here)
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct CoordinatorArgs {
    /// Serve metrics for Prometheus at this address, as /metrics (default: `metrics` of the configuration)
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<SocketAddr>,
    /// Read and check the configuration, then stop
    #[arg(long)]
    pub check: bool,
}

#[derive(Debug, Clone, Args)]
pub struct AgentArgs {
    /// Serve metrics for Prometheus at this address, as /metrics (default: `metrics` in [agent])
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<SocketAddr>,
    /// Read and check the configuration, then stop
    #[arg(long)]
    pub check: bool,
}

#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Small shards and no pauses
    #[arg(long)]
    pub fast: bool,
    /// Play in this empty directory, and leave everything there
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    #[arg(value_enum)]
    pub shell: Shell,
}

#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// Write one page for each verb into this directory, instead of the first page to stdout
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
