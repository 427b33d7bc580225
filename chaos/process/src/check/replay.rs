//! The log, event by event, with each row of a target's ledger put where it took effect: before the
//! event that reports it. The invariants of `skein-chaos` watch.
//!
//! A row that no event reports is one whose executor was given up with its target before it could tell: it took
//! effect before the next lease of the target, whose fence bars it, and the log has to name the target.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use skein_agent::db::{self, LedgerRow};
use skein_chaos::invariants::Watch;
use skein_chaos::observation::{Database, Effect, Mended, Seen as Said};
use skein_chaos::people::played::Played;
use skein_core::event::{Body, Event};
use skein_core::ids::{Digest, Fence, RequestId, RolloutId, Seq, TargetId, Version};
use skein_core::spec::Direction;
use skein_core::state::Fleet;
use skein_core::state::ledger::Entry;

use super::Seen;
use super::agreement::News;
use super::answers::Answers;
use super::chosen::Chosen;
use super::edits::Edits;
use super::given_up::given_up;
use super::measured::{Measured, Span, openings};
use super::truth::Found;
use crate::world::World;
use crate::world::target::Target;

/// The step whose file runs in batches, and so statement by statement on every engine.
const IN_BATCHES: &str = "6";

/// By which name the clients of the registers ask.
const REGISTER: &str = "register";

/// A target as the replay has come to know it.
#[derive(Debug)]
struct Told {
    id: TargetId,
    engine: db::Engine,
    /// Rows of its ledger that an event has reported.
    rows: usize,
    /// Under which the last of them ran.
    fence: Fence,
}

#[derive(Debug)]
pub(super) struct Replay {
    watch: Watch,
    played: Played,
    measured: Measured,
    chosen: Chosen,
    edits: Edits,
    answers: Answers,
    told: Vec<Told>,
    /// Of legs, with their rollouts.
    leases: BTreeMap<(TargetId, Fence), RolloutId>,
    /// Of repairs.
    mends: BTreeSet<(TargetId, Fence)>,
    requests: BTreeSet<RequestId>,
    completed: BTreeSet<RolloutId>,
    rolled_back: BTreeSet<RolloutId>,
}

impl Replay {
    pub(super) fn new(world: &World) -> Self {
        Self {
            watch: Watch::default(),
            played: Played::default(),
            measured: Measured::new(world.web.clone(), world.replica.clone()),
            chosen: Chosen::default(),
            edits: Edits::default(),
            answers: Answers::new(world.web.clone()),
            told: Vec::new(),
            leases: BTreeMap::new(),
            mends: BTreeSet::new(),
            requests: BTreeSet::new(),
            completed: BTreeSet::new(),
            rolled_back: BTreeSet::new(),
        }
    }

    /// These are looked at, in this order; those that are known keep their places.
    pub(super) fn know(&mut self, targets: &[Target]) {
        let new = targets.iter().skip(self.told.len()).map(|target| Told {
            id: TargetId(target.id.clone()),
            engine: target.engine,
            rows: 0,
            fence: Fence(0),
        });
        self.told.extend(new);
    }

    pub(super) fn go_deaf(&mut self) {
        self.edits.go_deaf();
    }

    pub(super) fn disturbed(&mut self, span: Span) {
        self.measured.disturbed(span);
    }

    pub(super) fn seq(&self) -> u64 {
        self.watch.log().len() as u64
    }

    pub(super) fn fleet(&self) -> &Fleet {
        self.watch.fleet()
    }

    pub(super) fn played(&self) -> &Played {
        &self.played
    }

    pub(super) fn requests(&self) -> &BTreeSet<RequestId> {
        &self.requests
    }

    pub(super) fn has_completed(&self, rollout: RolloutId) -> bool {
        self.completed.contains(&rollout)
    }

    pub(super) fn was_rolled_back(&self, rollout: RolloutId) -> bool {
        self.rolled_back.contains(&rollout)
    }

    /// Events that are new, and what the targets are after all of them.
    pub(super) fn events(&mut self, news: &News, found: &[Found], seen: &mut Seen) -> Result<()> {
        let before = (self.answers.count(), self.edits.spared);
        for event in &news.events {
            self.beside(event).with_context(|| format!("event {}", event.seq))?;
            self.before(event, found, seen).with_context(|| format!("event {}", event.seq))?;
            self.note(event);
            self.watch.see(Said::Event(event)).with_context(|| format!("event {}", event.seq))?;
            // Whoever asks for histories says the same few words again and again.
            if event.actor != REGISTER {
                self.played.event(event, self.watch.fleet());
            }
            if let Body::RolloutPlanned { rollout, plan, .. } = &event.body {
                let openings = &openings(plan, event.at);
                self.watch.see(Said::Reckoned { rollout: *rollout, openings })?;
            }
            for node in 1..=news.nodes {
                self.watch.see(Said::Applied { node, event })?;
            }
            count(&event.body, seen);
        }
        seen.events += news.events.len();
        seen.answered += self.answers.count() - before.0;
        seen.spared += self.edits.spared - before.1;
        for place in 0..self.told.len() {
            self.untold(place, found, seen, |_| true)?;
        }
        Ok(())
    }

