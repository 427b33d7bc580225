//! Durable requests to the coordinators by their real interface.
//!
//! The request is `Pause` and `Resume` in turn, each place on a rollout of its own: what a person does,
//! cheap to decide, without end, and each makes exactly one event (which is checked against the
//! history's length). The reason that a pause carries is as long as it must be so that an event has 256
//! bytes on average, as etcd's values have.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use skein_coordinator::charter;
use skein_proto::agent::v1 as agent;
use skein_proto::agent::v1::session_client::SessionClient;
use skein_proto::v1;
use skein_proto::v1::audit_client::AuditClient;
use skein_proto::v1::fleet_client::FleetClient;
use skein_proto::v1::planner_client::PlannerClient;
use skein_proto::v1::rollouts_client::RolloutsClient;
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::node::{Nodes, connect};
use crate::load::{self, Client};

/// Rollouts to pause and resume: as many requests can be in flight.
pub(crate) const ROLLOUTS: usize = 256;
/// Connections of the clients, like those to etcd.
pub(crate) const CONNECTIONS: usize = 4;
/// Steps of the bundle, for the batched load.
pub(crate) const STEPS: u32 = 10;
/// Bytes of an event on average.
const EVENT: usize = 256;

pub(crate) fn asker() -> v1::Asker {
    v1::Asker {
        request_id: uuid::Uuid::now_v7().into_bytes().to_vec().into(),
        actor: "bench".to_owned(),
        charter: charter::hash(charter::DEFAULT.as_bytes()).0.to_vec().into(),
    }
}

/// Asks the leader, and whoever leads after it.
#[derive(Debug, Clone)]
pub(crate) struct Skein {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Node after node.
    nodes: Vec<Arc<[Channel]>>,
    /// Whom to ask.
    leader: AtomicUsize,
    /// By place: its name, and whether it is paused. Whoever asks holds it.
    rollouts: Vec<Mutex<(String, bool)>>,
    reason: String,
    /// Ask again elsewhere, for so long, where the answer is unknown.
    persist: Duration,
    /// Requests acknowledged.
    answered: AtomicU64,
}

impl Skein {
    /// Forms 256 rollouts that wait for an agent that will not come.
    pub(crate) async fn set_up(nodes: &Nodes, persist: Duration) -> Result<Self> {
        let leader = nodes.settled().await?;
        let mut channels = Vec::new();
        for address in nodes.addresses() {
            let mut some = Vec::new();
            for _ in 0..CONNECTIONS {
                some.push(connect(address).await?);
            }
            channels.push(Arc::from(some));
        }
        let channel = connect(&nodes.addresses()[leader]).await?;
        let bundle = put_bundle(&channel).await?;
        let ids: Vec<String> = (0..ROLLOUTS).map(|n| format!("single/{n:04}")).collect();
        register(&channel, "single", &ids).await?;
        let mut rollouts = Vec::new();
        for id in ids {
            let rollout = plan_and_start(&channel, &bundle, &id, 1).await?;
            rollouts.push(Mutex::new((rollout, false)));
        }
        let mut inner = Inner {
            nodes: channels,
            leader: AtomicUsize::new(leader),
            rollouts,
            reason: String::new(),
            persist,
            answered: AtomicU64::new(0),
        };
        let from = quiet(&channel).await?;
        for _ in 0..2 {
            inner.once(0, leader, &asker()).await?;
        }
        let plain = sizes(&channel, from).await?;
        ensure!(plain.len() == 2, "a pause and a resume made {} events, not 2", plain.len());
        let lacking = (2 * EVENT).saturating_sub(plain.iter().sum());
        inner.reason = "x".repeat(lacking);
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Events in the history.
    pub(crate) async fn events(&self) -> Result<u64> {
        events(&self.channel()?).await
    }

    /// Bytes of the events from a place on, on average over some.
    pub(crate) async fn mean_size(&self, from: u64) -> Result<usize> {
        let sizes = sizes(&self.channel()?, from).await?;
        Ok(sizes.iter().sum::<usize>() / sizes.len().max(1))
    }

    /// A connection to whoever leads.
    pub(crate) fn channel(&self) -> Result<Channel> {
        self.inner.channel(self.inner.leader.load(Ordering::Relaxed), 0)
    }

    /// Told from outside who leads now.
    pub(crate) fn follow(&self, leader: usize) {
        self.inner.leader.store(leader, Ordering::Relaxed);
    }
}

impl Inner {
    fn channel(&self, node: usize, who: usize) -> Result<Channel> {
        let channels = self.nodes.get(node).context("no such node")?;
        load::spread(channels, who).context("no connection")
    }

