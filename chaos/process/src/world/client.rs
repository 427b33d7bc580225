//! Questions to one node over gRPC.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use skein_proto::v1;
use skein_proto::v1::audit_client::AuditClient;
use skein_proto::v1::cluster_client::ClusterClient;
use skein_proto::v1::fleet_client::FleetClient;
use skein_proto::v1::planner_client::PlannerClient;
use skein_proto::v1::rollouts_client::RolloutsClient;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(1);

/// One node. Connects when asked.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    channel: Channel,
}

impl Client {
    /// `address` is `host:port`; no answer may take longer than `answer`.
    pub(crate) fn new(address: &str, answer: Duration) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .with_context(|| format!("{address} is no address"))?;
        let endpoint = endpoint.timeout(answer).connect_timeout(CONNECT).tcp_nodelay(true);
        Ok(Self { channel: endpoint.connect_lazy() })
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn fleet(&self) -> FleetClient<Channel> {
        FleetClient::new(self.channel.clone())
    }

    pub(crate) fn planner(&self) -> PlannerClient<Channel> {
        PlannerClient::new(self.channel.clone())
    }

    pub(crate) fn rollouts(&self) -> RolloutsClient<Channel> {
        RolloutsClient::new(self.channel.clone())
    }

    pub(crate) fn audit(&self) -> AuditClient<Channel> {
        AuditClient::new(self.channel.clone())
    }

    pub(crate) async fn members(&self) -> Result<v1::MembersReply, Status> {
        let mut cluster = ClusterClient::new(self.channel.clone());
        Ok(cluster.members(v1::MembersRequest {}).await?.into_inner())
    }

    pub(crate) async fn head(&self, size: u64) -> Result<v1::HeadReply, Status> {
        Ok(self.audit().head(v1::HeadRequest { size }).await?.into_inner())
    }

    /// Every target; a fleet of chaos fits on one page.
    pub(crate) async fn targets(&self) -> Result<Vec<v1::Target>, Status> {
        let request = v1::ListTargetsRequest { page_size: 1_000, ..Default::default() };
        Ok(self.fleet().list_targets(request).await?.into_inner().targets)
    }

    /// The fleet with its newest rollouts, or one of them.
    pub(crate) async fn status(&self, rollout: &str) -> Result<v1::StatusReply, Status> {
        let request = v1::StatusRequest { rollout: rollout.to_owned(), ..Default::default() };
        Ok(self.rollouts().status(request).await?.into_inner())
    }

    /// Reads a directory of migrations and stores it; its digest.
    pub(crate) async fn put_bundle(&self, dir: &Path) -> Result<Vec<u8>> {
        let bundle = skein_bundle::read(dir, None)?;
        let content = skein_agent::wire::encode(&bundle);
        let digest = skein_agent::wire::digest(&content).to_vec();
        let part = v1::PutBundleRequest {
            asker: Some(asker("chaos")),
            digest: digest.clone().into(),
            total_bytes: content.len() as u64,
            data: content.into(),
        };
        self.fleet().put_bundle(futures::stream::iter([part])).await?;
        Ok(digest)
    }

    /// The stored bytes of all events from one on, as this node has them.
    pub(crate) async fn events(&self, from_seq: u64) -> Result<Vec<Vec<u8>>, Status> {
        let request = v1::EventsRequest { from_seq, ..Default::default() };
        let mut stream = self.audit().events(request).await?.into_inner();
        let mut events = Vec::new();
        while let Some(reply) = stream.message().await? {
            events.push(reply.event.to_vec());
        }
        Ok(events)
    }
}

/// Who asks: a new request, under the built-in charter.
pub(crate) fn asker(actor: &str) -> v1::Asker {
    let charter = skein_coordinator::charter::DEFAULT.as_bytes();
    v1::Asker {
        request_id: rand::random::<[u8; 16]>().to_vec().into(),
        actor: actor.to_owned(),
        charter: skein_coordinator::charter::hash(charter).0.to_vec().into(),
    }
}
