//! Somebody edits a file after it ran, to a text that comes to the same: it is refused, until `skein repair
//! accept-edited` says so for the whole fleet.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use crate::hand::{PAUSE, Patience, STEP};
use crate::workload::{Work, fixture};
use crate::world::target::Target;

/// The file of the step, and the step behind it, which nobody has edited.
const FILE: &str = "4_totals.up.sql";
const NEXT: &str = "5";
/// An end of a statement, to which something is added that changes nothing.
const FROM: &str = "FROM effects;";

/// The step is in force in the target. `number`: no two edits are alike.
pub(crate) async fn edit(work: &Work, target: &Target, number: u32) -> Result<()> {
    let dir = edited(work.cli.launch.dir.as_path(), number)?;
    let dir = dir.display().to_string();
    let up = ["migrate", &dir, "--on", &target.id, "--version", NEXT, "--accept-drift"];
    let up = [&up[..], &["--retries", "8", "-o", "json"]].concat();
    // The checker finds it where this is let through.
    work.verb(&up).await?;
    let mut patience = Patience::default();
    if !accept(work, target, &dir, &mut patience).await? {
        return Ok(());
    }
    work.verb(&up).await.map(drop)
}

/// What the file has now counts as what ran in the target. Whether that was said.
pub(crate) async fn accept(
    work: &Work,
    target: &Target,
    dir: &str,
    patience: &mut Patience,
) -> Result<bool> {
    let words = ["repair", "accept-edited", STEP, "--migrations", dir, "--on", &target.id];
    let words = [&words[..], &["--waive", "it comes to the same", "--yes", "-o", "json"]].concat();
    loop {
        if work.verb(&words).await?.code == Some(0) {
            return Ok(true);
        }
        if patience.is_over(work) {
            return Ok(false);
        }
        sleep(PAUSE).await;
    }
}

/// A directory of its own, with one file edited.
fn edited(dir: &Path, number: u32) -> Result<PathBuf> {
    let at = dir.join(format!("edited-{number}"));
    std::fs::create_dir_all(&at)?;
    for file in std::fs::read_dir(fixture())? {
        let file = file?;
        let mut text = std::fs::read_to_string(file.path())?;
        if file.file_name() == FILE {
            let (before, _) = text.rsplit_once(FROM).context("the step leaves its name")?;
            text = format!("{before}FROM effects WHERE {number} = {number};\n");
        }
        std::fs::write(at.join(file.file_name()), text)?;
    }
    Ok(at)
}
