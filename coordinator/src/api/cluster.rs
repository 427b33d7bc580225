//! The coordinator nodes themselves: who they are, and changes of membership.

use openraft::async_runtime::WatchReceiver as _;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use openraft::ChangeMembers;
use skein_core::Refusal;
use skein_core::refusal::Kind;
use skein_proto::v1;
use skein_store::Node;
use tonic::{Request, Response, Status};

use super::{Api, status};

/// A change of membership that takes longer is reported as unknown. A learner copies the whole
/// history meanwhile.
const CHANGE_LIMIT: Duration = Duration::from_mins(2);

#[tonic::async_trait]
impl v1::cluster_server::Cluster for Api {
    async fn members(
        &self,
        _request: Request<v1::MembersRequest>,
    ) -> Result<Response<v1::MembersReply>, Status> {
        Ok(Response::new(self.members_now()))
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
        // A node that comes back under its old number without its old data breaks what it promised.
        // Who was removed is not kept; that numbers only rise catches it wherever a later node is left.
        let highest = members.iter().map(|member| member.node).max().unwrap_or_default();
        if known.is_none() && request.node < highest {
            return Err(status::refused(&Refusal::new(
                Kind::Conflict,
                format!(
                    "a node {} may have been here before, since there is a node {highest}; no number \
                     is ever used twice",
                    request.node
                ),
                format!("give the new node number {} and an empty data directory", highest + 1),
            )));
        }
        let node = Node { addr: request.address };
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
        }
    }

    async fn change<T, E: Display>(
        &self,
        change: impl Future<Output = Result<T, E>>,
    ) -> Result<Response<v1::MembersReply>, Status> {
        match tokio::time::timeout(CHANGE_LIMIT, change).await {
            Ok(Ok(_)) => Ok(Response::new(self.members_now())),
            Ok(Err(error)) => Err(Status::failed_precondition(error.to_string())),
            Err(_elapsed) => Err(status::unavailable(
                "the change has not ended in time; see `skein cluster members`".to_owned(),
            )),
        }
    }
}