    /// What is held against more than the log.
    fn beside(&mut self, event: &Event) -> Result<()> {
        let fleet = self.watch.fleet();
        self.chosen.see(event, fleet)?;
        self.edits.see(event, fleet)?;
        self.answers.see(event, fleet)
    }

    fn note(&mut self, event: &Event) {
        let fence = Fence(event.seq.0);
        match &event.body {
            Body::LegAssigned { rollout, target, .. } => {
                self.leases.insert((target.clone(), fence), *rollout);
            }
            Body::RepairAssigned { target, .. } => {
                self.mends.insert((target.clone(), fence));
            }
            Body::RolloutCompleted { rollout } => {
                self.completed.insert(*rollout);
            }
            Body::RolloutRolledBack { rollout } => {
                self.rolled_back.insert(*rollout);
            }
            _ => {}
        }
        self.requests.extend(event.request.map(|(id, _)| id));
    }

    fn place(&self, target: &TargetId) -> Option<usize> {
        self.told.iter().position(|told| told.id == *target)
    }

    /// Rows take effect that an event reports, or that it bars.
    fn before(&mut self, event: &Event, found: &[Found], seen: &mut Seen) -> Result<()> {
        match &event.body {
            Body::StepApplied { target, version, fence, .. }
            | Body::StepRolledBack { target, version, fence, .. } => {
                self.reported((target, version, *fence), found, seen)
            }
            Body::TargetMended { target, fence, .. } => {
                let Some(place) = self.place(target) else { return Ok(()) };
                self.mended(place, *fence, found, seen)
            }
            // Whoever has it next in the same rollout reports what the one before has left.
            Body::LegAssigned { rollout, target, .. } => {
                let Some(place) = self.place(target) else { return Ok(()) };
                self.untold(place, found, seen, |of| of != Some(*rollout))
            }
            Body::RepairAssigned { target, .. } => {
                let Some(place) = self.place(target) else { return Ok(()) };
                self.untold(place, found, seen, |of| of.is_some())
            }
            _ => Ok(()),
        }
    }

    /// The next row of a ledger is the one that an event reports.
    fn reported(
        &mut self,
        (target, version, fence): (&TargetId, &str, Fence),
        found: &[Found],
        seen: &mut Seen,
    ) -> Result<()> {
        let Some(place) = self.place(target) else { return Ok(()) };
        let row = self.next(place, found)?.with_context(|| {
            format!("{target}: {version} is reported, and the ledger has no row of it")
        })?;
        ensure!(
            row.step == *version,
            "{target}: {version} is reported, and the ledger's next row is of {}",
            row.step
        );
        ensure!(
            row.token.0 <= fence.0,
            "{target}: {version} is reported under {fence}, and its row is of the later {}",
            row.token
        );
        self.takes_effect(place, &row.clone(), seen)
    }

