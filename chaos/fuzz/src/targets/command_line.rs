//! Words of a command line: goals, selectors, durations, shares.

use clap::Parser as _;
use skein_cli::args::Cli;

use super::Target;

const LINES: [&str; 7] = [
    "migrate m --on eu/* --where region=eu --target version=3 --retries 2 --budget 5% --parallelism 4",
    "migrate m --direction down --step 2 --timestamp 20240101000000 -o json",
    "apply --plan 1234 --yes --waive because --timeout 30s",
    "rollback mig-0001 --on eu/* --step 2 --yes",
    "watch mig-0001 --timeout 5m",
    "history --target eu/1 --from 3 -o jsonl",
    "backup restore eu/1 --waive agreed",
];

fn knock(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).replace('\0', "");
    let words = ["skein"].into_iter().chain(text.split(' ').filter(|word| !word.is_empty()));
    Cli::try_parse_from(words).is_ok()
}

pub(super) fn targets() -> Vec<Target> {
    vec![Target {
        name: "command-line",
        seeds: LINES.iter().map(|line| line.as_bytes().to_vec()).collect(),
        words: &[
            " ",
            "--",
            "=",
            "%",
            "-1",
            "0",
            "99999999999999999999",
            "s",
            "m",
            "h",
            " --on ",
            " --where ",
            ",",
            "latest",
            "none",
            "version=",
            "step=",
            "timestamp=",
            "2024",
            "ä",
            " -o ",
            "json",
            "*",
            "!",
        ],
        door: Box::new(knock),
    }]
}
