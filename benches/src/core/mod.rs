//! What the rules cost as the fleet grows: a rollout of ten steps over simulated targets, with the core
//! alone and an executor that does nothing. The cost of an event and of a tick must not grow with the
//! fleet; a straight line through the logarithms of cost and size tells (0: it does not).

mod world;

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::time::Instant;

use self::world::World;
use crate::Options;
use crate::machine::{self, Window};
use crate::report::{Report, progress};
use crate::stats::{Spread, float, log_slope, round, short};

/// Agents that the targets are spread over.
const AGENTS: u32 = 16;
/// Legs of an agent at one time.
const SLOTS: u32 = 64;
/// Growth of the costs of an event that is taken for flat, as a slope.
const SLOPE_MAX: f64 = 0.05;

/// The figures of one size.
const FIGURES: [(&str, &str); 9] = [
    ("events", "events"),
    ("decide_ns", "decide ns/event"),
    ("evolve_ns", "evolve ns/event"),
    ("schedule_ns", "schedule ns/leg"),
    ("idle_ns", "idle tick ns"),
    ("outbox_ns", "outbox ns/leg"),
    ("status_ns", "status ns"),
    ("rss_bytes", "bytes/target"),
    ("replay_per_s", "replayed events/s"),
];

pub(crate) fn run(options: Options) -> Result<()> {
    let window = Window::open();
    let mut report = Report::new("bench-core");
    let sizes: &[u32] = if options.quick { &[100, 1_000] } else { &[1_000, 10_000, 100_000] };
    let mut rows = vec![vec!["targets".to_owned()]];
    rows[0].extend(FIGURES.iter().map(|(_, title)| (*title).to_owned()));
    let mut medians: Vec<(u32, Vec<f64>)> = Vec::new();
    let mut samples = serde_json::Map::new();
    for size in sizes {
        let mut runs = Vec::new();
        for run in 0..options.pairs {
            progress(&format!("{size} targets, run {} of {}", run + 1, options.pairs));
            let mut one = child("run", *size)?;
            one["replay_per_s"] = child("replay", *size)?["replay_per_s"].clone();
            runs.push(one);
        }
        let figure = |name: &str| Spread::of(runs.iter().filter_map(|run| run[name].as_f64()));
        let values: Vec<f64> = FIGURES.iter().map(|(name, _)| figure(name).median).collect();
        let mut row = vec![size.to_string()];
        row.extend(values.iter().map(|value| short(*value)));
        rows.push(row);
        medians.push((*size, values));
        samples.insert(size.to_string(), Value::Array(runs));
    }
    report.table("ten steps a target, 16 agents with 64 legs each; medians", &rows);
    report.line("\nslope against the number of targets (0: flat, 1: linear)");
    let mut slopes = serde_json::Map::new();
    for (place, (name, title)) in FIGURES.iter().enumerate() {
        let points: Vec<(f64, f64)> = medians
            .iter()
            .filter_map(|(size, values)| Some((f64::from(*size), *values.get(place)?)))
            .collect();
        let slope = log_slope(&points);
        let judged = match *name {
            "events" => "linear by nature",
            "rss_bytes" | "replay_per_s" => "",
            _ if slope > SLOPE_MAX => "GROWS with the fleet",
            _ => "flat",
        };
        report.line(format!("  {title:20} {slope:6.3}  {judged}"));
        slopes.insert((*name).to_owned(), json!(round(slope)));
    }
    report.json("sizes", Value::Object(samples));
    report.json("slopes", Value::Object(slopes));
    report.print(window.close(options.quick))
}

/// One measurement in a process of its own, so that memory is its own too.
fn child(kind: &str, targets: u32) -> Result<Value> {
    let program = std::env::current_exe().context("failed to find this program")?;
    let output = Command::new(program)
        .args(["role-core", kind, &targets.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("failed to start a measurement")?;
    if !output.status.success() {
        bail!("the measurement of {targets} targets ended with {}", output.status);
    }
    serde_json::from_slice(&output.stdout).context("failed to read what a measurement found")
}

/// The process of one measurement: `run|replay TARGETS`.
pub(crate) fn role(words: &[String]) -> Result<()> {
    use std::io::Write as _;
    let [kind, targets] = words else { bail!("a measurement wants run|replay TARGETS") };
    let targets: u32 = targets.parse().context("the number of targets")?;
    let found = if kind == "replay" { replay(targets)? } else { costs(targets)? };
    writeln!(std::io::stdout().lock(), "{found}")?;
    Ok(())
}

fn rss() -> Result<f64> {
    let (now, _) = machine::memory("self").context("failed to read this process's memory")?;
    Ok(now * 1024.0 * 1024.0)
}

fn costs(targets: u32) -> Result<Value> {
    let mut world = World::new(false);
    let before = rss()?;
    world.register(targets, AGENTS, SLOTS)?;
    world.plan_and_start()?;
    let (events, ticks, legs) = world.carry_out()?;
    anyhow::ensure!(world.completed(targets), "the rollout has not completed");
    let after = rss()?;
    let clock = clock_cost();
    let each = |time: Duration, calls: u64, count: u64| {
        let net = time.saturating_sub(clock * u32::try_from(calls).unwrap_or(u32::MAX));
        net.as_secs_f64() * 1e9 / float(count)
    };
    let spent = &world.spent;
    let status = {
        let begun = Instant::now();
        for _ in 0..10_000 {
            std::hint::black_box(world.progress());
        }
        begun.elapsed().as_secs_f64() * 1e9 / 10_000.0
    };
    Ok(json!({
        "events": events,
        "legs": legs,
        "decide_ns": round(each(spent.decide, spent.decisions, events)),
        "evolve_ns": round(each(spent.evolve, spent.decisions, events)),
        "schedule_ns": round(each(spent.schedule, 0, legs)),
        "idle_ns": round(each(spent.idle, ticks, ticks)),
        "outbox_ns": round(each(spent.outbox, spent.outboxes, legs)),
        "status_ns": round(status),
        "rss_bytes": round((after - before) / f64::from(targets)),
    }))
}

fn replay(targets: u32) -> Result<Value> {
    let mut world = World::new(true);
    world.register(targets, AGENTS, SLOTS)?;
    world.plan_and_start()?;
    world.carry_out()?;
    let (events, time) = world.replay()?;
    Ok(json!({ "replay_per_s": round(float(events) / time.as_secs_f64()) }))
}

/// What it costs to look at the clock twice, which is part of every time measured.
fn clock_cost() -> Duration {
    const LOOKS: u32 = 100_000;
    let begun = Instant::now();
    for _ in 0..LOOKS {
        std::hint::black_box(Instant::now());
    }
    begun.elapsed() / LOOKS
}
