//! Questions to one node over gRPC.

use std::time::Duration;

use prost::Message as _;
use skein_proto::log::v1 as log;
use skein_proto::v1;
use skein_proto::v1::audit_client::AuditClient;
use skein_proto::v1::cluster_client::ClusterClient;
use skein_proto::v1::fleet_client::FleetClient;
use skein_proto::v1::planner_client::PlannerClient;
use skein_proto::v1::rollouts_client::RolloutsClient;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// One node. Connects when asked.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    channel: Channel,
}

impl Client {
    /// `address` is `host:port`.
    pub(crate) fn new(address: &str) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let endpoint = endpoint.expect("an address is a URL").timeout(ANSWER);
        Self { channel: endpoint.connect_timeout(Duration::from_secs(2)).connect_lazy() }
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn fleet(&self) -> FleetClient<Channel> {
        FleetClient::new(self.channel())
    }

    pub(crate) fn planner(&self) -> PlannerClient<Channel> {
        PlannerClient::new(self.channel())
    }

    pub(crate) fn rollouts(&self) -> RolloutsClient<Channel> {
        RolloutsClient::new(self.channel())
    }

    pub(crate) fn audit(&self) -> AuditClient<Channel> {
        AuditClient::new(self.channel())
    }

    pub(crate) fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel())
    }

    pub(crate) async fn members(&self) -> Result<v1::MembersReply, Status> {
        Ok(self.cluster().members(v1::MembersRequest {}).await?.into_inner())
    }

    pub(crate) async fn head(&self, size: u64) -> Result<v1::HeadReply, Status> {
        Ok(self.audit().head(v1::HeadRequest { size }).await?.into_inner())
    }

    /// Every target, of however many pages.
    pub(crate) async fn targets(&self) -> Result<Vec<v1::Target>, Status> {
        let mut targets = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListTargetsRequest { page_token, page_size: 1_000, selector: None };
            let page = self.fleet().list_targets(request).await?.into_inner();
            targets.extend(page.targets);
            if page.next_page_token.is_empty() {
                return Ok(targets);
            }
            page_token = page.next_page_token;
        }
    }

    /// One rollout with its lanes.
    pub(crate) async fn rollout(&self, id: &str) -> Result<v1::RolloutStatus, Status> {
        let request =
            v1::StatusRequest { rollout: id.to_owned(), lanes: true, ..Default::default() };
        let mut status = self.rollouts().status(request).await?.into_inner();
        status.rollouts.pop().ok_or_else(|| Status::not_found(id.to_owned()))
    }

    /// The log from an event on, as this node has it.
    pub(crate) async fn events(&self, from_seq: u64) -> Result<Vec<log::Event>, Status> {
        let request = v1::EventsRequest { from_seq, ..Default::default() };
        let mut stream = self.audit().events(request).await?.into_inner();
        let mut events = Vec::new();
        while let Some(reply) = stream.message().await? {
            let event = log::Event::decode(reply.event.as_ref());
            events.push(event.map_err(|error| Status::data_loss(error.to_string()))?);
        }
        Ok(events)
    }

    /// Who asks: a new request each time, under the built-in charter.
    pub(crate) fn asker() -> v1::Asker {
        let charter = skein_coordinator::charter::DEFAULT.as_bytes();
        v1::Asker {
            request_id: rand::random::<[u8; 16]>().to_vec().into(),
            actor: "test".to_owned(),
            charter: skein_coordinator::charter::hash(charter).0.to_vec().into(),
        }
    }

    /// Reads a directory of migrations and stores it; its digest.
    pub(crate) async fn put_bundle(&self, dir: &std::path::Path) -> Result<Vec<u8>, Status> {
        let bundle = skein_bundle::read(dir, None).expect("a bundle can be read");
        let content = skein_agent::wire::encode(&bundle);
        let digest = skein_agent::wire::digest(&content).to_vec();
        let total_bytes = content.len() as u64;
        let parts: Vec<v1::PutBundleRequest> = content
            .chunks(512 * 1024)
            .enumerate()
            .map(|(index, chunk)| v1::PutBundleRequest {
                asker: (index == 0).then(Self::asker),
                digest: digest.clone().into(),
                total_bytes,
                data: chunk.to_vec().into(),
            })
            .collect();
        self.fleet().put_bundle(futures::stream::iter(parts)).await?;
        Ok(digest)
    }
}
