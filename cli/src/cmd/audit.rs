//! `skein history verify`: every node reads its own disk again, and their trees are compared where
//! all of them have one.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use skein_proto::v1;

use super::{cluster, with_session};
use crate::args::Global;
use crate::connect::{self, Link};
use crate::exit::ExitCode;
use crate::failure::{Failure, chain};
use crate::render::audit::{Audit, Node};
use crate::render::words;
use crate::screen::Screen;
use crate::session::{Need, Session};

/// A long history is read from its first byte.
const READING: Duration = Duration::from_mins(30);

pub(crate) async fn run(
    data: Option<&Path>,
    global: &Global,
    screen: &mut Screen,
) -> Result<ExitCode, Failure> {
    let audit = if let Some(data) = data {
        directory(data)?
    } else {
        let mut audit = Audit::default();
        with_session(global, Need::Log, screen, async |session, _screen| {
            audit = nodes(session, global).await?;
            Ok(ExitCode::Done)
        })
        .await?;
        audit
    };
    screen.show(&audit)?;
    let missing = audit.nodes.iter().any(|node| node.unreachable);
    Ok(match (audit.verified, missing) {
        (false, _) => ExitCode::Tampered,
        (true, true) => ExitCode::Unreachable,
        (true, false) => ExitCode::Done,
    })
}

/// A node, and the way to ask it alone.
struct Asked<'a> {
    node: Node,
    way: Way<'a>,
}

enum Way<'a> {
    Own(Link),
    /// The one node in this process.
    Shared(&'a Link),
}

impl Way<'_> {
    fn link(&self) -> &Link {
        match self {
            Self::Own(link) => link,
            Self::Shared(link) => link,
        }
    }
}

async fn nodes(session: &Session, global: &Global) -> Result<Audit, Failure> {
    let members = cluster::members(session).await?;
    let patience = Duration::from_secs(global.connect_timeout.max(1));
    let mut asked = Vec::new();
    for member in members.members {
        let way = if session.outlives_us() {
            Way::Own(Link::remote(std::slice::from_ref(&member.address), patience)?)
        } else {
            Way::Shared(&session.link)
        };
        let node = disk(way.link(), member).await?;
        asked.push(Asked { node, way });
    }
    compare(asked).await
}

/// What a node finds on its own disk.
async fn disk(link: &Link, member: v1::Member) -> Result<Node, Failure> {
    let reply = link
        .ask_for(READING, |channel| async move {
            connect::audit(channel).verify_disk(v1::VerifyDiskRequest {}).await
        })
        .await;
    let mut node = Node { number: member.node, place: member.address, ..Node::default() };
    match reply {
        Ok(reply) => {
            node.events = reply.events;
            node.root = words::hex(&reply.root);
            node.fault = reply.fault;
        }
        Err(failure) if failure.exit == ExitCode::Unreachable => {
            node.unreachable = true;
            node.fault = failure.what;
        }
        // The node itself says that its history is bad.
        Err(failure) if failure.exit == ExitCode::Tampered => node.fault = failure.what,
        Err(failure) => return Err(failure),
    }
    Ok(node)
}

async fn compare(mut asked: Vec<Asked<'_>>) -> Result<Audit, Failure> {
    let heard = |asked: &&mut Asked<'_>| !asked.node.unreachable && asked.node.fault.is_empty();
    let size = asked.iter_mut().filter(heard).map(|asked| asked.node.events).min().unwrap_or(0);
    let mut votes: BTreeMap<String, usize> = BTreeMap::new();
    if size > 0 {
        for one in asked.iter_mut().filter(heard) {
            one.node.common_root = head(one.way.link(), size).await?;
            *votes.entry(one.node.common_root.clone()).or_default() += 1;
        }
    }
    if votes.len() > 1 {
        name_the_odd(&mut asked, &votes).await?;
    }
    let nodes: Vec<Node> = asked.into_iter().map(|asked| asked.node).collect();
    let verified = nodes.iter().all(|node| node.unreachable || node.fault.is_empty())
        && nodes.iter().any(|node| !node.unreachable);
    Ok(Audit { nodes, compared_at: size, verified })
}

/// Names the nodes that differ from most, and the first event at which each does.
async fn name_the_odd(
    asked: &mut [Asked<'_>],
    votes: &BTreeMap<String, usize>,
) -> Result<(), Failure> {
    let most = votes.values().copied().max().unwrap_or(0);
    let usual: Vec<&String> =
        votes.iter().filter(|(_, count)| **count == most).map(|(root, _)| root).collect();
    let agreed = if let [only] = usual.as_slice() { Some((*only).clone()) } else { None };
    // Where no side has more nodes, the first node is what the others are compared with.
    let right = asked.iter().position(|one| {
        agreed.as_ref().is_none_or(|root| one.node.common_root == *root)
            && !one.node.common_root.is_empty()
    });
    let Some(right) = right else { return Ok(()) };
    let mut places = Vec::new();
    for (index, one) in asked.iter().enumerate() {
        let Some(reference) = asked.get(right) else { continue };
        let differs =
            !one.node.common_root.is_empty() && one.node.common_root != reference.node.common_root;
        if differs {
            let size = one.node.events.min(reference.node.events);
            let place = first_difference(one.way.link(), reference.way.link(), size).await?;
            places.push((index, reference.node.number, place));
        }
    }
    for (index, reference, place) in places {
        let Some(one) = asked.get_mut(index) else { continue };
        let whose = if agreed.is_some() {
            "that most nodes have"
        } else {
            "though neither has more nodes behind it"
        };
        one.node.fault = format!("event {place} is another than on node {reference}, {whose}");
    }
    if agreed.is_none()
        && let Some(one) = asked.get_mut(right)
    {
        one.node
            .fault
            .push_str("another history than elsewhere, though neither has more nodes behind it");
    }
    Ok(())
}

/// The sequence of the first event that differs, by halving: equal heads mean equal histories so far.
async fn first_difference(one: &Link, other: &Link, size: u64) -> Result<u64, Failure> {
    let (mut equal, mut differs) = (0, size);
    while differs - equal > 1 {
        let middle = equal + (differs - equal) / 2;
        if head(one, middle).await? == head(other, middle).await? {
            equal = middle;
        } else {
            differs = middle;
        }
    }
    Ok(equal)
}

async fn head(link: &Link, size: u64) -> Result<String, Failure> {
    let reply = link
        .ask(|channel| async move { connect::audit(channel).head(v1::HeadRequest { size }).await })
        .await?;
    Ok(words::hex(&reply.root))
}

/// A data directory that no node is using.
fn directory(data: &Path) -> Result<Audit, Failure> {
    let mut node = Node { place: data.display().to_string(), ..Node::default() };
    if !data.join("history").is_dir() {
        return Err(Failure::usage(format!("{} holds no history", data.display()))
            .next("name a coordinator's data directory; in embedded mode that is .skein"));
    }
    match skein_coordinator::audit::verify_directory(data) {
        Ok(verified) => {
            node.events = verified.head.size;
            node.root = words::hex(&verified.head.root.0);
            node.common_root.clone_from(&node.root);
        }
        Err(error) => node.fault = chain(&error),
    }
    let (compared_at, verified) = (node.events, node.fault.is_empty());
    Ok(Audit { nodes: vec![node], compared_at, verified })
}
