//! The log, event by event, with each row of a target's ledger put where it took effect: before the
//! event that reports it. The invariants of `skein-chaos` watch.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};
use skein_agent::db::{self, LedgerRow};
use skein_chaos::invariants::Watch;
use skein_chaos::observation::{Database, Effect, Seen as Said};
use skein_core::event::{Body, Event};
use skein_core::ids::{Digest, Fence, RequestId, TargetId, Version};
use skein_core::spec::Direction;
use skein_core::state::Fleet;
use skein_core::state::ledger::Entry;
use skein_core::state::rollout::Phase;

use super::Seen;
use super::agreement::News;
use super::truth::Found;
use crate::world::target::Target;

/// A target as the replay has come to know it.
#[derive(Debug)]
struct Told {
    id: TargetId,
    /// Step by step, without one transaction around them.
    statements: bool,
    /// Rows of its ledger that an event has reported.
    rows: usize,
    /// Under which the last of them ran.
    fence: Fence,
}

#[derive(Debug, Default)]
pub(super) struct Replay {
    watch: Watch,
    told: Vec<Told>,
    leases: BTreeSet<(TargetId, Fence)>,
    requests: BTreeSet<RequestId>,
}

impl Replay {
    pub(super) fn new(targets: &[Target]) -> Self {
        let told = targets.iter().map(|target| Told {
            id: TargetId(target.id.clone()),
            statements: target.engine == db::Engine::Mysql,
            rows: 0,
            fence: Fence(0),
        });
        Self { told: told.collect(), ..Self::default() }
    }

    pub(super) fn seq(&self) -> u64 {
        self.watch.log().len() as u64
    }

    pub(super) fn fleet(&self) -> &Fleet {
        self.watch.fleet()
    }

    pub(super) fn requests(&self) -> &BTreeSet<RequestId> {
        &self.requests
    }

    /// Whether the log itself says that a target is not where it should be.
    pub(super) fn named(&self, id: &str) -> bool {
        let Some((ix, target)) = self.fleet().target(&TargetId(id.to_owned())) else {
            return false;
        };
        let lanes = self.fleet().rollouts.values().flat_map(|state| state.lanes.iter());
        !target.problem.is_empty()
            || lanes.map(|(_, lane)| lane).any(|lane| {
                lane.target == ix
                    && (lane.doubt
                        || lane.partly
                        || matches!(lane.phase, Phase::Stuck | Phase::Residual | Phase::Failed))
            })
    }

    /// Events that are new, and what the targets are after all of them.
    pub(super) fn events(&mut self, news: &News, found: &[Found], seen: &mut Seen) -> Result<()> {
        for event in &news.events {
            self.rows(event, found, seen).with_context(|| format!("event {}", event.seq))?;
            if let Body::LegAssigned { target, .. } = &event.body {
                self.leases.insert((target.clone(), Fence(event.seq.0)));
            }
            self.requests.extend(event.request.map(|(id, _)| id));
            self.watch.see(Said::Event(event)).with_context(|| format!("event {}", event.seq))?;
            for node in 1..=news.nodes {
                self.watch.see(Said::Applied { node, event })?;
            }
            count(&event.body, seen);
        }
        seen.events += news.events.len();
        for (told, found) in self.told.iter().zip(found) {
            let rows = found.seen.ledger.len();
            ensure!(
                told.rows == rows,
                "{} has {rows} rows in its ledger, and the log tells of {}",
                told.id,
                told.rows
            );
        }
        Ok(())
    }

    /// The row of a ledger that an event reports takes effect.
    fn rows(&mut self, event: &Event, found: &[Found], seen: &mut Seen) -> Result<()> {
        let (target, version, fence) = match &event.body {
            Body::StepApplied { target, version, fence, .. }
            | Body::StepRolledBack { target, version, fence, .. } => (target, version, *fence),
            _ => return Ok(()),
        };
        let place = self.told.iter().position(|told| told.id == *target);
        let Some(place) = place else { return Ok(()) };
        let (Some(told), Some(found)) = (self.told.get_mut(place), found.get(place)) else {
            bail!("{target} was not looked at");
        };
        let row = found.seen.ledger.get(told.rows);
        let row = row.with_context(|| {
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
        let ran_under = Fence(row.token.0);
        ensure!(
            self.leases.contains(&(target.clone(), ran_under)),
            "{target}: {version} ran under {ran_under}, which is no lease of it"
        );
        told.rows += 1;
        seen.effects += 1;
        let old = std::mem::replace(&mut told.fence, ran_under);
        let effect = effect(told, row);
        if old != ran_under {
            self.watch.see(Said::Fence { target, old, new: ran_under })?;
        }
        self.watch.see(Said::Effect(&effect))?;
        Ok(())
    }

    /// Nothing moves any more.
    pub(super) fn end(&mut self, found: &[Found]) -> Result<()> {
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
    Effect {
        target: told.id.clone(),
        entry: entry(row),
        script: match row.direction {
            db::Direction::Up => Direction::Up,
            db::Direction::Down => Direction::Down,
        },
        fence: told.fence,
        whole: true,
        intent: told.statements,
        statements: told.statements,
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
