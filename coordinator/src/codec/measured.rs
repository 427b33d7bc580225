//! What else was measured while a step ran, from reports and from disk.

use skein_core::event::Measured;
use skein_proto::agent::v1::{Applied, RolledBack};

pub(crate) fn of_applied(wire: &Applied) -> Measured {
    Measured {
        waited_ms: wire.waited_ms,
        resumed: wire.resumed,
        written: wire.written_bytes,
        locked_ms: wire.locked_ms,
        touched: wire.touched_rows,
    }
}

pub(crate) fn of_undone(wire: &RolledBack) -> Measured {
    Measured {
        waited_ms: wire.waited_ms,
        resumed: wire.resumed,
        written: wire.written_bytes,
        locked_ms: wire.locked_ms,
        touched: wire.touched_rows,
    }
}
