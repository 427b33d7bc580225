//! A run in a process of its own. A run is a function of its seed in a process that has played nothing before: tokio,
//! SQLite and others keep counters for the whole process.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Options, Run, run};

/// The word that makes the program play one seed, here, and tell what it came to in words for a program.
pub const HERE: &str = "--here";

/// Plays a seed by `program`, this crate's. A process that breaks is a broken promise.
///
/// # Errors
/// It cannot be started.
pub fn play(program: &Path, seed: u64, options: Options) -> io::Result<Run> {
    let mut command = Command::new(program);
    command.args([HERE, "--seed", &seed.to_string(), "--seconds", &options.seconds.to_string()]);
    if options.trace {
        command.arg("--trace");
    }
    if let Some(mutation) = options.mutation {
        command.args(["--mutation", &format!("{mutation:?}")]);
    }
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let (trace, last) = said.trim_end().rsplit_once('\n').unwrap_or(("", said.trim_end()));
    let Ok(run) = serde_json::from_str::<Run>(last) else {
        let what = format!("the simulation broke off: {}", output.status);
        return Ok(Run { violation: Some(what), trace: said.into_owned(), ..Run::default() });
    };
    Ok(Run { trace: trace.to_owned(), ..run })
}

/// Plays a seed here, for [`play`] in another process.
///
/// # Errors
/// Nobody hears it.
pub fn here(seed: u64, options: Options, out: &mut impl Write) -> io::Result<()> {
    let mut run = run(seed, options);
    let trace = std::mem::take(&mut run.trace);
    writeln!(out, "{trace}\n{}", serde_json::to_string(&run)?)
}
