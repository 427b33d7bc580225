//! The writer itself: goes on until it is killed, or until the store refuses.

use std::io::{self, Write};
use std::path::Path;

use futures::stream;
use openraft::storage::{
    RaftLogReader, RaftLogStorage, RaftLogStorageExt, RaftSnapshotBuilder, RaftStateMachine,
};
use skein_store::{Entry, StateMachine, Store, Vote, log_id};

use super::machine::{Recorder, entry, open};

/// Purging leaves so many entries in the log.
const KEEP: u64 = 60;

/// Writes to the stores in `dir`, and says on `out` what is durable once it is.
pub fn play(dir: &Path, out: &mut dyn Write) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let opened = |node: u64, name: &str| open(&dir.join(name), node).map_err(io::Error::other);
    let mut leader = opened(1, "leader")?;
    let mut follower = opened(2, "follower")?;
    runtime.block_on(write(&mut leader, &mut follower, out))
}

fn say(out: &mut dyn Write, promise: &str) -> io::Result<()> {
    out.write_all(format!("@ {promise}.\n").as_bytes())?;
    out.flush()
}

async fn apply(machine: &mut StateMachine<Recorder>, entries: Vec<Entry>) -> io::Result<()> {
    machine.apply(stream::iter(entries.into_iter().map(|entry| Ok((entry, None))))).await
}

async fn write(
    leader: &mut Store<Recorder>,
    follower: &mut Store<Recorder>,
    out: &mut dyn Write,
) -> io::Result<()> {
    // Whatever the log has and the history has not, as openraft does at start.
    let have = leader.history.last_applied().map_or(0, |id| id.index);
    let last = leader.log.get_log_state().await?.last_log_id;
    let mut next = last.map_or(1, |id| id.index + 1);
    let mut reader = leader.log.get_log_reader().await;
    let owed = reader.try_get_log_entries(have + 1..next).await?;
    apply(&mut leader.state_machine, owed).await?;
    let mut term = reader.read_vote().await?.map_or(0, |vote| vote.leader_id.term);
    if next > 1 {
        // A node counts what it finds as had, and may say so to its peers.
        say(out, &format!("logged {}", next - 1))?;
        say(out, &format!("voted {term}"))?;
    }
    let mut turn = 0_u64;
    loop {
        turn += 1;
        let count = 1 + next % 7;
        let last = next + count - 1;
        let batch: Vec<Entry> = (next..=last).map(entry).collect();
        leader.log.blocking_append(batch.clone()).await?;
        say(out, &format!("logged {last}"))?;
        leader.log.save_committed(Some(log_id(1, last))).await?;
        apply(&mut leader.state_machine, batch).await?;
        if turn.is_multiple_of(3) {
            term += 1;
            leader.log.save_vote(&Vote::new(term, 1)).await?;
            say(out, &format!("voted {term}"))?;
        }
        if turn.is_multiple_of(5) {
            let head = leader.history.sync().map_err(io::Error::other)?.head();
            say(out, &format!("synced {} {}", head.size, head.root))?;
            // Once the history is durable its entries are not applied again, so its blobs are owed.
            say(out, &format!("blobs {last}"))?;
        }
        if turn.is_multiple_of(8) {
            let snapshot =
                leader.state_machine.get_snapshot_builder().await.build_snapshot().await?;
            follower.state_machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await?;
            let head = follower.history.durable();
            say(out, &format!("installed {} {}", head.size, head.root))?;
        }
        if turn.is_multiple_of(9) && last > KEEP {
            leader.log.purge(log_id(1, last - KEEP)).await?;
            say(out, &format!("purged {}", last - KEEP))?;
        }
        next += count;
    }
}
