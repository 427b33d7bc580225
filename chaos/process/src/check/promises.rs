//! What users were told is so: an acknowledged request is in the log, and an end that was told is the
//! end that the log has.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use skein_core::Fleet;
use skein_core::ids::{RequestId, RolloutId};
use skein_core::state::rollout::Status;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Promise {
    /// The request with this id was accepted, and changed something.
    Accepted { id: Vec<u8>, what: String },
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

    /// Whether all are kept; how many there are.
    pub(super) fn kept(&self, fleet: &Fleet, requests: &BTreeSet<RequestId>) -> Result<usize> {
        let promises = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for promise in promises.iter() {
            match promise {
                Promise::Accepted { id, what } => {
                    let id: [u8; 16] = id.as_slice().try_into().context("a request's id")?;
                    ensure!(
                        requests.contains(&RequestId(id)),
                        "{what} was acknowledged, and no event of the log is of that request"
                    );
                }
                Promise::Completed(rollout) => {
                    // It may have been rolled back since.
                    let status = status(fleet, rollout)?;
                    ensure!(
                        matches!(
                            status,
                            Status::Completed
                                | Status::Unwinding
                                | Status::RolledBack
                                | Status::Halted
                        ),
                        "{rollout} was told to be completed, and it is {status:?}"
                    );
                }
                Promise::RolledBack(rollout) => {
                    let status = status(fleet, rollout)?;
                    ensure!(
                        status == Status::RolledBack,
                        "{rollout} was told to be rolled back, and it is {status:?}"
                    );
                }
            }
        }
        Ok(promises.len())
    }
}

fn status(fleet: &Fleet, rollout: &str) -> Result<Status> {
    let id =
        RolloutId::parse(rollout).with_context(|| format!("`{rollout}` is no rollout's id"))?;
    let state = fleet.rollouts.get(&id).with_context(|| format!("the log has no {rollout}"))?;
    Ok(state.status)
}
