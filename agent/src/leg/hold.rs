//! The target in this leg's hands: a database session, opened again where the connection breaks.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;

use super::stop::Stop;
use crate::config::{Secret, Target, UrlError};
use crate::db::{
    Between, DbError, Engine, Killer, Observation, Order, Outcome, Session, StepError, Timeouts,
    Token,
};
use crate::session::{Lease, Over};
use crate::text::chain;
use crate::throttle::Brake;

/// Tries to settle what broke off before a person is asked: ten minutes, in which a server comes back
/// or another one takes its place.
const SETTLE_TRIES_MAX: usize = 65;

/// Between two tries to kill a statement.
const KILL_AGAIN: Duration = Duration::from_millis(50);

/// The pauses between them.
pub(super) fn pauses() -> impl Iterator<Item = Duration> + Send {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(7))
        .with_max_times(SETTLE_TRIES_MAX)
        .with_jitter()
        .build()
}

/// A target whose session lock is held.
pub(super) struct Hold<'a> {
    target: &'a Target,
    timeouts: &'a Timeouts,
    engine: Engine,
    url: Secret,
    /// `None` only between two sessions: the old one must let go of the lock before the new one
    /// asks for it.
    session: Option<Session>,
}

/// Why a target cannot be held.
#[derive(Debug, thiserror::Error)]
pub(super) enum HoldError {
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error(transparent)]
    Db(#[from] DbError),
}

impl HoldError {
    /// May pass when tried again. A secret that is being rotated may be readable a moment later.
    pub(super) fn is_retryable(&self) -> bool {
        match self {
            Self::Url(_) => true,
            Self::Db(error) => error.is_retryable(),
        }
    }

    pub(super) fn stop(&self, step: u32) -> Stop {
        match self {
            Self::Url(error) => Stop::never(step, chain(error), self.is_retryable()),
            Self::Db(error) => Stop::database(step, error),
        }
    }
}

/// Why a step has no outcome.
pub(super) enum Undone {
    Over(Over),
    Failed(Box<StepError>),
    /// It was not begun.
    NoSession(HoldError),
}

impl Undone {
    pub(super) fn stop(self, step: u32) -> Stop {
        match self {
            Self::Over(over) => over.into(),
            Self::Failed(error) => Stop::step(step, &error),
            Self::NoSession(error) => error.stop(step),
        }
    }
}

/// Whether somebody wanted a statement killed while it ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Killed {
    No,
    Wanted,
}

/// Runs work on a session to its end; where somebody wants the statement that runs killed, one is.
pub(super) async fn killable<T>(
    mut killer: Killer,
    lease: &mut Lease,
    work: impl Future<Output = T>,
) -> (T, Killed) {
    let mut work = Box::pin(work);
    tokio::select! {
        done = &mut work => return (done, Killed::No),
        () = lease.killed() => {}
    }
    let mut hit = false;
    while !hit {
        tokio::select! {
            done = &mut work => {
                killer.forget();
                return (done, Killed::Wanted);
            }
            killed = kill(&mut killer) => hit = killed,
        }
    }
    (work.await, Killed::Wanted)
}

/// Tries to kill the statement that runs; where there is none at this moment, waits for another one.
async fn kill(killer: &mut Killer) -> bool {
    match killer.kill().await {
        Ok(true) => return true,
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, "the statement cannot be killed yet"),
    }
    tokio::time::sleep(KILL_AGAIN).await;
    false
}

impl<'a> Hold<'a> {
    /// Reads the URL as it stands now, connects, takes the target's session lock, and looks at it.
    pub(super) async fn open(
        target: &'a Target,
        timeouts: &'a Timeouts,
    ) -> Result<(Self, Observation), HoldError> {
        let (location, url) = target.locate().await?;
        let opened = Box::pin(Session::open_and_observe(&location, timeouts)).await;
        let (session, seen) = opened?;
        let engine = location.engine();
        Ok((Self { target, timeouts, engine, url, session: Some(session) }, seen))
    }

    pub(super) fn engine(&self) -> Engine {
        self.engine
    }

