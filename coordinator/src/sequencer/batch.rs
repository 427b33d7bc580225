//! What one record will hold: decisions in order, each on the state that the earlier ones left.

use bytes::Bytes;
use skein_core::Fleet;
use skein_core::Refusal;
use skein_core::decide::{Decision, decide};
use skein_core::event::{Body, Event};
use skein_core::evolve::evolve;
use skein_core::ids::{Millis, RolloutId, Seq};

use super::{Accepted, Failure, Job, Reply, answer};
use crate::codec;
use crate::metrics::{Answered, Counted, kind};

/// A record is closed at about this size, so that one message to a peer stays small, bytes.
const RECORD_BYTES: usize = 256 * 1024;

/// What is told when it is certain; nobody asked for what the node asks itself.
struct Held {
    reply: Option<Reply>,
    kind: &'static str,
    decided: Result<Option<RolloutId>, Refusal>,
}

/// Decided, and not durable yet.
pub(super) struct Batch {
    /// The state that it was decided on.
    pub(super) base: Seq,
    pub(super) events: Vec<Event>,
    encoded: Vec<Bytes>,
    size: usize,
    held: Vec<Held>,
}

impl Batch {
    pub(super) fn on(base: Seq) -> Self {
        Self { base, events: Vec::new(), encoded: Vec::new(), size: 0, held: Vec::new() }
    }

    /// Whether the record is to be closed.
    pub(super) fn is_full(&self) -> bool {
        self.size >= RECORD_BYTES
    }

    /// Whether somebody waits to be told.
    pub(super) fn has_askers(&self) -> bool {
        self.held.iter().any(|held| held.reply.is_some())
    }

    /// The bytes of the events made since this was last asked.
    pub(super) fn take_encoded(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.encoded)
    }

    /// Decides one request, and takes `ahead` to where it leads.
    ///
    /// # Errors
    /// A rule made an event that the fold refuses: `ahead` is to be dropped, and nothing of the batch may
    /// leave the node.
    pub(super) fn decide(
        &mut self,
        ahead: &mut Fleet,
        now: Millis,
        mut job: Job,
    ) -> Result<(), Failure> {
        let kind = kind(&job.request.command);
        job.request.now = now;
        if job.reply.is_none() {
            job.request.charter = ahead.charter();
        }
        let decided = match decide(ahead, &job.request) {
            // A refusal may rest on events of this batch, or on what a leader that was deposed knows: it
            // is told when these are committed, or the lead is confirmed.
            Err(refusal) => Err(refusal),
            Ok(Decision::Repeated(first)) => Ok(first.rollout),
            Ok(Decision::Events(events)) => {
                let rollout = events.iter().find_map(|event| about(&event.body));
                for event in events {
                    if let Err(error) = evolve(ahead, &event) {
                        tracing::error!(%error, "a decision contradicts the state");
                        self.held.push(Held { reply: job.reply, kind, decided: Ok(rollout) });
                        return Err(Failure::Unknown(format!(
                            "a decision contradicts the state: {error}"
                        )));
                    }
                    let encoded = codec::encode_event(&event);
                    self.size += encoded.len();
                    self.encoded.push(encoded);
                    self.events.push(event);
                }
                Ok(rollout)
            }
        };
        self.held.push(Held { reply: job.reply, kind, decided });
        Ok(())
    }

    /// It is durable: everybody is told what was decided.
    pub(super) fn settle(&mut self, seq: Seq, counted: &Counted) {
        for Held { reply, kind, decided } in self.held.drain(..) {
            let refused = decided.is_err();
            counted.answered(kind, if refused { Answered::Refused } else { Answered::Accepted });
            let told =
                decided.map(|rollout| Accepted { seq: seq.0, rollout }).map_err(Failure::Refused);
            answer(reply, told);
        }
    }

    /// It is not, or nobody knows: everybody is told so.
    pub(super) fn fail(&mut self, failure: &Failure, counted: &Counted) {
        for Held { reply, kind, .. } in self.held.drain(..) {
            counted.answered(kind, failure.counted());
            answer(reply, Err(failure.clone()));
        }
    }
}

/// The rollout that an event gives its asker a number for.
fn about(body: &Body) -> Option<RolloutId> {
    match body {
        Body::RolloutPlanned { rollout, .. }
        | Body::RolloutStarted { rollout }
        | Body::RolloutPaused { rollout, .. }
        | Body::RolloutResumed { rollout }
        | Body::RequestSettled { rollout }
        | Body::RolloutAborted { rollout, .. }
        | Body::KnobSet { rollout, .. }
        | Body::WaveApproved { rollout, .. }
        | Body::LanesHeld { rollout, .. }
        | Body::LanesAborted { rollout, .. }
        | Body::LanesCancelled { rollout, .. }
        | Body::LanesReleased { rollout, .. }
        | Body::TargetsRetried { rollout, .. }
        | Body::TargetsSkipped { rollout, .. }
        | Body::RolloutTurnedForward { rollout, .. }
        | Body::RollbackStarted { rollout, .. } => Some(*rollout),
        _ => None,
    }
}
