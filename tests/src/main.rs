//! `cargo xtask`: everything about this repository that is not the product.
//!
//! ```text
//! cargo xtask test      all tests, against real PostgreSQL and MariaDB it sets up by itself
//! cargo xtask servers   the same two servers, for as long as you like
//! cargo xtask verify    what a change must pass
//! cargo xtask fix       what a program can put right
//! cargo xtask bench     the measurements
//! cargo xtask fleet     a rollout over a thousand targets, told as it happens
//! cargo xtask fixtures  what the release under way leaves behind, for later ones to read
//! cargo xtask upgrade   a rolling restart from an earlier program to this one
//! ```

#![expect(clippy::print_stdout, reason = "a program for people and shells, which print is for")]
#![expect(clippy::print_stderr, reason = "what happens goes there, answers to standard output")]

mod cmd;
mod interrupt;
mod report;
mod step;
mod suite;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match cmd::run(&words) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
