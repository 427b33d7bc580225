//! `skein man [DIR]`.

use std::fs;

use clap::CommandFactory as _;

use crate::args::{Cli, ManArgs};
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::screen::Screen;

pub fn run(args: &ManArgs, screen: &mut Screen) -> Result<ExitCode, Failure> {
    match &args.dir {
        Some(dir) => {
            let place = dir.display();
            fs::create_dir_all(dir)
                .and_then(|()| clap_mangen::generate_to(Cli::command(), dir))
                .map_err(|error| {
                    Failure::new(
                        ExitCode::Internal,
                        format!("pages could not be written to {place}: {error}"),
                    )
                })?;
            screen.done(&format!("manual pages are in {place}"));
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command())
                .render(&mut page)
                .and_then(|()| screen.out().write_all(&page))
                .map_err(|error| {
                    Failure::caused(ExitCode::Internal, "the page could not be written", &error)
                })?;
        }
    }
    Ok(ExitCode::Done)
}
