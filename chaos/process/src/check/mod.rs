//! What must hold after each round, once everything was healed.
//!
//! ```text
//! agreement   all nodes have the same events, and disks that verify
//! truth       what each target's own tables and rows say, and whether they say the same
//! replay      the log, event by event, with the targets' own rows put where they took effect, under
//!             the eyes of the same invariants that watch the model (chaos/src/invariants)
//! measured    what throttles and windows came to, for the invariants about them
//! chosen      targets that a condition means        edits     files that were edited after they ran
//! answers     what Prometheus said to gates
//! promises    what users were told                   given_up  what the log says of targets that are apart
//! ```

mod agreement;
mod answers;
mod chosen;
mod edits;
mod given_up;
mod measured;
mod promises;
mod replay;
mod truth;

pub(crate) use measured::Span;
pub(crate) use promises::{Promise, Promises};

use anyhow::Result;
use skein_chaos::people::played::Played;
use skein_core::ids::TargetId;

use crate::world::World;

/// What a check has seen, for the report.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) events: usize,
    pub(crate) effects: usize,
    pub(crate) expired: usize,
    /// Steps whose effect a later holder found.
    pub(crate) already: usize,
    pub(crate) failed: usize,
    pub(crate) stuck: usize,
    pub(crate) completed: usize,
    pub(crate) rolled_back: usize,
    pub(crate) halted: usize,
    pub(crate) elections: usize,
    pub(crate) promises: usize,
    /// Ledgers that a repair wrote.
    pub(crate) mended: usize,
    /// Rows that no event tells of: their targets were given up before their executor could.
    pub(crate) untold: usize,
    /// Steps that were held against a throttle that was closed not long before.
    pub(crate) gauged: usize,
    /// Gates that passed on what Prometheus said, each counted against its answers.
    pub(crate) answered: usize,
    /// Targets with another text in force than the migrations have, which was said to come to the same.
    pub(crate) spared: usize,
}

impl std::ops::AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.effects += other.effects;
        self.expired += other.expired;
        self.already += other.already;
        self.failed += other.failed;
        self.stuck += other.stuck;
        self.completed += other.completed;
        self.rolled_back += other.rolled_back;
        self.halted += other.halted;
        self.elections += other.elections;
        self.promises += other.promises;
        self.mended += other.mended;
        self.untold += other.untold;
        self.gauged += other.gauged;
        self.answered += other.answered;
        self.spared += other.spared;
    }
}

/// Goes on from round to round: no event is looked at twice.
#[derive(Debug)]
pub(crate) struct Checker {
    replay: replay::Replay,
    term: u64,
}

impl Checker {
    pub(crate) fn new(world: &World) -> Self {
        Self { replay: replay::Replay::new(world), term: 0 }
    }

    /// What of the capabilities the log has seen.
    pub(crate) fn played(&self) -> &Played {
        self.replay.played()
    }

    /// A planted bug: it hears of no edit that was accepted.
    pub(crate) fn go_deaf(&mut self) {
        self.replay.go_deaf();
    }

    /// A fault hit executors, or what they work on: what they had measured may be old once it is over.
    pub(crate) fn disturbed(&mut self, span: Span) {
        self.replay.disturbed(span);
    }

    /// Everything. What does not hold is an error that says so.
    pub(crate) async fn check(&mut self, world: &World, promises: &Promises) -> Result<Seen> {
        let mut seen = Seen::default();
        let news = agreement::news(world, self.replay.seq()).await?;
        seen.elections = usize::try_from(news.term.saturating_sub(self.term))?;
        self.term = news.term;
        let mut found = Vec::new();
        for target in &world.targets {
            found.push(truth::look(target).await?);
        }
        self.replay.know(&world.targets);
        self.replay.events(&news, &found, &mut seen)?;
        for (target, found) in world.targets.iter().zip(&found) {
            let named = given_up::named(self.replay.fleet(), &TargetId(target.id.clone()));
            truth::agrees(target, found, named)?;
        }
        self.replay.end(&news, &found, &promises.acked())?;
        seen.promises = promises.kept(&self.replay)?;
        Ok(seen)
    }
}
