//! `skein coordinator`: a node, until it is told to stop.

use std::path::Path;

use skein_coordinator::config::{Config, ConfigError};

use crate::args::{CoordinatorArgs, Global};
use crate::exit::ExitCode;
use crate::failure::{Failure, chain};
use crate::role::{self, Ends};
use crate::scrape::Scrapes;
use crate::screen::Screen;

const NAME: &str = "coordinator.toml";

pub(crate) async fn run(
    args: &CoordinatorArgs,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    let path = global.config.as_deref().unwrap_or(Path::new(NAME));
    let config = Config::read_with(path, args.metrics).map_err(|error| unread(&error))?;
    if args.check {
        screen.done(&format!("{} is in order", path.display()));
        return Ok(ExitCode::Done);
    }
    let mut ends = Ends::listen()?;
    let scrapes = match config.metrics {
        Some(address) => Some(Scrapes::listen(address).await?),
        None => None,
    };
    let (node, data) = (config.node, config.data.clone());
    let running = Box::pin(skein_coordinator::start(config)).await.map_err(|error| {
        let exit = match &error {
            skein_coordinator::StartError::Charter(_) => ExitCode::Denied,
            skein_coordinator::StartError::Open { .. }
            | skein_coordinator::StartError::Listen { .. }
            | skein_coordinator::StartError::Raft(_) => ExitCode::Internal,
        };
        Failure::new(exit, chain(&error)).next(format!(
            "skein history verify --data {} tells whether its data is whole",
            data.display()
        ))
    })?;
    let address =
        running.address().map_or_else(|| "nowhere".to_owned(), |address| address.to_string());
    let metrics = running.metrics();
    let _served = scrapes.map(|scrapes| scrapes.serve(move || metrics.text()));
    tracing::info!(node, address, data = %data.display(), "the coordinator is up");
    role::ready();
    let failed = tokio::select! {
        () = ends.asked() => None,
        why = running.failed() => Some(why),
    };
    role::stopping();
    tracing::info!(node, "the coordinator stops");
    // Whoever asks a second time does not want to wait for the order.
    tokio::select! {
        () = running.shutdown() => {}
        () = ends.asked() => tracing::warn!("stopped without waiting; the log has everything that was acknowledged"),
    }
    match failed {
        None => Ok(ExitCode::Done),
        Some(why) => {
            Err(Failure::new(ExitCode::Internal, format!("the node could not go on: {why}")).next(
                format!(
                    "skein history verify --data {} tells whether its data is whole",
                    data.display()
                ),
            ))
        }
    }
}

fn unread(error: &ConfigError) -> Failure {
    Failure::usage(chain(error))
        .next("repair it there; `skein coordinator --check` reads it without starting")
}
