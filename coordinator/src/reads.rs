//! Schemas that agents are reading for somebody who asked: the leader's memory, and never in the log.

use std::collections::BTreeMap;

use skein_proto::agent::v1::SchemaRead;
use tokio::sync::oneshot;

/// At one time. Each is half a megabyte at the most.
const MAX: usize = 64;

/// Who waits for which.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    next: u64,
    waiting: BTreeMap<u64, oneshot::Sender<SchemaRead>>,
}

impl Reads {
    /// A wish's number, and where its answer comes. `None`: too many are waited for.
    pub(crate) fn wish(&mut self) -> Option<(u64, oneshot::Receiver<SchemaRead>)> {
        // Nobody waits any more for those whose time was over.
        self.waiting.retain(|_, waits| !waits.is_closed());
        if self.waiting.len() >= MAX {
            return None;
        }
        self.next += 1;
        let (tell, told) = oneshot::channel();
        self.waiting.insert(self.next, tell);
        Some((self.next, told))
    }

    /// An answer has come; late, perhaps.
    pub(crate) fn told(&mut self, read: SchemaRead) {
        if let Some(waits) = self.waiting.remove(&read.wish) {
            drop(waits.send(read));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_no_more_makes_room() {
        let mut reads = Reads::default();
        let mut waits: Vec<_> = (0..MAX).map_while(|_| reads.wish()).collect();
        assert_eq!(waits.len(), MAX);
        assert!(reads.wish().is_none());
        waits.pop();
        let (wish, mut told) = reads.wish().unwrap();
        reads.told(SchemaRead { wish, ..SchemaRead::default() });
        assert_eq!(told.try_recv().unwrap().wish, wish);
        // Late, or twice.
        reads.told(SchemaRead { wish, ..SchemaRead::default() });
    }
}
