//! Sessions with agents: what they say becomes requests, in the order in which they say it.

use openraft::async_runtime::WatchReceiver as _;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use skein_core::Refusal;
use skein_core::command::{Command, Outcome, Request as Asked};
use skein_core::ids::{AgentId, Digest, Fence, Millis, Seq, StepIx, TargetId};
use skein_core::refusal::Kind;
use skein_core::schedule::{Batched, Throttled};
use skein_proto::agent::v1::{self as wire, session_server::Session};
use skein_proto::raft::v1 as raft_wire;
use skein_proto::v1;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

use super::{Api, status};
use crate::codec::{self, Malformed};
use crate::raft;
use crate::sequencer::{Answer, Failure};
use crate::sessions::{OUTGOING_MAX, Skills};

/// An agent renews its leases so often within the length of one.
const BEATS_PER_LEASE: u32 = 5;

/// Peers are asked again so often for a bundle that none of them could give.
const MISSING_AGAIN: std::time::Duration = std::time::Duration::from_secs(2);

type Out = mpsc::Sender<Result<wire::FromCoordinator, Status>>;

#[tonic::async_trait]
impl Session for Api {
    type AttachStream = BoxStream<'static, Result<wire::FromCoordinator, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<wire::FromAgent>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut incoming = request.into_inner();
        let first = incoming.message().await?.and_then(|first| first.message);
        let Some(wire::from_agent::Message::Hello(hello)) = first else {
            return Err(Status::invalid_argument("an agent begins with a hello"));
        };
        let agent = self.join(&hello).await?;
        let sources = hello.sources.clone();
        let skills = Skills {
            gates: hello.asks_gates.then(|| hello.gate_sources.iter().cloned().collect()),
            throttles: hello.knows_throttles,
        };
        let (outgoing, messages) = mpsc::channel(OUTGOING_MAX);
        let lease_ms = u32::try_from(self.lease.as_millis()).unwrap_or(u32::MAX);
        let charter = self.machine.fleet().charter();
        let welcome = wire::Welcome {
            node: self.identity.node,
            lease_ms,
            heartbeat_ms: (lease_ms / BEATS_PER_LEASE).max(1),
            charter: Bytes::copy_from_slice(&charter.0),
            cluster_id: Bytes::copy_from_slice(&self.identity.cluster.0),
            seq: self.machine.fleet().seq.0,
        };
        // Before anybody can offer it a leg.
        send(&outgoing, wire::from_coordinator::Message::Welcome(welcome)).await;
        let (number, over) = self.sessions.open(&agent, (hello.slots, skills), outgoing.clone());
        self.sessions.told(&agent, number, (sources, 0));
        if hello.reads_schemas {
            self.sessions.reads_schemas(&agent, number);
        }
        self.sequencer.offer(agent.clone()).await;
        let api = self.clone();
        tokio::spawn(async move {
            let ended = tokio::select! {
                () = api.stop.cancelled() => Status::unavailable("this node is stopping"),
                () = over.cancelled() => {
                    Status::aborted("another session took its place, or it read nothing any more")
                }
                () = outgoing.closed() => Status::cancelled("the agent has gone"),
                ended = api.listen((&agent, number), &mut incoming, &outgoing) => ended,
            };
            api.sessions.close(&agent, number);
            tracing::info!(%agent, reason = ended.message(), "an agent's session has ended");
            drop(outgoing.try_send(Err(ended)));
        });
        Ok(Response::new(tokio_stream::wrappers::ReceiverStream::new(messages).boxed()))
    }

    type FetchBundleStream = BoxStream<'static, Result<wire::FetchBundleReply, Status>>;

    async fn fetch_bundle(
        &self,
        request: Request<wire::FetchBundleRequest>,
    ) -> Result<Response<Self::FetchBundleStream>, Status> {
        let digest = codec::digest(&request.into_inner().digest, "the bundle's digest")
            .map_err(|error| status::malformed(&error))?;
        let digest = skein_store::Digest(digest.0);
        let blobs = Arc::clone(&self.blobs);
        let blob = tokio::task::spawn_blocking(move || blobs.get(&digest))
            .await
            .map_err(|error| status::broken(&error))?;
        let blob = match blob {
            Ok(Some(blob)) => blob,
            Ok(None) => self.blob_from_peers(digest).await?,
            Err(error) => {
                tracing::error!(%error, "a bundle cannot be read here; a peer is asked for it");
                self.blob_from_peers(digest).await?
            }
        };
        let stream = raft::pieces(blob)
            .map(|piece| piece.map(|piece| wire::FetchBundleReply { data: piece.data }));
        Ok(Response::new(stream.boxed()))
    }
}

