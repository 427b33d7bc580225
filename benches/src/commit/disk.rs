//! What the disk allows: an append of 256 bytes and `fdatasync`, one after the other.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::Instant;

use crate::load::{Outcome, histogram, record};

pub(super) fn append(directory: &Path, time: Duration) -> Result<Outcome> {
    let path = directory.join("append");
    let mut file = File::create(&path).context("failed to make a file to append to")?;
    let mut latency = histogram()?;
    let started = Instant::now();
    while started.elapsed() < time {
        let begun = Instant::now();
        file.write_all(&[b'x'; 256]).context("failed to append")?;
        file.sync_data().context("failed to force data to the disk")?;
        record(&mut latency, begun.elapsed());
    }
    let wall = started.elapsed();
    std::fs::remove_file(&path).context("failed to remove the file")?;
    Ok(Outcome { done: latency.len(), wall, latency, failed: 0 })
}
