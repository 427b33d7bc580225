//! `skein demo`.

use std::time::Duration;

use crate::args::{DemoArgs, Global};
use crate::demo::{self, Stage};
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::screen::Screen;

/// Rows a shard.
const ROWS: u32 = 20_000;
const ROWS_FAST: u32 = 2_000;
/// Between scenes, for a reader.
const BREATH: Duration = Duration::from_secs(3);

pub(crate) async fn run(
    args: &DemoArgs,
    _global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    let unmade = |error| {
        Failure::caused(ExitCode::Internal, "the demo has no directory to play in", &error)
            .next("choose an empty one with --keep DIR")
    };
    let (dir, _temporary) = if let Some(dir) = &args.keep {
        std::fs::create_dir_all(dir).map_err(unmade)?;
        if std::fs::read_dir(dir).map_err(unmade)?.next().is_some() {
            return Err(Failure::usage(format!("{} is not empty", dir.display()))
                .next("choose an empty directory; the demo fills it"));
        }
        (dir.canonicalize().map_err(unmade)?, None)
    } else {
        let temporary = tempfile::Builder::new().prefix("skein-demo-").tempdir().map_err(unmade)?;
        (temporary.path().to_owned(), Some(temporary))
    };
    let stage = Stage {
        dir,
        rows: if args.fast { ROWS_FAST } else { ROWS },
        breath: if args.fast { Duration::ZERO } else { BREATH },
    };
    demo::play(&stage, screen).await?;
    if let Some(dir) = &args.keep {
        screen.note(&format!("everything is in {}", dir.display()));
    }
    screen.note("next: skein init · skein plan · skein --help");
    Ok(ExitCode::Done)
}
