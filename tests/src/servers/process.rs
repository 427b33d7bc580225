//! One server process: spawned into a private directory, waited for, signalled, ended.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::wait;

/// How long a server may take until it accepts connections. Crash recovery is in this.
const READY: Duration = Duration::from_mins(1);

/// How long a server may take to end when it is asked to.
const END: Duration = Duration::from_secs(30);

/// Whether a server ends with the program that started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lifetime {
    /// It shares the process group, so that Ctrl-C and a runner's timeout reach it too.
    #[default]
    Attached,
    /// It has a process group of its own and stays.
    Detached,
}

/// A child that serves.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Spawns `command` with nothing to read and everything it says appended to `log`.
    pub(super) fn spawn(mut command: Command, log: &Path, lifetime: Lifetime) -> Result<Self> {
        let out = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("failed to open the server's log {}", log.display()))?;
        let err = out.try_clone().context("failed to share the server's log")?;
        if lifetime == Lifetime::Detached {
            command.process_group(0);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .with_context(|| format!("failed to start {}", command.get_program().display()))?;
        Ok(Self { child, log: log.to_owned() })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns once `accepts` says so; fails with the end of the log if the process ended before.
    pub(super) fn until_ready(&mut self, mut accepts: impl FnMut() -> bool) -> Result<()> {
        let child = &mut self.child;
        let log = &self.log;
        wait::until("the server accepts connections", READY, || {
            if let Some(status) = child.try_wait().context("failed to look at the server")? {
                bail!(
                    "the server ended with {status} before it served; its log ends:\n{}",
                    tail(log)
                );
            }
            Ok(accepts())
        })
        .with_context(|| format!("failed to bring up the server that logs to {}", log.display()))
    }

    /// Sends `signal` and returns once the process has ended; kills it if it takes too long.
    pub(super) fn end(&mut self, signal: Signal) -> Result<()> {
        if self.child.try_wait().context("failed to look at the server")?.is_some() {
            return Ok(());
        }
        send(self.child.id(), signal)?;
        let child = &mut self.child;
        let ended = wait::until("the server has ended", END, || {
            Ok(child.try_wait().context("failed to look at the server")?.is_some())
        });
        if ended.is_err() {
            self.child.kill().context("failed to kill a server that does not end")?;
            self.child.wait().context("failed to wait for a killed server")?;
        }
        Ok(())
    }
}

/// Sends `signal` to one process.
pub(super) fn send(pid: u32, signal: Signal) -> Result<()> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(raw) = raw else { bail!("{pid} is not a process id") };
    kill_process(raw, signal).with_context(|| format!("failed to signal process {pid}"))
}

/// Ends a process that is not a child of this program, and returns once it is gone.
pub(super) fn end_foreign(pid: u32, signal: Signal) -> Result<()> {
    send(pid, signal)?;
    wait::until("the server has ended", END, || Ok(!is_alive(pid)))
}

/// Whether a process is there and is not merely waiting to be reaped.
pub(super) fn is_alive(pid: u32) -> bool {
    // "pid (name) S …": the name may contain anything, so the state is found from the right.
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(") ").map(|(_, rest)| !rest.starts_with(['Z', 'X'])))
        .unwrap_or(false)
}

/// The children of a process, as they are now.
pub(super) fn children(pid: u32) -> Vec<u32> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .collect()
}

/// The last lines of a log, for an error.
fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.unwrap_or_else(|error| format!("(unreadable: {error})"));
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
}
