//! One verb a file. Each takes its arguments, does what they ask for, and says how it ended.

mod abort;
mod agent;
mod agents;
mod apply;
mod approve;
mod audit;
mod backup;
mod blocks;
mod cancel;
mod cluster;
mod cluster_backup;
mod cluster_restore;
mod completions;
mod coordinator;
mod demo;
mod explain;
mod freeze;
mod get;
mod history;
mod init;
mod man;
mod migrate;
mod pause;
mod plan;
mod repair;
mod resume;
mod rollback;
mod set;
pub(crate) mod status;
pub(crate) mod targets;
mod thaw;
mod verify;
mod version;
mod watch;

use std::future::Future;
use std::time::Duration;

use crate::args::{Cli, Global, Verb};
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::screen::Screen;
use crate::session::{Need, Session};

/// How long a verb that has ended waits for file work that does not end.
const STOP_LIMIT: Duration = Duration::from_secs(10);

pub(crate) fn run(cli: &Cli, screen: &mut Screen) -> Result<ExitCode, Failure> {
    let global = &cli.global;
    match &cli.verb {
        Verb::Init(args) => init::run(args, screen),
        Verb::Explain(args) if args.what == "exit" => explain::exit(args, screen),
        Verb::Explain(args) => wait(explain::run(args, global, screen)),
        Verb::Completions(args) => completions::run(args, screen),
        Verb::Man(args) => man::run(args, screen),
        Verb::Version => version::run(screen),
        Verb::Plan(args) => wait(plan::run(args, global, screen)),
        Verb::Apply(args) => wait(apply::run(args, global, screen)),
        Verb::Migrate(args) => wait(migrate::run(args, global, screen)),
        Verb::Status(args) => wait(status::run(args, global, screen)),
        Verb::Watch(args) => wait(watch::run(args, global, screen)),
        Verb::History(args) => wait(history::run(args, global, screen)),
        Verb::Pause(args) => wait(pause::run(args, global, screen)),
        Verb::Resume(args) => wait(resume::run(args, global, screen)),
        Verb::Abort(args) => wait(abort::run(args, global, screen)),
        Verb::Cancel(args) => wait(cancel::run(args, global, screen)),
        Verb::Freeze(args) => wait(freeze::run(args, global, screen)),
        Verb::Thaw(args) => wait(thaw::run(args, global, screen)),
        Verb::Approve(args) => wait(approve::run(args, global, screen)),
        Verb::Set(args) => wait(set::run(args, global, screen)),
        Verb::Get(args) => wait(get::run(args, global, screen)),
        Verb::Rollback(args) => wait(rollback::run(args, global, screen)),
        Verb::Repair(args) => wait(repair::run(args, global, screen)),
        Verb::Verify(args) => wait(verify::run(args, global, screen)),
        Verb::Backup(args) => wait(backup::run(args, global, screen)),
        Verb::Agents(_) => wait(agents::run(global, screen)),
        Verb::Targets(args) => wait(targets::run(args, global, screen)),
        Verb::Cluster(args) => wait(cluster::run(args, global, screen)),
        Verb::Coordinator(args) => wait(coordinator::run(args, global, screen)),
        Verb::Agent(args) => wait(agent::run(args, global, screen)),
        Verb::Demo(args) => wait(demo::run(args, global, screen)),
    }
}

/// Runs a verb that talks to somebody.
fn wait(verb: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
            Failure::new(ExitCode::Internal, format!("no runtime can be started: {error}"))
        })?;
    // On the heap: these futures hold whole conversations.
    let outcome = runtime.block_on(Box::pin(verb));
    // Whatever had to be on a disk is there by now. What a failing disk does not let go of keeps no process.
    runtime.shutdown_timeout(STOP_LIMIT);
    outcome
}

/// Opens a session, does something with it, and ends in order whatever came of it.
async fn with_session<F>(
    global: &Global,
    need: Need,
    screen: &mut Screen,
    verb: F,
) -> Result<ExitCode, Failure>
where
    F: AsyncFnOnce(&Session, &mut Screen) -> Result<ExitCode, Failure>,
{
    let session = Box::pin(Session::open(global, need)).await?;
    let outcome = Box::pin(verb(&session, screen)).await;
    session.close().await;
    outcome
}
