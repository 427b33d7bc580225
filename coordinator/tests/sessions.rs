//! Agents that are made here, over the real protocol: leases, fences, reconnections, repeats, and a
//! node that stops under them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message as _;
use skein_proto::agent::v1 as wire;
use skein_proto::agent::v1::from_coordinator::Message as Word;
use skein_proto::v1;
use skein_proto::v1::rollouts_client::RolloutsClient;
use support::agent::{Agent, attach, report};
use support::fleet::{asker, plan, put_bundle, start_rollout};
use support::node::{configs, formed, limit, single, until};
use tempfile::TempDir;
use tokio::time::{Instant, sleep_until, timeout};
use wire::from_agent::Message as Said;
use wire::report::Outcome;

const TARGET: &str = "eu/orders-1";

fn exempt() -> Outcome {
    Outcome::BackedUp(wire::BackedUp {
        exemption: "no backup is asked for".to_owned(),
        scope: v1::BackupScope::BackupNone.into(),
        ..Default::default()
    })
}

fn applied() -> Outcome {
    Outcome::Applied(wire::Applied {
        step: 0,
        ms: 1,
        rows: 0,
        already: false,
        ..Default::default()
    })
}

/// An agent that has seen its target, and a rollout over it, running.
async fn leg_for(node: &skein_coordinator::Running, id: &str) -> (Agent, wire::Leg, String) {
    let mut agent = attach(node.channel(), id, &[TARGET]).await;
    agent.observe(TARGET, node.channel()).await;
    let planned = plan(node.channel()).await;
    let rollout = start_rollout(node.channel(), &planned).await;
    let leg = agent.leg().await;
    (agent, leg, rollout)
}

