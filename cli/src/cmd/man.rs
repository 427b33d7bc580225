//! `skein man [DIR]`.

use std::fs;

use clap::CommandFactory as _;

use crate::args::{Cli, ManArgs};
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::screen::Screen;

pub(crate) fn run(args: &ManArgs, screen: &mut Screen) -> Result<ExitCode, Failure> {
    if let Some(dir) = &args.dir {
        let place = dir.display();
        fs::create_dir_all(dir)
            .and_then(|()| clap_mangen::generate_to(Cli::command(), dir))
            .map_err(|error| {
                unwritten(&format!("pages could not be written to {place}"), &error)
            })?;
        screen.done(&format!("manual pages are in {place}"));
        return Ok(ExitCode::Done);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut page)
        .and_then(|()| screen.out().write_all(&page))
        .map_err(|error| unwritten("the page could not be written", &error))?;
    Ok(ExitCode::Done)
}

fn unwritten(what: &str, error: &std::io::Error) -> Failure {
    Failure::caused(ExitCode::Internal, what, error)
}
