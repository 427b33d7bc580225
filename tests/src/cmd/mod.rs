//! One verb a file.

mod bench;
mod fix;
pub(crate) mod servers;
mod test;
mod verify;

use std::process::ExitCode;

use anyhow::Result;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [--keep] [-p PACKAGE] [FILTER]
                            run every test, then the demo; a package or a part of a test's name
                            limits it, and --keep leaves the servers running
  servers [--etcd] [--fsync] [--background DIR | --stop DIR]
                            run PostgreSQL and MariaDB; prints what to export
  verify                    format, lints, tests, documentation, dependencies
  fix                       what the linter and the formatter can put right
  bench [ARGS]              run the benchmarks in release mode
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
