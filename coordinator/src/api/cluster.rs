//! The coordinator nodes themselves: who they are, and changes of membership.

use openraft::async_runtime::WatchReceiver as _;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use openraft::ChangeMembers;
use openraft::errors::{ClientWriteError, RaftError};
use skein_core::Refusal;
use skein_core::refusal::Kind;
use skein_proto::v1;
use skein_store::{Node, StoreId, TypeConfig};
use tonic::{Code, Request, Response, Status};

use super::{Api, status};
use crate::bootstrap::introduce;

/// A change of membership that takes longer is reported as unknown. A learner copies the whole
/// history meanwhile.
const CHANGE_LIMIT: Duration = Duration::from_mins(2);
/// How long a node that is to be added may take to answer.
const NEWCOMER_LIMIT: Duration = Duration::from_secs(20);
/// Between two times of asking it.
const NEWCOMER_AGAIN: Duration = Duration::from_millis(200);

/// Why a membership is not another one now.
type Changed = RaftError<TypeConfig, ClientWriteError<TypeConfig>>;

#[tonic::async_trait]
impl v1::cluster_server::Cluster for Api {
    async fn members(
        &self,
        _request: Request<v1::MembersRequest>,
    ) -> Result<Response<v1::MembersReply>, Status> {
        Ok(Response::new(self.members_now()))
    }

    type BackupStream = BoxStream<'static, Result<v1::BackupReply, Status>>;

    async fn backup(
        &self,
        _request: Request<v1::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        self.back_up().await
    }

    async fn add_learner(
        &self,
        request: Request<v1::AddLearnerRequest>,
    ) -> Result<Response<v1::MembersReply>, Status> {
        let request = request.into_inner();
        self.same_charter(request.asker.as_ref())?;
        if request.node == 0 || request.address.is_empty() {
            return Err(Status::invalid_argument("a node needs a number from 1 on and an address"));
        }
        let members = self.members_now().members;
        let known = members.iter().find(|member| member.node == request.node);
        if let Some(member) = known.filter(|member| member.address != request.address) {
            return Err(status::refused(&Refusal::new(
                Kind::Conflict,
                format!("node {} is a member already, at {}", member.node, member.address),
                "give the new node a number that no node ever had",
            )));
        }
        let node = match known {
            // Asked again: it goes on where it was.
            Some(_) => self.member(request.node),
            None => None,
        };
        let node = match node {
            Some(node) => node,
            None => self.newcomer(request.node, request.address).await?,
        };
        let change = self.raft.add_learner(request.node, node, true);
        self.change(change).await
    }

    async fn promote(
        &self,
        request: Request<v1::PromoteRequest>,
    ) -> Result<Response<v1::MembersReply>, Status> {
        let request = request.into_inner();
        self.same_charter(request.asker.as_ref())?;
        let change = ChangeMembers::AddVoterIds(BTreeSet::from([request.node]));
        self.change(self.raft.change_membership(change, true)).await
    }

    async fn remove(
        &self,
        request: Request<v1::RemoveRequest>,
    ) -> Result<Response<v1::MembersReply>, Status> {
        let request = request.into_inner();
        self.same_charter(request.asker.as_ref())?;
        let members = self.members_now();
        let Some(member) = members.members.iter().find(|member| member.node == request.node) else {
            return Err(status::missing(
                format!("node {} is no member", request.node),
                "`skein cluster members` lists them",
            ));
        };
        if member.voter {
            let voters = members.members.iter().filter(|member| member.voter).count();
            if voters == 1 {
                return Err(status::refused(&Refusal::new(
                    Kind::Conflict,
                    format!("node {} is the only voter", request.node),
                    "promote another node first",
                )));
            }
            if request.node == self.identity.node {
                return Err(status::refused(&Refusal::new(
                    Kind::Conflict,
                    format!("node {} leads", request.node),
                    "hand the lead over first: `skein cluster transfer NODE`",
                )));
            }
            let change = ChangeMembers::RemoveVoters(BTreeSet::from([request.node]));
            self.change(self.raft.change_membership(change, true)).await?;
        }
        let change = ChangeMembers::RemoveNodes(BTreeSet::from([request.node]));
        self.change(self.raft.change_membership(change, true)).await
    }

    async fn transfer_leadership(
        &self,
        request: Request<v1::TransferLeadershipRequest>,
    ) -> Result<Response<v1::MembersReply>, Status> {
        let request = request.into_inner();
        self.same_charter(request.asker.as_ref())?;
        let members = self.members_now();
        if !members.members.iter().any(|member| member.node == request.node && member.voter) {
            return Err(status::missing(
                format!("node {} is no voter", request.node),
                "`skein cluster members` lists them",
            ));
        }
        // The same that the answer is read from: the others may be ahead of it.
        let mut metrics = self.raft.metrics();
        self.raft
            .trigger()
            .transfer_leader(request.node)
            .await
            .map_err(|error| status::unavailable(error.to_string()))?;
        let done = async {
            while metrics.borrow_watched().current_leader != Some(request.node) {
                if metrics.changed().await.is_err() {
                    break;
                }
            }
        };
        if tokio::time::timeout(Duration::from_secs(10), done).await.is_err() {
            return Err(status::unavailable(format!(
                "node {} has not taken the lead in 10 seconds",
                request.node
            )));
        }
        Ok(Response::new(self.members_now()))
    }
}

