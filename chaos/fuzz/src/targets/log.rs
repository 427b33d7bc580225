//! The replicated log: entries and events, with histories of the model's as seeds.

use std::collections::BTreeMap;

use bytes::Bytes;
use skein_chaos::model::{Options, run};
use skein_coordinator::doors;

use super::Target;

/// Events of a few fleets, one history each.
fn histories() -> Vec<Vec<Bytes>> {
    let options = Options { history: true, ..Options::default() };
    (1..6)
        .filter_map(|seed| run(seed, &options).history.logs.into_iter().next())
        .map(|(_, events)| events.iter().map(|event| doors::encode_event(event)).collect())
        .collect()
}

/// One event of each kind and length.
fn events(histories: &[Vec<Bytes>]) -> Vec<Vec<u8>> {
    let mut kinds: BTreeMap<(u8, usize), Vec<u8>> = BTreeMap::new();
    for event in histories.iter().flatten().filter(|event| event.len() < 6_000) {
        let kind = event.iter().rev().nth(event.len() / 2).copied().unwrap_or(0);
        kinds.entry((kind, event.len() / 64)).or_insert_with(|| event.to_vec());
    }
    kinds.into_values().collect()
}

/// Entries behind one another, each with its length before it.
fn joined(entries: &[Bytes]) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in entries {
        all.extend_from_slice(&u32::try_from(entry.len()).unwrap_or(0).to_le_bytes());
        all.extend_from_slice(entry);
    }
    all
}

fn apart(bytes: &[u8]) -> Vec<Bytes> {
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut entries = Vec::new();
    while let Some((len, _)) = rest.split_first_chunk::<4>() {
        let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
        let entry = rest.slice(4..).slice(..len.min(rest.len() - 4));
        rest = rest.slice(4 + entry.len()..);
        entries.push(entry);
    }
    entries
}

pub(super) fn targets() -> Vec<Target> {
    let histories = histories();
    let words = &["mig-0001", "t/1", "a1", "1", "latest"];
    let event = Target {
        name: "event",
        seeds: events(&histories),
        words,
        door: Box::new(|bytes| doors::event(&Bytes::copy_from_slice(bytes))),
    };
    let seeds: Vec<Vec<u8>> = histories
        .iter()
        .map(|history| {
            let entries: Vec<Bytes> = (0..)
                .zip(history.iter().take(60))
                .map(|(base, event)| doors::encode_record(base, vec![event.clone()]))
                .collect();
            joined(&entries)
        })
        .collect();
    let entry = Target {
        name: "log-entry",
        seeds: apart(&seeds.concat()).into_iter().map(|entry| entry.to_vec()).take(80).collect(),
        words,
        door: Box::new(|bytes| doors::entry(&Bytes::copy_from_slice(bytes))),
    };
    let machine = Target {
        name: "log-replayed",
        seeds,
        words,
        door: Box::new(|bytes| doors::entries(&apart(bytes))),
    };
    vec![event, entry, machine]
}
