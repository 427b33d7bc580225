//! `skein completions SHELL`.

use clap::CommandFactory as _;

use crate::args::{Cli, CompletionsArgs};
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::screen::Screen;

pub(crate) fn run(args: &CompletionsArgs, screen: &mut Screen) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "skein", &mut script);
    screen.out().write_all(&script).map_err(|error| {
        Failure::caused(ExitCode::Internal, "the script could not be written", &error)
    })?;
    Ok(ExitCode::Done)
}
