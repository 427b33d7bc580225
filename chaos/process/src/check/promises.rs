//! What users were told is so: an acknowledged request is in the log, and an end that was told is the
//! end that the log has.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use skein_core::ids::{RequestId, RolloutId, Seq};

use super::replay::Replay;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Promise {
    /// The request with this id was accepted, and changed something.
    Accepted { id: Vec<u8>, what: String },
    /// A node, counted from 1, said that all events before this one are recorded.
    Acked { node: u64, before: u64 },
    /// The command line said that the rollout completed.
    Completed(String),
    /// The command line said that the rollout was rolled back.
    RolledBack(String),
}

/// All answers of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Promises(Arc<Mutex<Vec<Promise>>>);

impl Promises {
    pub(crate) fn add(&self, promise: Promise) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(promise);
    }

    /// By whom what was acknowledged.
    pub(super) fn acked(&self) -> Vec<(u64, Seq)> {
        let promises = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let acked = |promise: &Promise| match promise {
            Promise::Acked { node, before } => Some((*node, Seq(*before))),
            _ => None,
        };
        promises.iter().filter_map(acked).collect()
    }

    /// Whether all are kept; how many there are.
    pub(super) fn kept(&self, replay: &Replay) -> Result<usize> {
        let promises = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for promise in promises.iter() {
            match promise {
                Promise::Accepted { id, what } => {
                    let id: [u8; 16] = id.as_slice().try_into().context("a request's id")?;
                    ensure!(
                        replay.requests().contains(&RequestId(id)),
                        "{what} was acknowledged, and no event of the log is of that request"
                    );
                }
                // Said to the invariants.
                Promise::Acked { .. } => {}
                // It may have been rolled back since, and have gone forward again.
                Promise::Completed(rollout) => ensure!(
                    replay.has_completed(id(rollout)?),
                    "{rollout} was told to be completed, and no event says so"
                ),
                Promise::RolledBack(rollout) => ensure!(
                    replay.was_rolled_back(id(rollout)?),
                    "{rollout} was told to be rolled back, and no event says so"
                ),
            }
        }
        Ok(promises.len())
    }
}

fn id(rollout: &str) -> Result<RolloutId> {
    RolloutId::parse(rollout).with_context(|| format!("`{rollout}` is no rollout's id"))
}
