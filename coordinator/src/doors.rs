//! Where bytes from outside come in, each door by itself: what fuzzing knocks at. Not an interface.
//!
//! Each says whether the bytes were understood. None may panic, whatever they are.

use bytes::Bytes;
use prost::Message as _;
use skein_core::event::Event;
use skein_core::ids::{Digest, Seq};
use skein_core::spec::{Condition, Selector};
use skein_proto::agent::v1 as agent;
use skein_proto::v1;
use skein_store::Machine as _;

use crate::api::outcome;
use crate::raft::Machine;
use crate::{codec, condition};

/// An event as the log keeps it.
pub fn encode_event(event: &Event) -> Bytes {
    codec::encode_event(event)
}

/// An entry of the log that holds these events.
pub fn encode_record(base: u64, events: Vec<Bytes>) -> Bytes {
    codec::record_entry(Seq(base), events)
}

/// A stored event, and what the index finds it by. What is read is written again as the same event.
pub fn event(bytes: &Bytes) -> bool {
    let Ok(event) = codec::decode_event(bytes) else { return false };
    let again = codec::decode_event(&codec::encode_event(&event));
    assert_eq!(again.as_ref(), Ok(&event), "an event that is written is read as the same");
    drop(codec::terms(bytes));
    true
}

/// An entry of the log.
pub fn entry(bytes: &Bytes) -> bool {
    codec::decode_entry(bytes).is_ok()
}

/// Entries of the log, one after another, on a node that has none: until one stops it.
pub fn entries(entries: &[Bytes]) -> bool {
    let machine = Machine::new();
    (1..).zip(entries).all(|(index, entry)| machine.apply(index, entry).is_ok())
}

/// A bundle's bytes, as [`v1::PutBundleRequest`] brings them.
pub fn bundle(bytes: &[u8]) -> bool {
    v1::Bundle::decode(bytes)
        .is_ok_and(|bundle| codec::manifest_of(Digest([0; 32]), bundle).is_ok())
}

/// What people and tools ask.
pub fn request(bytes: &[u8]) -> bool {
    let plan =
        v1::PlanRequest::decode(bytes).is_ok_and(|request| codec::spec(request.spec).is_ok());
    let rollback = v1::RollBackRequest::decode(bytes).is_ok_and(|request| {
        drop(codec::selector(request.selector));
        true
    });
    let asker =
        v1::Asker::decode(bytes).is_ok_and(|asker| codec::request_id(&asker.request_id).is_ok());
    plan || rollback || asker
}

/// A condition on targets, as `--where` gives it.
pub fn condition(text: &str) -> bool {
    let mut selector =
        Selector { condition: Some(Condition::new(text.to_owned())), ..Selector::default() };
    let (fleet, presence) = condition::sample();
    condition::settle(&mut selector, &fleet, &presence).is_ok()
}

/// What agents say.
pub fn report(bytes: &[u8]) -> bool {
    use agent::from_agent::Message;
    let said = agent::FromAgent::decode(bytes).ok().and_then(|from| from.message);
    match said {
        Some(
            Message::Roster(agent::Roster { targets, .. })
            | Message::Hello(agent::Hello { targets, .. }),
        ) => targets.into_iter().all(|target| codec::description(target).is_ok()),
        Some(Message::Observed(seen)) => {
            seen.observation.is_none_or(|seen| codec::observation(seen).is_ok())
        }
        Some(Message::Reports(reports)) => {
            reports.reports.into_iter().all(|report| outcome(report).is_ok())
        }
        Some(_) => true,
        None => false,
    }
}
