//! What people, tools and agents ask of this node. Handlers convert, ask the sequencer or read the
//! state, and convert back; no rule lives here.

mod agents;
mod audit;
mod backup;
mod cluster;
mod convert;
mod debts;
mod explain;
mod fleet;
mod forward;
mod pace;
mod planner;
mod repairs;
mod resumption;
mod rollouts;
mod schemas;
mod status;

pub(crate) use agents::outcome;
pub(crate) use convert::{ask_out, leg_out, mend_out};
pub(crate) use forward::ForwardLayer;

use std::sync::Arc;
use std::time::Duration;

use openraft::ReadPolicy;
use prost::Message;
use sha2::{Digest as _, Sha256};
use skein_core::command::{Command, Request};
use skein_core::ids::Millis;
use skein_core::refusal::Kind;
use skein_core::schedule::Presence;
use skein_core::{Fleet, Refusal};
use skein_proto::v1;
use skein_store::{Blobs, History};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::calendar::Calendar;
use crate::raft::{Identity, Machine, Peers, Raft};
use crate::round_trip::RoundTrips;
use crate::sequencer::{Accepted, Handle};
use crate::sessions::Sessions;
use crate::{codec, config};

/// Everything that a handler may touch.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) identity: Identity,
    pub(crate) raft: Raft,
    pub(crate) machine: Arc<Machine>,
    pub(crate) history: Arc<History>,
    pub(crate) history_dir: std::path::PathBuf,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) sequencer: Handle,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) calendar: Arc<Calendar>,
    pub(crate) peers: Peers,
    pub(crate) lease: Duration,
    pub(crate) timing: Timing,
    pub(crate) stop: CancellationToken,
}

/// What was provided for between nodes, and what was measured.
#[derive(Debug, Clone)]
pub(crate) struct Timing {
    pub(crate) raft: config::Raft,
    pub(crate) trips: RoundTrips,
}

/// How long a read waits for the leader to make sure that it still leads.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// How long an agent waits for a cluster that is not formed yet. Shorter than its own patience.
const FORMING_LIMIT: Duration = Duration::from_secs(3);

impl Api {
    /// Asks the sequencer on behalf of a person or a tool. `body` is the whole message: a repeat of
    /// the request id with another body is told apart by it.
    async fn ask(
        &self,
        asker: Option<v1::Asker>,
        body: &impl Message,
        command: Command,
    ) -> Result<Accepted, Status> {
        let asker = asker.ok_or_else(unnamed)?;
        let request = Request {
            id: codec::request_id(&asker.request_id).map_err(|error| status::malformed(&error))?,
            digest: body_digest(body),
            actor: asker.actor,
            charter: codec::digest(&asker.charter, "the asker's charter")
                .map_err(|error| status::malformed(&error))?,
            now: Millis(0),
            command,
        };
        self.sequencer.ask(request).await.map_err(status::failed)
    }

    /// Whether it was accepted before, as far as this node has come.
    fn is_repeat(&self, asker: Option<&v1::Asker>) -> bool {
        let id = asker.and_then(|asker| codec::request_id(&asker.request_id).ok()?);
        id.is_some_and(|id| self.machine.fleet().requests.get(&id).is_some())
    }

    /// Whoever names a charter goes by the one in force. Asked before anything is done for a request,
    /// also where nothing of it reaches the sequencer.
    fn same_charter(&self, asker: Option<&v1::Asker>) -> Result<(), Status> {
        let asker = asker.ok_or_else(unnamed)?;
        let fleet = self.machine.fleet();
        if fleet.cluster.is_none() {
            return Err(status::unavailable("the cluster is not formed yet".to_owned()));
        }
        let charter = fleet.charter();
        if asker.charter.as_ref() == charter.0 {
            return Ok(());
        }
        Err(status::refused(&Refusal::new(
            Kind::Denied,
            format!("not made under charter {}, which is in force", charter.short()),
            "use the charter file that the cluster was formed with (`project.charter` in skein.toml)",
        )))
    }

    /// Who is connected, who was, and what the calendar says.
    fn presence(&self, fleet: &Fleet, now: Millis) -> Presence {
        let heard = self.sessions.heard_of(now);
        Presence { hours: self.calendar.hours(fleet, now), heard, ..self.sessions.presence() }
    }

    /// Waits for the first events of a cluster that is being formed: whoever comes in that moment would
    /// be refused, and would have to come again. Not for long: what is missing is said by who looks then.
    async fn formed(&self) {
        let mut changes = self.machine.changes();
        let formed = async {
            while self.machine.fleet().cluster.is_none() && changes.changed().await.is_ok() {}
        };
        // Late is no worse than not having waited.
        drop(tokio::time::timeout(FORMING_LIMIT, formed).await);
    }

    /// Waits until everything that was acknowledged before now is applied here.
    async fn linearizable(&self) -> Result<(), Status> {
        let read = self.raft.ensure_linearizable(ReadPolicy::ReadIndex);
        match tokio::time::timeout(READ_LIMIT, read).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(status::unavailable(format!(
                "this node cannot make sure that it leads: {error}"
            ))),
            Err(_elapsed) => {
                Err(status::unavailable("no majority of the coordinator nodes answers".to_owned()))
            }
        }
    }
}

fn unnamed() -> Status {
    Status::invalid_argument("the request does not say who asks")
}

/// The first eight bytes of SHA-256 over the request's canonical bytes.
fn body_digest(body: &impl Message) -> u64 {
    let hash = Sha256::digest(body.encode_to_vec());
    hash.iter().take(8).fold(0, |value, byte| (value << 8) | u64::from(*byte))
}