impl Api {
    async fn join(&self, hello: &wire::Hello) -> Result<AgentId, Status> {
        if hello.agent.is_empty() {
            return Err(Status::invalid_argument("an agent needs an id"));
        }
        self.formed().await;
        let charter = self.machine.fleet().charter();
        if !hello.charter.is_empty() && hello.charter.as_ref() != charter.0 {
            return Err(status::refused(&Refusal::new(
                Kind::Denied,
                format!(
                    "agent {} goes by another charter than {}, which is in force",
                    hello.agent,
                    charter.short()
                ),
                "give the agent the charter file that the cluster was formed with",
            )));
        }
        let agent = AgentId(hello.agent.clone());
        self.serves(&agent, &hello.version, (&hello.targets, hello.whole)).await?;
        Ok(agent)
    }

    /// Takes down what an agent serves.
    async fn serves(
        &self,
        agent: &AgentId,
        version: &str,
        (targets, whole): (&[v1::TargetDescription], bool),
    ) -> Result<(), Status> {
        let targets = targets
            .iter()
            .map(|target| codec::description(target.clone()))
            .collect::<Result<_, Malformed>>()
            .map_err(|error| status::malformed(&error))?;
        let version = version.to_owned();
        let command = Command::JoinAgent { agent: agent.clone(), version, targets, whole };
        self.sequencer.ask(self.said_by(agent, command)).await.map_err(status::failed)?;
        Ok(())
    }

    /// A request in an agent's name, under the charter that its session was opened with.
    fn said_by(&self, agent: &AgentId, command: Command) -> Asked {
        Asked {
            id: None,
            digest: 0,
            actor: format!("agent/{agent}"),
            charter: self.machine.fleet().charter(),
            now: Millis(0),
            command,
        }
    }

    /// Takes in what an agent says until its stream or this node's lead ends.
    async fn listen(
        &self,
        (agent, number): (&AgentId, u64),
        incoming: &mut Streaming<wire::FromAgent>,
        outgoing: &Out,
    ) -> Status {
        loop {
            let message = match incoming.message().await {
                Ok(Some(message)) => message,
                Ok(None) => return Status::ok("the agent has closed its session"),
                Err(status) => return status,
            };
            match message.message {
                Some(wire::from_agent::Message::Heartbeat(beat)) => {
                    let fences: Vec<Fence> = beat.fences.into_iter().map(Fence).collect();
                    let told = (throttled(beat.throttled), batched(beat.batched));
                    let held = fences.iter().copied().collect();
                    let more = self.sessions.heard(agent, number, held, told);
                    self.sequencer.renew(fences).await;
                    if more {
                        self.sequencer.offer(agent.clone()).await;
                    }
                }
                Some(wire::from_agent::Message::Reports(reports)) => {
                    let queued = self.reports(agent, reports.reports, outgoing).await;
                    if queued.is_none() {
                        return Status::unavailable("this node is stopping");
                    }
                }
                Some(wire::from_agent::Message::Observed(observed)) => {
                    if let Err(status) = self.observed(agent, observed).await {
                        return status;
                    }
                }
                Some(wire::from_agent::Message::Roster(roster)) => {
                    let version = {
                        let fleet = self.machine.fleet();
                        fleet.agents.get(agent).map(|agent| agent.version.clone())
                    };
                    let named = (roster.targets.as_slice(), roster.whole);
                    let version = version.unwrap_or_default();
                    if let Err(status) = self.serves(agent, &version, named).await {
                        return status;
                    }
                    // Whoever waits for it finds in the log what it says.
                    self.sessions.told(agent, number, (roster.sources, roster.answered));
                }
                Some(wire::from_agent::Message::SchemaRead(read)) => {
                    self.sessions.schema_read(read);
                }
                Some(wire::from_agent::Message::Hello(_)) => {
                    return Status::invalid_argument("a session has one hello");
                }
                // A newer agent says something that this release does not know.
                None => {}
            }
        }
    }

