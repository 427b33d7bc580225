//! The one binary.

use std::process::ExitCode;

use clap::Parser as _;
use skein_cli::args::Cli;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => skein_cli::run(&cli).into(),
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            // Where help cannot be printed, its reader has gone.
            if error.print().is_err() { ExitCode::SUCCESS } else { code.into() }
        }
    }
}
