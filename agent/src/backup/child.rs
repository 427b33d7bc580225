//! A dump or restore program while it runs.

use std::io::{PipeReader, PipeWriter};
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::archive::Progress;
use super::destination::{Filled, Pending};
use super::error::BackupError;
use super::source::Secret;
use super::tool::{Found, Tool};

/// What is kept of the error output: its beginning, where the first cause is, and its end.
const HEAD_MAX: usize = 4 << 10;
const TAIL_MAX: usize = 8 << 10;

/// Where one end of the child's standard input or output is.
#[derive(Debug)]
pub(super) enum Pipe {
    Input(PipeReader),
    Output(PipeWriter),
    Both(PipeReader, PipeWriter),
}

/// A running child. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    tool: Tool,
    child: Child,
    said: JoinHandle<String>,
    secret: Option<Secret>,
}

/// A command for `found` with an environment that changes nothing behind our back.
pub(super) fn command(found: &Found) -> Command {
    let mut command = Command::new(&found.path);
    command.env("LC_ALL", "C").kill_on_drop(true);
    command
}

/// Starts it. `secret` is struck out of whatever it says.
pub(super) fn start(
    found: &Found,
    mut command: Command,
    pipe: Pipe,
    secret: Option<Secret>,
) -> Result<Running, BackupError> {
    let (stdin, stdout) = match pipe {
        Pipe::Input(from) => (Stdio::from(from), Stdio::null()),
        Pipe::Output(to) => (Stdio::null(), Stdio::from(to)),
        Pipe::Both(from, to) => (Stdio::from(from), Stdio::from(to)),
    };
    command.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
    let spawned = command.spawn();
    // The command holds our copies of the pipe's ends; the reader would never see the end.
    drop(command);
    let mut child = spawned
        .map_err(|source| BackupError::ToolNotStarted { path: found.path.clone(), source })?;
    let stderr = child.stderr.take();
    let said = tokio::spawn(async move {
        match stderr {
            Some(stderr) => bounded(stderr).await,
            None => String::new(),
        }
    });
    Ok(Running { tool: found.tool, child, said, secret })
}

/// Runs a dump program and stores what it writes. Nothing stays where either of them fails.
pub(super) async fn dump(
    found: &Found,
    command: Command,
    secret: Option<Secret>,
    (pending, progress): (Pending, &Progress),
) -> Result<Filled, BackupError> {
    let (from, to) = pipe()?;
    let running = start(found, command, Pipe::Output(to), secret)?;
    match pending.fill(from, progress).await {
        Ok(filled) => match running.finish().await {
            Ok(()) => Ok(filled),
            Err(error) => {
                filled.discard().await;
                Err(error)
            }
        },
        Err(error) => {
            running.kill().await;
            Err(error)
        }
    }
}

/// A pipe that no other child inherits.
pub(super) fn pipe() -> Result<(PipeReader, PipeWriter), BackupError> {
    std::io::pipe().map_err(|error| BackupError::io("making a pipe", Path::new("-"), error))
}

impl Running {
    /// Waits for its end and makes an error of a failure.
    pub(super) async fn finish(mut self) -> Result<(), BackupError> {
        let status = self.child.wait().await;
        let said = self.said.await.unwrap_or_default();
        let status = match status {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let said = redact(said.trim(), self.secret.as_ref());
        let said = if said.is_empty() { "it said nothing".to_owned() } else { said };
        Err(BackupError::ToolFailed { tool: self.tool, status, said })
    }

    /// Ends it and waits until it is gone.
    pub(super) async fn kill(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::debug!(tool = %self.tool, %error, "could not be killed");
        }
    }
}

fn redact(said: &str, secret: Option<&Secret>) -> String {
    match secret.map(Secret::expose) {
        Some(secret) if !secret.is_empty() => said.replace(secret, "***"),
        _ => said.to_owned(),
    }
}

async fn bounded(mut from: impl AsyncRead + Unpin) -> String {
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    let mut cut = false;
    let mut buffer = vec![0; 4096];
    while let Ok(read) = from.read(&mut buffer).await
        && read > 0
    {
        let (first, rest) =
            buffer.get(..read).unwrap_or_default().split_at(read.min(HEAD_MAX - head.len()));
        head.extend_from_slice(first);
        tail.extend_from_slice(rest);
        if tail.len() > TAIL_MAX {
            tail.drain(..tail.len() - TAIL_MAX);
            cut = true;
        }
    }
    let gap = if cut { "\n[…]\n" } else { "" };
    format!("{}{gap}{}", String::from_utf8_lossy(&head), String::from_utf8_lossy(&tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn error_output_is_bounded_and_keeps_both_ends() {
        let long = format!("first cause\n{}last word", "x".repeat(100_000));
        let kept = bounded(long.as_bytes()).await;
        assert!(kept.len() < HEAD_MAX + TAIL_MAX + 16, "{}", kept.len());
        assert!(kept.starts_with("first cause") && kept.ends_with("last word"));
        assert_eq!(bounded(&b"short"[..]).await, "short");
    }
}
