//! Somebody brings a database that has its schema already, and no ledger: `skein repair adopt` gives it one, and from
//! then on it is migrated like the others.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::sleep;

use crate::hand::{PAUSE, Patience, reach};
use crate::workload::{Work, fixture};
use crate::world::target::Target;
use crate::world::tenants::Tenants;

/// What it is brought to.
const LAST: &str = "6";

/// Carries out the first steps by hand, from the very files.
pub(crate) async fn build(target: &Target, steps: usize) -> Result<()> {
    let bundle = fixture();
    for step in 1..=steps {
        let named = format!("{step}_");
        let mut files = std::fs::read_dir(&bundle)?.filter_map(Result::ok).map(|file| file.path());
        let is_it = |path: &std::path::PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(&named) && name.ends_with(".up.sql")
        };
        let file = files.find(is_it).with_context(|| format!("there is no step {step}"))?;
        let text = std::fs::read_to_string(file)?;
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
        for statement in lines.join("\n").split(';').map(str::trim).filter(|it| !it.is_empty()) {
            target.execute(statement).await?;
        }
    }
    Ok(())
}

/// From some time on the target is named; then its ledger is made, and it goes on.
pub(crate) async fn bring(
    work: Work,
    tenants: Tenants,
    (target, steps): (Target, usize),
    after: Duration,
) -> Result<()> {
    sleep(after).await;
    tenants.name(&target)?;
    let mut patience = Patience::default();
    // Whether its schema alone proves it depends on what the fleet has seen.
    let mut waives = false;
    while !patience.is_done(&work, adopted(&work, &target, steps, waives).await, &target)? {
        waives = true;
        sleep(PAUSE).await;
    }
    while !work.over() && !reach(&work, &target, &["--version", LAST]).await? {}
    Ok(())
}

async fn adopted(work: &Work, target: &Target, steps: usize, waives: bool) -> Result<bool> {
    let fixture = fixture().display().to_string();
    let version = steps.to_string();
    let words = ["repair", "adopt", &version, "--migrations", &fixture, "--on", &target.id];
    let mut words = [&words[..], &["--yes", "-o", "json"]].concat();
    if waives {
        words.extend(["--waive", "it was there before"]);
    }
    let ran = work.verb(&words).await?;
    let seen = target.observe().await?;
    let ledger: Vec<String> = seen.applied().iter().map(|row| row.step.clone()).collect();
    let wanted: Vec<String> = (1..=steps).map(|step| step.to_string()).collect();
    if ledger == wanted {
        return Ok(true);
    }
    if !ledger.is_empty() {
        bail!("{} was adopted at {version}, and its ledger has {ledger:?}", target.id);
    }
    bail!("skein {} ended with {:?}: {}{}", ran.line, ran.code, ran.stdout, ran.stderr)
}
