//! Events, as they are on disk for ever.

mod forecast;
mod late;
mod part;
mod read;
mod repair;
mod write;

use bytes::Bytes;
use prost::Message as _;
use skein_core::command::Waiver;
use skein_core::event::{Archive, Event, LegKind, Verdict};
use skein_core::ids::{Millis, Seq};
use skein_proto::agent::v1 as session;
use skein_proto::log::v1 as log;
use skein_proto::v1;

use super::plan::{backup, backup_out};
use super::{Malformed, digest, digest_option, digest_out, request_id, required};

/// The bytes that are stored, hashed and kept.
pub(crate) fn encode(event: &Event) -> Bytes {
    let (request_id, request_digest) = match &event.request {
        Some((id, digest)) => (Bytes::copy_from_slice(&id.0), *digest),
        None => (Bytes::new(), 0),
    };
    let wire = log::Event {
        seq: event.seq.0,
        at_ms: event.at.0,
        actor: event.actor.clone(),
        charter: Bytes::copy_from_slice(&event.charter.0),
        request_id,
        request_digest,
        body: Some(write::body(&event.body)),
    };
    wire.encode_to_vec().into()
}

/// Reads stored bytes.
pub(crate) fn decode(bytes: &Bytes) -> Result<Event, Malformed> {
    let wire = log::Event::decode(bytes.clone())
        .map_err(|error| Malformed::new("an event", format!("cannot be read: {error}")))?;
    let request = request_id(&wire.request_id)?.map(|id| (id, wire.request_digest));
    let body = required(
        wire.body,
        "what happened, in an event (was it written by a newer release of skein?),",
    )?;
    Ok(Event {
        seq: Seq(wire.seq),
        at: Millis(wire.at_ms),
        actor: wire.actor,
        charter: digest(&wire.charter, "an event's charter")?,
        request,
        body: read::body(body)?,
    })
}

fn leg_kind(wire: session::LegKind) -> Result<LegKind, Malformed> {
    match wire {
        session::LegKind::Forward => Ok(LegKind::Forward),
        session::LegKind::Undo => Ok(LegKind::Undo),
        session::LegKind::Trial => Ok(LegKind::Trial),
        session::LegKind::Unspecified | session::LegKind::Mend => {
            Err(Malformed::new("a leg's kind", "is missing"))
        }
    }
}

pub(crate) fn leg_kind_out(kind: LegKind) -> session::LegKind {
    match kind {
        LegKind::Forward => session::LegKind::Forward,
        LegKind::Undo => session::LegKind::Undo,
        LegKind::Trial => session::LegKind::Trial,
    }
}

pub(crate) fn verdict(wire: session::Verdict) -> Verdict {
    match wire {
        session::Verdict::Never => Verdict::Never,
        session::Verdict::Partly => Verdict::Partly,
        session::Verdict::Fully => Verdict::Fully,
        // Whoever cannot say does not know.
        session::Verdict::Unknown | session::Verdict::Unspecified => Verdict::Unknown,
    }
}

fn verdict_out(verdict: Verdict) -> session::Verdict {
    match verdict {
        Verdict::Never => session::Verdict::Never,
        Verdict::Partly => session::Verdict::Partly,
        Verdict::Fully => session::Verdict::Fully,
        Verdict::Unknown => session::Verdict::Unknown,
    }
}

pub(crate) fn archive(wire: session::BackedUp) -> Result<Archive, Malformed> {
    let scope = backup(wire.scope());
    Ok(Archive {
        name: wire.archive,
        sha256: digest_option(&wire.sha256, "an archive's digest")?.unwrap_or_default(),
        bytes: wire.bytes,
        tool: wire.tool,
        scope,
        ms: wire.ms,
        fingerprint: digest_option(&wire.fingerprint, "the schema fingerprint")?
            .unwrap_or_default(),
        exemption: wire.exemption,
        target_bytes: wire.target_bytes,
    })
}

fn archive_out(archive: &Archive) -> session::BackedUp {
    session::BackedUp {
        archive: archive.name.clone(),
        sha256: digest_out(Some(archive.sha256)),
        bytes: archive.bytes,
        tool: archive.tool.clone(),
        scope: backup_out(archive.scope).into(),
        ms: archive.ms,
        fingerprint: digest_out(Some(archive.fingerprint)),
        exemption: archive.exemption.clone(),
        target_bytes: archive.target_bytes,
    }
}

fn waiver(wire: Option<v1::Waiver>) -> Result<Waiver, Malformed> {
    let wire = required(wire, "a waiver")?;
    Ok(Waiver { step: wire.step, reason: wire.reason })
}
