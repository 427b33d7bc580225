//! One verb a file.

mod bench;
mod fix;
mod fixtures;
mod fleet;
pub(crate) mod servers;
mod test;
mod upgrade;
mod verify;

use std::process::ExitCode;

use anyhow::Result;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [--keep] [-p PACKAGE] [FILTER]
                            run every test, then the demo; a package or a part of a test's name
                            limits it, and --keep leaves the servers running
  fleet [SQLITE POSTGRES MARIADB]
                            roll a migration out over a fleet of 1000, 60 and 60 targets (or so many)
                            in three regions, with failures, and say what happens
  servers [--etcd] [--fsync] [--background DIR | --stop DIR]
                            run PostgreSQL and MariaDB; prints what to export
  verify                    format, lints, tests, documentation, dependencies
  fix                       what the linter and the formatter can put right
  bench [ARGS]              run the benchmarks in release mode
  fixtures                  write down what the release under way leaves on disk and says on the
                            wire; what another release wrote is never touched
  upgrade [--from REV]      restart a cluster under load, node by node, from the program of REV (the
                            last tag, else the commit before this one) to this one
";

pub(crate) fn run(words: &[String]) -> Result<ExitCode> {
    let (verb, rest) = match words.split_first() {
        Some((verb, rest)) => (verb.as_str(), rest),
        None => ("help", words),
    };
    match verb {
        "test" => test::run(rest),
        "servers" => servers::run(rest),
        "verify" => verify::run(rest),
        "fix" => fix::run(rest),
        "bench" => bench::run(rest),
        "fleet" => fleet::run(rest),
        "fixtures" => fixtures::run(rest),
        "upgrade" => upgrade::run(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        other => {
            eprint!("xtask: there is no command {other:?}\n\n{USAGE}");
            Ok(ExitCode::from(2))
        }
    }
}
