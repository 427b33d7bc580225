//! Somebody who plans, starts, pauses, resumes and rolls back, and asks again when no answer comes.

use std::sync::Arc;

use skein_core::command::{Command, Depth, Extent, Waiver};
use skein_core::event::Stop;
use skein_core::ids::{Digest, FreezeId, Millis, RequestId, RolloutId, WaveIx};
use skein_core::plan::{self, Plan};
use skein_core::spec::{Condition, Knob, Limit, Selector, Spec};
use skein_core::state::rollout::{State, Status};

use super::coverage::Reach;
use super::database::digest;
use super::dice::{Dice, Stream};
use super::leader::Waiter;
use super::{Happening, Sim, calendar, spec};

/// A request, kept to be sent again.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    id: RequestId,
    body: u64,
    command: Command,
}

const PERSON: &str = "ann";

impl Sim {
    pub(super) fn operate(&mut self) {
        if self.healed {
            return self.let_go();
        }
        let number = self.run.numbers[0];
        self.run.numbers[0] += 1;
        let mut dice = self.dice(Stream::Operation, number);
        let idle = self.leader.ahead.active.is_empty();
        let next = dice.between(100, if idle { 800 } else { 3_000 });
        self.at(next, Happening::Operator);
        if self.options.without.operations.contains(&number) {
            return;
        }
        if dice.chance(200) {
            self.read_status(dice.below(2));
        }
        if !self.leader.up {
            return;
        }
        let mut beside = dice.beside(Stream::Waivers);
        if beside.chance(80)
            && let Some(command) = self.leave_out_for_a_while(&mut beside)
        {
            self.request(command);
        }
        if let Some(further) = self.further(&mut beside).filter(|_| beside.chance(200)) {
            self.request(further);
        }
        if let Some(rollout) = self.is_back().filter(|_| beside.chance(60)) {
            let all = beside.chance(700);
            self.goes_forward(rollout, all);
            self.request(Command::ResumeRollout { rollout, all });
        }
        let mut beside = dice.beside(Stream::Batches);
        if let Some(rollout) = self.amid_batches().filter(|_| beside.chance(400)) {
            let (reason, stop) = ("it is slow".to_owned(), Stop::BehindBatches);
            self.request(if beside.chance(500) {
                Command::PauseRollout { rollout, reason, stop }
            } else {
                Command::SetKnobs { rollout, knobs: vec![spec::rebatch(&mut beside)] }
            });
        }
        match dice.below(40) {
            _ if idle && dice.chance(600) => self.plan_and_start(number, &mut dice),
            0..=15 => self.plan_and_start(number, &mut dice),
            16 => {
                let target = self.databases[dice.place(self.databases.len())].id.clone();
                let planned =
                    self.leader.ahead.rollouts.values().any(|state| {
                        state.status == Status::Planned
                            && state.plan.waves.iter().any(|wave| {
                                wave.targets.iter().any(|(planned, _)| *planned == target)
                            })
                    });
                if planned {
                    self.reach(Reach::PlanOfRetired);
                }
                self.request(Command::RetireTarget { target, reason: "merged".to_owned() });
            }
            17 => self.restore_on_purpose(&mut dice),
            18 => self.start_an_old_one(&mut dice),
            19..=21 => self.again(&mut dice),
            22 => self.under_another_charter(&mut dice),
            23 => self.a_plan_of_yesterday(number, &mut dice),
            24..=27 => {
                let command = self.on_some_targets(&mut dice);
                self.request(command);
            }
            28..=30 => self.repair(&mut dice),
            31 => self.freeze_or_thaw(&mut dice),
            32 | 33 => {
                let rollout = self.some_rollout(&mut dice);
                let part = dice.chance(600).then(|| (self.one_or_all(&mut dice), None));
                let reason = "it holds a lock".to_owned();
                self.request(Command::CancelLanes { rollout, part, reason });
            }
            _ => self.on_a_rollout(&mut dice),
        }
    }

    /// One target, or everything.
    fn one_or_all(&self, dice: &mut Dice) -> Selector {
        let mut selector = Selector::default();
        if dice.chance(700) {
            let one = dice.place(self.databases.len());
            selector.targets = vec![self.databases[one].id.0.clone()];
        }
        selector
    }

