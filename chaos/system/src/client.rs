//! People and their tools: a rollout forward and back at a time, with others who submit, pause and read
//! meanwhile. Each answer is told to the invariants.

use std::time::Duration;

use skein_chaos::people::Person;
use skein_chaos::people::answer::is_unknown;
use skein_chaos_interpose::Chance;
use skein_coordinator::charter;
use skein_core::ids::Seq;
use skein_proto::v1;
use skein_proto::v1::fleet_client::FleetClient;
use skein_proto::v1::planner_client::PlannerClient;
use skein_proto::v1::rollouts_client::RolloutsClient;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::node::host;
use crate::world::{Node, Told, world};
use crate::{strategy, wire};

/// One of them, with connections to all nodes.
pub(crate) struct Client {
    number: u32,
    pub(crate) chance: Chance,
    channels: Vec<Channel>,
    digest: Vec<u8>,
    content: Vec<u8>,
    /// Reads need not be linearizable: a planted bug.
    stale: bool,
    /// Throttles hold nothing back: a planted bug.
    unthrottled: bool,
}

/// Everything before this is recorded, said a node.
pub(crate) fn acked(node: Node, seq: u64) {
    world(|world| world.told.push(Told::Acked(node, Seq(seq))));
}

fn answer(which: usize) {
    world(|world| {
        if let Some(count) = world.answers.get_mut(which) {
            *count += 1;
        }
    });
}

impl Person for Client {
    fn below(&mut self, bound: u64) -> u64 {
        self.chance.below(bound)
    }

    fn asker(&mut self) -> v1::Asker {
        let id = [self.chance.number(), self.chance.number()];
        let id: Vec<u8> = id.iter().flat_map(|half| half.to_be_bytes()).collect();
        v1::Asker {
            request_id: id.into(),
            actor: format!("client-{}", self.number),
            charter: charter::hash(charter::DEFAULT.as_bytes()).0.to_vec().into(),
        }
    }
}

impl Client {
    pub(crate) fn new(number: u32, chance: Chance, nodes: Node, content: Vec<u8>) -> Self {
        let channel = |node| {
            let endpoint = Endpoint::from_shared(format!("http://{}:{}", host(node), wire::PORT))
                .expect("a host's name makes an address")
                .timeout(Duration::from_secs(6))
                .connect_timeout(Duration::from_secs(1))
                .http2_keep_alive_interval(Duration::from_secs(1))
                .keep_alive_timeout(Duration::from_secs(1))
                .keep_alive_while_idle(true);
            wire::lazily(&endpoint)
        };
        let digest = skein_agent::wire::digest(&content).to_vec();
        let channels = (1..=nodes).map(channel).collect();
        Self { number, chance, channels, digest, content, stale: false, unthrottled: false }
    }

    pub(crate) fn stale(mut self, stale: bool) -> Self {
        self.stale = stale;
        self
    }

    pub(crate) fn unthrottled(mut self, unthrottled: bool) -> Self {
        self.unthrottled = unthrottled;
        self
    }

    fn anyone(&mut self) -> (Node, Channel) {
        let at = usize::try_from(self.chance.below(self.channels.len() as u64)).unwrap_or(0);
        (at as Node + 1, self.channels[at].clone())
    }

    async fn rest(&mut self, least: u64, most: u64) {
        let time = self.chance.between(least, most);
        tokio::time::sleep(Duration::from_millis(time)).await;
    }

