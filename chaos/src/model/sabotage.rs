//! Planted bugs of whatever is around the core: events that no rule has made.

use std::sync::Arc;

use skein_core::event::{Body, Event, LegKind, Overrun};
use skein_core::forecast::Forecast;
use skein_core::hours::{Hours, Shut, frozen};
use skein_core::ids::{ClassIx, RepairId, StepIx, WaveIx};
use skein_core::spec::{Gate, Quantiles, Question};
use skein_core::state::repair::Order;
use skein_core::state::rollout::{Lane, Phase, State, Status};
use skein_core::state::target;

use super::Sim;
use super::leader::SCHEDULER;
use super::mutation::Mutation;

impl Sim {
    pub(super) fn sabotage(&mut self) {
        let Some(mutation) = self.options.mutation else { return };
        let rollouts = self.leader.ahead.rollouts.values();
        let Some(body) = rollouts.rev().find_map(|state| self.wanted(mutation, state)) else {
            return;
        };
        let event = Event {
            seq: self.leader.ahead.seq,
            at: self.clock(),
            actor: SCHEDULER.to_owned(),
            charter: self.leader.ahead.charter(),
            request: None,
            body,
        };
        self.propose(vec![event]);
    }

    fn wanted(&self, mutation: Mutation, state: &State) -> Option<Body> {
        let wanted = match mutation {
            Mutation::OpensWaves => {
                let more = usize::try_from(state.opened)
                    .is_ok_and(|opened| opened < state.plan.waves.len());
                let early = state.status == Status::Running && more && state.leased() > 0;
                let wave = WaveIx(state.opened);
                return early.then_some(Body::WaveStarted { rollout: state.id, wave });
            }
            Mutation::SkipsGates => {
                let more = usize::try_from(state.opened)
                    .is_ok_and(|opened| opened < state.plan.waves.len());
                let done = state.status == Status::Running && state.under_way() == 0;
                let wave = WaveIx(state.opened);
                let early = more && done && !state.breached() && state.check().is_some();
                return early.then_some(Body::WaveStarted { rollout: state.id, wave });
            }
            Mutation::ForgetsArrivals => {
                let come = state.arrived().chain(state.awaited.keys().copied()).next();
                let target = self.leader.ahead.targets.get(come?)?.id.clone();
                let running = state.status == Status::Running;
                return running.then(|| Body::ArrivalsSettled {
                    rollout: state.id,
                    classes: Vec::new(),
                    joined: Vec::new(),
                    awaited: Vec::new(),
                    settled: vec![target],
                });
            }
            Mutation::CallsItRolledBack => {
                let over = state.status == Status::Halted && state.turned;
                let half = |lane: &Lane| lane.partly && lane.phase == Phase::Residual;
                let half = over && state.lanes.iter().any(|(_, lane)| half(lane));
                return half.then_some(Body::RolloutRolledBack { rollout: state.id });
            }
            Mutation::CriesTwice => {
                let late = |lane: &&Lane| lane.phase == Phase::Leased && lane.overran;
                let lane = state.lanes.iter().map(|(_, lane)| lane).find(late)?;
                let target = self.leader.ahead.targets.get(lane.target)?;
                let step = StepIx(lane.applied);
                let overrun = Overrun {
                    rollout: state.id,
                    target: target.id.clone(),
                    fence: lane.fence?,
                    version: state.step(lane, step)?.entry.version.to_string(),
                    step,
                    undo: false,
                    ms: u64::MAX,
                    forecast: Forecast { samples: 1, ..Forecast::default() },
                };
                return Some(Body::StepOverran { overrun: Box::new(overrun) });
            }
            Mutation::TakesForward => {
                let chosen = |lane: &Lane| lane.phase == Phase::Undone && !lane.breach;
                let lanes = || state.lanes.iter().map(|(_, lane)| lane).filter(|it| chosen(it));
                let over = state.status == Status::RolledBack;
                let wave = lanes().map(|lane| lane.wave).min().filter(|_| over)?;
                let named = |lane: &Lane| self.leader.ahead.targets.get(lane.target);
                return Some(Body::RolloutTurnedForward {
                    rollout: state.id,
                    wave: wave.min(WaveIx(state.opened)),
                    targets: lanes().filter_map(|it| Some(named(it)?.id.clone())).collect(),
                    all: false,
                });
            }
            Mutation::MeasuresLate => {
                let compares = |gate: &&Gate| matches!(&gate.question, Question::Latency(latency) if latency.compares());
                let gate = state.plan.spec.strategy.gates.iter().find(compares)?;
                let late = |lane: &&Lane| lane.phase == Phase::Leased && lane.applied > 0;
                let lane = state.lanes.iter().map(|(_, lane)| lane).find(late)?;
                return Some(Body::BaselineTaken {
                    rollout: state.id,
                    target: self.leader.ahead.targets.get(lane.target)?.id.clone(),
                    fence: lane.fence?,
                    gate: gate.name.clone(),
                    queries: vec![Quantiles::default()],
                });
            }
            Mutation::GrantsPastRoom => {
                let full = state.status == Status::Running
                    && !state.breached()
                    && state.leased() == state.parallelism();
                let free = |lane: &Lane| {
                    let target = self.leader.ahead.targets.get(lane.target);
                    lane.phase == Phase::Ready
                        && lane.held.is_none()
                        && target.is_some_and(|target| target.lease.is_none())
                };
                let lane = state.lanes.iter().find(|(_, lane)| full && free(lane));
                return self.lease(state, lane?.1.target);
            }
            Mutation::AdoptsInVain => return self.adopts_in_vain(),
            Mutation::LeasesTwice => {
                let target = state.lanes.iter().find(|(_, lane)| lane.phase == Phase::Leased);
                return self.lease(state, target?.1.target);
            }
            Mutation::GrantsHeld => {
                let held = |lane: &Lane| lane.held.is_some() && lane.phase == Phase::Ready;
                // Nothing else is wrong with it.
                let running = state.status == Status::Running
                    && !state.breached()
                    && state.leased() < state.parallelism();
                let lane = state.lanes.iter().find(|(_, lane)| running && held(lane));
                return self.lease(state, lane?.1.target);
            }
            Mutation::GrantsFrozen => {
                let fleet = &self.leader.ahead;
                let now = fleet.time;
                let running = state.status == Status::Running && !state.breached();
                let meant = |lane: &Lane| {
                    let target = fleet.targets.get(lane.target);
                    lane.held.is_none()
                        && lane.phase == Phase::Ready
                        && target.is_some_and(|target| frozen(fleet, target, now).is_some())
                };
                let lane = state.lanes.iter().find(|(_, lane)| running && meant(lane));
                return self.lease(state, lane?.1.target);
            }
            Mutation::GrantsClosed => {
                let fleet = &self.leader.ahead;
                let mut hours = Hours::default();
                let openings = self.openings.get(&state.id).cloned();
                hours.rollouts.extend(openings.map(|openings| (state.id, openings)));
                let shut = Shut::new(fleet, state, (&hours, fleet.time));
                let running = state.status == Status::Running && !state.breached();
                let meant = |lane: &Lane| {
                    let target = fleet.targets.get(lane.target);
                    lane.held.is_none()
                        && lane.phase == Phase::Ready
                        && target.is_some_and(|target| shut.closed(target).is_some())
                        && target.is_some_and(|it| frozen(fleet, it, fleet.time).is_none())
                };
                let lane = state.lanes.iter().find(|(_, lane)| running && meant(lane));
                return self.lease(state, lane?.1.target);
            }
            Mutation::GrantsWhilePaused => state.status == Status::Paused && !state.turned,
            Mutation::GrantsAfterBreach => state.status == Status::Running && state.breached(),
            _ => false,
        };
        let ready = state.lanes.iter().find(|(_, lane)| wanted && lane.phase == Phase::Ready);
        self.lease(state, ready?.1.target)
    }