    fn freeze_or_thaw(&mut self, dice: &mut Dice) {
        let mut selector = self.one_or_all(dice);
        if dice.chance(50) {
            selector.condition = Some(Condition::new("held".to_owned()));
        }
        let reason = if dice.chance(100) { "" } else { "an audit" }.to_owned();
        let command = if dice.chance(400) {
            let freezes = if dice.chance(100) { vec![FreezeId(99)] } else { Vec::new() };
            Command::Thaw { freezes, selector, reason }
        } else {
            let over = dice.chance(100);
            let long = if over { 0 } else { u64::from(dice.below(6_000)) };
            let until = dice.chance(700).then(|| Millis(self.clock().0 + long));
            Command::Freeze { selector, until, reason }
        };
        self.request(command);
    }

    /// After the last fault: what is paused, held or waits for a word goes on, so that everything comes
    /// to an end.
    fn let_go(&mut self) {
        if !self.leader.up {
            return self.at(500, Happening::Operator);
        }
        let mut words = Vec::new();
        if self.leader.ahead.freezes.values().any(|freeze| freeze.until.is_none()) {
            let (freezes, selector) = (Vec::new(), Selector::default());
            words.push(Command::Thaw { freezes, selector, reason: "go on".to_owned() });
        }
        for state in self.leader.ahead.rollouts.values().filter(|state| state.is_open()) {
            let (rollout, reason) = (state.id, "go on".to_owned());
            if state.status == Status::Paused && state.aborted.is_none() {
                words.push(Command::ResumeRollout { rollout, all: false });
            }
            if state.lanes.iter().any(|(_, lane)| lane.held.is_some()) {
                let (selector, wave) = (Selector::default(), None);
                words.push(Command::ReleaseLanes { rollout, selector, wave });
            }
            if state.waits_for_absent() {
                let (selector, reason, until) = (Selector::default(), reason.clone(), None);
                words.push(Command::SkipTargets { rollout, selector, reason, until });
            }
            if let Some(wave) = state.unapproved() {
                words.push(Command::ApproveWave { rollout, wave, reason });
            }
        }
        if self.leader.ahead.rollouts.values().any(State::is_open) {
            // What he asks for may be lost with a leader, and another wave may wait for his word.
            self.at(2_000, Happening::Operator);
        }
        for word in words {
            self.urge(PERSON, word);
        }
    }

    fn make_plan(&mut self, dice: &mut Dice) -> Option<(Spec, Plan)> {
        let held = self.leader.ahead.targets.iter().any(|(_, one)| !one.problem.is_empty());
        let mut own = dice.clone();
        let mut spec = spec::question(dice, &self.bundles, &self.databases, held);
        calendar::pace(&mut own, self.clock(), &mut spec);
        match plan::make(&self.leader.ahead, &spec) {
            Ok(made) => Some((spec, made)),
            Err(refusal) => {
                if self.options.refusals {
                    self.run.coverage.refusal(&refusal);
                }
                self.note(|| format!("no plan: {refusal}"));
                None
            }
        }
    }

    fn plan_and_start(&mut self, number: u64, dice: &mut Dice) {
        let Some((spec, made)) = self.make_plan(dice) else { return };
        if made.is_empty() && dice.chance(900) {
            return;
        }
        let id = digest(&format!("plan {number}"));
        self.request(Command::PlanRollout { spec: Box::new(spec), plan: Arc::new(made), id });
        if dice.chance(900) {
            let waivers = waivers(dice);
            self.request(Command::StartRollout { plan: id, waivers });
        }
    }

    /// The fleet has moved since it was made, or whoever sends it has changed it.
    fn a_plan_of_yesterday(&mut self, number: u64, dice: &mut Dice) {
        let Some((spec, mut made)) = self.make_plan(dice) else { return };
        made.up_to_date += 1;
        let id = digest(&format!("old plan {number}"));
        self.request(Command::PlanRollout { spec: Box::new(spec), plan: Arc::new(made), id });
    }

    fn start_an_old_one(&mut self, dice: &mut Dice) {
        let plans: Vec<Digest> =
            self.leader.ahead.rollouts.values().map(|state| state.plan_id).collect();
        let plan = if plans.is_empty() || dice.chance(100) {
            digest("nobody's")
        } else {
            plans[dice.place(plans.len())]
        };
        let waivers = waivers(dice);
        self.request(Command::StartRollout { plan, waivers });
    }

    fn restore_on_purpose(&mut self, dice: &mut Dice) {
        let database = dice.place(self.databases.len());
        let target = self.databases[database].id.clone();
        let archive = format!("{target}.dump");
        let reason = if dice.chance(200) { String::new() } else { "an old mistake".to_owned() };
        let spoken = !reason.is_empty();
        self.request(Command::StartRestore { target, archive, reason });
        if spoken && dice.chance(700) {
            self.restore(database, dice);
        }
    }

