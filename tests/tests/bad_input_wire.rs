//! Bad messages: too large, malformed, cut short, or meant for another cluster. Each is refused by
//! its code, and neither the history nor the term moves.

mod support;

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use rand::{Rng as _, SeedableRng as _};
use skein_proto::agent::v1 as session;
use skein_proto::agent::v1::from_agent::Message;
use skein_proto::agent::v1::session_client::SessionClient;
use skein_proto::raft::v1 as raft;
use skein_proto::raft::v1::raft_client::RaftClient;
use skein_proto::v1;
use support::{Client, Cluster, Project, until};
use tonic::client::Grpc;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};

const LIMIT: Duration = Duration::from_secs(20);

/// Sends bytes as they are, as a message of anything.
#[derive(Debug, Default, Clone)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        prost::bytes::BufMut::put_slice(into, &item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let len = prost::bytes::Buf::remaining(from);
        Ok(Some(prost::bytes::Buf::copy_to_bytes(from, len).to_vec()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

/// Every way to ask one thing and get one answer.
const METHODS: [&str; 26] = [
    "/skein.v1.Fleet/ListTargets",
    "/skein.v1.Fleet/ListAgents",
    "/skein.v1.Fleet/Observe",
    "/skein.v1.Fleet/RetireTarget",
    "/skein.v1.Fleet/PutBundle",
    "/skein.v1.Planner/Plan",
    "/skein.v1.Planner/GetPlan",
    "/skein.v1.Rollouts/Start",
    "/skein.v1.Rollouts/Pause",
    "/skein.v1.Rollouts/Resume",
    "/skein.v1.Rollouts/RollBack",
    "/skein.v1.Rollouts/Status",
    "/skein.v1.Audit/Head",
    "/skein.v1.Audit/VerifyDisk",
    "/skein.v1.Cluster/Members",
    "/skein.v1.Cluster/AddLearner",
    "/skein.v1.Cluster/Promote",
    "/skein.v1.Cluster/Remove",
    "/skein.v1.Cluster/TransferLeadership",
    "/skein.raft.v1.Raft/Append",
    "/skein.raft.v1.Raft/Vote",
    "/skein.raft.v1.Raft/PreVote",
    "/skein.raft.v1.Raft/TransferLeader",
    "/skein.raft.v1.Raft/HistoryJoint",
    "/skein.raft.v1.Raft/Snapshot",
    "/skein.agent.v1.Session/Attach",
];

async fn send(client: &Client, method: &'static str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
    let mut grpc = Grpc::new(client.channel());
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static(method);
    // A message that is refused while it is still on its way may end as a broken connection.
    let sent = grpc.unary(Request::new(message), path, Raw);
    Ok(tokio::time::timeout(LIMIT, sent).await.expect("a bad message is answered")?.into_inner())
}

/// The cluster as it stands: what no bad message may move.
async fn stands(cluster: &Cluster) -> ((u64, Vec<u8>), Vec<u64>) {
    let client = cluster.client(cluster.leader().await);
    let formed = || async { client.head(0).await.is_ok_and(|head| head.size >= 2) };
    until("the cluster has its charter", LIMIT, formed).await;
    let head = cluster.settled().await;
    let mut terms = Vec::new();
    for node in cluster.numbers() {
        terms.push(cluster.client(node).members().await.expect("a node answers").term);
    }
    (head, terms)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_too_large_or_make_no_sense_move_nothing() {
    let project = Arc::new(Project::new("wire"));
    let mut cluster = Cluster::start(&project).await;
    let leader = cluster.leader().await;
    let client = cluster.client(leader);
    let before = stands(&cluster).await;

    // Bytes that are no message. The same ones on every run.
    let mut dice = rand::rngs::StdRng::seed_from_u64(6);
    for method in METHODS {
        for length in [1, 7, 64, 4_096] {
            let mut message = vec![0; length];
            dice.fill_bytes(&mut message);
            // No field has the number that a first byte of ones spells.
            message[0] = 0xff;
            let answer = send(&client, method, message).await;
            let status = answer.expect_err(method);
            let known = [Code::Internal, Code::InvalidArgument, Code::Unknown];
            assert!(known.contains(&status.code()), "{method}: {status:?}");
        }
    }
    // Messages of five mebibytes, well formed: a field that nobody knows, and its bytes.
    let mut large = vec![0xfa, 0x7f];
    prost::encoding::encode_varint(5 * 1024 * 1024, &mut large);
    large.resize(large.len() + 5 * 1024 * 1024, 7);
    for method in METHODS.into_iter().filter(|method| !method.starts_with("/skein.raft")) {
        let status = send(&client, method, large.clone()).await.expect_err(method);
        assert_eq!(status.code(), Code::OutOfRange, "{method}: {status:?}");
        assert!(status.message().contains("4194304"), "{method}: {status:?}");
    }
    // What makes sense to protobuf and to nobody else.
    for method in ["Pause", "Resume", "RollBack", "Start"] {
        let method: &'static str = METHODS
            .into_iter()
            .find(|known| known.ends_with(&format!("Rollouts/{method}")))
            .expect("it is listed");
        for asker in [
            v1::Asker { charter: vec![1, 2, 3].into(), ..Client::asker() },
            v1::Asker { request_id: vec![1; 15].into(), ..Client::asker() },
        ] {
            // Asker is field 1 of each of them, the rollout or plan field 2.
            let message = v1::ResumeRequest {
                rolled_back: false,
                asker: Some(asker),
                rollout: "mig-0001".to_owned(),
                part: None,
            };
            let status = send(&client, method, message.encode_to_vec()).await.expect_err(method);
            let known = [Code::InvalidArgument, Code::PermissionDenied, Code::NotFound];
            assert!(known.contains(&status.code()), "{method}: {status:?}");
        }
    }
    for node in cluster.numbers() {
        assert!(cluster.process(node).expect("it was started").runs(), "node {node} has ended");
    }
    assert_eq!(stands(&cluster).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_that_are_not_what_they_say_are_refused() {
    let project = Arc::new(Project::new("bundle"));
    project.write("m/0001_a.up.sql", "CREATE TABLE a (id integer primary key);\n");
    let cluster = Cluster::start(&project).await;
    let client = cluster.client(cluster.leader().await);
    let before = stands(&cluster).await;
    let bundle = skein_bundle::read(&project.join("m"), None).expect("a bundle can be read");
    let content = skein_agent::wire::encode(&bundle);
    let good = skein_agent::wire::digest(&content).to_vec();
    let put = async |digest: Vec<u8>, total_bytes: u64, chunks: Vec<Vec<u8>>| {
        let parts: Vec<v1::PutBundleRequest> = chunks
            .into_iter()
            .enumerate()
            .map(|(at, data)| v1::PutBundleRequest {
                asker: (at == 0).then(Client::asker),
                digest: digest.clone().into(),
                total_bytes,
                data: data.into(),
            })
            .collect();
        client.fleet().put_bundle(futures::stream::iter(parts)).await
    };
    let size = content.len() as u64;
    let noise = vec![0xff; 100];
    let noise_digest = skein_agent::wire::digest(&noise).to_vec();
    let half = content[..content.len() / 2].to_vec();
    for (what, answer, words) in [
        ("no message at all", put(good.clone(), size, vec![]).await, "first message"),
        ("a digest of three bytes", put(vec![1; 3], size, vec![content.clone()]).await, "digest"),
        ("another digest", put(vec![1; 32], size, vec![content.clone()]).await, "digest"),
        ("half of it", put(good.clone(), size, vec![half]).await, "shorter"),
        ("more than announced", put(good.clone(), 3, vec![content.clone()]).await, "longer"),
        (
            "less than announced",
            put(good.clone(), size + 1, vec![content.clone()]).await,
            "shorter",
        ),
        ("noise", put(noise_digest, 100, vec![noise]).await, "not a bundle"),
    ] {
        let status = answer.expect_err(what);
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
        assert!(status.message().contains(words), "{what}: {status:?}");
    }
    let large = put(good.clone(), 65 << 20, vec![vec![]]).await.expect_err("too large");
    assert_eq!(large.code(), Code::FailedPrecondition, "{large:?}");
    assert!(large.message().contains("at most 67108864"), "{large:?}");
    assert!(large.metadata().contains_key("skein-next-bin"), "{large:?}");
    // Too large, whatever was announced: the stream ends where it passes the announcement.
    let mebibyte = vec![0; 1024 * 1024];
    let flood = put(good.clone(), 64 << 20, vec![mebibyte; 66]).await.expect_err("a flood");
    assert_eq!(flood.code(), Code::InvalidArgument, "{flood:?}");
    // A stream that breaks off without its end.
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let first = v1::PutBundleRequest {
        asker: Some(Client::asker()),
        digest: good.clone().into(),
        total_bytes: size,
        data: content[..1].to_vec().into(),
    };
    sender.send(first).await.expect("the stream is open");
    let stream = futures::stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|part| (part, receiver))
    });
    let mut fleet = client.fleet();
    let broken = tokio::spawn(async move { fleet.put_bundle(stream).await });
    tokio::task::yield_now().await;
    broken.abort();
    assert!(broken.await.expect_err("it was broken off").is_cancelled());
    drop(sender);
    assert_eq!(stands(&cluster).await, before);

    put(good, size, vec![content]).await.expect("the bundle itself is taken");
    assert_eq!(cluster.settled().await.0, before.0.0 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_of_another_cluster_are_refused_before_they_are_read() {
    let project = Arc::new(Project::new("peers"));
    let cluster = Cluster::start(&project).await;
    let before = stands(&cluster).await;
    let leader = cluster.leader().await;
    for node in cluster.numbers() {
        let client = cluster.client(node);
        let ours = client.members().await.expect("a node answers").cluster_id;
        let mut peer = RaftClient::new(client.channel());
        // A vote of the highest term there is, and bytes that are none at all: were it looked at,
        // the answer would be another one, or the node would be gone.
        let theirs: prost::bytes::Bytes = vec![9; 16].into();
        let routes = [
            (None, Code::InvalidArgument),
            (Some((theirs.clone(), node)), Code::PermissionDenied),
            (Some((prost::bytes::Bytes::new(), node)), Code::PermissionDenied),
            (Some((ours.clone(), node + 1)), Code::FailedPrecondition),
        ];
        for (route, code) in routes {
            let route = route.map(|(cluster_id, to)| raft::Route {
                cluster_id,
                from: 77,
                to,
                ..Default::default()
            });
            for vote in [high_vote(), vec![0xff; 9]] {
                let request = raft::VoteRequest {
                    route: route.clone(),
                    vote: vote.clone().into(),
                    ..Default::default()
                };
                refused(peer.vote(request.clone()).await, code);
                refused(peer.pre_vote(request).await, code);
                let append = raft::AppendRequest {
                    route: route.clone(),
                    vote: vote.clone().into(),
                    entries: vec![vec![0xff; 9].into()],
                    ..Default::default()
                };
                refused(peer.append(append).await, code);
                let transfer = raft::TransferLeaderRequest {
                    route: route.clone(),
                    from_leader: vote.clone().into(),
                    to_node: node,
                    ..Default::default()
                };
                refused(peer.transfer_leader(transfer).await, code);
                let header = raft::SnapshotHeader {
                    route: route.clone(),
                    vote: vote.into(),
                    meta: vec![0xff; 9].into(),
                };
                let part = raft::SnapshotPart { header: Some(header), frames: vec![] };
                refused(peer.snapshot(futures::stream::iter([part])).await, code);
            }
            refused(
                peer.history_joint(raft::HistoryJointRequest { route: route.clone() }).await,
                code,
            );
            let blob = raft::FetchBlobRequest { route, digest: vec![1; 32].into() };
            refused(peer.fetch_blob(blob).await, code);
        }
        // From this cluster, to this node, and still no message.
        let route =
            Some(raft::Route { cluster_id: ours, from: leader, to: node, ..Default::default() });
        let vote = vec![0xff; 9].into();
        let request = raft::VoteRequest { route: route.clone(), vote, ..Default::default() };
        refused(peer.vote(request).await, Code::InvalidArgument);
        let blob = raft::FetchBlobRequest { route, digest: vec![1; 31].into() };
        refused(peer.fetch_blob(blob).await, Code::InvalidArgument);
    }
    assert_eq!(stands(&cluster).await, before);
    assert_eq!(cluster.leader().await, leader);
}

/// A vote in the store's own encoding: of node 77, in the highest term.
fn high_vote() -> Vec<u8> {
    let mut vote = Vec::new();
    prost::encoding::uint64::encode(1, &(u64::MAX / 2), &mut vote);
    prost::encoding::uint64::encode(2, &77, &mut vote);
    vote
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code) {
    let status = answer.expect_err("a stranger was let in");
    assert_eq!(status.code(), code, "{status:?}");
}

/// Agents are no peers, and say hello first and once.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_keep_to_the_protocol_is_cut_off() {
    let project = Arc::new(Project::new("rude"));
    let cluster = Cluster::start(&project).await;
    let client = cluster.client(cluster.leader().await);
    let before = stands(&cluster).await;
    let attach = async |words: Vec<Message>| -> Result<(), Status> {
        let words = words.into_iter().map(|word| session::FromAgent { message: Some(word) });
        // Open until the coordinator ends it.
        let words: Vec<_> = words.collect();
        let words = futures::StreamExt::chain(
            futures::stream::iter(words),
            futures::stream::pending::<session::FromAgent>(),
        );
        let mut agents = SessionClient::new(client.channel());
        let mut heard = agents.attach(words).await?.into_inner();
        let end = async {
            while heard.message().await?.is_some() {}
            Ok(())
        };
        tokio::time::timeout(LIMIT, end).await.expect("the session is ended")
    };
    let hello =
        |id: &str| Message::Hello(session::Hello { agent: id.to_owned(), ..Default::default() });
    for words in [vec![Message::Heartbeat(session::Heartbeat::default())], vec![hello("")]] {
        let status = attach(words).await.expect_err("it is no agent");
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    assert_eq!(stands(&cluster).await, before);
    // Known from here on (one event), and cut off all the same.
    let status = attach(vec![hello("a1"), hello("a1")]).await.expect_err("one hello is enough");
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    // A report of a lease that nobody gave is refused, whatever it says.
    let report = session::Report {
        id: 1,
        fence: 3,
        target: "t/none".to_owned(),
        outcome: Some(session::report::Outcome::Applied(session::Applied::default())),
    };
    let words = vec![hello("a1"), Message::Reports(session::Reports { reports: vec![report] })];
    let words = words.into_iter().map(|word| session::FromAgent { message: Some(word) });
    let words: Vec<_> = words.collect();
    let words = futures::StreamExt::chain(
        futures::stream::iter(words),
        futures::stream::pending::<session::FromAgent>(),
    );
    let mut agents = SessionClient::new(client.channel());
    let mut heard = agents.attach(words).await.expect("it is welcome").into_inner();
    let refused = async {
        loop {
            let word = heard.message().await.expect("the stream stands").expect("it goes on");
            if let Some(session::from_coordinator::Message::Acknowledged(answer)) = word.message {
                break answer;
            }
        }
    };
    let answer = tokio::time::timeout(LIMIT, refused).await.expect("a report is answered");
    assert!(answer.ids.is_empty() && answer.refused.len() == 1, "{answer:?}");
    assert_eq!(cluster.settled().await.0, before.0.0 + 1);
}
