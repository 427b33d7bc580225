//! Between the core's types and protobuf: the disk form of the log, and the messages that disk and
//! wire share. The only place that knows both. What is read may be older than this release; what
//! cannot be read is an error that says where, never a guess.

mod batching;
mod block;
mod event;
mod fleet;
mod forecast;
mod gate;
mod latency;
mod manifest;
mod measured;
mod pace;
mod plan;
mod record;
mod repair;
mod subject;
#[cfg(test)]
mod tests;
mod throttle;

pub(crate) use batching::batching_out;
pub(crate) use block::block_out;
pub(crate) use event::{
    archive, decode as decode_event, encode as encode_event, leg_kind_out, verdict,
};
pub(crate) use fleet::{description, description_out, entry_out, observation, selector};
pub(crate) use forecast::{amount_out, planned_out, window_fit_out};
pub(crate) use gate::{gate_out, judgement};
pub(crate) use latency::{quantiles, quantiles_out};
pub(crate) use manifest::manifest_of;
pub(crate) use measured::{of_applied as measured_of_applied, of_undone as measured_of_undone};
pub(crate) use pace::{freeze_out, until};
pub(crate) use plan::{knob, knob_out, plan_id, plan_out, spec};
pub(crate) use record::{Entry, chunk_entry, decode_entry, record_entry};
pub(crate) use repair::{digests_out, evidence_of, evidence_out, verb, verb_out};
pub(crate) use subject::{concerns, terms};
pub(crate) use throttle::throttle_out;

use bytes::Bytes;
use skein_core::ids::{ClusterId, Digest, Incarnation, RequestId};

/// Bytes that do not say what they should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {why}")]
pub struct Malformed {
    what: &'static str,
    why: String,
}

impl Malformed {
    pub(crate) fn new(what: &'static str, why: impl Into<String>) -> Self {
        Self { what, why: why.into() }
    }
}

/// A field that must be there.
pub(crate) fn required<T>(value: Option<T>, what: &'static str) -> Result<T, Malformed> {
    value.ok_or_else(|| Malformed::new(what, "is missing"))
}

/// A SHA-256 value.
pub(crate) fn digest(bytes: &[u8], what: &'static str) -> Result<Digest, Malformed> {
    <[u8; 32]>::try_from(bytes).map(Digest).map_err(|_wrong| {
        Malformed::new(what, format!("has {} bytes and should have 32", bytes.len()))
    })
}

/// A SHA-256 value, or none.
pub(crate) fn digest_option(bytes: &[u8], what: &'static str) -> Result<Option<Digest>, Malformed> {
    if bytes.is_empty() { Ok(None) } else { digest(bytes, what).map(Some) }
}

/// To bytes; none is empty.
pub(crate) fn digest_out(digest: Option<Digest>) -> Bytes {
    digest.map_or_else(Bytes::new, |digest| Bytes::copy_from_slice(&digest.0))
}

/// A request's id, or none.
pub(crate) fn request_id(bytes: &[u8]) -> Result<Option<RequestId>, Malformed> {
    if bytes.is_empty() {
        return Ok(None);
    }
    <[u8; 16]>::try_from(bytes)
        .map(|id| Some(RequestId(id)))
        .map_err(|_wrong| Malformed::new("the request id", "should have 16 bytes"))
}

fn incarnation(bytes: &[u8]) -> Result<Incarnation, Malformed> {
    <[u8; 16]>::try_from(bytes)
        .map(Incarnation)
        .map_err(|_wrong| Malformed::new("an incarnation", "should have 16 bytes"))
}

fn cluster_id(bytes: &[u8]) -> Result<ClusterId, Malformed> {
    <[u8; 16]>::try_from(bytes)
        .map(ClusterId)
        .map_err(|_wrong| Malformed::new("the cluster id", "should have 16 bytes"))
}
