//! An agent over the real protocol, without a database behind it.

use std::time::Duration;

use skein_proto::agent::v1 as wire;
use skein_proto::agent::v1::from_coordinator::Message as Word;
use skein_proto::agent::v1::session_client::SessionClient;
use skein_proto::v1;
use skein_proto::v1::fleet_client::FleetClient;
use tokio::sync::mpsc;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use wire::from_agent::Message as Said;

use super::node::{limit, until};

/// A session.
pub(crate) struct Agent {
    outgoing: mpsc::Sender<wire::FromAgent>,
    incoming: Streaming<wire::FromCoordinator>,
}

/// Begins a session for an agent with four slots; its first word has to be the welcome.
pub(crate) async fn attach(channel: Channel, id: &str, targets: &[&str]) -> Agent {
    let (outgoing, words) = mpsc::channel(64);
    let targets = targets.iter().map(|target| v1::TargetDescription {
        id: (*target).to_owned(),
        engine: v1::Engine::Sqlite.into(),
        ..Default::default()
    });
    let hello = wire::Hello {
        agent: id.to_owned(),
        version: "test".to_owned(),
        slots: 4,
        targets: targets.collect(),
        ..Default::default()
    };
    outgoing.send(wire::FromAgent { message: Some(Said::Hello(hello)) }).await.unwrap();
    let words = tokio_stream::wrappers::ReceiverStream::new(words);
    let incoming = limit("a session", SessionClient::new(channel).attach(words)).await.unwrap();
    let mut agent = Agent { outgoing, incoming: incoming.into_inner() };
    match agent.word().await.unwrap() {
        Word::Welcome(_) => agent,
        word => panic!("the first word was no welcome: {word:?}"),
    }
}

/// A report of one leg.
pub(crate) fn report(id: u64, leg: &wire::Leg, outcome: wire::report::Outcome) -> wire::Report {
    wire::Report { id, fence: leg.fence, target: leg.target.clone(), outcome: Some(outcome) }
}

impl Agent {
    /// The next word, or why there is none.
    pub(crate) async fn word(&mut self) -> Result<Word, Status> {
        match limit("a word", self.incoming.message()).await? {
            Some(word) => Ok(word.message.unwrap()),
            None => Err(Status::ok("ended")),
        }
    }

    /// The next leg; other words are passed over.
    pub(crate) async fn leg(&mut self) -> wire::Leg {
        loop {
            if let Word::Leg(leg) = self.word().await.unwrap() {
                return leg;
            }
        }
    }

    /// The next leg, if one comes in time.
    pub(crate) async fn leg_within(&mut self, time: Duration) -> Option<wire::Leg> {
        tokio::time::timeout(time, self.leg()).await.ok()
    }

    /// The next acknowledgement; other words are passed over.
    pub(crate) async fn acknowledged(&mut self) -> wire::Acknowledged {
        loop {
            if let Word::Acknowledged(acknowledged) = self.word().await.unwrap() {
                return acknowledged;
            }
        }
    }

    /// What is taken back next; other words are passed over.
    pub(crate) async fn cancelled(&mut self) -> wire::Cancel {
        loop {
            if let Word::Cancel(cancel) = self.word().await.unwrap() {
                return cancel;
            }
        }
    }

    /// How the session ends.
    pub(crate) async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.word().await {
                return status;
            }
        }
    }

    /// One word, if the session still stands.
    pub(crate) async fn tell(&self, message: Said) -> bool {
        self.outgoing.send(wire::FromAgent { message: Some(message) }).await.is_ok()
    }

    /// Renews these leases.
    pub(crate) async fn beat(&self, fences: &[u64]) {
        assert!(self.try_beat(fences).await, "the session has ended");
    }

    /// The same, if the session still stands.
    pub(crate) async fn try_beat(&self, fences: &[u64]) -> bool {
        self.tell(Said::Heartbeat(wire::Heartbeat {
            fences: fences.to_vec(),
            ..wire::Heartbeat::default()
        }))
        .await
    }

    /// Reports.
    pub(crate) async fn say(&self, reports: Vec<wire::Report>) {
        assert!(self.tell(Said::Reports(wire::Reports { reports })).await, "the session has ended");
    }

    /// Tells of an empty target, and waits until it is known.
    pub(crate) async fn observe(&self, target: &str, channel: Channel) {
        let observation = v1::Observation {
            engine_version: "3".to_owned(),
            identity: format!("file/{target}"),
            fingerprint: vec![7; 32].into(),
            ..Default::default()
        };
        let observed = wire::Observed {
            target: target.to_owned(),
            observation: Some(observation),
            error: String::new(),
            ..Default::default()
        };
        assert!(self.tell(Said::Observed(observed)).await);
        until("the target is observed", || {
            let channel = channel.clone();
            async move {
                let request = v1::ListTargetsRequest::default();
                let targets = FleetClient::new(channel).list_targets(request).await.unwrap();
                let targets = targets.into_inner().targets;
                targets.iter().any(|known| known.observed_at_ms > 0)
            }
        })
        .await;
    }
}
