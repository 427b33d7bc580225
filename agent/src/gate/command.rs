//! The exit code of a program. What it prints is for whoever runs it by hand.

use std::path::Path;
use std::process::Stdio;

use crate::discovery::{Group, program};

pub(super) async fn ask(
    words: &[String],
    directory: &Path,
    target: &str,
) -> Result<String, String> {
    let Some((name, arguments)) = words.split_first() else {
        return Err("no program is named".to_owned());
    };
    let child = program(name, directory)
        .args(arguments)
        .current_dir(directory)
        .env("SKEIN_TARGET", target)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = child.map_err(|error| format!("{name} cannot be run ({error})"))?;
    let group = Group::of(&child);
    let status = child.wait().await.map_err(|error| format!("{name} was lost ({error})"))?;
    group.ended();
    status.code().map(|code| code.to_string()).ok_or_else(|| format!("{name} ended with {status}"))
}
