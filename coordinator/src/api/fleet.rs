//! Targets, agents, bundles.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use skein_core::Refusal;
use skein_core::command::Command;
use skein_core::ids::{Digest, Millis, TargetId};
use skein_core::refusal::Kind;
use skein_proto::v1;
use skein_store::{Chunk, Payload};
use tonic::{Request, Response, Status, Streaming};

use super::{Api, convert, debts, status};
use crate::{clock, codec, condition};

/// A bundle of more is refused, bytes.
const BUNDLE_MAX: u64 = 64 * 1024 * 1024;
/// Chunks of a bundle go through the log in this size, bytes.
const CHUNK: usize = 1024 * 1024;
/// A chunk that no majority has by then is given up.
const CHUNK_LIMIT: Duration = Duration::from_secs(10);
/// Targets on one page, where the asker does not say.
const PAGE: u32 = 1000;

/// Targets as they are told, with what they owe.
fn with_debts(
    fleet: &skein_core::Fleet,
    targets: &[&skein_core::state::target::State],
    (presence, now): (&skein_core::schedule::Presence, Millis),
) -> Vec<v1::Target> {
    let mut debts = debts::of(fleet, targets, (presence, now));
    let told = targets.iter().map(|target| {
        let debt = debts.remove(&target.id);
        convert::target(fleet, target, (presence, debt))
    });
    told.collect()
}

#[tonic::async_trait]
impl v1::fleet_server::Fleet for Api {
    async fn list_targets(
        &self,
        request: Request<v1::ListTargetsRequest>,
    ) -> Result<Response<v1::ListTargetsReply>, Status> {
        let request = request.into_inner();
        let selector = codec::selector(request.selector);
        let size = if request.page_size == 0 { PAGE } else { request.page_size.min(PAGE) };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        self.linearizable().await?;
        let presence = self.sessions.presence();
        let fleet = self.machine.fleet();
        let after = TargetId(request.page_token);
        let page = condition::page(&fleet, &selector, &presence, (&after, size))
            .map_err(|refusal| status::refused(&refusal))?;
        let targets = with_debts(&fleet, &page, (&presence, self.machine.now(&fleet)));
        let next_page_token = match targets.last() {
            Some(last) if targets.len() == size => {
                last.description.as_ref().map(|last| last.id.clone()).unwrap_or_default()
            }
            Some(_) | None => String::new(),
        };
        Ok(Response::new(v1::ListTargetsReply { targets, next_page_token }))
    }

    async fn list_agents(
        &self,
        _request: Request<v1::ListAgentsRequest>,
    ) -> Result<Response<v1::ListAgentsReply>, Status> {
        self.linearizable().await?;
        let fleet = self.machine.fleet();
        let presence = self.presence(&fleet, self.machine.now(&fleet));
        let agents = fleet
            .agents
            .iter()
            .map(|(id, agent)| convert::agent((id, agent), &presence, self.sessions.sources(id)))
            .collect();
        Ok(Response::new(v1::ListAgentsReply { agents }))
    }

    async fn observe(
        &self,
        request: Request<v1::ObserveRequest>,
    ) -> Result<Response<v1::ObserveReply>, Status> {
        let request = request.into_inner();
        self.same_charter(request.asker.as_ref())?;
        let mut selector = codec::selector(request.selector);
        self.linearizable().await?;
        let presence = self.sessions.presence();
        let wanted: BTreeMap<_, _> = {
            let fleet = self.machine.fleet();
            condition::settle(&mut selector, &fleet, &presence)
                .map_err(|refusal| status::refused(&refusal))?;
            let chosen = fleet.targets.iter().filter(|(_, target)| {
                !target.retired && selector.matches(&target.id, &target.description)
            });
            chosen.map(|(_, target)| (target.id.clone(), target.agents.to_vec())).collect()
        };
        let asked = self.sessions.ask_to_look(&wanted, &self.machine.fleet());
        let limit = Duration::from_millis(request.timeout_ms.max(1).into());
        // Who has not answered by then is named in the reply.
        let in_time = tokio::time::timeout(limit, self.sessions.all_looked(&asked)).await.is_ok();
        let mut silent: Vec<String> =
            wanted.keys().filter(|id| !asked.contains_key(*id)).map(ToString::to_string).collect();
        if !in_time {
            silent.extend(self.sessions.silent(&asked).iter().map(ToString::to_string));
        }
        silent.sort_unstable();
        let presence = self.sessions.presence();
        let fleet = self.machine.fleet();
        let wanted: Vec<_> =
            wanted.keys().filter_map(|id| fleet.target(id)).map(|(_, target)| target).collect();
        let targets = with_debts(&fleet, &wanted, (&presence, self.machine.now(&fleet)));
        Ok(Response::new(v1::ObserveReply { targets, silent }))
    }

