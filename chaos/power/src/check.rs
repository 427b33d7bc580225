//! What must be there afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use openraft::storage::RaftLogReader;
use openraft::storage::RaftLogStorage;
use skein_proto::log::v1::Event;
use skein_proto::log::v1::event::Body;
use skein_store::{Applied, DataDir, Halt, Machine, Store};

use crate::client::{Client, digest_of};
use crate::load::Told;

/// Takes whatever is replayed.
#[derive(Debug)]
struct Nobody;

impl Machine for Nobody {
    fn apply(&self, _: u64, _: &Bytes) -> Result<Applied, Halt> {
        Ok(Applied::default())
    }

    fn replay(&self, _: u64, _: &[Bytes]) -> Result<(), Halt> {
        Ok(())
    }
}

/// Opens a copy of a node's data: it starts, and the term of the vote is what it says.
pub async fn vote(data: &Path) -> Result<u64> {
    let identity = DataDir::identity(data)?.context("the data says not whose it is")?;
    let opened = Store::open(data, &identity, Arc::new(Nobody), |_| Vec::new());
    let mut store = opened.context("failed to open what is left of a node's data")?;
    let mut reader = store.log.get_log_reader().await;
    Ok(reader.read_vote().await?.map_or(0, |vote| vote.leader_id.term))
}

/// Every node has everything that anybody was told, and they have one history.
pub async fn nodes(clients: &[Client], told: &Told) -> Result<Vec<Event>> {
    let mut all: Option<Vec<Event>> = None;
    for (number, client) in (1..).zip(clients) {
        let events = client.events(0).await?;
        let stored: BTreeSet<&[u8]> = events
            .iter()
            .filter_map(|event| match &event.body {
                Some(Body::BundleStored(bundle)) => Some(bundle.digest.as_ref()),
                _ => None,
            })
            .collect();
        let lost = told.bundles.iter().filter(|digest| !stored.contains(digest.as_slice())).count();
        ensure!(
            lost == 0,
            "node {number}: {lost} of {} acknowledged bundles are not in its log",
            told.bundles.len()
        );
        for (size, root) in &told.heads {
            let head = client.head(*size).await;
            let head = head.with_context(|| format!("node {number} told of {size} events"))?;
            ensure!(head.root == *root, "node {number}: another root at {size} events");
        }
        for digest in told.bundles.iter().rev().step_by(7).take(20) {
            let bytes = client.fetch_bundle(digest).await;
            let bytes = bytes.with_context(|| format!("node {number}: a bundle is gone"))?;
            ensure!(digest_of(&bytes) == *digest, "node {number}: a bundle is another");
        }
        client.verify_disk().await.with_context(|| format!("node {number}: its disk"))?;
        match &all {
            Some(first) => ensure!(*first == events, "node {number}: another history"),
            None => all = Some(events),
        }
    }
    all.context("there is no node")
}

/// The agent's side: what the log calls applied is in the target, once; what it calls backed up is whole.
pub fn targets(dir: &Path, targets: &[String], events: &[Event], since: u64) -> Result<u64> {
    let mut applied: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut archives = 0;
    for event in events {
        match &event.body {
            Some(Body::StepApplied(step)) => {
                applied.entry(&step.target).or_default().push(&step.version);
            }
            Some(Body::StepBackedUp(step)) if event.seq >= since => {
                let backup = step.backup.as_ref().context("a backup without one")?;
                let path = dir.join("backups").join(&backup.archive);
                let bytes = std::fs::read(&path)
                    .with_context(|| format!("the backup {} was reported", path.display()))?;
                ensure!(digest_of(&bytes) == *backup.sha256, "{} is another", path.display());
                archives += 1;
            }
            _ => {}
        }
    }
    for target in targets {
        let base = rusqlite::Connection::open(dir.join(format!("{target}.db")))?;
        let ledger = column(&base, "SELECT step FROM _skein_ledger ORDER BY seq")?;
        let log = applied.get(target.as_str()).cloned().unwrap_or_default();
        ensure!(ledger == log, "{target}: the ledger says {ledger:?}, the log {log:?}");
        let effects = column(&base, "SELECT step FROM effects ORDER BY id")?;
        if effects != ledger {
            bail!("{target}: the effects are {effects:?}, the ledger says {ledger:?}");
        }
    }
    Ok(archives)
}

fn column(base: &rusqlite::Connection, sql: &str) -> Result<Vec<String>> {
    let mut statement = base.prepare(sql)?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