    /// Queues reports in their order; they are acknowledged when they are durable.
    async fn reports(
        &self,
        agent: &AgentId,
        reports: Vec<wire::Report>,
        outgoing: &Out,
    ) -> Option<()> {
        let mut pending = Vec::with_capacity(reports.len());
        let mut acknowledged = wire::Acknowledged::default();
        for report in reports {
            let (id, fence, target) =
                (report.id, Fence(report.fence), TargetId(report.target.clone()));
            let told = match report.outcome {
                // Of a wave: its lease is on no leg.
                Some(wire::report::Outcome::Judged(judged)) if judged.gate.is_empty() => {
                    let judgement = codec::judgement(judged);
                    Ok(Command::JudgeGate { agent: agent.clone(), fence, judgement })
                }
                _ => outcome(report).map(|outcome| Command::Report {
                    agent: agent.clone(),
                    target,
                    fence,
                    outcome,
                }),
            };
            match told {
                Ok(command) => {
                    pending.push((id, self.sequencer.queue(self.said_by(agent, command)).await?));
                }
                Err(error) => acknowledged.refused.push(wire::RefusedReport {
                    id,
                    why: error.to_string(),
                    lease_lost: false,
                }),
            }
        }
        let outgoing = outgoing.clone();
        tokio::spawn(async move {
            for (id, answer) in pending {
                let Ok(answer) = answer.await else { return };
                if let Ok(accepted) = &answer {
                    acknowledged.seq = acknowledged.seq.max(accepted.seq);
                }
                match settle(id, answer) {
                    Settled::Taken => acknowledged.ids.push(id),
                    Settled::Refused(refused) => acknowledged.refused.push(refused),
                    // Not acknowledged: the agent says it again to whoever leads then.
                    Settled::Unknown => {}
                }
            }
            send(&outgoing, wire::from_coordinator::Message::Acknowledged(acknowledged)).await;
        });
        Some(())
    }

    async fn observed(&self, agent: &AgentId, observed: wire::Observed) -> Result<(), Status> {
        let target = TargetId(observed.target);
        let raised = observed.raised > 0;
        let seen = match observed.observation {
            Some(seen) => Ok(codec::observation(seen).map_err(|error| status::malformed(&error))?),
            None => Err(observed.error),
        };
        // An agent of an older release does not say.
        let as_of = (observed.as_of > 0).then_some(Seq(observed.as_of));
        let command = Command::RecordObservation {
            agent: agent.clone(),
            target: target.clone(),
            seen,
            as_of,
        };
        let answer = self.sequencer.queue(self.said_by(agent, command)).await;
        let Some(answer) = answer else {
            return Err(Status::unavailable("this node is stopping"));
        };
        // Many targets are looked at at once: their observations share a record.
        let (api, agent) = (self.clone(), agent.clone());
        tokio::spawn(async move {
            match answer.await {
                // What was seen is not there any more, or may not stay: whoever waits for a look waits for
                // another one.
                Ok(Err(Failure::Refused(refusal))) if refusal.kind == Kind::Stale => {
                    if api.sessions.asks_again(&agent, &target, raised) {
                        let again = BTreeMap::from([(target, vec![agent])]);
                        drop(api.sessions.ask_to_look(&again, &api.machine.fleet()));
                    }
                }
                Ok(Ok(_) | Err(Failure::Refused(_))) => {
                    api.sessions.saw(&agent, &target);
                    api.sessions.looked(&target);
                }
                Ok(Err(_)) | Err(_) => {}
            }
        });
        Ok(())
    }

