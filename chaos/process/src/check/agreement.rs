//! An acknowledged event is in every node's log, byte for byte, under the same root; and each node's
//! own disk verifies.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use skein_coordinator::audit;
use skein_core::Event;
use skein_proto::v1;

use crate::world::World;

/// How long nodes may take to have one history, once nothing hinders them.
const LIMIT: Duration = Duration::from_secs(20);

/// What all nodes agree on.
pub(super) struct News {
    pub(super) events: Vec<Arc<Event>>,
    pub(super) term: u64,
    /// How many nodes have them.
    pub(super) nodes: u64,
    /// Of all events, on each of them.
    pub(super) root: Vec<u8>,
}

/// The events from one on, as every node has them.
pub(super) async fn news(world: &World, from: u64) -> Result<News> {
    let (size, root) = world.settled(LIMIT).await?;
    let mut first: Option<Vec<Vec<u8>>> = None;
    let mut term = 0;
    for node in 0..world.nodes.len() {
        let client = world.direct(node)?;
        let name = format!("n{}", node + 1);
        let mut stored = client.events(from).await.with_context(|| format!("{name}: its log"))?;
        // More may have come since.
        stored.truncate(usize::try_from(size.saturating_sub(from))?);
        ensure!(
            stored.len() as u64 == size.saturating_sub(from),
            "{name} has not all of {size} events"
        );
        let head = client.head(size).await.with_context(|| format!("{name}: its head"))?;
        ensure!(head.root == root, "the root of {name} at {size} events is another");
        let disk = client.audit().verify_disk(v1::VerifyDiskRequest {}).await;
        let disk = disk.with_context(|| format!("{name}: its disk"))?.into_inner();
        ensure!(disk.fault.is_empty(), "the disk of {name} does not verify: {}", disk.fault);
        ensure!(disk.events >= size, "the disk of {name} has {} of {size} events", disk.events);
        term = term.max(client.members().await?.term);
        match &first {
            None => first = Some(stored),
            Some(first) => {
                let at = first.iter().zip(&stored).position(|(one, other)| one != other);
                if let Some(at) = at {
                    bail!("event {} of {name} is another than that of n1", from + at as u64);
                }
            }
        }
    }
    let mut events = Vec::new();
    for (seq, bytes) in (from..).zip(first.unwrap_or_default()) {
        let event = audit::event(&bytes).with_context(|| format!("event {seq}"))?;
        ensure!(event.seq.0 == seq, "event {seq} says that it is {}", event.seq);
        events.push(Arc::new(event));
    }
    Ok(News { events, term, nodes: world.nodes.len() as u64, root })
}
