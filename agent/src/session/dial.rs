//! Finding a coordinator that answers.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use skein_proto::agent::v1::from_agent::Message as Word;
use skein_proto::agent::v1::from_coordinator::Message as Answer;
use skein_proto::agent::v1::session_client::SessionClient;
use skein_proto::agent::v1::{FromAgent, FromCoordinator, Hello, Welcome};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use super::{Coordinators, Dial};

/// Messages on their way into the stream. More would only wait in the transport's own window.
const OUTGOING_MAX: usize = 4;
const CONNECT_WAIT: Duration = Duration::from_secs(3);
const WELCOME_WAIT: Duration = Duration::from_secs(10);
/// How long a coordinator that fell silent goes unnoticed: the sum of the two.
const PING_EVERY: Duration = Duration::from_secs(2);
const PONG_WAIT: Duration = Duration::from_secs(3);
/// A leg's message names the whole ledger of its target.
const MESSAGE_MAX: usize = 16 << 20;
/// Hints followed one after the other without a pause: nodes that disagree about who leads must not
/// be asked in a circle at full speed.
const HINTS_MAX: u32 = 3;

/// The metadata by which a follower names the leader.
pub(super) const LEADER: &str = "skein-leader";

/// A stream that was welcomed.
pub(super) struct Attached {
    pub(super) welcome: Welcome,
    pub(super) incoming: Streaming<FromCoordinator>,
    pub(super) outgoing: mpsc::Sender<FromAgent>,
    pub(super) channel: Channel,
    pub(super) address: String,
}

/// Goes round the addresses, the leader that was named first, with growing pauses between rounds.
pub(super) struct Dialler {
    coordinators: Coordinators,
    /// The address to begin the next round with.
    next: usize,
    hint: Option<String>,
    hints_followed: u32,
    pauses: ExponentialBackoff,
    /// No pause before the first round.
    rested: bool,
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_millis(2500))
        .without_max_times()
        // Adds up to as much again, so that a fleet does not come back as one: 5 s at most.
        .with_jitter()
        .build()
}

impl Dialler {
    pub(super) fn new(coordinators: Coordinators) -> Self {
        Self {
            coordinators,
            next: 0,
            hint: None,
            hints_followed: 0,
            pauses: pauses(),
            rested: true,
        }
    }

    /// Dials until somebody answers with a welcome. Each try greets with what is so then: it may take long until
    /// there is a leader, and what an agent has ceased to serve meanwhile would come back.
    pub(super) async fn attach(&mut self, mut hello: impl FnMut() -> Hello) -> Attached {
        loop {
            if !self.rested {
                let pause = self.pauses.next().unwrap_or(Duration::from_secs(5));
                tokio::time::sleep(pause).await;
            }
            self.rested = false;
            for _ in 0..self.round_len() {
                let address = self.choose();
                match self.try_attach(&address, hello()).await {
                    Ok(attached) => return attached,
                    Err(status) => {
                        tracing::warn!(
                            address,
                            code = ?status.code(),
                            why = status.message(),
                            "no session with this coordinator"
                        );
                        self.heed(&status);
                    }
                }
            }
        }
    }

    /// A session ended. One that had lasted makes the next try come at once.
    pub(super) fn left(&mut self, lasted: Duration, status: Option<&Status>) {
        if lasted >= Duration::from_secs(5) {
            self.pauses = pauses();
            self.rested = true;
            self.hints_followed = 0;
        }
        if let Some(status) = status {
            self.heed(status);
        }
    }

    fn heed(&mut self, status: &Status) {
        if status.code() != Code::Unavailable {
            return;
        }
        let leader = status.metadata().get(LEADER).and_then(|leader| leader.to_str().ok());
        let known = leader.filter(|leader| crate::config::check_address(leader).is_ok());
        if let Some(leader) = known
            && self.hints_followed < HINTS_MAX
        {
            self.hints_followed += 1;
            self.hint = Some(leader.to_owned());
            self.rested = true;
        }
    }

    /// Tries in one round: each address, and a hint or two.
    fn round_len(&self) -> usize {
        match &self.coordinators {
            Coordinators::Addresses(addresses) | Coordinators::Dialled(addresses, _) => {
                addresses.len() + 1
            }
            Coordinators::Channel(_) => 1,
        }
    }

    fn choose(&mut self) -> String {
        if let Some(hint) = self.hint.take() {
            return hint;
        }
        match &self.coordinators {
            Coordinators::Addresses(addresses) | Coordinators::Dialled(addresses, _) => {
                let at = self.next % addresses.len().max(1);
                self.next = at + 1;
                addresses.get(at).cloned().unwrap_or_default()
            }
            Coordinators::Channel(_) => "in this process".to_owned(),
        }
    }

    async fn try_attach(&self, address: &str, hello: Hello) -> Result<Attached, Status> {
        let channel = match &self.coordinators {
            Coordinators::Channel(channel) => channel.clone(),
            Coordinators::Addresses(_) => connect(address, None).await?,
            Coordinators::Dialled(_, dial) => connect(address, Some(dial)).await?,
        };
        let (outgoing, words) = mpsc::channel(OUTGOING_MAX);
        let first = FromAgent { message: Some(Word::Hello(hello)) };
        if outgoing.try_send(first).is_err() {
            return Err(Status::internal("the stream took no greeting"));
        }
        let mut client = SessionClient::new(channel.clone()).max_decoding_message_size(MESSAGE_MAX);
        let welcomed = async {
            let mut incoming = client.attach(ReceiverStream::new(words)).await?.into_inner();
            match incoming.message().await?.and_then(|word| word.message) {
                Some(Answer::Welcome(welcome)) => Ok((welcome, incoming)),
                Some(_) => Err(Status::failed_precondition("its first word was no welcome")),
                None => Err(Status::unavailable("it ended the stream without a word")),
            }
        };
        let (welcome, incoming) = tokio::time::timeout(WELCOME_WAIT, welcomed)
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no welcome came in time")))?;
        Ok(Attached { welcome, incoming, outgoing, channel, address: address.to_owned() })
    }
}

async fn connect(address: &str, dial: Option<&Dial>) -> Result<Channel, Status> {
    let unavailable = |error: tonic::transport::Error| {
        Status::unavailable(format!("it cannot be reached: {}", crate::text::chain(&error)))
    };
    let endpoint = Endpoint::from_shared(address.to_owned())
        .map_err(unavailable)?
        .connect_timeout(CONNECT_WAIT)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WAIT)
        .keep_alive_while_idle(true);
    let connected = match dial {
        Some(dial) => dial(endpoint).await,
        None => endpoint.connect().await,
    };
    connected.map_err(unavailable)
}