/// The leg of a lease that has run out.
async fn passes_to(agent: &mut Agent) -> wire::Leg {
    limit("the lease passes on", async {
        loop {
            agent.beat(&[]).await;
            if let Some(leg) = agent.leg_within(Duration::from_millis(100)).await {
                return leg;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_lives_by_heartbeats_and_dies_in_silence() {
    let root = TempDir::new().unwrap();
    let node = skein_coordinator::start(single(&root, 800)).await.unwrap();
    formed(&node).await;
    let (mut first, leg, _) = leg_for(&node, "a").await;
    assert_eq!(leg.expected, []);
    let mut second = attach(node.channel(), "b", &[TARGET]).await;

    // Heartbeats for twice its length: nobody else gets it.
    let ends = Instant::now() + Duration::from_millis(1_600);
    while Instant::now() < ends {
        first.beat(&[leg.fence]).await;
        second.beat(&[]).await;
        assert!(second.leg_within(Duration::from_millis(100)).await.is_none());
    }
    first.say(vec![report(1, &leg, exempt()), report(2, &leg, applied())]).await;
    assert_eq!(first.acknowledged().await.ids, [1, 2]);

    // Silence: the other one gets it, with a higher fence and the ledger as it was told.
    let taken = passes_to(&mut second).await;
    assert!(taken.fence > leg.fence, "{} after {}", taken.fence, leg.fence);
    assert_eq!(taken.expected.len(), 1);
    assert!(taken.backup_recorded);

    // The first holder comes too late.
    let verified = Outcome::Verified(wire::Verified { step: 0, ..Default::default() });
    first.say(vec![report(3, &leg, verified)]).await;
    let late = first.acknowledged().await;
    assert!(late.ids.is_empty());
    assert!(late.refused[0].lease_lost, "{late:?}");
    node.shutdown().await;
}

/// Who is at a long statement, or waits for a throttle or a gate, has nothing to report.
#[tokio::test(flavor = "multi_thread")]
async fn who_holds_a_leg_whose_lease_is_over_is_told_though_it_reports_nothing() {
    let root = TempDir::new().unwrap();
    let node = skein_coordinator::start(single(&root, 800)).await.unwrap();
    formed(&node).await;
    let (mut first, leg, _) = leg_for(&node, "a").await;
    let mut second = attach(node.channel(), "b", &[TARGET]).await;
    let taken = passes_to(&mut second).await;
    assert!(taken.fence > leg.fence);
    // It was stopped, and goes on as if nothing had been.
    first.beat(&[leg.fence]).await;
    let lost = |cancel: wire::Cancel| (cancel.fence, cancel.lease_lost);
    assert_eq!(lost(first.cancelled().await), (leg.fence, true));
    // So does one that has lost its connection meanwhile. What is live is not taken back.
    let mut again = attach(node.channel(), "a", &[TARGET]).await;
    again.beat(&[leg.fence]).await;
    assert_eq!(lost(again.cancelled().await), (leg.fence, true));
    second.beat(&[taken.fence]).await;
    second.say(vec![report(1, &taken, exempt())]).await;
    let Word::Acknowledged(counts) = second.word().await.unwrap() else {
        panic!("a leg that is live was taken back");
    };
    assert_eq!(counts.ids, [1]);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_comes_again_gets_its_leg_again_and_the_older_session_ends() {
    let root = TempDir::new().unwrap();
    let node = skein_coordinator::start(single(&root, 5_000)).await.unwrap();
    formed(&node).await;
    let (mut older, leg, _) = leg_for(&node, "a").await;
    let mut newer = attach(node.channel(), "a", &[TARGET]).await;
    assert_eq!(newer.leg().await.fence, leg.fence);
    assert_eq!(older.end().await.code(), tonic::Code::Aborted);
    newer.say(vec![report(1, &leg, exempt())]).await;
    assert_eq!(newer.acknowledged().await.ids, [1]);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_session_that_reads_nothing_does_not_speak_for_the_agent_any_more() {
    let root = TempDir::new().unwrap();
    let node = skein_coordinator::start(single(&root, 1_000)).await.unwrap();
    formed(&node).await;
    let (older, leg, _) = leg_for(&node, "a").await;
    let mut newer = attach(node.channel(), "a", &[TARGET]).await;
    assert_eq!(newer.leg().await.fence, leg.fence);
    // The older process goes on with its heartbeats; the newer one holds nothing and says so.
    let passed = limit("the lease runs out", async {
        loop {
            older.try_beat(&[leg.fence]).await;
            newer.beat(&[]).await;
            if let Some(leg) = newer.leg_within(Duration::from_millis(100)).await {
                return leg;
            }
        }
    })
    .await;
    assert!(passed.fence > leg.fence);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_start_again_at_full_length_after_a_restart() {
    let root = TempDir::new().unwrap();
    let config = single(&root, 1_500);
    let node = skein_coordinator::start(config.clone()).await.unwrap();
    formed(&node).await;
    let (agent, leg, _) = leg_for(&node, "a").await;
    // It says nothing more: renewed at this moment at the latest, its lease is over by then, with nobody up.
    let over = Instant::now() + Duration::from_millis(config.lease_ms.into());
    drop(agent);
    node.shutdown().await;
    sleep_until(over).await;
    let node = skein_coordinator::start(config).await.unwrap();
    formed(&node).await;
    let mut again = attach(node.channel(), "a", &[TARGET]).await;
    assert_eq!(again.leg().await.fence, leg.fence);
    again.say(vec![report(1, &leg, exempt())]).await;
    assert_eq!(again.acknowledged().await.ids, [1]);
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_first_answer_through_whoever_leads() {
    let root = TempDir::new().unwrap();
    let mut nodes = Vec::new();
    for config in configs(&root, 3) {
        nodes.push(skein_coordinator::start(config).await.unwrap());
    }
    let mut lead = 0;
    for node in &nodes {
        lead = formed(node).await;
    }
    let agent = attach(nodes[0].channel(), "a", &[TARGET]).await;
    agent.observe(TARGET, nodes[0].channel()).await;
    let planned = plan(nodes[0].channel()).await;
    let request = v1::StartRequest { asker: Some(asker()), plan: planned, waivers: Vec::new() };
    let start = |at: usize, request: v1::StartRequest| {
        let channel = nodes[at].channel();
        async move { RolloutsClient::new(channel).start(request).await.map(tonic::Response::into_inner) }
    };
    // Together, through two nodes: one start, one answer.
    let (one, two) = tokio::join!(start(0, request.clone()), start(1, request.clone()));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.rollout, two.rollout);
    assert!(!one.rollout.is_empty());

    let another = v1::StartRequest {
        waivers: vec![v1::Waiver { step: "1".to_owned(), reason: "another body".to_owned() }],
        ..request.clone()
    };
    let refused = start(2, another.clone()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused}");

    // The leader stops; the answer is in the log.
    nodes.remove(usize::try_from(lead).unwrap() - 1).shutdown().await;
    until("another node leads", || async {
        ![0, lead].contains(&support::node::leader(&nodes[0]).await)
    })
    .await;
    let start = |request: v1::StartRequest| {
        let channel = nodes[1].channel();
        async move { RolloutsClient::new(channel).start(request).await.map(tonic::Response::into_inner) }
    };
    assert_eq!(start(request).await.unwrap().rollout, one.rollout);
    let refused = start(another).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused}");
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_agents_than_a_connection_has_streams_by_default_come_through_a_follower() {
    const AGENTS: usize = 260;
    let root = TempDir::new().unwrap();
    let mut nodes = Vec::new();
    for config in configs(&root, 3) {
        nodes.push(skein_coordinator::start(config).await.unwrap());
    }
    let mut lead = 0;
    for node in &nodes {
        lead = formed(node).await;
    }
    let follower = if lead == 1 { &nodes[1] } else { &nodes[0] };
    let mut agents = Vec::new();
    for number in 0..AGENTS {
        let (id, target) = (format!("agent-{number}"), format!("target-{number}"));
        agents.push(attach(follower.channel(), &id, &[&target]).await);
    }
    // Whoever came first may have been silent for long by now.
    until("all of them are there at one time", || async {
        for agent in &agents {
            agent.beat(&[]).await;
        }
        let status = RolloutsClient::new(follower.channel())
            .status(v1::StatusRequest::default())
            .await
            .unwrap()
            .into_inner();
        status.agents_connected as usize == AGENTS
    })
    .await;
    drop(agents);
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_stops_in_bounded_time_under_agents_and_watchers() {
    let root = TempDir::new().unwrap();
    let node = skein_coordinator::start(single(&root, 5_000)).await.unwrap();
    formed(&node).await;
    let (mut agent, _leg, rollout) = leg_for(&node, "a").await;
    let request = v1::StatusRequest { rollout, ..Default::default() };
    let mut watch = RolloutsClient::new(node.channel()).watch(request).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    let mut log = v1::audit_client::AuditClient::new(node.channel())
        .events(v1::EventsRequest { follow: true, ..Default::default() })
        .await
        .unwrap()
        .into_inner();
    log.message().await.unwrap().unwrap();
    timeout(Duration::from_secs(5), node.shutdown()).await.unwrap();
    assert_eq!(agent.end().await.code(), tonic::Code::Unavailable);
}

/// An agent and a watcher came to a follower, over a connection of their own each.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_passes_streams_on_stops_in_bounded_time() {
    let root = TempDir::new().unwrap();
    let (mut nodes, mut addresses) = (Vec::new(), Vec::new());
    for config in configs(&root, 3) {
        addresses.push(format!("http://{}", config.advertise));
        nodes.push(skein_coordinator::start(config).await.unwrap());
    }
    let lead = formed(&nodes[0]).await;
    let follower = usize::from(lead == 1);
    let dial = || {
        let endpoint = tonic::transport::Endpoint::from_shared(addresses[follower].clone());
        async move { endpoint.unwrap().connect().await.unwrap() }
    };
    let mut agent = attach(dial().await, "a", &["t"]).await;
    let request = v1::StatusRequest::default();
    let mut watch = RolloutsClient::new(dial().await).watch(request).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    timeout(Duration::from_secs(4), nodes.remove(follower).shutdown()).await.unwrap();
    assert_eq!(agent.end().await.code(), tonic::Code::Unavailable);
    for node in nodes {
        node.shutdown().await;
    }
}

/// The leader has gone and nobody leads yet: an agent waits at a node that is stopped meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_stops_while_an_agent_waits_there_for_a_leader() {
    let root = TempDir::new().unwrap();
    let mut nodes = BTreeMap::new();
    for config in configs(&root, 3) {
        nodes.insert(config.node, skein_coordinator::start(config).await.unwrap());
    }
    let lead = formed(&nodes[&1]).await;
    let (leader, mut others) = (nodes.remove(&lead).unwrap(), nodes.into_values());
    let (node, third) = (others.next().unwrap(), others.next().unwrap());
    third.shutdown().await;
    leader.shutdown().await;
    let channel = node.channel();
    let mut waits = tokio::spawn(async move {
        let (_outgoing, words) = tokio::sync::mpsc::channel(1);
        let words = tokio_stream::wrappers::ReceiverStream::new(words);
        let mut session = wire::session_client::SessionClient::new(channel);
        session.attach(words).await.map(drop)
    });
    // Nobody answers while it waits: there is no majority.
    assert!(timeout(Duration::from_millis(500), &mut waits).await.is_err());
    timeout(Duration::from_secs(4), node.shutdown()).await.unwrap();
    assert_eq!(waits.await.unwrap().unwrap_err().code(), tonic::Code::Unavailable);
}

/// Whoever made the connection never says anything, nor takes anything: a load balancer, or a machine that hangs.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_stops_in_bounded_time_while_a_connection_says_nothing() {
    let root = TempDir::new().unwrap();
    let config = configs(&root, 1).remove(0);
    let address = config.listen.unwrap();
    let node = skein_coordinator::start(config).await.unwrap();
    formed(&node).await;
    let silent = tokio::net::TcpStream::connect(address).await.unwrap();
    // It was accepted: one that came behind it is answered.
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let members = v1::MembersRequest::default();
    let mut cluster = v1::cluster_client::ClusterClient::new(channel);
    cluster.members(members).await.unwrap();
    timeout(Duration::from_secs(8), node.shutdown()).await.unwrap();
    drop(silent);
}

/// The agent has gone quiet, and whoever asks is ready to wait for a minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_stops_in_bounded_time_while_an_agent_is_waited_for() {
    let root = TempDir::new().unwrap();
    let node = skein_coordinator::start(single(&root, 60_000)).await.unwrap();
    formed(&node).await;
    let mut agent = attach(node.channel(), "a", &["t"]).await;
    let asker = Some(asker());
    let mut fleet = v1::fleet_client::FleetClient::new(node.channel());
    let look = tokio::spawn(async move {
        fleet.observe(v1::ObserveRequest { asker, selector: None, timeout_ms: 60_000 }).await
    });
    while !matches!(agent.word().await.unwrap(), Word::Observe(_)) {}
    timeout(Duration::from_secs(5), node.shutdown()).await.unwrap();
    assert_eq!(look.await.unwrap().unwrap_err().code(), tonic::Code::Unavailable);
}

/// Nobody knows what an executor left that may still be there: a plain look is answered by the wish for one
/// behind a fence, once, however many there are (an agent of an older release has no others).
#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_ends_a_doubt_is_asked_for_with_a_fence() {
    let root = TempDir::new().unwrap();
    let node = skein_coordinator::start(single(&root, 60_000)).await.unwrap();
    formed(&node).await;
    let (mut agent, leg, _) = leg_for(&node, "a").await;
    let failed = Outcome::Failed(wire::Failed {
        verdict: wire::Verdict::Unknown.into(),
        message: "the connection was lost".to_owned(),
        ..Default::default()
    });
    agent.say(vec![report(1, &leg, exempt()), report(2, &leg, failed)]).await;
    assert_eq!(agent.acknowledged().await.ids, [1, 2]);
    let problem = || {
        let mut fleet = v1::fleet_client::FleetClient::new(node.channel());
        async move {
            let targets = fleet.list_targets(v1::ListTargetsRequest::default()).await.unwrap();
            targets.into_inner().targets.remove(0).problem
        }
    };
    until("the rollout lets go of it", || async { problem().await.contains("cannot be told") })
        .await;
    let look = |raised: u64| wire::Observed {
        target: TARGET.to_owned(),
        observation: Some(v1::Observation {
            engine_version: "3".to_owned(),
            identity: format!("file/{TARGET}"),
            fingerprint: vec![7; 32].into(),
            fence: raised.max(leg.fence),
            ..Default::default()
        }),
        raised,
        ..Default::default()
    };
    for _ in 0..3 {
        assert!(agent.tell(Said::Observed(look(0))).await);
    }
    let wish = loop {
        if let Word::Observe(wish) = agent.word().await.unwrap() {
            break wish;
        }
    };
    assert_eq!((&wish.targets, &wish.doubted), (&vec![TARGET.to_owned()], &wish.targets));
    assert!(wish.fence > leg.fence, "{} after {}", wish.fence, leg.fence);
    assert!(problem().await.contains("cannot be told"));

    assert!(agent.tell(Said::Observed(look(wish.fence))).await);
    until("the look counts", || async { problem().await.is_empty() }).await;
    node.shutdown().await;
    while let Ok(word) = agent.word().await {
        let again = matches!(&word, Word::Observe(wish) if !wish.doubted.is_empty());
        assert!(!again, "asked a second time: {word:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_limit_is_refused_and_the_node_goes_on() {
    let root = TempDir::new().unwrap();
    let node = skein_coordinator::start(single(&root, 5_000)).await.unwrap();
    formed(&node).await;
    let request = v1::PauseRequest {
        asker: Some(asker()),
        rollout: "mig-0001".to_owned(),
        reason: "x".repeat(5 * 1024 * 1024),
        ..Default::default()
    };
    assert!(request.encoded_len() > 4 * 1024 * 1024);
    let refused = RolloutsClient::new(node.channel()).pause(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::OutOfRange, "{refused}");
    put_bundle(node.channel(), 1).await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_leg_comes_before_the_welcome() {
    let root = TempDir::new().unwrap();
    let node = skein_coordinator::start(single(&root, 5_000)).await.unwrap();
    formed(&node).await;
    let (agent, leg, _) = leg_for(&node, "a").await;
    drop(agent);
    for _ in 0..50 {
        // `attach` takes nothing but a welcome for a first word.
        let mut again = attach(node.channel(), "a", &[TARGET]).await;
        match again.word().await.unwrap() {
            Word::Leg(again) => assert_eq!(again.fence, leg.fence),
            word => panic!("a leg was to come, and not {word:?}"),
        }
    }
    node.shutdown().await;
}
