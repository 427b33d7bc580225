//! A small fleet, for tests and for the door that fuzzing knocks at.

use std::collections::BTreeMap;

use skein_core::Fleet;
use skein_core::event::{Body, Event};
use skein_core::ids::{AgentId, Digest, Fence, Millis, TargetId, Version};
use skein_core::schedule::Presence;
use skein_core::spec::Engine;
use skein_core::state::ledger::Entry;
use skein_core::state::target::{Description, Observation};

/// `eu-1` PostgreSQL with 0041 and 0042 in force; `eu-2` MariaDB with 0041, held; `us-1` SQLite, never
/// looked at, with no agent here and no ring.
pub(crate) fn sample() -> (Fleet, Presence) {
    let mut fleet = Fleet::default();
    let mut tell = |body| {
        let event = Event {
            seq: fleet.seq,
            at: Millis(1),
            actor: String::new(),
            charter: Digest::default(),
            request: None,
            body,
        };
        skein_core::evolve::evolve(&mut fleet, &event).expect("the events fit");
    };
    let labels = |region: &str, ring: Option<&str>| {
        let mut labels: BTreeMap<_, _> = [("region".to_owned(), region.to_owned())].into();
        labels.extend(ring.map(|ring| ("ring".to_owned(), ring.to_owned())));
        labels.insert("app.tier".to_owned(), "1".to_owned());
        labels
    };
    for (id, agent, engine, labels) in [
        ("eu-1", "here", Engine::Postgres, labels("eu", Some("canary"))),
        ("eu-2", "here", Engine::Mysql, labels("eu", Some("rest"))),
        ("us-1", "gone", Engine::Sqlite, labels("us", None)),
    ] {
        let description = Description { engine, labels, group: "rack-1".to_owned() };
        let (agent, target) = (AgentId(agent.to_owned()), TargetId(id.to_owned()));
        tell(Body::TargetRegistered { agent, target, description });
    }
    for (id, version, ledger, finding) in [
        ("eu-1", "15.4 (Debian)", &["0041", "0042"][..], ""),
        ("eu-2", "10.11.6-MariaDB", &["0041"][..], "changed by hand"),
    ] {
        let entry = |version: &&str| Entry {
            version: Version((*version).to_owned()),
            digest: Digest([1; 32]),
        };
        let seen = Observation {
            engine_version: version.to_owned(),
            identity: id.to_owned(),
            fingerprint: Digest([7; 32]),
            ledger: ledger.iter().map(entry).collect(),
            fence: Fence(0),
            open_intent: String::new(),
            bytes: 0,
            tables: None,
        };
        tell(Body::TargetObserved {
            agent: AgentId("here".to_owned()),
            target: TargetId(id.to_owned()),
            seen,
            finding: finding.to_owned(),
        });
    }
    let slots = [(AgentId("here".to_owned()), 1)].into();
    let presence = Presence { slots, ..Presence::default() };
    (fleet, presence)
}
