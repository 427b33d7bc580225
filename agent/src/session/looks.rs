//! Looking at targets: who is to be looked at, and what was seen last of each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use skein_proto::agent::v1::Observed;
use tokio::sync::Notify;

use crate::config::{Target, TargetId};
use crate::db::Token;
use crate::observe::look_at;
use crate::roster::Roster;

/// Looks at one time: enough to hide the round trips, few enough for a shared server.
const LOOKS_MAX: usize = 8;
/// How long a target may take to answer.
const LOOK_WAIT: Duration = Duration::from_secs(30);

/// Asked for and not yet sent. Both sides are sets of targets, so that asking again is cheap.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    state: Mutex<State>,
    asked: Notify,
    seen: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The highest sequence of the log that was heard of: what is seen from now on is no older.
    heard: u64,
    /// And the fence that is to be raised first.
    asked: BTreeMap<TargetId, Option<Token>>,
    seen: BTreeMap<String, Observed>,
}

impl State {
    /// Who is looked at next, behind which fence, and what is known to have happened before.
    fn next(&mut self) -> Option<(TargetId, Option<Token>, u64)> {
        let (target, fence) = self.asked.pop_first()?;
        Some((target, fence, self.heard))
    }
}

impl Looks {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream begins, and with it what its leader says: a log that was restored may have gone back.
    pub(crate) fn begin(&self, seq: u64) {
        self.lock().heard = seq;
    }

    /// The log is at `seq`, as somebody says who knows.
    pub(crate) fn hear(&self, seq: u64) {
        let mut state = self.lock();
        state.heard = state.heard.max(seq);
    }

    pub(crate) fn ask(&self, targets: impl IntoIterator<Item = TargetId>) {
        for target in targets {
            self.ask_behind(target, None);
        }
    }

    /// Asks for a look behind a fence, if there is one to be raised first. The greatest one asked for counts.
    pub(crate) fn ask_behind(&self, target: TargetId, fence: Option<Token>) {
        let mut state = self.lock();
        let asked = state.asked.entry(target).or_default();
        *asked = fence.max(*asked);
        drop(state);
        self.asked.notify_one();
    }

    /// Somebody asks about a target that is not served here.
    pub(crate) fn cannot(&self, target: String, error: String) {
        let mut state = self.lock();
        let as_of = state.heard;
        let observed =
            Observed { target: target.clone(), observation: None, error, as_of, raised: 0 };
        state.seen.insert(target, observed);
        drop(state);
        self.seen.notify_one();
    }

    pub(crate) async fn changed(&self) {
        self.seen.notified().await;
    }

    pub(crate) fn has_seen(&self) -> bool {
        !self.lock().seen.is_empty()
    }

    pub(crate) fn take(&self) -> Option<Observed> {
        self.lock().seen.pop_first().map(|(_, observed)| observed)
    }

    /// Looks at whatever is asked for, for ever.
    pub(crate) async fn run(self: Arc<Self>, roster: Arc<Roster>) {
        let mut looks = FuturesUnordered::new();
        loop {
            // One that waits is still asked for: who asks again meanwhile gets the same look.
            while looks.len() < LOOKS_MAX
                && let Some((id, fence, as_of)) = { self.lock().next() }
            {
                looks.extend(roster.get(&id).map(|target| look_in_time(target, fence, as_of)));
            }
            tokio::select! {
                () = self.asked.notified(), if looks.len() < LOOKS_MAX => {}
                Some(observed) = looks.next() => {
                    self.lock().seen.insert(observed.target.clone(), observed);
                    self.seen.notify_one();
                }
            }
        }
    }
}

async fn look_in_time(target: Target, fence: Option<Token>, as_of: u64) -> Observed {
    let seen = match tokio::time::timeout(LOOK_WAIT, look_at(&target, fence)).await {
        Ok(seen) => seen,
        Err(_) => Err(format!("the target did not answer within {} s", LOOK_WAIT.as_secs())),
    };
    let target = target.id.to_string();
    let (observation, error) = match seen {
        Ok(observation) => (Some(observation), String::new()),
        Err(error) => {
            tracing::warn!(target, error, "a target could not be looked at");
            (None, error)
        }
    };
    Observed { target, observation, error, as_of, raised: fence.map_or(0, |fence| fence.0) }
}