    /// Fetches the bundles that the state names and this node lacks, until it stops: a snapshot brings
    /// their names, and whoever leads has to have their bytes.
    pub(crate) async fn fetch_missing(self) {
        let mut changes = self.machine.changes();
        let mut looked_at = 0;
        loop {
            let wanted: Vec<skein_store::Digest> = {
                let fleet = self.machine.fleet();
                if fleet.bundles.len() == looked_at {
                    Vec::new()
                } else {
                    fleet.bundles.keys().map(|digest| skein_store::Digest(digest.0)).collect()
                }
            };
            let mut whole = true;
            if !wanted.is_empty() {
                let (blobs, count) = (Arc::clone(&self.blobs), wanted.len());
                let missing = tokio::task::spawn_blocking(move || blobs.missing(&wanted)).await;
                for digest in missing.unwrap_or_default() {
                    let fetched = tokio::select! {
                        () = self.stop.cancelled() => return,
                        fetched = self.blob_from_peers(digest) => fetched,
                    };
                    if let Err(status) = fetched {
                        tracing::warn!(%digest, why = status.message(), "a bundle is missing here");
                        whole = false;
                    }
                }
                looked_at = if whole { count } else { 0 };
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(MISSING_AGAIN), if !whole => {}
                changed = changes.changed(), if whole => if changed.is_err() { return },
            }
        }
    }

    /// A bundle that this node lacks: it came by a snapshot, or lost a file.
    pub(super) async fn blob_from_peers(
        &self,
        digest: skein_store::Digest,
    ) -> Result<Bytes, Status> {
        let nodes: Vec<(u64, String)> = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let membership = metrics.membership_config.membership();
            membership.nodes().map(|(node, at)| (*node, at.addr.clone())).collect()
        };
        for (node, address) in nodes.into_iter().filter(|(node, _)| *node != self.identity.node) {
            match self.blob_from(node, &address, digest).await {
                Ok(blob) => {
                    let chunk = skein_store::Chunk {
                        digest,
                        offset: 0,
                        total: blob.len() as u64,
                        bytes: blob.clone(),
                    };
                    let blobs = Arc::clone(&self.blobs);
                    let kept = tokio::task::spawn_blocking(move || blobs.put(&chunk)).await;
                    if let Ok(Err(error)) = kept {
                        tracing::warn!(%error, "a fetched bundle could not be kept");
                    }
                    return Ok(blob);
                }
                Err(error) => tracing::info!(node, %error, "a peer could not give a bundle"),
            }
        }
        Err(status::missing(
            "no coordinator node has that bundle".to_owned(),
            "store it again: `skein plan` does so by itself",
        ))
    }

    async fn blob_from(
        &self,
        node: u64,
        address: &str,
        digest: skein_store::Digest,
    ) -> Result<Bytes, Status> {
        let mut client =
            self.peers.client(address).map_err(|error| Status::unavailable(error.to_string()))?;
        let request = raft_wire::FetchBlobRequest {
            route: Some(self.identity.route(node, skein_store::StoreId::default())),
            digest: Bytes::copy_from_slice(&digest.0),
        };
        let mut parts = client.fetch_blob(request).await?.into_inner();
        let mut blob = bytes::BytesMut::new();
        while let Some(part) = parts.message().await? {
            blob.extend_from_slice(&part.data);
        }
        let blob = blob.freeze();
        if skein_store::Digest::of(&blob) == digest {
            Ok(blob)
        } else {
            Err(Status::data_loss(format!("node {node} gave other bytes than asked for")))
        }
    }
}

/// Of what an agent says of a wait so much is kept, characters.
const WHY_MAX: usize = 400;

