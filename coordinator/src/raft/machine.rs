//! What committed entries do on every replica: the fold into the fleet. A record that was decided on
//! another state is stale, on every replica alike; a replica that cannot go on deterministically
//! stops.

use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use skein_core::Fleet;
use skein_core::event::Event;
use skein_core::evolve::evolve;
use skein_core::ids::{Millis, Seq};
use skein_store::{Applied, Halt};
use tokio::sync::watch;

use crate::clock::LogTime;
use crate::codec;
use crate::metrics::Counted;

/// The replicated state of this node, as far as it has applied the log.
#[derive(Debug)]
pub(crate) struct Machine {
    fleet: RwLock<Fleet>,
    time: Mutex<LogTime>,
    /// The number of events applied: readers wait for a change.
    applied: watch::Sender<u64>,
    counted: Counted,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recorded {
    Committed,
    /// Decided on a state that is not the one it met: nothing of it counts.
    Stale,
}

impl Recorded {
    fn encode(self) -> Bytes {
        match self {
            Self::Committed => Bytes::from_static(b"c"),
            Self::Stale => Bytes::from_static(b"s"),
        }
    }

    pub(crate) fn decode(bytes: &Bytes) -> Option<Self> {
        match bytes.as_ref() {
            b"c" => Some(Self::Committed),
            b"s" => Some(Self::Stale),
            _ => None,
        }
    }
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self {
            fleet: RwLock::new(Fleet::default()),
            time: Mutex::new(LogTime::new()),
            applied: watch::Sender::new(0),
            counted: Counted::default(),
        }
    }

    /// What it counts.
    pub(crate) fn counted(&self) -> &Counted {
        &self.counted
    }

    /// The state as applied here. Hold it for a moment only: applying waits for it.
    pub(crate) fn fleet(&self) -> RwLockReadGuard<'_, Fleet> {
        // A panic in a writer cannot leave a half-applied event: evolve does not panic.
        self.fleet.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time by which `fleet`, this one, is told about. A leader decides by its own, which is this one but for what
    /// the nodes' clocks differ by: what waits until a time is over for people when it is over for the leader.
    pub(crate) fn now(&self, fleet: &Fleet) -> Millis {
        self.time.lock().unwrap_or_else(PoisonError::into_inner).now(fleet.time)
    }

    /// Tells each time that events were applied.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    fn take_in(&self, events: &[Event]) -> Result<(), Halt> {
        let mut fleet = self.fleet.write().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            evolve(&mut fleet, event).map_err(|error| {
                Halt::new(format!(
                    "event {} contradicts the history: {error}; do not restart this node on another \
                     release, and keep its data for inspection",
                    event.seq
                ))
            })?;
        }
        let seq = fleet.seq.0;
        // From here on it goes on by itself.
        self.now(&fleet);
        drop(fleet);
        self.applied.send_replace(seq);
        Ok(())
    }
}

fn read(seq: u64, bytes: &Bytes) -> Result<Event, Halt> {
    codec::decode_event(bytes).map_err(|error| {
        Halt::new(format!(
            "event {seq} cannot be understood: {error}; it may have been written by a newer release: \
             start that one"
        ))
    })
}

impl skein_store::Machine for Machine {
    fn apply(&self, index: u64, payload: &Bytes) -> Result<Applied, Halt> {
        let entry = codec::decode_entry(payload)
            .map_err(|error| Halt::new(format!("log entry {index}: {error}")))?;
        match entry {
            codec::Entry::Chunk(chunk) => Ok(Applied { chunk: Some(chunk), ..Applied::default() }),
            codec::Entry::Record { base, events } => {
                if base != self.fleet().seq {
                    return Ok(Applied {
                        response: Recorded::Stale.encode(),
                        ..Applied::default()
                    });
                }
                let decoded = events
                    .iter()
                    .zip(base.0..)
                    .map(|(bytes, seq)| read(seq, bytes))
                    .collect::<Result<Vec<Event>, Halt>>()?;
                self.take_in(&decoded)?;
                self.counted.applied(decoded.len());
                Ok(Applied { events, chunk: None, response: Recorded::Committed.encode() })
            }
        }
    }

    fn replay(&self, first_seq: u64, events: &[Bytes]) -> Result<(), Halt> {
        let decoded = events
            .iter()
            .zip(first_seq..)
            .map(|(bytes, seq)| read(seq, bytes))
            .collect::<Result<Vec<Event>, Halt>>()?;
        if let Some(first) = decoded.first()
            && first.seq != Seq(first_seq)
        {
            return Err(Halt::new(format!(
                "the event at place {first_seq} says that it is event {}",
                first.seq
            )));
        }
        self.take_in(&decoded)
    }
}

#[cfg(test)]
mod tests {
    use skein_core::event::Body;
    use skein_core::ids::{AgentId, ClusterId, Digest, Millis};
    use skein_store::Machine as _;

    use super::*;

    fn event(seq: u64, body: Body) -> Bytes {
        let charter = Digest([1; 32]);
        let (seq, at) = (Seq(seq), Millis(seq));
        codec::encode_event(&Event { seq, at, actor: "a".to_owned(), charter, request: None, body })
    }

    fn formed() -> Bytes {
        let (cluster, charter) = (ClusterId([1; 16]), Digest([1; 32]));
        event(0, Body::ClusterFormed { cluster, charter, bound: String::new() })
    }

    fn joined() -> Bytes {
        event(1, Body::AgentJoined { agent: AgentId("a1".to_owned()), version: "1".to_owned() })
    }

    /// A field that no release has, at the end of a message: number 500, three bytes.
    fn with_a_field(bytes: &Bytes) -> Bytes {
        [bytes.as_ref(), &[0xa2, 0x1f, 3, 1, 2, 3]].concat().into()
    }

    #[test]
    fn fields_of_a_newer_release_survive() {
        let machine = Machine::new();
        let events = vec![with_a_field(&formed()), with_a_field(&joined())];
        let applied = machine.apply(1, &codec::record_entry(Seq(0), events.clone())).unwrap();
        assert_eq!(applied.events, events, "what is stored is what came");
        let again = Machine::new();
        again.replay(0, &events).unwrap();
        assert_eq!(again.fleet().seq, Seq(2));
    }

    /// Architecture: a deterministic answer, or a stopped node.
    #[test]
    fn an_event_of_a_kind_that_only_a_newer_release_knows_stops_the_node() {
        // Kind 900 of the body: a message of one byte.
        let stranger: Bytes =
            [&[8, 1][..], &[0x22, 32], &[1; 32], &[0xa2, 0x38, 2, 8, 1]].concat().into();
        let machine = Machine::new();
        machine.replay(0, &[formed()]).unwrap();
        let halts = [
            machine.replay(1, std::slice::from_ref(&stranger)).unwrap_err(),
            machine.apply(2, &codec::record_entry(Seq(1), vec![stranger])).unwrap_err(),
        ];
        for halt in halts {
            let said = halt.to_string();
            for words in ["event 1", "newer release", "start that one"] {
                assert!(said.contains(words), "{words:?} is missing: {said}");
            }
        }
        assert_eq!(machine.fleet().seq, Seq(1), "nothing of it counts");
    }
}
