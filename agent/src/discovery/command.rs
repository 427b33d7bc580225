//! Targets that a program lists on its standard output.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use super::{BYTES_MAX, Rows, rows};

pub(super) async fn read(words: &[String], directory: &Path) -> Rows {
    let Some((program, arguments)) = words.split_first() else {
        return Err("no program is named".to_owned());
    };
    // What it says on standard error may be anything; it is for whoever runs it by hand.
    let child = self::program(program, directory)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|error| format!("{program} cannot be run ({error})"))?;
    let group = Group::of(&child);
    let mut said = Vec::new();
    if let Some(out) = child.stdout.take() {
        let limit = u64::try_from(BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
        out.take(limit)
            .read_to_end(&mut said)
            .await
            .map_err(|error| format!("what {program} says cannot be read ({error})"))?;
    }
    if said.len() > BYTES_MAX {
        return Err(format!("{program} says more than {} MiB", BYTES_MAX >> 20));
    }
    let status = child.wait().await.map_err(|error| format!("{program} was lost ({error})"))?;
    group.ended();
    if !status.success() {
        return Err(format!("{program} ended with {status}; run it by hand to see why"));
    }
    // Hundreds of thousands of lines are some work.
    tokio::task::spawn_blocking(move || rows::parse(&said))
        .await
        .unwrap_or_else(|_| Err("its output could not be read".to_owned()))
}

/// A program by its name, or by its place.
pub(crate) fn program(name: &str, directory: &Path) -> Command {
    if name.contains('/') { Command::new(directory.join(name)) } else { Command::new(name) }
}

/// A program with all that it started: they end with the reading, however that ends.
pub(crate) struct Group(Option<u32>);

impl Group {
    /// It was made the first of a group of its own.
    pub(crate) fn of(child: &Child) -> Self {
        Self(child.id())
    }

    /// It has ended by itself.
    pub(crate) fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let id = self.0.and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id.and_then(rustix::process::Pid::from_raw) {
            // Who is gone already needs no end.
            rustix::process::kill_process_group(id, rustix::process::Signal::KILL)
                .unwrap_or_default();
        }
    }
}
