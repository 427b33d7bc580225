//! The command line: words in, requests out, answers shown.
//!
//! ```text
//! args ─► cmd ─► session ─► connect ─► a coordinator elsewhere
//!          │        └─► embedded ─► one in this process, with its agent
//!          ├─► follow     watches a rollout until it ends
//!          └─► render ─► screen
//! ```
//!
//! Whatever a verb comes to is an [`exit::ExitCode`]; whatever goes wrong is one [`failure::Failure`],
//! with what to do next.

pub mod args;
mod clock;
mod cmd;
pub mod connect;
mod demo;
mod embedded;
pub mod exit;
pub mod failure;
mod follow;
mod project;
pub mod render;
mod role;
mod scrape;
pub mod screen;
mod session;
mod typed;

use std::io::IsTerminal as _;

use args::{Cli, Verb};
use exit::ExitCode;
use screen::Screen;
use tracing_subscriber::EnvFilter;

/// Does what was asked for. Everything that went wrong has been said when this returns.
pub fn run(cli: &Cli) -> ExitCode {
    let mut screen = Screen::of_process(&cli.global);
    log_to_stderr(cli);
    match cmd::run(cli, &mut screen) {
        Ok(exit) => exit,
        Err(failure) => {
            screen.fail(&failure);
            failure.exit
        }
    }
}

/// Long-running roles tell what they do; other verbs have their results for that. `SKEIN_LOG` filters.
fn log_to_stderr(cli: &Cli) {
    let usual = match cli.verb {
        Verb::Coordinator(_) | Verb::Agent(_) => "info,openraft=error",
        _ => "off",
    };
    let filter = EnvFilter::builder().with_env_var("SKEIN_LOG").try_from_env();
    let filter = filter.unwrap_or_else(|_unset| EnvFilter::new(usual));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // A program that uses this crate may have set up its own.
    drop(subscriber.try_init());
}
