//! How long everything may take: all of it follows from the longest round trip between two nodes.
//!
//! ```text
//!   heartbeat       = 2 × round trip + 100 ms        an append is given up after one heartbeat: it needs a round
//!                                                    trip, a disk sync, and air for both
//!   election_min    = 4 × heartbeat                  two lost heartbeats are not yet an election
//!   election_max    = 6 × heartbeat                  a follower waits so long before it asks for votes at all
//!   lease           = 3 × election_max, 10 s at the least
//!                                                    longer than the cluster is without a leader, so that an
//!                                                    election takes nobody's lease away
//! ```
//!
//! What is written in the file holds instead, and is refused where it cannot work.

use serde::Deserialize;
use toml::Spanned;

/// The longest round trip that the defaults are made for, milliseconds: one region.
pub const ROUND_TRIP_MS: u64 = 25;
/// Beyond that every commit takes longer than a person waits, and connections are given up while they are made.
const ROUND_TRIP_MAX_MS: u64 = 1_000;
/// What a disk and a busy machine add to a round trip at the least, milliseconds.
const SYNC_MS: u64 = 20;
/// The default length of a lease, and the least that follows from a round trip.
pub const LEASE_MS: u32 = 10_000;
/// Below that a busy moment takes leases away.
const LEASE_MIN_MS: u32 = 500;
/// A round trip that uses so much of what is provided for is worth a word, percent.
pub const NEAR_PERCENT: u64 = 80;

/// Consensus timing and bounds.
#[derive(Debug, Clone)]
pub struct Raft {
    /// The leader's heartbeat, milliseconds. Above a round trip and a disk sync.
    pub heartbeat_ms: u64,
    /// The shortest election timeout, milliseconds.
    pub election_min_ms: u64,
    /// The longest election timeout, milliseconds.
    pub election_max_ms: u64,
    /// A snapshot point after so many entries: how far back the Raft log goes.
    pub snapshot_after: u64,
    /// Entries kept behind the last snapshot point, for followers that were away for a while.
    pub keep_entries: u64,
}

impl Raft {
    /// For nodes of which no two are further apart than this.
    pub fn for_round_trip(ms: u64) -> Self {
        let heartbeat_ms = 2 * ms + 100;
        Self {
            heartbeat_ms,
            election_min_ms: 4 * heartbeat_ms,
            election_max_ms: 6 * heartbeat_ms,
            snapshot_after: 50_000,
            keep_entries: 20_000,
        }
    }

    /// The round trip that a heartbeat leaves room for, milliseconds: with short ones a quarter.
    pub fn round_trip_ms(&self) -> u64 {
        (self.heartbeat_ms.saturating_sub(100) / 2).max(self.heartbeat_ms / 4)
    }
}

impl Default for Raft {
    fn default() -> Self {
        Self::for_round_trip(ROUND_TRIP_MS)
    }
}

/// How long a lease lives without a heartbeat where nothing else is said.
pub fn lease_ms(raft: &Raft) -> u32 {
    u32::try_from(3 * raft.election_max_ms).unwrap_or(u32::MAX).max(LEASE_MS)
}

/// `[raft]` as it stands.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    heartbeat_ms: Option<Spanned<u64>>,
    election_min_ms: Option<Spanned<u64>>,
    election_max_ms: Option<Spanned<u64>>,
    snapshot_after: Option<u64>,
    keep_entries: Option<u64>,
}

/// What stands in the file about time.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) round_trip_ms: Option<Spanned<u64>>,
    pub(super) lease_ms: Option<Spanned<u32>>,
    pub(super) raft: Raw,
}

/// What holds.
#[derive(Debug)]
pub(super) struct Timing {
    pub(super) round_trip_ms: Option<u64>,
    pub(super) raft: Raft,
    pub(super) lease_ms: u32,
}

/// What is wrong, and where in the file; `None`: it does not stand there.
pub(super) type Wrong = (Option<usize>, String);

fn at<T>(written: Option<&Spanned<T>>) -> Option<usize> {
    written.map(|value| value.span().start)
}

impl Written {
    /// What follows from it.
    pub(super) fn settle(self) -> Result<Timing, Wrong> {
        let value = |written: &Option<Spanned<u64>>| written.as_ref().map(|it| *it.get_ref());
        let round_trip_ms = value(&self.round_trip_ms);
        if let Some(ms) = round_trip_ms
            && !(1..=ROUND_TRIP_MAX_MS).contains(&ms)
        {
            return Err((
                at(self.round_trip_ms.as_ref()),
                format!(
                    "`round_trip_ms` is {ms}; it is the longest round trip between two nodes, from 1 to \
                     {ROUND_TRIP_MAX_MS}: place nodes that are further apart nearer to each other"
                ),
            ));
        }
        let follows = Raft::for_round_trip(round_trip_ms.unwrap_or(ROUND_TRIP_MS));
        let Raw { heartbeat_ms, election_min_ms, election_max_ms, .. } = &self.raft;
        let raft = Raft {
            heartbeat_ms: value(heartbeat_ms).unwrap_or(follows.heartbeat_ms),
            election_min_ms: value(election_min_ms).unwrap_or(follows.election_min_ms),
            election_max_ms: value(election_max_ms).unwrap_or(follows.election_max_ms),
            snapshot_after: self.raft.snapshot_after.unwrap_or(follows.snapshot_after),
            keep_entries: self.raft.keep_entries.unwrap_or(follows.keep_entries),
        };
        let lease = self.lease_ms.as_ref().map(|it| *it.get_ref());
        let timing = Timing {
            round_trip_ms,
            lease_ms: lease.unwrap_or_else(|| match round_trip_ms {
                Some(_) => lease_ms(&raft),
                None => LEASE_MS,
            }),
            raft,
        };
        self.check(&timing).map(|()| timing)
    }

