//! What is told of plans, rollouts and targets.

use skein_core::forecast::{self, By};
use skein_core::schedule::{Moment, waits_for};
use skein_core::view;

use super::read::Words;
use super::rollout::{chosen, rollout};
use crate::support::world::World;

/// What is forecast of a plan, and of the rest of a rollout.
pub(super) fn forecast(world: &mut World, words: &Words<'_>) {
    let told = |it: &forecast::Amount| {
        let forecast::Interval { p50, p95 } = it.interval;
        let rows = match it.by_rows {
            0 => String::new(),
            steps => format!(", {steps} steps by rows"),
        };
        let written = match (it.weighed, it.written) {
            (0, _) => String::new(),
            (steps, forecast::Interval { p50, p95 }) => {
                format!(", {steps} of {} steps write {p50} to {p95} bytes", it.steps)
            }
        };
        let (measured, parts) = (it.measured, it.parts);
        format!("{p50} to {p95} ms, {measured} of {parts} parts measured{rows}{written}")
    };
    if words.at(1) != "plan" {
        let state = world.fleet.rollouts.get(&rollout(words)).expect("it is there");
        let rest = forecast::rest(&world.fleet, state, world.now);
        return world.say(rest.as_ref().map_or_else(|| "no forecast".to_owned(), told));
    }
    let plan = chosen(world, words);
    let state = world.fleet.rollouts.values().find(|state| state.plan_id == plan);
    let state = state.expect("it was planned");
    let planned = forecast::planned(&world.fleet, &state.plan).expect("it is no trial");
    let mut said = Vec::new();
    for (class, ix) in planned.classes.iter().zip(1..) {
        let backup = class.backup.iter().map(|it| ("backup".to_owned(), it));
        let steps = class.steps.iter().zip(1..).map(|(it, step)| (format!("step {step}"), it));
        for (what, it) in backup.chain(steps) {
            said.push(match it.forecast {
                None => format!("class {ix} {what}: never measured"),
                Some(one) => format!(
                    "class {ix} {what}: {} to {} ms from {} measurements{}{}{}",
                    one.interval.p50,
                    one.interval.p95,
                    one.samples,
                    match (one.by, it.rows) {
                        (By::Rows, Some(rows)) => format!(", by {rows} rows"),
                        (By::Rows, None) => ", by rows".to_owned(),
                        (By::Bytes, _) => ", by size".to_owned(),
                        (By::Nothing, _) => String::new(),
                    },
                    if it.beyond > 0 { ", beyond what was measured" } else { "" },
                    one.written.map_or_else(String::new, |forecast::Interval { p50, p95 }| {
                        format!(", writes {p50} to {p95} bytes")
                    })
                ),
            });
        }
    }
    let waves = planned.waves.iter().zip(1..);
    said.extend(waves.map(|(wave, number)| format!("wave {number}: {}", told(wave))));
    said.push(format!("whole: {}", told(&planned.whole)));
    world.say(said.join("\n"));
}

/// Of the past nobody knows who was connected.
pub(super) fn moment<'a>(world: &'a World, words: &Words<'_>) -> Moment<'a> {
    let presence = (!words.has("past")).then_some(&world.presence);
    Moment { presence, hours: &world.presence.hours, now: world.now }
}

pub(super) fn status(world: &mut World, words: &Words<'_>) {
    let mut lines = Vec::new();
    for state in world.fleet.rollouts.values() {
        let phases = ["waiting", "ready", "leased", "done", "failed", "stuck", "undo-ready"];
        let phases = phases.into_iter().chain(["undo-leased", "undone", "residual", "waived"]);
        let counts: Vec<String> = phases
            .zip(state.total.all())
            .filter(|(_, count)| **count > 0)
            .map(|(phase, count)| format!("{count} {phase}"))
            .collect();
        lines.push(format!("{} {:?}: {}", state.id, state.status, counts.join(", ")));
        let why = waits_for(&world.fleet, state, moment(world, words));
        if !why.is_empty() {
            lines.push(format!("      {why}"));
        }
        let residual = view::residual(state);
        for (_, lane) in residual.filter(|_| state.status.ended()) {
            let target = world.fleet.targets.get(lane.target).expect("a lane has a target");
            let note = lane.note.as_deref().unwrap_or("no note");
            lines.push(format!(
                "      left over: {}, {} steps in force: {note}",
                target.id, lane.applied
            ));
        }
    }
    world.say(lines.join("\n"));
}

pub(super) fn targets(world: &mut World) {
    let lines: Vec<String> = world
        .fleet
        .targets
        .iter()
        .map(|(_, target)| {
            let ledger: Vec<&str> = world
                .fleet
                .entries
                .spell(&target.ledger)
                .map(|entry| entry.version.as_str())
                .collect();
            let held = if target.problem.is_empty() {
                String::new()
            } else {
                format!(" held: {}", target.problem)
            };
            format!("{} [{}]{held}", target.id, ledger.join(" "))
        })
        .collect();
    world.say(lines.join("\n"));
}
