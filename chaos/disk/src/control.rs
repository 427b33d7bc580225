//! Faults that are switched while the program runs: one small file, read at each call.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The file is always this long, so that one write replaces it and one read sees it whole.
pub(crate) const LEN: usize = 512;

/// What becomes of fsync and fdatasync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncFault {
    /// They do what they say.
    #[default]
    None,
    /// The next this many fail with EIO, and what they stood for may be lost for good.
    Fail(u64),
    /// All fail with EIO.
    FailAlways,
    /// They succeed and make nothing durable.
    Lie,
}

/// What the disk does wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    /// Of fsync and fdatasync.
    pub sync: SyncFault,
    /// How long each of them takes, in milliseconds.
    pub sync_delay_ms: u64,
    /// Whether a write that makes a file longer, and a new file, fail with ENOSPC.
    pub full: bool,
    /// Whether a write takes half of what it was given, once in this many calls. Zero: never.
    pub short_one_in: u64,
    /// Whether a read has a flipped bit, once in this many calls. Zero: never.
    pub flip_one_in: u64,
    /// Only files whose path has this in it.
    pub only: String,
}

impl Faults {
    /// Where the faults of a side directory are told.
    pub(crate) fn path(side: &Path) -> PathBuf {
        side.join("control")
    }

    /// Makes these the faults of every program under the layer of `side`, from its next call on.
    pub fn store(&self, side: &Path) -> io::Result<()> {
        let sync = match self.sync {
            SyncFault::None => "none".to_owned(),
            SyncFault::Fail(times) => format!("fail {times}"),
            SyncFault::FailAlways => "fail".to_owned(),
            SyncFault::Lie => "lie".to_owned(),
        };
        let path = Self::path(side);
        // A counter, so that the same fault asked for again counts again.
        let turn = fs::read_to_string(&path).ok().and_then(|text| number(&text, "turn"));
        let mut text = format!(
            "turn {}\nsync {sync}\nsync_delay_ms {}\nfull {}\nshort_one_in {}\nflip_one_in {}\nonly {}\n",
            turn.unwrap_or(0) + 1,
            self.sync_delay_ms,
            u8::from(self.full),
            self.short_one_in,
            self.flip_one_in,
            self.only,
        )
        .into_bytes();
        if text.len() > LEN {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the path pattern is too long",
            ));
        }
        text.resize(LEN, b'\n');
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        file.write_all_at(&text, 0)
    }

    pub(crate) fn parse(text: &str) -> Self {
        let sync = match line(text, "sync").unwrap_or_default() {
            "fail" => SyncFault::FailAlways,
            "lie" => SyncFault::Lie,
            other => other
                .strip_prefix("fail ")
                .and_then(|times| times.parse().ok())
                .map_or(SyncFault::None, SyncFault::Fail),
        };
        Self {
            sync,
            sync_delay_ms: number(text, "sync_delay_ms").unwrap_or(0),
            full: number(text, "full") == Some(1),
            short_one_in: number(text, "short_one_in").unwrap_or(0),
            flip_one_in: number(text, "flip_one_in").unwrap_or(0),
            only: line(text, "only").unwrap_or_default().to_owned(),
        }
    }
}

fn line<'text>(text: &'text str, name: &str) -> Option<&'text str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
}

fn number(text: &str, name: &str) -> Option<u64> {
    line(text, name)?.parse().ok()
}