    async fn discover(
        &self,
        request: Request<v1::DiscoverRequest>,
    ) -> Result<Response<v1::DiscoverReply>, Status> {
        let request = request.into_inner();
        self.same_charter(request.asker.as_ref())?;
        self.linearizable().await?;
        let (wish, asked) = self.sessions.ask_to_discover(clock::now());
        let limit = Duration::from_millis(request.timeout_ms.max(1).into());
        // Who has not answered by then is named in the reply.
        drop(tokio::time::timeout(limit, self.sessions.all_met(wish, &asked)).await);
        let silent = self.sessions.owing(wish, &asked).iter().map(ToString::to_string).collect();
        let presence = self.sessions.presence();
        let fleet = self.machine.fleet();
        let agents = asked
            .iter()
            .filter_map(|id| Some((id, fleet.agents.get(id)?)))
            .map(|agent| convert::agent(agent, &presence, self.sessions.sources(agent.0)))
            .collect();
        Ok(Response::new(v1::DiscoverReply { agents, silent }))
    }

    async fn read_schemas(
        &self,
        request: Request<v1::ReadSchemasRequest>,
    ) -> Result<Response<v1::ReadSchemasReply>, Status> {
        Ok(Response::new(self.schemas(request.into_inner()).await?))
    }

    async fn retire_target(
        &self,
        request: Request<v1::RetireTargetRequest>,
    ) -> Result<Response<v1::RetireTargetReply>, Status> {
        let request = request.into_inner();
        let command = Command::RetireTarget {
            target: TargetId(request.target.clone()),
            reason: request.reason.clone(),
        };
        self.ask(request.asker.clone(), &request, command).await?;
        Ok(Response::new(v1::RetireTargetReply {}))
    }

    async fn start_restore(
        &self,
        request: Request<v1::StartRestoreRequest>,
    ) -> Result<Response<v1::StartRestoreReply>, Status> {
        let request = request.into_inner();
        let command = Command::StartRestore {
            target: TargetId(request.target.clone()),
            archive: request.archive.clone(),
            reason: request.reason.clone(),
        };
        self.ask(request.asker.clone(), &request, command).await?;
        Ok(Response::new(v1::StartRestoreReply {}))
    }

    async fn put_bundle(
        &self,
        request: Request<Streaming<v1::PutBundleRequest>>,
    ) -> Result<Response<v1::PutBundleReply>, Status> {
        let mut parts = request.into_inner();
        let mut first = parts
            .message()
            .await?
            .ok_or_else(|| Status::invalid_argument("the bundle has no first message"))?;
        let digest = codec::digest(&first.digest, "the bundle's digest")
            .map_err(|error| status::malformed(&error))?;
        if first.total_bytes > BUNDLE_MAX {
            return Err(status::refused(&Refusal::new(
                Kind::Unfit,
                format!(
                    "the bundle has {} bytes, and at most {BUNDLE_MAX} are taken",
                    first.total_bytes
                ),
                "load rows by a data migration, or split the directory; nothing was stored",
            )));
        }
        let asker = first.asker.take();
        // Its bytes go through the log before its event does.
        self.same_charter(asker.as_ref())?;
        let mut content = BytesMut::new();
        let mut part = Some(first.data.clone());
        while let Some(data) = part {
            content.extend_from_slice(&data);
            if content.len() as u64 > first.total_bytes {
                return Err(Status::invalid_argument("the bundle is longer than announced"));
            }
            part = parts.message().await?.map(|part| part.data);
        }
        if (content.len() as u64) < first.total_bytes {
            return Err(Status::invalid_argument(
                "the bundle is shorter than announced: its end has not come",
            ));
        }
        let content = content.freeze();
        if Digest(Sha256::digest(&content).into()) != digest {
            return Err(Status::invalid_argument(
                "the bundle's bytes do not have the digest that was announced",
            ));
        }
        let known = self.machine.fleet().bundles.contains_key(&digest);
        let bytes = content.clone();
        let read = tokio::task::spawn_blocking(move || {
            let bundle = v1::Bundle::decode(bytes)
                .map_err(|error| Status::invalid_argument(format!("not a bundle: {error}")))?;
            codec::manifest_of(digest, bundle).map_err(|e| status::malformed(&e))
        });
        let manifest = read.await.map_err(|error| Status::internal(error.to_string()))??;
        if !known {
            self.store_chunks(digest, &content).await?;
        }
        let body = v1::PutBundleRequest { digest: first.digest.clone(), ..Default::default() };
        let command = Command::StoreBundle { manifest: Arc::new(manifest) };
        self.ask(asker, &body, command).await?;
        Ok(Response::new(v1::PutBundleReply { digest: first.digest, known }))
    }
}

impl Api {
    /// Puts a bundle's bytes on a majority's disks, one chunk in flight.
    async fn store_chunks(&self, digest: Digest, content: &Bytes) -> Result<(), Status> {
        let mut offset = 0;
        while offset < content.len() {
            let end = content.len().min(offset + CHUNK);
            let chunk = Chunk {
                digest: skein_store::Digest(digest.0),
                offset: offset as u64,
                total: content.len() as u64,
                bytes: content.slice(offset..end),
            };
            let write = self.raft.client_write(Payload(codec::chunk_entry(chunk)));
            tokio::time::timeout(CHUNK_LIMIT, write)
                .await
                .map_err(|_elapsed| {
                    status::unavailable(
                        "the bundle could not be stored: no majority of the coordinator nodes answers"
                            .to_owned(),
                    )
                })?
                .map_err(|error| {
                    status::unavailable(format!("the bundle could not be stored: {error}"))
                })?;
            offset = end;
        }
        Ok(())
    }
}