    fn adopts_in_vain(&self) -> Option<Body> {
        let fleet = &self.leader.ahead;
        let free = |target: &&target::State| {
            target.lane.is_none() && target.mend.is_none() && !target.retired
        };
        let all = fleet.targets.iter().map(|(_, target)| target).filter(free);
        let mut vain = all.filter_map(|target| {
            let tried = target.unadopted.as_ref().filter(|it| it.schema == target.fingerprint)?;
            let state = fleet.repairs.get(&tried.repair)?;
            let line = state.lines.get(usize::try_from(tried.line).ok()?)?;
            let targets = vec![(target.id.clone(), line.class)];
            Some(Order { targets, waiver: String::new(), ..(*state.order).clone() })
        });
        let order = Box::new(vain.next()?);
        let next = fleet.repairs.last_key_value().map_or(1, |(last, _)| last.0 + 1);
        Some(Body::RepairOrdered { repair: RepairId(next), order })
    }

    /// What was decided rightly is written down wrongly.
    pub(super) fn misplace(&self, events: &mut [Event]) {
        for event in events {
            match &mut event.body {
                Body::ArrivalsSettled { rollout, classes, joined, .. }
                    if self.mutated(Mutation::JoinsAnyhow) =>
                {
                    let Some(state) = self.leader.ahead.rollouts.get(rollout) else { continue };
                    let known = state.plan.classes.len() + state.late.len();
                    if let Some(class) = classes.first_mut().filter(|it| it.steps.len() > 1) {
                        class.steps.remove(0);
                    } else if let Some((_, wave, class)) = joined.first_mut() {
                        let other = (0..).map(ClassIx).take(known).find(|other| other != class);
                        *class = other.unwrap_or(*class);
                        *wave = WaveIx(0);
                    }
                }
                Body::RolloutPlanned { plan, .. } if self.mutated(Mutation::MixesRegions) => {
                    let waves = &mut Arc::make_mut(plan).waves;
                    let first = waves.iter().position(|wave| !wave.part.is_empty());
                    let Some(first) = first else { continue };
                    let part = waves[first].part.clone();
                    let other = waves.iter().position(|it| !it.part.is_empty() && it.part != part);
                    if let Some(other) = other {
                        let member = waves[other].targets[0].clone();
                        waves[other].targets[0] = waves[first].targets[0].clone();
                        waves[first].targets[0] = member;
                    }
                }
                _ => {}
            }
        }
    }

    fn lease(&self, state: &State, target: skein_core::ids::TargetIx) -> Option<Body> {
        let target = self.leader.ahead.targets.get(target)?;
        Some(Body::LegAssigned {
            rollout: state.id,
            target: target.id.clone(),
            agent: target.agents.first()?.clone(),
            kind: LegKind::Forward,
        })
    }
}
