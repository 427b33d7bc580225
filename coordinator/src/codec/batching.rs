//! How batches are gone over, from and to the wire.

use skein_core::spec::Batching;
use skein_proto::v1;

pub(super) fn batching(wire: Option<v1::Batching>) -> Batching {
    let v1::Batching { size, pause_ms } = wire.unwrap_or_default();
    Batching { size, pause_ms }
}

/// Left out where it says nothing, so that plans from before batches keep their digests.
pub(crate) fn batching_out(batching: Batching) -> Option<v1::Batching> {
    let Batching { size, pause_ms } = batching;
    (batching != Batching::default()).then_some(v1::Batching { size, pause_ms })
}
