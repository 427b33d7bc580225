//! Agents, the targets that they serve, and what they see of them.

use skein_core::command::Command;
use skein_core::ids::{AgentId, Digest, Fence, Seq, TargetId};
use skein_core::spec::Engine;
use skein_core::state::ledger::Entry;
use skein_core::state::tables::{Tables, UNKNOWN};
use skein_core::state::target::{Description, Observation};
use skein_core::view;

use super::read::{Words, number};
use crate::support::world::{World, digest, fingerprint};

pub(super) fn description(words: &Words<'_>) -> Description {
    let engine = match words.key("engine") {
        None | Some("postgres") => Engine::Postgres,
        Some("mysql") => Engine::Mysql,
        Some("sqlite") => Engine::Sqlite,
        Some(other) => panic!("no engine {other}"),
    };
    let label = |word, name: &str| words.key(word).map(|value| (name.to_owned(), value.to_owned()));
    let (ring, region) = (label("label", "ring"), label("region", view::REGION));
    let group = words.key("rack").unwrap_or_default().to_owned();
    Description { engine, labels: ring.into_iter().chain(region).collect(), group }
}

pub(super) fn join(
    world: &mut World,
    agent: &str,
    targets: Vec<(TargetId, Description)>,
    whole: bool,
) {
    let command =
        Command::JoinAgent { agent: agent.into(), version: "1.0".to_owned(), targets, whole };
    world.ask(agent, command);
}

/// Registers targets, connects their agent and lets it look at each. Only a summary is told.
pub(super) fn fleet(world: &mut World, words: &Words<'_>) {
    let agent = words.key("agent").unwrap_or("a1");
    let prefix = words.key("prefix").unwrap_or("t");
    let ids: Vec<TargetId> =
        (1..=number(words.at(1))).map(|ix| TargetId(format!("{prefix}-{ix}"))).collect();
    join(world, agent, ids.iter().map(|id| (id.clone(), description(words))).collect(), false);
    world.presence.slots.insert(agent.into(), words.number("slots", 64));
    if !words.has("blind") {
        for id in &ids {
            look(world, id, &Words::read(""));
        }
    }
    world.out.clear();
    world.say(format!("{} targets", ids.len()));
}

pub(super) fn served(world: &World, target: &str) -> (AgentId, TargetId) {
    let target = TargetId::from(target);
    let agent = world.fleet.target(&target).and_then(|(_, state)| state.agents.first().cloned());
    (agent.unwrap_or_else(|| AgentId::from("nobody")), target)
}

pub(super) fn observe(world: &mut World, words: &Words<'_>) {
    look(world, &words.at(1).into(), words);
}

fn look(world: &mut World, id: &TargetId, words: &Words<'_>) {
    let (agent, target) = served(world, id.as_str());
    let ledger = match words.key("ledger") {
        None => world.ledger(id),
        Some(versions) => versions
            .split(',')
            .filter(|version| !version.is_empty())
            .map(|word| {
                let version = word.trim_end_matches(['~', '*']);
                let edit = if word.contains('~') { " edited" } else { "" };
                let change = if word.contains('*') { " changed" } else { "" };
                Entry {
                    version: version.into(),
                    digest: digest(&format!("{version}.up{edit}{change}")),
                }
            })
            .collect(),
    };
    let like = |versions: &str| digest(&format!("schema {}", versions.replace(',', " ")));
    let fingerprint = words
        .key("schema")
        .map(digest)
        .or_else(|| words.key("like").map(like))
        .unwrap_or_else(|| fingerprint(&ledger));
    // An agent does what it is asked to.
    let doubted = world.fleet.target(&target).is_some_and(|(_, target)| target.needs_fence());
    let raised = if doubted { world.fleet.fence(world.fleet.seq) } else { Fence(0) };
    let seen = Ok(Observation {
        engine_version: words.key("release").unwrap_or("16.4").to_owned(),
        identity: words.key("identity").map_or_else(|| format!("server-of-{id}"), str::to_owned),
        fingerprint,
        ledger,
        fence: words.key("fence").map_or(raised, |fence| Fence(u64::from(number(fence)))),
        open_intent: words.key("intent").unwrap_or_default().to_owned(),
        bytes: u64::from(words.number("bytes", 0)),
        tables: words.key("tables").map(tables),
    });
    let as_of = words.key("as-of").map(|seq| Seq(u64::from(number(seq))));
    let command = Command::RecordObservation { agent: agent.clone(), target, seen, as_of };
    world.ask(agent.as_str(), command);
}

/// The number that stands for a table's name.
pub(super) fn table(name: &str) -> u32 {
    let Digest([a, b, c, d, ..]) = digest(name);
    u32::from_be_bytes([a, b, c, d])
}

/// `orders:1000,items:?`, where `?` is what nobody could estimate.
fn tables(text: &str) -> Tables {
    let one = |text: &str| {
        let (name, rows) = text.split_once(':').expect("a table and its rows");
        (table(name), if rows == "?" { UNKNOWN } else { u64::from(number(rows)) })
    };
    Tables::new(text.split(',').filter(|one| !one.is_empty()).map(one))
}
