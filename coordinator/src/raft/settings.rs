//! How openraft is set.

use openraft::SnapshotPolicy;

use crate::config::Config;

/// Entries in one message to a peer.
const PAYLOAD_ENTRIES: u64 = 256;

/// openraft's own configuration, checked by it.
pub(crate) fn settings(config: &Config) -> Result<openraft::Config, String> {
    openraft::Config {
        cluster_name: config.cluster.clone(),
        heartbeat_interval: config.raft.heartbeat_ms,
        election_timeout_min: config.raft.election_min_ms,
        election_timeout_max: config.raft.election_max_ms,
        enable_pre_vote: Some(true),
        // A restarted leader that goes on without an election can read stale state.
        enable_leader_restore: Some(false),
        max_payload_entries: PAYLOAD_ENTRIES,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.raft.snapshot_after),
        max_in_snapshot_log_to_keep: config.raft.keep_entries,
        replication_lag_threshold: config.raft.snapshot_after.saturating_mul(2),
        // A thousand at a time, unless snapshot points lie closer together than that.
        purge_batch_size: config.raft.snapshot_after.clamp(1, 1_000),
        ..openraft::Config::default()
    }
    .validate()
    .map_err(|error| error.to_string())
}
