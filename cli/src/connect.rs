//! The way to a coordinator: whichever of the addresses answers, and from there to the leader.
//!
//! A request that found nobody, or whose fate is unknown, is sent again with the same request id until
//! the time allowed has passed; whoever gets it twice answers it once.

use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use skein_proto::v1::audit_client::AuditClient;
use skein_proto::v1::cluster_client::ClusterClient;
use skein_proto::v1::fleet_client::FleetClient;
use skein_proto::v1::pace_client::PaceClient;
use skein_proto::v1::planner_client::PlannerClient;
use skein_proto::v1::repairs_client::RepairsClient;
use skein_proto::v1::rollouts_client::RolloutsClient;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

use crate::exit::ExitCode;
use crate::failure::Failure;

/// A plan for a large fleet is larger than the 4 MiB that clients accept otherwise.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
const CONNECT: Duration = Duration::from_secs(3);
/// How long a coordinator that fell silent keeps a question: the sum of the two. It answers pings while it works
/// on one, however long that takes; one that was stopped, or whose machine hangs, does not, and the next is asked.
const PING_EVERY: Duration = Duration::from_secs(1);
const PONG_WAIT: Duration = Duration::from_secs(3);
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Metadata of a refusal by a node that does not lead: where the leader is.
const LEADER: &str = "skein-leader";

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error("`{0}` is not an address: write http://HOST:PORT")]
    Unreadable(String),
    #[error(
        "`{0}` asks for TLS, which this build does not speak: use http:// inside a tunnel or a mesh that encrypts"
    )]
    Tls(String),
}

impl From<AddressError> for Failure {
    fn from(error: AddressError) -> Self {
        Self::usage(error.to_string())
            .next("set --coordinator, SKEIN_COORDINATOR or skein.toml right")
    }
}

/// One or more coordinators, of which one is asked at a time.
#[derive(Debug)]
pub struct Link {
    stops: Mutex<Stops>,
    patience: Duration,
}

#[derive(Debug)]
struct Stops {
    known: Vec<Stop>,
    at: usize,
}

#[derive(Debug, Clone)]
struct Stop {
    address: String,
    channel: Channel,
}

impl Link {
    /// To coordinators elsewhere. Nothing is connected yet.
    pub fn remote(addresses: &[String], patience: Duration) -> Result<Self, AddressError> {
        let known = addresses.iter().map(|address| stop(address)).collect::<Result<_, _>>()?;
        Ok(Self { stops: Mutex::new(Stops { known, at: 0 }), patience })
    }

    /// To the coordinator in this process.
    pub fn within(channel: Channel, patience: Duration) -> Self {
        let stop = Stop { address: "this process".to_owned(), channel };
        Self { stops: Mutex::new(Stops { known: vec![stop], at: 0 }), patience }
    }

    /// Asks until there is an answer, or a refusal, or the time allowed has passed.
    pub async fn ask<R, F, Answer>(&self, question: F) -> Result<R, Failure>
    where
        F: Fn(Channel) -> Answer,
        Answer: Future<Output = Result<Response<R>, Status>>,
    {
        self.ask_for(Duration::ZERO, question).await
    }

    /// The same for a question whose answer takes up to `work` by itself.
    pub async fn ask_for<R, F, Answer>(&self, work: Duration, question: F) -> Result<R, Failure>
    where
        F: Fn(Channel) -> Answer,
        Answer: Future<Output = Result<Response<R>, Status>>,
    {
        let mut deadline = Instant::now() + self.patience + work;
        let mut failed_before = false;
        let mut pause = PAUSE_MIN;
        loop {
            let Some(stop) = self.here() else {
                return Err(Failure::new(ExitCode::Unreachable, "no coordinator is configured"));
            };
            let status = match tokio::time::timeout_at(deadline, question(stop.channel)).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) if !may_pass(&status) => return Err(status.into()),
                Ok(Err(status)) => status,
                Err(_elapsed) => Status::unavailable("no answer in time"),
            };
            // The work's own time is for whoever works on it, not for finding somebody who does.
            if !failed_before {
                failed_before = true;
                deadline = deadline.min(Instant::now() + self.patience);
            }
            if Instant::now() + pause >= deadline {
                return Err(self.gave_up(&stop.address, &status));
            }
            tracing::debug!(address = stop.address, %status, "asking again");
            // A node that names the leader is believed at once; otherwise the next one may know more.
            if !self.follow(&status) {
                self.turn(&stop.address);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }

