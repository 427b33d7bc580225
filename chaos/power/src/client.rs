//! Questions to one node.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use prost::Message as _;
use skein_proto::agent::v1::FetchBundleRequest;
use skein_proto::agent::v1::session_client::SessionClient;
use skein_proto::log::v1::Event;
use skein_proto::v1;
use skein_proto::v1::audit_client::AuditClient;
use skein_proto::v1::cluster_client::ClusterClient;
use skein_proto::v1::fleet_client::FleetClient;
use tonic::transport::{Channel, Endpoint};

/// One node. Connects when asked.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
}

impl Client {
    /// `address` is `host:port`.
    pub fn new(address: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        let endpoint = endpoint.timeout(Duration::from_secs(5));
        let endpoint = endpoint.connect_timeout(Duration::from_secs(1));
        Ok(Self { channel: endpoint.connect_lazy() })
    }

    /// Who leads, and under which charter.
    pub async fn members(&self) -> Result<v1::MembersReply> {
        let mut cluster = ClusterClient::new(self.channel.clone());
        Ok(cluster.members(v1::MembersRequest {}).await?.into_inner())
    }

    /// The tree's head at a size; 0: now.
    pub async fn head(&self, size: u64) -> Result<v1::HeadReply> {
        let mut audit = AuditClient::new(self.channel.clone());
        Ok(audit.head(v1::HeadRequest { size }).await?.into_inner())
    }

    /// The log from an event on.
    pub async fn events(&self, from_seq: u64) -> Result<Vec<Event>> {
        let mut audit = AuditClient::new(self.channel.clone());
        let request = v1::EventsRequest { from_seq, ..Default::default() };
        let mut stream = audit.events(request).await?.into_inner();
        let mut events = Vec::new();
        while let Some(reply) = stream.message().await? {
            events.push(Event::decode(reply.event.as_ref())?);
        }
        Ok(events)
    }

    /// The chain on the node's own disk, from the first byte on.
    pub async fn verify_disk(&self) -> Result<()> {
        let mut audit = AuditClient::new(self.channel.clone());
        let reply = audit.verify_disk(v1::VerifyDiskRequest {}).await?.into_inner();
        ensure!(reply.fault.is_empty(), "{}", reply.fault);
        Ok(())
    }

    /// Stores a bundle of its own kind under every `number`; its digest once that is acknowledged.
    pub async fn put_bundle(&self, number: u64, charter: Bytes) -> Result<[u8; 32]> {
        let content = bundle(number);
        let digest = digest_of(&content);
        let mut request_id = number.to_be_bytes().to_vec();
        request_id.resize(16, 7);
        let asker = v1::Asker { request_id: request_id.into(), actor: "power".to_owned(), charter };
        let part = v1::PutBundleRequest {
            asker: Some(asker),
            digest: Bytes::copy_from_slice(&digest),
            total_bytes: u64::try_from(content.len())?,
            data: content.into(),
        };
        FleetClient::new(self.channel.clone())
            .put_bundle(futures::stream::iter([part]))
            .await
            .context("failed to store a bundle")?;
        Ok(digest)
    }

    /// The bytes of a bundle.
    pub async fn fetch_bundle(&self, digest: &[u8]) -> Result<Vec<u8>> {
        let request = FetchBundleRequest { digest: Bytes::copy_from_slice(digest) };
        let mut session = SessionClient::new(self.channel.clone());
        let mut chunks = session.fetch_bundle(request).await?.into_inner();
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.message().await? {
            bytes.extend_from_slice(&chunk.data);
        }
        Ok(bytes)
    }
}

/// SHA-256.
pub fn digest_of(content: &[u8]) -> [u8; 32] {
    skein_store::Digest::of(content).0
}

/// A bundle that nobody runs: one migration, of a length that follows from its number.
fn bundle(number: u64) -> Vec<u8> {
    let len = usize::try_from(number.wrapping_mul(2_654_435_761) % 20_000).unwrap_or_default();
    let text = format!("-- {number}\nSELECT '{}';\n", "x".repeat(len));
    let digest = Bytes::copy_from_slice(&digest_of(text.as_bytes()));
    let up = v1::Script {
        file: format!("{number}_x.up.sql"),
        line: 1,
        text,
        raw_digest: digest.clone(),
        normalised_digest: digest,
        ..Default::default()
    };
    let migration = v1::Migration {
        version: number.to_string(),
        name: "x".to_owned(),
        up: Some(up),
        ..Default::default()
    };
    v1::Bundle { format: "sqlx".to_owned(), migrations: vec![migration] }.encode_to_vec()
}