fn throttled(wire: Vec<wire::Throttled>) -> BTreeMap<TargetId, Throttled> {
    let one = |wire: wire::Throttled| {
        let why = wire.why.chars().take(WHY_MAX).collect();
        let throttled = Throttled { fence: Fence(wire.fence), why, waited_ms: wire.waited_ms };
        (TargetId(wire.target), throttled)
    };
    wire.into_iter().map(one).collect()
}

fn batched(wire: Vec<wire::Batched>) -> BTreeMap<TargetId, Batched> {
    let one = |wire: wire::Batched| {
        let progress = wire.progress?;
        let batched = Batched {
            fence: Fence(wire.fence),
            statement: progress.statement,
            over: progress.over.chars().take(WHY_MAX).collect(),
            batches: progress.batches,
            rows: progress.rows,
            percent: progress.percent,
            size: progress.size,
        };
        Some((TargetId(wire.target), batched))
    };
    wire.into_iter().filter_map(one).collect()
}

async fn send(outgoing: &Out, message: wire::from_coordinator::Message) {
    let message = wire::FromCoordinator { message: Some(message) };
    // An agent that has gone away comes back with its reports.
    drop(outgoing.send(Ok(message)).await);
}

enum Settled {
    Taken,
    Refused(wire::RefusedReport),
    Unknown,
}

fn settle(id: u64, answer: Answer) -> Settled {
    match answer {
        Ok(_) => Settled::Taken,
        Err(Failure::Refused(refusal)) => Settled::Refused(wire::RefusedReport {
            id,
            lease_lost: refusal.kind == Kind::LeaseLost,
            why: refusal.what,
        }),
        Err(Failure::NotLeader | Failure::Unknown(_)) => Settled::Unknown,
    }
}

fn fingerprint(bytes: &Bytes) -> Result<Option<Digest>, Malformed> {
    codec::digest_option(bytes, "the schema fingerprint")
}

pub(crate) fn outcome(report: wire::Report) -> Result<Outcome, Malformed> {
    use wire::report::Outcome as Wire;
    Ok(match codec::required(report.outcome, "a report's outcome")? {
        Wire::BackedUp(it) => Outcome::BackedUp(Box::new(codec::archive(it)?)),
        Wire::Applied(it) => Outcome::Applied {
            step: StepIx(it.step),
            ms: it.ms,
            rows: it.rows,
            already: it.already,
            measured: codec::measured_of_applied(&it),
        },
        Wire::Verified(it) => {
            Outcome::Verified { step: StepIx(it.step), fingerprint: fingerprint(&it.fingerprint)? }
        }
        Wire::Failed(it) => Outcome::Failed {
            step: StepIx(it.step),
            verdict: codec::verdict(it.verdict()),
            retryable: it.retryable,
            cancelled: it.cancelled,
            message: it.message,
            file: it.file,
            line: it.line,
        },
        Wire::RolledBack(it) => Outcome::RolledBack {
            step: StepIx(it.step),
            ms: it.ms,
            already: it.already,
            fingerprint: fingerprint(&it.fingerprint)?,
            measured: codec::measured_of_undone(&it),
        },
        Wire::Stuck(it) => Outcome::Stuck { step: StepIx(it.step), why: it.why },
        Wire::Tried(it) => Outcome::Tried {
            step: StepIx(it.step),
            passed: it.passed,
            impossible: it.impossible,
            note: it.note,
        },
        Wire::Mended(it) => Outcome::Mended {
            evidence: codec::evidence_of(&it.evidence)?,
            seen: Box::new(codec::observation(codec::required(it.seen, "a repaired target")?)?),
        },
        Wire::Judged(it) => Outcome::Judged {
            step: StepIx(it.step),
            gate: it.gate.clone(),
            judgement: codec::judgement(it),
        },
        Wire::Baseline(it) => {
            Outcome::Baseline { gate: it.gate, queries: codec::quantiles(it.queries) }
        }
        Wire::Released(it) => Outcome::Released { why: it.why },
    })
}
