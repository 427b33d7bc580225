//! `skein agent`: until it is told to stop.

use skein_agent::Coordinators;

use crate::args::{AgentArgs, Global};
use crate::exit::ExitCode;
use crate::failure::{Failure, chain};
use crate::project::Project;
use crate::role::{self, Ends};
use crate::scrape::Scrapes;
use crate::screen::Screen;

pub(crate) async fn run(
    args: &AgentArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    let project = Project::find(global)?;
    let file = project.file()?;
    let mut config = file.agent_config().map_err(|error| {
        Failure::usage(chain(&error))
            .next("repair it there; `skein agent --check` reads it without starting")
    })?;
    config.charter = Some(project.charter_hash()?);
    let addresses = project.coordinators().to_vec();
    if addresses.is_empty() {
        return Err(Failure::usage("an agent needs a coordinator to call")
            .next("name one in [coordinator] of skein.toml, or with --coordinator"));
    }
    let (id, targets) = (config.id.to_string(), config.targets.len());
    let metrics = args.metrics.or(file.agent.metrics);
    if let Some(address) = metrics
        && !address.ip().is_loopback()
        && !file.agent.metrics_beyond_loopback
    {
        return Err(Failure::usage(format!(
            "metrics at {address} can be read from other machines, by everybody and not encrypted"
        ))
        .next(
            "serve them at a loopback address, or say `metrics_beyond_loopback = true` in [agent]",
        ));
    }
    if args.check {
        screen.done(&format!(
            "{}: agent {id} with {targets} targets is in order",
            file.path.display()
        ));
        return Ok(ExitCode::Done);
    }
    let mut ends = Ends::listen()?;
    let scrapes = match metrics {
        Some(address) => Some(Scrapes::listen(address).await?),
        None => None,
    };
    let running =
        skein_agent::start(config, Coordinators::Addresses(addresses)).await.map_err(|error| {
            Failure::usage(chain(&error))
                .next("repair it there; `skein agent --check` reads it without starting")
        })?;
    let metrics = running.metrics();
    let _served = scrapes.map(|scrapes| scrapes.serve(move || metrics.text()));
    tracing::info!(agent = id, targets, "the agent is up");
    role::ready();
    ends.asked().await;
    role::stopping();
    tracing::info!(agent = id, "the agent finishes the steps under way and stops");
    tokio::select! {
        () = running.shutdown() => {}
        () = ends.asked() => tracing::warn!("stopped in the middle of steps; their targets tell how far they came"),
    }
    Ok(ExitCode::Done)
}