    fn next<'a>(&self, place: usize, found: &'a [Found]) -> Result<Option<&'a LedgerRow>> {
        let told = self.told.get(place).context("a target has a place")?;
        let found = found.get(place).with_context(|| format!("{} was not looked at", told.id))?;
        Ok(found.seen.ledger.get(told.rows))
    }

    fn takes_effect(&mut self, place: usize, row: &LedgerRow, seen: &mut Seen) -> Result<()> {
        let told = self.told.get_mut(place).context("a target has a place")?;
        let (target, ran_under) = (told.id.clone(), Fence(row.token.0));
        let Some(rollout) = self.leases.get(&(target.clone(), ran_under)) else {
            bail!("{target}: {} ran under {ran_under}, which is no lease of it", row.step);
        };
        told.rows += 1;
        seen.effects += 1;
        let old = std::mem::replace(&mut told.fence, ran_under);
        let effect = effect(told, row);
        if old != ran_under {
            self.watch.see(Said::Fence { target: &target, old, new: ran_under })?;
        }
        let plan = self.watch.fleet().rollouts.get(rollout).map(|state| &state.plan);
        let gauged =
            plan.and_then(|plan| self.measured.gauged(plan, (told.engine, row), ran_under));
        if let Some((gauged, says)) = gauged {
            for read in &gauged {
                self.watch.see(Said::Gauged(read))?;
            }
            self.watch.see(Said::Begins { fence: ran_under, at: row.at_ms })?;
            seen.gauged += usize::from(says);
        }
        self.watch.see(Said::Effect(&effect))?;
        Ok(())
    }

    /// Rows of repairs up to this fence's; the ledger is what it is then.
    fn mended(
        &mut self,
        place: usize,
        fence: Fence,
        found: &[Found],
        seen: &mut Seen,
    ) -> Result<()> {
        while let Some(row) = self.next(place, found)? {
            let told = self.told.get_mut(place).context("a target has a place")?;
            let by = (told.id.clone(), Fence(row.token.0));
            if row.token.0 > fence.0 || !self.mends.contains(&by) {
                break;
            }
            told.rows += 1;
        }
        let told = self.told.get_mut(place).context("a target has a place")?;
        let rows = found.get(place).and_then(|found| found.seen.ledger.get(..told.rows));
        let ledger = db::applied(rows.unwrap_or_default()).into_iter().map(entry).collect();
        let target = told.id.clone();
        let old = std::mem::replace(&mut told.fence, fence);
        self.watch.see(Said::Fence { target: &target, old, new: fence })?;
        let database = Database { target, ledger, fence, open_intent: None };
        self.watch.see(Said::Mended(&Mended { fence, database }))?;
        seen.mended += 1;
        Ok(())
    }

    /// Rows take effect that nobody will report: those of leases for which `barred` holds.
    fn untold(
        &mut self,
        place: usize,
        found: &[Found],
        seen: &mut Seen,
        barred: impl Fn(Option<RolloutId>) -> bool,
    ) -> Result<()> {
        while let Some(row) = self.next(place, found)?.cloned() {
            let told = self.told.get(place).context("a target has a place")?;
            let (id, fence) = (told.id.clone(), Fence(row.token.0));
            let of = self.leases.get(&(id.clone(), fence)).copied();
            // It is of a lease that comes only behind this event.
            if of.is_none() && fence.0 >= self.seq() {
                return Ok(());
            }
            if !barred(of) {
                return Ok(());
            }
            let rollout = of.with_context(|| {
                format!("{id}: a row of {} under {fence}, which is no lease of it", row.step)
            })?;
            ensure!(
                given_up(self.fleet(), &id, rollout),
                "{id}: {} took effect under {fence} for {rollout}, and the log tells of {} rows; nothing in \
                 it says that the target was given up",
                row.step,
                told.rows
            );
            self.takes_effect(place, &row, seen)?;
            seen.untold += 1;
        }
        Ok(())
    }

    /// Nothing moves any more.
    pub(super) fn end(&mut self, news: &News, found: &[Found], acked: &[(u64, Seq)]) -> Result<()> {
        let root: [u8; 32] = news.root.as_slice().try_into().context("a root has 32 bytes")?;
        for node in 1..=news.nodes {
            self.watch.see(Said::Root { node, len: self.seq(), root: Digest(root) })?;
        }
        for (node, before) in acked {
            self.watch.see(Said::Acked { node: *node, before: *before })?;
        }
        for (told, found) in self.told.iter().zip(found) {
            let database = Database {
                target: told.id.clone(),
                ledger: found.seen.applied().into_iter().map(entry).collect(),
                fence: Fence(found.seen.fence.map_or(0, |fence| fence.0)),
                open_intent: found.seen.intent.as_ref().map(|intent| intent.step.clone()),
            };
            self.watch.see(Said::Found(&database))?;
        }
        self.watch.see(Said::End)?;
        Ok(())
    }
}

fn entry(row: &LedgerRow) -> Entry {
    Entry { version: Version::from(row.step.as_str()), digest: Digest(row.digest) }
}

fn effect(told: &Told, row: &LedgerRow) -> Effect {
    let statements = told.engine == db::Engine::Mysql || row.step == IN_BATCHES;
    Effect {
        target: told.id.clone(),
        entry: entry(row),
        script: match row.direction {
            db::Direction::Up => Direction::Up,
            db::Direction::Down => Direction::Down,
        },
        fence: told.fence,
        whole: true,
        intent: statements,
        statements,
    }
}

fn count(body: &Body, seen: &mut Seen) {
    match body {
        Body::LeaseExpired { released, .. } => seen.expired += usize::from(!released),
        Body::StepApplied { already, .. } | Body::StepRolledBack { already, .. } => {
            seen.already += usize::from(*already);
        }
        Body::StepFailed { .. } => seen.failed += 1,
        Body::StepStuck { .. } => seen.stuck += 1,
        Body::RolloutCompleted { .. } => seen.completed += 1,
        Body::RolloutRolledBack { .. } => seen.rolled_back += 1,
        Body::RolloutHalted { .. } => seen.halted += 1,
        _ => {}
    }
}
