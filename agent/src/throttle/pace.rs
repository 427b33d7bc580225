//! What may change of a leg while it is under way.

use skein_proto::agent::v1::Leg;
use skein_proto::v1::{Batching, Throttle};

/// How a leg goes: what it waits for, and how it goes over its batches.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Pace {
    pub(crate) throttles: Vec<Throttle>,
    pub(crate) batching: Batching,
}

impl Pace {
    pub(crate) fn of(leg: Leg) -> Self {
        Self { throttles: leg.throttles, batching: leg.batching.unwrap_or_default() }
    }
}