impl Api {
    fn member(&self, number: u64) -> Option<Node> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().get_node(&number).cloned()
    }

    /// A node that may be added: its number is new, it runs, and it holds nothing. A node that comes
    /// back under its old number without its old data breaks what it promised.
    async fn newcomer(&self, number: u64, address: String) -> Result<Node, Status> {
        let highest = self.history.highest_node();
        if number <= highest {
            return Err(status::refused(&Refusal::new(
                Kind::Conflict,
                format!(
                    "a node {number} may have been here before, since there was a node {highest}; no \
                     number is ever used twice"
                ),
                format!("give the new node number {} and an empty data directory", highest + 1),
            )));
        }
        let deadline = tokio::time::Instant::now() + NEWCOMER_LIMIT;
        let reply = loop {
            match introduce(&self.peers, &self.identity, (number, &address)).await {
                Ok(reply) => break reply,
                Err(refused) if refused.code() == Code::Unimplemented => {
                    return Err(status::refused(&Refusal::new(
                        Kind::Unfit,
                        format!("node {number} at {address} runs a release older than this one"),
                        "start the release that the cluster runs there, and add it again",
                    )));
                }
                Err(refused) if refused.code() != Code::Unavailable => {
                    return Err(status::refused(&Refusal::new(
                        Kind::Conflict,
                        format!(
                            "{address} is not ready to be node {number}: {}",
                            refused.message()
                        ),
                        "mend its configuration file, start it, and add it again",
                    )));
                }
                Err(silent) if tokio::time::Instant::now() >= deadline => {
                    return Err(status::unavailable(format!(
                        "node {number} does not answer at {address}; start it there first: {}",
                        silent.message()
                    )));
                }
                Err(_) => tokio::time::sleep(NEWCOMER_AGAIN).await,
            }
        };
        if reply.remembers {
            return Err(status::refused(&Refusal::new(
                Kind::Conflict,
                format!("node {number} at {address} holds data of another time already"),
                "give it an empty data directory, start it, and add it again",
            )));
        }
        let store = StoreId::read(&reply.store).unwrap_or_default();
        Ok(Node { addr: address, store })
    }

    /// The leader that this node knows, with its address.
    pub(super) fn leader(&self) -> Option<(u64, String)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics.current_leader?;
        let node = metrics.membership_config.membership().get_node(&leader)?;
        Some((leader, node.addr.clone()))
    }

    fn members_now(&self) -> v1::MembersReply {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let matched: BTreeMap<u64, u64> = metrics
            .replication
            .iter()
            .flatten()
            .map(|(node, at)| (*node, at.as_ref().map_or(0, |at| at.index)))
            .collect();
        let members = membership
            .nodes()
            .map(|(node, at)| v1::Member {
                node: *node,
                address: at.addr.clone(),
                voter: voters.contains(node),
                matched_index: matched.get(node).copied().unwrap_or_default(),
                round_trip_us: micros(self.timing.trips.to(*node).round_trip),
                silent_ms: millis(self.timing.trips.to(*node).silent),
            })
            .collect();
        let fleet = self.machine.fleet();
        v1::MembersReply {
            cluster_id: Bytes::copy_from_slice(&self.identity.cluster.0),
            leader: metrics.current_leader.unwrap_or_default(),
            term: metrics.current_term,
            members,
            node: self.identity.node,
            applied_index: metrics.last_applied.as_ref().map_or(0, |at| at.index),
            charter: Bytes::copy_from_slice(&fleet.charter().0),
            charter_bound: fleet
                .cluster
                .as_ref()
                .map(|cluster| cluster.bound.clone())
                .unwrap_or_default(),
            incarnation: self.identity.incarnation().to_bytes(),
            round_trip_ms: millis(self.timing.trips.provided()),
            heartbeat_ms: self.timing.raft.heartbeat_ms,
            election_max_ms: self.timing.raft.election_max_ms,
            lease_ms: millis(self.lease),
            concerns: self.timing.trips.concerns(),
        }
    }

    async fn change<T>(
        &self,
        change: impl Future<Output = Result<T, Changed>>,
    ) -> Result<Response<v1::MembersReply>, Status> {
        match tokio::time::timeout(CHANGE_LIMIT, change).await {
            Ok(Ok(_)) => Ok(Response::new(self.members_now())),
            // Asked again it goes on where it was.
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => {
                Err(status::unavailable("the lead has just passed to another node".to_owned()))
            }
            Ok(Err(error)) => Err(Status::failed_precondition(error.to_string())),
            Err(_elapsed) => Err(status::unavailable(
                "the change has not ended in time; see `skein cluster members`".to_owned(),
            )),
        }
    }
}

fn millis(long: Duration) -> u64 {
    u64::try_from(long.as_millis()).unwrap_or(u64::MAX)
}

fn micros(long: Option<Duration>) -> u64 {
    long.map_or(0, |long| u64::try_from(long.as_micros()).unwrap_or(u64::MAX).max(1))
}