    fn under_another_charter(&mut self, dice: &mut Dice) {
        let rollout = self.some_rollout(dice);
        let (reason, stop) = ("let me see".to_owned(), Stop::AfterLegs);
        let command = Command::PauseRollout { rollout, reason, stop };
        let other = digest("another charter");
        if let Ok(Some(_)) = self.ask_under(other, PERSON, None, command) {
            self.refused("another charter is refused", "a pause was accepted".to_owned());
        }
    }

    pub(super) fn some_rollout(&self, dice: &mut Dice) -> RolloutId {
        let last = self.leader.ahead.rollouts.last_key_value().map_or(0, |(id, _)| id.0);
        RolloutId(last.saturating_sub(dice.below(3)))
    }

    fn on_a_rollout(&mut self, dice: &mut Dice) {
        let rollout = self.some_rollout(dice);
        let status = self.leader.ahead.rollouts.get(&rollout).map(|state| state.status);
        let aborted =
            self.leader.ahead.rollouts.get(&rollout).is_some_and(|it| it.aborted.is_some());
        if aborted && dice.chance(500) {
            return self.request(Command::ResumeRollout { rollout, all: false });
        }
        let widen = status == Some(Status::Unwinding) && dice.chance(500);
        if !widen && dice.chance(300) {
            let command = self.turn_a_knob(rollout, dice);
            return self.request(command);
        }
        let command = match if widen { 5 } else { dice.below(6) } {
            0 => {
                let stop = if dice.chance(400) { Stop::AfterSteps } else { Stop::AfterLegs };
                Command::PauseRollout { rollout, reason: "let me see".to_owned(), stop }
            }
            1..=3 => {
                self.comes_to(rollout, false);
                // Of its own: whatever else a seed means, it meant before.
                let all = dice.clone().chance(300);
                self.goes_forward(rollout, all);
                Command::ResumeRollout { rollout, all }
            }
            _ => {
                self.comes_to(rollout, true);
                let mut selector = Selector::default();
                if dice.chance(400) {
                    let one = dice.place(self.databases.len());
                    selector.targets = vec![self.databases[one].id.0.clone()];
                }
                let steps = dice.below(3);
                let waivers = waivers(dice);
                let wave = dice.chance(150).then(|| WaveIx(dice.below(4)));
                let depth = if dice.chance(200) { self.depth_of(dice) } else { depth(steps) };
                let extent = Extent { selector, wave, depth };
                Command::RollBackRollout { rollout, extent, waivers }
            }
        };
        self.request(command);
    }

    /// To a version, or to where some targets were at a time.
    fn depth_of(&self, dice: &mut Dice) -> Depth {
        if dice.chance(300) {
            let kept = self.databases.iter().map(|one| (one.id.clone(), dice.below(3)));
            return Depth::Time(self.leader.ahead.seq, kept.collect());
        }
        let bundle = &self.bundles[dice.place(self.bundles.len())];
        let migration = dice.place(bundle.migrations.len());
        Depth::Version(bundle.migrations[migration].version.clone())
    }

    /// What changes a rollout that is under way.
    fn turn_a_knob(&mut self, rollout: RolloutId, dice: &mut Dice) -> Command {
        let mut selector = Selector::default();
        if dice.chance(700) {
            let one = dice.place(self.databases.len());
            selector.targets = vec![self.databases[one].id.0.clone()];
        }
        let wave = dice.chance(200).then(|| WaveIx(dice.below(3)));
        let reason = "let me see".to_owned();
        match dice.below(12) {
            0 => {
                // Whoever does so wants it back at once, now and then.
                self.request(Command::AbortRollout { rollout, reason });
                Command::ResumeRollout { rollout, all: false }
            }
            1 | 2 => Command::ApproveWave { rollout, wave: WaveIx(dice.below(3)), reason },
            3 | 4 => {
                let stop = if dice.chance(500) { Stop::AfterSteps } else { Stop::AfterLegs };
                let behind = stop == Stop::AfterSteps && dice.clone().chance(500);
                let stop = if behind { Stop::BehindBatches } else { stop };
                Command::HoldLanes { rollout, selector, wave, reason, stop }
            }
            // Not all of it, as a rule: what is given up ends the rollout for nobody.
            7..=9 if selector != Selector::default() => {
                let given_up = Command::AbortLanes { rollout, selector, wave, reason };
                // Whoever does so may want all of it back at once. Of its own: whatever else a seed means, it meant before.
                let mut own = dice.clone();
                if !own.chance(700) {
                    return given_up;
                }
                self.request(given_up);
                let (extent, waivers) = (Extent::default(), waivers(&mut own));
                Command::RollBackRollout { rollout, extent, waivers }
            }
            5 | 6 => Command::ReleaseLanes { rollout, selector, wave },
            _ => {
                let state = self.leader.ahead.rollouts.get(&rollout);
                let throttled =
                    state.is_some_and(|state| !state.plan.spec.strategy.throttles.is_empty());
                Command::SetKnobs { rollout, knobs: knobs(dice, throttled) }
            }
        }
    }

