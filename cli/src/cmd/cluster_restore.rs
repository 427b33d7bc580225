//! `skein cluster restore`: the data directory of one new node, out of a backup.

use std::path::Path;

use skein_coordinator::backup;
use skein_coordinator::config::Config;

use super::cluster_backup::failed;
use crate::args::Global;
use crate::clock;
use crate::exit::ExitCode;
use crate::failure::{Failure, chain};
use crate::project::account;
use crate::render::cluster_backup::Restore;
use crate::screen::Screen;

const NAME: &str = "coordinator.toml";

pub(super) fn run(
    dir: &Path,
    reason: &str,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    let path = global.config.as_deref().unwrap_or(Path::new(NAME));
    let config = Config::read(path).map_err(|error| {
        Failure::usage(chain(&error)).next("repair it there; nothing was restored")
    })?;
    if reason.trim().is_empty() {
        return Err(Failure::usage("the reason is empty")
            .next("say why the cluster begins again: it is recorded"));
    }
    let actor = global.actor.clone().unwrap_or_else(account);
    let restored = backup::restore(dir, &config, (&actor, reason), clock::now_ms())
        .map_err(|error| failed(&error))?;
    screen.show(&Restore::new(&config.data, path, &restored))?;
    Ok(ExitCode::Done)
}
