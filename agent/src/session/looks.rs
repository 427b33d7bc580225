//! Looking at targets: who is to be looked at, and what was seen last of each. Who could not be looked at is tried again by
//! itself: a server that was down when somebody asked may be up a moment later, and nobody might ask again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use skein_proto::agent::v1::Observed;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::talk::sleep_until;
use crate::config::{Target, TargetId};
use crate::db::Token;
use crate::observe::look_at;
use crate::roster::Roster;

/// Looks at one time: enough to hide the round trips, few enough for a shared server.
const LOOKS_MAX: usize = 8;
/// Of these so many by themselves: targets that do not answer keep nobody waiting who does.
const TRIES_MAX: usize = 2;
/// How long a target may take to answer.
const LOOK_WAIT: Duration = Duration::from_secs(30);
/// After a look that failed the next one by itself comes after so long, then after twice as long, and so on.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
/// But at least this often.
const AGAIN_MAX: Duration = Duration::from_mins(1);

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
    /// Could not be looked at, and are tried again.
    failed: BTreeMap<TargetId, Failed>,
}

/// A look that failed.
#[derive(Debug)]
struct Failed {
    fence: Option<Token>,
    error: String,
    /// Between that look and the next one.
    pause: Duration,
    /// `None`: it is under way.
    again_at: Option<Instant>,
}

/// A look that is to be taken.
#[derive(Debug)]
struct Look {
    target: TargetId,
    fence: Option<Token>,
    /// What is known to have happened before.
    as_of: u64,
    /// Nobody asked.
    by_itself: bool,
}

impl State {
    /// Who is looked at next: first of those that somebody asks about, then, if there is room, of those that failed.
    fn next(&mut self, now: Instant, room: bool) -> Option<Look> {
        let as_of = self.heard;
        if let Some((target, fence)) = self.asked.pop_first() {
            return Some(Look { target, fence, as_of, by_itself: false });
        }
        let due = |failed: &Failed| room && failed.again_at.is_some_and(|at| at <= now);
        let (target, failed) = self.failed.iter_mut().find(|(_, failed)| due(failed))?;
        failed.again_at = None;
        Some(Look { target: target.clone(), fence: failed.fence, as_of, by_itself: true })
    }

    /// When the next of those that failed is due.
    fn again_at(&self) -> Option<Instant> {
        self.failed.values().filter_map(|failed| failed.again_at).min()
    }

    /// What came of a look. Whether it is news: that a target still cannot be looked at is none.
    fn saw(&mut self, look: &Look, observed: &Observed, now: Instant) -> bool {
        let before = self.failed.remove(&look.target);
        if observed.observation.is_some() {
            return true;
        }
        let known = before.as_ref().is_some_and(|before| before.error == observed.error);
        let doubled = before.map(|before| (before.pause * 2).min(AGAIN_MAX));
        let pause = doubled.unwrap_or(AGAIN_FIRST);
        let failed = Failed {
            fence: look.fence,
            error: observed.error.clone(),
            pause,
            again_at: Some(now + pause),
        };
        self.failed.insert(look.target.clone(), failed);
        !(known && look.by_itself)
    }
}

impl Looks {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream begins, and with it what its leader says: a log that was restored may have gone back.
    pub(crate) fn begin(&self, seq: u64) {
        let mut state = self.lock();
        state.heard = seq;
        // All that is served is asked about.
        state.failed.clear();
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
        let mut tries = 0;
        loop {
            // One that waits is still asked for: who asks again meanwhile gets the same look.
            while looks.len() < LOOKS_MAX
                && let Some(look) = { self.lock().next(Instant::now(), tries < TRIES_MAX) }
            {
                let Some(target) = roster.get(&look.target) else {
                    self.lock().failed.remove(&look.target);
                    continue;
                };
                tries += usize::from(look.by_itself);
                looks.push(async move {
                    let observed = look_in_time(target, look.fence, look.as_of).await;
                    (look, observed)
                });
            }
            let has_room = looks.len() < LOOKS_MAX;
            let again_at = self.lock().again_at().filter(|_| has_room && tries < TRIES_MAX);
            tokio::select! {
                () = self.asked.notified(), if has_room => {}
                () = sleep_until(again_at) => {}
                Some((look, observed)) = looks.next() => {
                    tries -= usize::from(look.by_itself);
                    let mut state = self.lock();
                    if state.saw(&look, &observed, Instant::now()) {
                        state.seen.insert(observed.target.clone(), observed);
                        self.seen.notify_one();
                    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn look(state: &mut State, now: Instant) -> Look {
        state.next(now, true).expect("somebody is looked at")
    }

    fn seen(error: &str) -> Observed {
        let observation = error.is_empty().then(Default::default);
        Observed { observation, error: error.to_owned(), ..Observed::default() }
    }

    #[test]
    fn who_cannot_be_looked_at_is_tried_again_by_itself() {
        let (mut state, begin) = (State::default(), Instant::now());
        let after = |ms| begin + Duration::from_millis(ms);
        let target = TargetId::parse("eu-1").expect("a name");
        state.asked.insert(target.clone(), Some(Token(7)));
        let first = look(&mut state, begin);
        assert!(!first.by_itself);
        assert!(state.saw(&first, &seen("down"), begin));
        assert_eq!(state.again_at(), Some(after(1_000)));
        assert!(
            state.next(after(999), true).is_none() && state.next(after(1_000), false).is_none()
        );

        // Behind the same fence; that it is down still is no news, why it is so now is.
        let second = look(&mut state, after(1_000));
        assert!(second.by_itself && second.fence == Some(Token(7)));
        assert!(state.again_at().is_none() && state.next(after(9_000), true).is_none());
        assert!(!state.saw(&second, &seen("down"), after(1_000)));
        assert_eq!(state.again_at(), Some(after(3_000)));
        let third = look(&mut state, after(3_000));
        assert!(state.saw(&third, &seen("no such database"), after(3_000)));

        // Whoever asks is told, and goes first.
        state.asked.insert(target, None);
        let asked = look(&mut state, after(60_000));
        assert!(!asked.by_itself);
        assert!(state.saw(&asked, &seen("no such database"), after(60_000)));
        let last = look(&mut state, after(200_000));
        assert!(last.by_itself && state.saw(&last, &seen(""), after(200_000)));
        assert!(state.again_at().is_none());
    }
}