    fn check(&self, timing: &Timing) -> Result<(), Wrong> {
        let Raft { heartbeat_ms, election_min_ms, election_max_ms, snapshot_after, .. } =
            timing.raft;
        let of_raft = || {
            let Raw { heartbeat_ms, election_min_ms, election_max_ms, .. } = &self.raft;
            let written = [heartbeat_ms, election_min_ms, election_max_ms];
            written.into_iter().find_map(|written| at(written.as_ref()))
        };
        if heartbeat_ms == 0
            || election_min_ms <= heartbeat_ms
            || election_max_ms <= election_min_ms
        {
            return Err((
                of_raft(),
                format!(
                    "`raft`: heartbeat_ms ({heartbeat_ms}) must be below election_min_ms \
                     ({election_min_ms}), and that below election_max_ms ({election_max_ms})"
                ),
            ));
        }
        if snapshot_after == 0 {
            let why = "`raft`: snapshot_after is 0: a snapshot point after every entry would keep the \
                       node busy with nothing else; leave it out, or give it 1000 or more";
            return Err((None, why.to_owned()));
        }
        if timing.lease_ms < LEASE_MIN_MS {
            let why = "below 500 a busy moment takes leases away";
            let lease = at(self.lease_ms.as_ref());
            return Err((lease, format!("`lease_ms` is {}; {why}", timing.lease_ms)));
        }
        let Some(round_trip_ms) = timing.round_trip_ms else { return Ok(()) };
        let follows = Raft::for_round_trip(round_trip_ms);
        if heartbeat_ms < round_trip_ms + SYNC_MS {
            return Err((
                at(self.raft.heartbeat_ms.as_ref()),
                format!(
                    "`heartbeat_ms` is {heartbeat_ms}, and `round_trip_ms` {round_trip_ms}: an append is \
                     given up after one heartbeat, so that none would be answered in time and no leader \
                     could stay; leave `heartbeat_ms` out ({} follows), or give it {} or more",
                    follows.heartbeat_ms,
                    round_trip_ms + SYNC_MS
                ),
            ));
        }
        let least = 2 * heartbeat_ms + round_trip_ms;
        if election_min_ms < least {
            return Err((
                at(self.raft.election_min_ms.as_ref()).or_else(of_raft),
                format!(
                    "`election_min_ms` is {election_min_ms}: with a heartbeat every {heartbeat_ms} ms over \
                     a round trip of {round_trip_ms} ms, one that is lost would start an election; leave \
                     it out ({} follows), or give it {least} or more",
                    4 * heartbeat_ms
                ),
            ));
        }
        let least = election_max_ms + 2 * round_trip_ms;
        if u64::from(timing.lease_ms) < least {
            return Err((
                at(self.lease_ms.as_ref()),
                format!(
                    "`lease_ms` is {}: the cluster may be without a leader for {election_max_ms} ms and \
                     more, and an agent would stop work at each election; leave it out ({} follows), or \
                     give it {least} or more",
                    timing.lease_ms,
                    lease_ms(&timing.raft)
                ),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_a_round_trip_works_together() {
        for ms in 1..=ROUND_TRIP_MAX_MS {
            let raft = Raft::for_round_trip(ms);
            assert!(raft.round_trip_ms() == ms || ms < 50 && raft.round_trip_ms() > ms);
            let text = format!("round_trip_ms = {ms}");
            assert!(settle(&text).is_ok(), "{text}");
            // openraft's own demand.
            assert!(raft.heartbeat_ms * 77 / 64 < raft.election_min_ms);
        }
        let usual = Raft::default();
        assert_eq!(
            (usual.heartbeat_ms, usual.election_min_ms, usual.election_max_ms),
            (150, 600, 900)
        );
        assert_eq!(lease_ms(&usual), LEASE_MS);
        let far = settle("round_trip_ms = 300").unwrap();
        assert_eq!(
            (far.raft.heartbeat_ms, far.raft.election_max_ms, far.lease_ms),
            (700, 4_200, 12_600)
        );
    }

    #[test]
    fn what_cannot_work_is_refused_where_it_stands() {
        for (text, line, words) in [
            ("round_trip_ms = 0", 1, "from 1 to 1000"),
            ("round_trip_ms = 5000", 1, "nearer"),
            ("lease_ms = 20", 1, "`lease_ms` is 20"),
            ("round_trip_ms = 120\n[raft]\nheartbeat_ms = 130", 3, "140 or more"),
            ("round_trip_ms = 120\n[raft]\nelection_min_ms = 700", 3, "800 or more"),
            ("lease_ms = 2200\nround_trip_ms = 120", 1, "2280 or more"),
            ("[raft]\nheartbeat_ms = 700", 2, "(700)"),
        ] {
            let (at, what) = settle(text).unwrap_err();
            assert!(what.contains(words), "{text}: {what}");
            assert_eq!(super::super::line(text, at.unwrap()), line, "{text}");
        }
    }

    fn settle(text: &str) -> Result<Timing, Wrong> {
        #[derive(Deserialize)]
        struct File {
            round_trip_ms: Option<Spanned<u64>>,
            lease_ms: Option<Spanned<u32>>,
            #[serde(default)]
            raft: Raw,
        }
        let File { round_trip_ms, lease_ms, raft } = toml::from_str(text).unwrap();
        Written { round_trip_ms, lease_ms, raft }.settle()
    }
}