    pub(super) fn request(&mut self, command: Command) {
        let number = u64::try_from(self.requests.len()).unwrap_or(u64::MAX);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let asked = Asked { id: RequestId(id), body: number, command };
        self.requests.push(asked.clone());
        self.put(asked);
    }

    /// An earlier request once more: as it was, or with another body under the same id.
    fn again(&mut self, dice: &mut Dice) {
        if self.requests.is_empty() {
            return;
        }
        let one = dice.place(self.requests.len());
        let mut asked = self.requests[one].clone();
        if dice.chance(300) {
            self.reach(Reach::RequestIdReused);
            asked.body += 1_000_000;
        }
        self.put(asked);
    }

    fn put(&mut self, asked: Asked) {
        let Asked { id, body, command } = asked;
        self.note(|| format!("asked: {command:?}"));
        let acts_later = matches!(
            &command,
            Command::PauseRollout { .. }
                | Command::ResumeRollout { .. }
                | Command::SetKnobs { .. }
                | Command::ApproveWave { .. }
                | Command::HoldLanes { .. }
                | Command::CancelLanes { .. }
                | Command::Freeze { .. }
                | Command::Thaw { .. }
                | Command::ReleaseLanes { .. }
                | Command::AbortRollout { .. }
                | Command::AbortLanes { .. }
                | Command::RollBackRollout { .. }
                | Command::RetryTargets { .. }
                | Command::SkipTargets { .. }
                | Command::Repair(_)
                | Command::WithdrawRepair { .. }
        );
        let answer = match self.ask(PERSON, Some((id, body)), command) {
            Ok(None) if acts_later => {
                let what = format!("{id:?} was accepted, and a late copy of it would act");
                return self.refused("what was accepted is remembered", what);
            }
            // A plan or a bundle that is there: a late copy finds it, too.
            Ok(None) => return,
            Ok(first) => first,
            Err(_) => None,
        };
        self.wait(Waiter::Person(id, body, answer));
    }
}

fn knobs(dice: &mut Dice, throttled: bool) -> Vec<Knob> {
    // Of their own: whatever else a seed means, it meant before there were throttles.
    let mut own = dice.clone();
    let mut knobs: Vec<Knob> = (0..=dice.below(2)).map(|_| knob(dice)).collect();
    if own.chance(if throttled { 800 } else { 200 }) {
        knobs = vec![spec::setting(&mut own)];
    } else if own.chance(60) {
        knobs = vec![Knob::Windows(own.chance(300))];
    } else if own.chance(70) {
        knobs = vec![Knob::HeavyPerGroup(own.below(3))];
    }
    knobs
}

fn knob(dice: &mut Dice) -> Knob {
    match dice.below(7) {
        0 => Knob::Parallelism(dice.below(6)),
        1 => Knob::SoakMs(u64::from(500 * dice.below(4))),
        2 => Knob::BudgetFailed(dice.below(4)),
        3 => Knob::BudgetPercent(30 * dice.below(5)),
        4 => Knob::PerGroup(dice.below(3)),
        5 => {
            let label = if dice.chance(50) { "" } else { "ring" };
            Knob::Limit(Limit { label: label.to_owned(), most: dice.below(3) })
        }
        _ => Knob::Retries(dice.below(3)),
    }
}

pub(super) fn waivers(dice: &mut Dice) -> Vec<Waiver> {
    let waiver =
        |step: &str, reason: &str| Waiver { step: step.to_owned(), reason: reason.to_owned() };
    match dice.below(12) {
        0 => Vec::new(),
        1 => vec![waiver("*", " ")],
        2 => vec![waiver("2", "agreed")],
        _ => vec![waiver("*", "agreed")],
    }
}

/// So many steps; zero: all.
fn depth(steps: u32) -> Depth {
    if steps == 0 { Depth::Whole } else { Depth::Steps(steps) }
}