    fn here(&self) -> Option<Stop> {
        let stops = self.lock();
        stops.known.get(stops.at).cloned()
    }

    /// Goes on to the next address, unless somebody did so already.
    fn turn(&self, from: &str) {
        let mut stops = self.lock();
        if stops.known.get(stops.at).is_some_and(|stop| stop.address == from) {
            stops.at = (stops.at + 1) % stops.known.len();
        }
    }

    /// Goes to the leader that a refusal names. False where it names none, or the one just asked.
    fn follow(&self, status: &Status) -> bool {
        let Some(leader) = status.metadata().get(LEADER).and_then(|value| value.to_str().ok())
        else {
            return false;
        };
        let Ok(leader) = stop(leader) else { return false };
        let mut stops = self.lock();
        if stops.known.get(stops.at).is_some_and(|stop| stop.address == leader.address) {
            return false;
        }
        let known = stops.known.iter().position(|stop| stop.address == leader.address);
        stops.at = known.unwrap_or(stops.known.len());
        if known.is_none() {
            stops.known.push(leader);
        }
        true
    }

    fn gave_up(&self, last: &str, status: &Status) -> Failure {
        let asked: Vec<String> =
            self.lock().known.iter().map(|stop| stop.address.clone()).collect();
        Failure::new(
            ExitCode::Unreachable,
            format!(
                "no coordinator answered within {:.1} s; asked {}; the last, {last}, said: {}",
                self.patience.as_secs_f32(),
                asked.join(", "),
                said(status),
            ),
        )
        .next("see whether the nodes run and reach each other; the same command can be run again")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Stops> {
        self.stops.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Whether another try may get another answer: the node said so, or the connection was cut.
pub fn may_pass(status: &Status) -> bool {
    let cut = || matches!(status.code(), Code::Unknown | Code::Internal) && is_our_own(status);
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled) || cut()
}

/// Whether no node sent this: only what went wrong on our side of the wire has a source.
fn is_our_own(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

fn said(status: &Status) -> &str {
    if status.message().is_empty() { "nothing" } else { status.message() }
}

fn stop(address: &str) -> Result<Stop, AddressError> {
    let address = address.trim();
    let address = address.strip_suffix('/').filter(|rest| !rest.ends_with('/')).unwrap_or(address);
    if address.starts_with("https://") {
        return Err(AddressError::Tls(address.to_owned()));
    }
    let full =
        if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let unreadable = || AddressError::Unreadable(address.to_owned());
    if !full.starts_with("http://") {
        return Err(unreadable());
    }
    let endpoint = Endpoint::from_shared(full.clone()).map_err(|_invalid_uri| unreadable())?;
    let channel = endpoint
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WAIT)
        .tcp_nodelay(true)
        .connect_lazy();
    Ok(Stop { address: full, channel })
}

pub fn fleet(channel: Channel) -> FleetClient<Channel> {
    FleetClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

pub fn planner(channel: Channel) -> PlannerClient<Channel> {
    PlannerClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

pub fn rollouts(channel: Channel) -> RolloutsClient<Channel> {
    RolloutsClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

pub fn pace(channel: Channel) -> PaceClient<Channel> {
    PaceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

pub fn repairs(channel: Channel) -> RepairsClient<Channel> {
    RepairsClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

pub fn audit(channel: Channel) -> AuditClient<Channel> {
    AuditClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

pub fn cluster(channel: Channel) -> ClusterClient<Channel> {
    ClusterClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use tonic::{Response, Status};

    use super::{Link, stop};
    use crate::exit::ExitCode;

    #[tokio::test]
    async fn addresses() {
        assert_eq!(stop("db1:7000").unwrap().address, "http://db1:7000");
        assert_eq!(stop("http://db1:7000/").unwrap().address, "http://db1:7000");
        assert!(stop("https://db1:7000").is_err());
        assert!(stop("ftp://db1").is_err());
        assert!(stop("http://").is_err());
    }

    fn two() -> Link {
        let addresses = ["http://a:1".to_owned(), "http://b:1".to_owned()];
        Link::remote(&addresses, Duration::from_millis(700)).unwrap()
    }

    #[tokio::test]
    async fn the_next_one_is_asked_when_one_is_away() {
        let link = two();
        let asked = Mutex::new(0);
        let answer = link
            .ask(|_| {
                let mut asked = asked.lock().unwrap();
                *asked += 1;
                let answer = if *asked < 4 {
                    Err(Status::unavailable("away"))
                } else {
                    Ok(Response::new(7))
                };
                async move { answer }
            })
            .await;
        assert_eq!(answer.unwrap(), 7);
        assert_eq!(link.here().unwrap().address, "http://b:1");
    }

    #[tokio::test]
    async fn a_node_that_names_the_leader_is_believed() {
        let link = two();
        let asked = Mutex::new(Vec::new());
        let answer = link
            .ask(|_| {
                asked.lock().unwrap().push(link.here().unwrap().address);
                let first = asked.lock().unwrap().len() == 1;
                async move {
                    if !first {
                        return Ok(Response::new(()));
                    }
                    let mut status = Status::unavailable("not the leader");
                    status.metadata_mut().insert("skein-leader", "c:1".parse().unwrap());
                    Err(status)
                }
            })
            .await;
        answer.unwrap();
        assert_eq!(*asked.lock().unwrap(), ["http://a:1", "http://c:1"]);
    }

    /// A machine that hangs: the kernel takes the connection, and nobody says a word.
    #[tokio::test]
    async fn who_takes_a_connection_and_says_nothing_is_left_for_the_next() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addresses = [silent.local_addr().unwrap().to_string(), "http://b:1".to_owned()];
        let link = Link::remote(&addresses, Duration::from_mins(1)).unwrap();
        let began = tokio::time::Instant::now();
        let answer = link.ask(|channel| {
            let next = link.here().unwrap().address == "http://b:1";
            async move {
                if next {
                    return Ok(Response::new(7));
                }
                let request = skein_proto::v1::MembersRequest {};
                super::cluster(channel).members(request).await.map(|_| Response::new(0))
            }
        });
        assert_eq!(answer.await.unwrap(), 7);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_refusal_is_not_asked_again() {
        let asked = Mutex::new(0);
        let failure = two()
            .ask(|_| {
                *asked.lock().unwrap() += 1;
                async { Err::<Response<()>, _>(Status::failed_precondition("no")) }
            })
            .await
            .unwrap_err();
        assert_eq!((failure.exit, *asked.lock().unwrap()), (ExitCode::Refused, 1));
    }

    #[tokio::test]
    async fn a_connection_that_was_cut_is_no_answer() {
        let asked = Mutex::new(0);
        let answer = two()
            .ask(|_| {
                let mut asked = asked.lock().unwrap();
                *asked += 1;
                let cut = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                let answer = match *asked {
                    1 => Err(Status::from_error(Box::new(cut))),
                    _ => Ok(Response::new(7)),
                };
                async move { answer }
            })
            .await;
        assert_eq!(answer.unwrap(), 7);
        // The same code from a node is an answer.
        let failure = two().ask(|_| async { Err::<Response<()>, _>(Status::unknown("no")) }).await;
        assert_eq!(failure.unwrap_err().exit, ExitCode::Internal);
    }

    #[tokio::test]
    async fn patience_ends() {
        let failure = two()
            .ask(|_| async { Err::<Response<()>, _>(Status::unavailable("away")) })
            .await
            .unwrap_err();
        assert_eq!(failure.exit, ExitCode::Unreachable);
        assert!(failure.what.contains("http://a:1, http://b:1"), "{failure}");
    }

    #[tokio::test]
    async fn long_work_is_no_reason_to_look_for_a_worker_for_long() {
        let hour = Duration::from_hours(1);
        let failure = two()
            .ask_for(hour, |_| async { Err::<Response<()>, _>(Status::unavailable("away")) })
            .await
            .unwrap_err();
        assert_eq!(failure.exit, ExitCode::Unreachable);
    }

    #[tokio::test]
    async fn silence_ends_too() {
        let failure = two()
            .ask(|_| std::future::pending::<Result<Response<()>, Status>>())
            .await
            .unwrap_err();
        assert_eq!(failure.exit, ExitCode::Unreachable);
    }
}