    /// One request to one node.
    async fn once(&self, who: usize, node: usize, asker: &v1::Asker) -> Result<()> {
        let rollout = self.rollouts.get(who % ROLLOUTS).context("no such rollout")?;
        let mut rollout = rollout.lock().await;
        let (name, paused) = &mut *rollout;
        let mut client = RolloutsClient::new(self.channel(node, who)?);
        if *paused {
            let request = v1::ResumeRequest {
                asker: Some(asker.clone()),
                rollout: name.clone(),
                ..Default::default()
            };
            client.resume(request).await?;
        } else {
            let request = v1::PauseRequest {
                asker: Some(asker.clone()),
                rollout: name.clone(),
                reason: self.reason.clone(),
                ..Default::default()
            };
            client.pause(request).await?;
        }
        *paused = !*paused;
        Ok(())
    }
}

impl Client for Skein {
    fn answered(&self) -> u64 {
        self.inner.answered.load(Ordering::Relaxed)
    }

    async fn ask(&self, who: usize) -> Result<()> {
        let inner = &self.inner;
        // A repeat has the id of the first attempt, as it must.
        let asker = asker();
        let until = tokio::time::Instant::now() + inner.persist;
        loop {
            let node = inner.leader.load(Ordering::Relaxed);
            let error = match inner.once(who, node, &asker).await {
                Ok(()) => {
                    inner.answered.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Err(error) => error,
            };
            if tokio::time::Instant::now() >= until {
                return Err(error);
            }
            let next = (node + 1) % inner.nodes.len();
            // Only the first of many that failed moves on.
            if inner.leader.load(Ordering::Relaxed) == node {
                inner.leader.store(next, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub(crate) async fn events(channel: &Channel) -> Result<u64> {
    let head = AuditClient::new(channel.clone()).head(v1::HeadRequest { size: 0 }).await?;
    Ok(head.into_inner().size)
}

/// Waits until nothing more happens by itself; the events then.
async fn quiet(channel: &Channel) -> Result<u64> {
    let mut before = events(channel).await?;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = events(channel).await?;
        if now == before {
            return Ok(now);
        }
        before = now;
    }
}

async fn sizes(channel: &Channel, from: u64) -> Result<Vec<usize>> {
    let request = v1::EventsRequest { from_seq: from, limit: 1_000, ..Default::default() };
    let mut events = AuditClient::new(channel.clone()).events(request).await?.into_inner();
    let mut sizes = Vec::new();
    while let Some(event) = events.message().await? {
        sizes.push(event.event.len());
    }
    Ok(sizes)
}

async fn put_bundle(channel: &Channel) -> Result<Vec<u8>> {
    let script = |version: u32, way: &str, text: String| v1::Script {
        file: format!("{version:04}_step.{way}.sql"),
        line: 1,
        raw_digest: Sha256::digest(&text).to_vec().into(),
        normalised_digest: Sha256::digest(&text).to_vec().into(),
        text,
        facts: vec![v1::ScriptFacts {
            engine: v1::Engine::Sqlite.into(),
            mode: v1::TransactionMode::OneTransaction.into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let migrations = (1..=STEPS).map(|version| v1::Migration {
        version: format!("{version:04}"),
        name: "step".to_owned(),
        up: Some(script(version, "up", format!("CREATE TABLE t{version} (id)"))),
        down: Some(script(version, "down", format!("DROP TABLE t{version}"))),
        ..Default::default()
    });
    let bundle = v1::Bundle { format: "sqlx".to_owned(), migrations: migrations.collect() };
    let content = bundle.encode_to_vec();
    let digest = Sha256::digest(&content).to_vec();
    let part = v1::PutBundleRequest {
        asker: Some(asker()),
        digest: digest.clone().into(),
        total_bytes: content.len() as u64,
        data: content.into(),
    };
    FleetClient::new(channel.clone()).put_bundle(tokio_stream::once(part)).await?;
    Ok(digest)
}

pub(crate) fn description(id: &str) -> v1::TargetDescription {
    v1::TargetDescription {
        id: id.to_owned(),
        engine: v1::Engine::Sqlite.into(),
        ..Default::default()
    }
}

pub(crate) fn say(message: agent::from_agent::Message) -> agent::FromAgent {
    agent::FromAgent { message: Some(message) }
}

/// An empty database as an agent would see it.
pub(crate) fn seen(id: &str) -> agent::FromAgent {
    say(agent::from_agent::Message::Observed(agent::Observed {
        target: id.to_owned(),
        observation: Some(v1::Observation {
            engine_version: "3".to_owned(),
            identity: id.to_owned(),
            fingerprint: vec![0; 32].into(),
            ..Default::default()
        }),
        as_of: 0,
        raised: 0,
        error: String::new(),
    }))
}

/// An agent comes with these targets, has looked at them, and goes.
pub(crate) async fn register(channel: &Channel, name: &str, ids: &[String]) -> Result<()> {
    let (sender, messages) = mpsc::channel(64);
    let hello = agent::Hello {
        agent: name.to_owned(),
        version: "bench".to_owned(),
        slots: 1,
        targets: ids.iter().map(|id| description(id)).collect(),
        ..Default::default()
    };
    let before = events(channel).await?;
    sender.send(say(agent::from_agent::Message::Hello(hello))).await?;
    let session = SessionClient::new(channel.clone()).attach(ReceiverStream::new(messages)).await;
    let session = session?.into_inner();
    for id in ids {
        sender.send(seen(id)).await?;
    }
    // Registered and looked at: two events each, and one for the agent.
    let wanted = before + 2 * ids.len() as u64 + 1;
    let until = tokio::time::Instant::now() + Duration::from_mins(1);
    while events(channel).await? < wanted {
        if tokio::time::Instant::now() > until {
            bail!("the targets of agent {name} were not registered within a minute");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop((sender, session));
    Ok(())
}

/// A rollout of the whole bundle over what a glob selects.
pub(crate) async fn plan_and_start(
    channel: &Channel,
    bundle: &[u8],
    glob: &str,
    parallelism: u32,
) -> Result<String> {
    let plan = plan(channel, bundle, glob, (true, parallelism)).await?;
    start(channel, plan).await
}

/// A plan that takes what a glob selects up to the bundle's end, or down to nothing; its id.
pub(crate) async fn plan(
    channel: &Channel,
    bundle: &[u8],
    glob: &str,
    (up, parallelism): (bool, u32),
) -> Result<String> {
    use v1::goal::Goal;
    let (direction, goal) = if up {
        (v1::Direction::Up, Goal::Latest(true))
    } else {
        (v1::Direction::Down, Goal::None(true))
    };
    let spec = v1::PlanSpec {
        bundle: bundle.to_vec().into(),
        selector: Some(v1::Selector { targets: vec![glob.to_owned()], ..Default::default() }),
        direction: direction.into(),
        goal: Some(v1::Goal { goal: Some(goal) }),
        strategy: Some(v1::Strategy {
            parallelism,
            on_breach: v1::OnBreach::Halt.into(),
            backup: v1::BackupScope::BackupNone.into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let request = v1::PlanRequest { asker: Some(asker()), spec: Some(spec), dry: false };
    let planned = PlannerClient::new(channel.clone())
        .max_decoding_message_size(64 * 1024 * 1024)
        .plan(request)
        .await?
        .into_inner();
    Ok(planned.id.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat())
}

/// Starts a plan; the rollout's name.
pub(crate) async fn start(channel: &Channel, plan: String) -> Result<String> {
    let start = v1::StartRequest { asker: Some(asker()), plan, waivers: Vec::new() };
    let started = RolloutsClient::new(channel.clone()).start(start).await?.into_inner();
    Ok(started.rollout)
}

/// The bundle again: storing it twice changes nothing.
pub(crate) async fn bundle(channel: &Channel) -> Result<Vec<u8>> {
    put_bundle(channel).await
}
