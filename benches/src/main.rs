//! Measurements: what a user would pick instead, run alternately in one call on one machine.
//!
//! ```text
//! commit   three nodes as processes of their own, beside etcd and the disk
//! recovery the leader killed, fifty times
//! fleet    a hundred SQLite shards, beside the sqlite3 shell and the least that one process can do
//! core     what an event and a tick cost as the fleet grows
//! scale    what a target costs as the fleet grows, over real coordinators
//! batches  one statement beside the same in batches
//! ```
//!
//! Each prints a table for people and then one line of JSON. Ratios are compared, never seconds; where
//! the machine is too busy, the figures are printed and no verdict is given.

mod batches;
mod commit;
mod core;
mod fleet;
mod load;
mod machine;
mod report;
mod scale;
mod stats;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser as _;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Options {
    /// A short run that shows that the programs work; its figures mean nothing.
    quick: bool,
    /// Alternations of ours and the others'.
    pairs: u32,
    /// Shards of the fleet.
    shards: u32,
    /// The largest fleet of `scale`.
    targets: u32,
    /// Coordinators of `scale`.
    nodes: usize,
}

const USE: &str = "use: cargo run --release -p skein-benches -- commit|failover|recovery|fleet|core|scale|batches|all [--quick] [--pairs N] [--shards N] [--targets N] [--nodes N]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // This program starts itself for the processes that it measures, so that what is measured is
    // always what was built.
    if let Some((role, rest)) = words.split_first()
        && role == "role-skein"
    {
        let words = std::iter::once("skein".to_owned()).chain(rest.iter().cloned());
        return match skein_cli::args::Cli::try_parse_from(words) {
            Ok(cli) => skein_cli::run(&cli).into(),
            Err(error) => {
                drop(error.print());
                ExitCode::from(2)
            }
        };
    }
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::complain(&format!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<()> {
    let (name, rest) = words.split_first().map_or(("all", words), |(name, rest)| {
        if name.starts_with('-') { ("all", words) } else { (name.as_str(), rest) }
    });
    match name {
        "role-node" => return commit::node::role(rest),
        "role-core" => return core::role(rest),
        "role-floor" => return fleet::floor::role(rest),
        _ => {}
    }
    let options = options(rest)?;
    match name {
        "commit" => commit::run(options),
        "failover" => commit::failover::run(options),
        "recovery" => commit::recovery::run(options),
        "fleet" => fleet::run(options),
        "core" => core::run(options),
        "scale" => scale::run(options),
        "batches" => batches::run(options),
        "all" => {
            core::run(options)?;
            fleet::run(options)?;
            commit::run(options)?;
            commit::failover::run(options)?;
            scale::run(options)?;
            batches::run(options)?;
            commit::recovery::run(options)
        }
        _ => bail!("there is no measurement `{name}`; {USE}"),
    }
}

fn options(words: &[String]) -> Result<Options> {
    let mut options = Options { quick: false, pairs: 0, shards: 100, targets: 100_000, nodes: 1 };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => options.quick = true,
            "--pairs" => match words.next().and_then(|count| count.parse().ok()) {
                Some(count @ 1..) => options.pairs = count,
                _ => bail!("--pairs wants a number from 1 on; {USE}"),
            },
            "--shards" => match words.next().and_then(|count| count.parse().ok()) {
                Some(count @ 1..) => options.shards = count,
                _ => bail!("--shards wants a number from 1 on; {USE}"),
            },
            "--targets" => match words.next().and_then(|count| count.parse().ok()) {
                Some(count @ 101..) => options.targets = count,
                _ => bail!("--targets wants a number above 100; {USE}"),
            },
            "--nodes" => match words.next().and_then(|count| count.parse().ok()) {
                Some(count @ (1 | 3 | 5)) => options.nodes = count,
                _ => bail!("--nodes wants 1, 3 or 5; {USE}"),
            },
            _ => bail!("`{word}` is not understood; {USE}"),
        }
    }
    if options.pairs == 0 {
        options.pairs = if options.quick { 1 } else { 3 };
    }
    Ok(options)
}
