//! What the processes log, beside the trace.

use std::io;

use tracing::Dispatch;
use tracing_subscriber::fmt::MakeWriter;

/// Takes a line of a log to the trace's text.
struct Line(Vec<u8>);

impl io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        skein_chaos_interpose::remark(String::from_utf8_lossy(&self.0).trim_end());
    }
}

struct Lines;

impl MakeWriter<'_> for Lines {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(Vec::new())
    }
}

/// Takes what is logged, at the levels that `SKEIN_LOG` names, or nothing. Made before a simulation begins:
/// it takes random numbers.
pub(crate) fn reader(wanted: bool) -> Dispatch {
    if !wanted {
        return Dispatch::none();
    }
    let filter =
        std::env::var("SKEIN_LOG").unwrap_or_else(|_| "skein=info,openraft=warn".to_owned());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .without_time()
        .with_ansi(false)
        .with_writer(Lines)
        .finish();
    Dispatch::new(subscriber)
}