    /// Asks until the outcome is known, with the same id. What it was answered.
    pub(crate) async fn ask<T, F>(
        &mut self,
        ask: impl Fn(Channel) -> F,
    ) -> Result<(Node, T), Status>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        loop {
            let (node, channel) = self.anyone();
            match ask(channel).await {
                Ok(done) => {
                    answer(0);
                    return Ok((node, done.into_inner()));
                }
                Err(status) if is_unknown(&status) => {
                    answer(2);
                    self.rest(50, 600).await;
                }
                Err(status) => {
                    answer(1);
                    return Err(status);
                }
            }
        }
    }

    async fn put_bundle(&mut self) -> Result<(), Status> {
        let part = v1::PutBundleRequest {
            asker: Some(self.asker()),
            digest: self.digest.clone().into(),
            total_bytes: self.content.len() as u64,
            data: self.content.clone().into(),
        };
        let put = |channel| {
            let part = part.clone();
            async move { FleetClient::new(channel).put_bundle(futures::stream::iter([part])).await }
        };
        self.ask(put).await.map(drop)
    }

    async fn plan(
        &mut self,
        direction: v1::Direction,
        goal: v1::goal::Goal,
    ) -> Result<String, Status> {
        let spec = v1::PlanSpec {
            bundle: self.digest.clone().into(),
            direction: direction.into(),
            goal: Some(v1::Goal { goal: Some(goal) }),
            strategy: Some(strategy::of(self, self.unthrottled)),
            accept_drift: self.chance.percent(80),
            ..Default::default()
        };
        let request = v1::PlanRequest { asker: Some(self.asker()), spec: Some(spec), dry: false };
        let plan = |channel| {
            let request = request.clone();
            async move { PlannerClient::new(channel).plan(request).await }
        };
        Ok(self.ask(plan).await?.1.rollout)
    }

    async fn start(&mut self, rollout: &str) -> Result<(), Status> {
        let request = v1::StartRequest {
            asker: Some(self.asker()),
            plan: rollout.to_owned(),
            waivers: Vec::new(),
        };
        let start = |channel| {
            let request = request.clone();
            async move { RolloutsClient::new(channel).start(request).await }
        };
        let (node, reply) = self.ask(start).await?;
        acked(node, reply.seq);
        // A repeat gets the answer that the first one got.
        if self.chance.percent(30)
            && let Ok((_, again)) = self.ask(start).await
            && again.rollout != reply.rollout
        {
            let what =
                format!("a repeat started {}, and the first {}", again.rollout, reply.rollout);
            world(|world| world.wrong.push(what));
        }
        Ok(())
    }

    async fn pause(&mut self, rollout: &str) -> Result<(), Status> {
        let request = v1::PauseRequest {
            asker: Some(self.asker()),
            rollout: rollout.to_owned(),
            reason: "somebody wants to look".to_owned(),
            ..Default::default()
        };
        let pause = |channel| {
            let request = request.clone();
            async move { RolloutsClient::new(channel).pause(request).await }
        };
        let (node, reply) = self.ask(pause).await?;
        acked(node, reply.seq);
        Ok(())
    }

    async fn resume(&mut self, rollout: &str) -> Result<(), Status> {
        let request = v1::ResumeRequest {
            asker: Some(self.asker()),
            rollout: rollout.to_owned(),
            ..Default::default()
        };
        let resume = |channel| {
            let request = request.clone();
            async move { RolloutsClient::new(channel).resume(request).await }
        };
        let (node, reply) = self.ask(resume).await?;
        acked(node, reply.seq);
        Ok(())
    }

    /// A read that shows what was acknowledged before it began.
    async fn status(&mut self) -> Result<v1::StatusReply, Status> {
        let (_, channel) = self.anyone();
        let number = self.number;
        world(|world| world.told.push(Told::ReadBegan(number)));
        let request = v1::StatusRequest { local: self.stale, ..Default::default() };
        let mut request = tonic::Request::new(request);
        if self.stale {
            request.metadata_mut().insert("skein-local", tonic::metadata::MetadataValue::from(1));
        }
        let reply = RolloutsClient::new(channel).status(request).await?.into_inner();
        world(|world| world.told.push(Told::ReadEnded(number, Seq(reply.seq))));
        Ok(reply)
    }

    /// Those that are under way, the newest first: one may wait for what an older one has.
    async fn running(&mut self) -> Vec<v1::RolloutStatus> {
        let under_way = |rollout: &v1::RolloutStatus| {
            matches!(
                rollout.state(),
                v1::RolloutState::Running | v1::RolloutState::Paused | v1::RolloutState::Unwinding
            )
        };
        let rollouts = self.status().await.map(|reply| reply.rollouts).unwrap_or_default();
        rollouts.into_iter().rev().filter(under_way).collect()
    }

    /// Rolls forward and back until faults are over, then sees to it that everything ends.
    pub(crate) async fn operate(mut self) -> turmoil::Result {
        while !world(|world| world.healed) {
            if self.put_bundle().await.is_ok() {
                break;
            }
            self.rest(100, 500).await;
        }
        loop {
            let healed = world(|world| world.healed);
            let running = self.running().await;
            if running.is_empty() && !healed {
                drop(self.next_rollout().await);
            }
            for rollout in running.iter().take(if healed { usize::MAX } else { 1 }) {
                let paused = rollout.state() == v1::RolloutState::Paused;
                if paused && (healed || self.chance.percent(40)) {
                    drop(self.resume(&rollout.id).await);
                }
                if healed || self.chance.percent(15) {
                    self.let_everything_go(rollout).await;
                } else if self.chance.percent(6) {
                    drop(self.roll_back_some(&rollout.id).await);
                }
            }
            self.rest(100, 900).await;
        }
    }

    async fn next_rollout(&mut self) -> Result<(), Status> {
        let (direction, goal) = match self.chance.below(5) {
            0 | 1 => (v1::Direction::Up, v1::goal::Goal::Latest(true)),
            2 => {
                let steps = self.chance.between(1, 4);
                (v1::Direction::Up, v1::goal::Goal::Steps(u32::try_from(steps).unwrap_or(1)))
            }
            3 => {
                let steps = self.chance.between(1, 4);
                (v1::Direction::Down, v1::goal::Goal::Steps(u32::try_from(steps).unwrap_or(1)))
            }
            _ => (v1::Direction::Down, v1::goal::Goal::None(true)),
        };
        let rollout = self.plan(direction, goal).await?;
        self.start(&rollout).await
    }

    /// Submits beside the operator, and gets in the way.
    pub(crate) async fn interfere(mut self) -> turmoil::Result {
        loop {
            self.rest(300, 3_000).await;
            if world(|world| world.healed) {
                continue;
            }
            match self.chance.below(8) {
                4.. => {
                    // What is said of one that has ended is refused, or has it undone.
                    let last = self
                        .status()
                        .await
                        .ok()
                        .and_then(|reply| reply.rollouts.into_iter().next_back());
                    if let Some(rollout) = last {
                        self.say_something(&rollout.id).await;
                    }
                }
                0 => {
                    if let Some(rollout) = self.running().await.first() {
                        drop(self.pause(&rollout.id).await);
                    }
                }
                1 => drop(self.put_bundle().await),
                2 => drop(self.next_rollout().await),
                _ => {
                    if let Some(rollout) = self.running().await.first() {
                        drop(self.resume(&rollout.id).await);
                    }
                }
            }
        }
    }

    /// Reads, again and again.
    pub(crate) async fn read(mut self) -> turmoil::Result {
        loop {
            drop(self.status().await);
            self.rest(20, 300).await;
        }
    }
}