    /// For what connects by itself: the dump tools.
    pub(super) fn url(&self) -> &Secret {
        &self.url
    }

    pub(super) async fn raise_fence(&mut self, token: Token) -> Result<(), HoldError> {
        Ok(self.session().await?.raise_fence(token).await?)
    }

    /// The session, opened again where the last one broke.
    pub(super) async fn session(&mut self) -> Result<&mut Session, HoldError> {
        let session = if let Some(session) = self.session.take() {
            session
        } else {
            let (location, url) = self.target.locate().await?;
            self.url = url;
            Box::pin(Session::open(&location, self.timeouts)).await?
        };
        Ok(self.session.insert(session))
    }

    /// Runs one step. Where the connection breaks, another session reads from the target how far it
    /// came and takes it up there.
    pub(super) async fn apply(
        &mut self,
        order: &Order,
        lease: &mut Lease,
        brake: &mut Brake,
    ) -> Result<Outcome, Undone> {
        let mut pauses = pauses();
        let mut broken: Option<Box<StepError>> = None;
        loop {
            let no_session = match self.session().await {
                Ok(session) => {
                    let killer = session.killer();
                    let between: &mut dyn Between = brake;
                    let work = session.apply_between(order, Some(between));
                    match killable(killer, lease, work).await {
                        (Ok(outcome), _) => return Ok(outcome),
                        (Err(error), _) if error.session_lost => {
                            self.session = None;
                            tracing::warn!(%order, %error, "the session broke within a step");
                            broken = Some(Box::new(error));
                            None
                        }
                        // It was left between two statements, where it was throttled, or two batches.
                        (Err(error), _) if error.cancelled && !lease.is_broken_off() => {
                            let shut = || Over::Lost("the agent is shut down".to_owned());
                            let lost = lease.over().filter(|over| matches!(over, Over::Lost(_)));
                            return Err(Undone::Over(lost.unwrap_or_else(shut)));
                        }
                        (Err(error), killed) => {
                            let cancelled =
                                error.cancelled || (killed == Killed::Wanted && error.is_killed());
                            return Err(Undone::Failed(Box::new(StepError { cancelled, ..error })));
                        }
                    }
                }
                Err(error) => {
                    tracing::warn!(%order, error = chain(&error), "no session for the step");
                    Some(error)
                }
            };
            let Some(pause) = pauses.next() else {
                return Err(match (broken, no_session) {
                    (Some(error), _) => Undone::Failed(error),
                    (None, Some(error)) => Undone::NoSession(error),
                    (None, None) => Undone::Over(Over::Cancelled("the step was left".to_owned())),
                });
            };
            tokio::time::sleep(pause).await;
            match lease.may_go_on().await {
                Ok(()) => {}
                Err(lost @ Over::Lost(_)) => return Err(Undone::Over(lost)),
                // What stands of the step is not known, and the report must say so.
                Err(cancelled) => {
                    return Err(broken.map_or(Undone::Over(cancelled), Undone::Failed));
                }
            }
        }
    }

    /// The schema after the last step. The step is in force whatever becomes of this look at it, so
    /// that one that cannot be had is left empty, once a new session has been tried.
    pub(super) async fn fingerprint(
        &mut self,
        step: u32,
        lease: &mut Lease,
    ) -> Result<Bytes, Stop> {
        for _ in 0..2 {
            let looked = match self.session().await {
                Ok(session) => session.fingerprint().await.map_err(HoldError::from),
                Err(error) => Err(error),
            };
            match looked {
                Ok(fingerprint) => return Ok(Bytes::copy_from_slice(&fingerprint.0)),
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(step, error, "the schema after the last step cannot be read");
                    self.session = None;
                    lease.may_start().await?;
                }
            }
        }
        Ok(Bytes::new())
    }

    /// The session broke: the next one who asks for it gets another.
    pub(super) fn lost(&mut self) {
        self.session = None;
    }

    /// Lets go of the target in good order.
    pub(super) async fn close(self) {
        if let Some(session) = self.session {
            session.close().await;
        }
    }
}
