//! Accepted requests, so that a repeat gets the first answer. Bounded by count and time.

use std::collections::{BTreeMap, VecDeque};

use crate::ids::{Millis, RequestId, RolloutId, Seq};

/// At most so many are remembered: 64 Ki of about 64 bytes.
pub const COUNT_MAX: usize = 65_536;
/// At most so long: an hour. Clients give up long before.
pub const AGE_MAX_MS: u64 = 3_600_000;

/// The first answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Of the request's bytes.
    pub digest: u64,
    /// The first event that it made.
    pub first: Seq,
    /// The rollout that it was about.
    pub rollout: Option<RolloutId>,
    at: Millis,
}

/// The remembered ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Window {
    answers: BTreeMap<RequestId, Answer>,
    order: VecDeque<RequestId>,
}

impl Window {
    /// What a request was answered, if it is remembered.
    pub fn get(&self, id: &RequestId) -> Option<&Answer> {
        self.answers.get(id)
    }

    pub(crate) fn record(
        &mut self,
        (id, digest): (RequestId, u64),
        first: Seq,
        rollout: Option<RolloutId>,
        at: Millis,
    ) {
        if let Some(answer) = self.answers.get_mut(&id) {
            answer.rollout = answer.rollout.or(rollout);
            return;
        }
        self.answers.insert(id, Answer { digest, first, rollout, at });
        self.order.push_back(id);
        while let Some(oldest) = self.order.front() {
            let old = self
                .answers
                .get(oldest)
                .is_none_or(|answer| answer.at.0.saturating_add(AGE_MAX_MS) < at.0);
            if !old && self.order.len() <= COUNT_MAX {
                break;
            }
            if let Some(oldest) = self.order.pop_front() {
                self.answers.remove(&oldest);
            }
        }
    }
}
