//! How far a statement in batches has come.

use skein_proto::v1::{BatchProgress, Batching};

use super::look::duration;
use super::words;

/// As a plan says it: `50 keys, 10 min 0 s apart`.
pub(super) fn planned(batching: &Batching) -> String {
    let size = match batching.size {
        0 => "as many keys as the file says".to_owned(),
        size => words::count(size, "key"),
    };
    match batching.pause_ms {
        0 => size,
        pause => format!("{size}, {} apart", duration(pause)),
    }
}

/// As a row says it: `users by id: 12 batches, 60000 rows, 31 %`.
pub(super) fn said(progress: &BatchProgress) -> String {
    let BatchProgress { over, batches, rows, percent, .. } = progress;
    let rows = words::count(*rows, "row");
    let batches = if *batches == 1 { "1 batch".to_owned() } else { format!("{batches} batches") };
    let percent = percent.map(|percent| format!(", {percent} %")).unwrap_or_default();
    format!("{over}: {batches}, {rows}{percent}")
}
