//! A run in a process of its own. A run is a function of its seed in a process that has played nothing before: tokio,
//! SQLite and others keep counters for the whole process.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Options, Run, run};

/// Real time that a process may take: a hundred times what it needs.
const LIMIT: Duration = Duration::from_mins(3);

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
    if !options.damage {
        command.arg("--no-damage");
    }
    if let Some(mutation) = options.mutation {
        command.args(["--mutation", &format!("{mutation:?}")]);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut stdout = child.stdout.take().ok_or_else(|| io::Error::other("it has no output"))?;
    let child = Mutex::new(child);
    let ended = AtomicBool::new(false);
    let (said, status) = thread::scope(|scope| {
        let clock = scope.spawn(|| limit(&child, &ended));
        let mut said = Vec::new();
        let read = stdout.read_to_end(&mut said);
        ended.store(true, Ordering::Relaxed);
        clock.thread().unpark();
        read?;
        io::Result::Ok((said, lock(&child).wait()?))
    })?;
    let said = String::from_utf8_lossy(&said);
    let (trace, last) = said.trim_end().rsplit_once('\n').unwrap_or(("", said.trim_end()));
    let Ok(run) = serde_json::from_str::<Run>(last) else {
        let what = if status.code().is_none() {
            format!("the simulation broke off, or a task of it never gave way: {status}")
        } else {
            format!("the simulation broke off: {status}")
        };
        return Ok(Run { violation: Some(what), trace: said.into_owned(), ..Run::default() });
    };
    Ok(Run { trace: trace.to_owned(), ..run })
}

/// Ends a process that goes on for ever: time stands while a task runs, and one that waits for time without
/// giving way never ends.
fn limit(child: &Mutex<Child>, ended: &AtomicBool) {
    let end = now() + LIMIT;
    while !ended.load(Ordering::Relaxed) {
        let left = end.saturating_duration_since(now());
        if left.is_zero() {
            // One that has ended already is ended.
            drop(lock(child).kill());
            return;
        }
        thread::park_timeout(left);
    }
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "how long a process may take is real time")]
fn now() -> Instant {
    Instant::now()
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
