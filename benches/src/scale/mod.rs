//! What a target costs as the fleet grows, over real coordinators: real gRPC, a real disk, and simulated
//! agents that answer at once. Ten steps a target; what a hundred targets cost is the measure for more.

mod agent;
mod run;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use self::run::{Found, Size, quantile, run as run_once};
use crate::Options;
use crate::commit::batched::AGENTS;
use crate::load::histogram;
use crate::machine::Window;
use crate::report::{Report, progress};
use crate::stats::{Spread, round, short};

/// The fleets; the first is the measure.
const SIZES: [u32; 4] = [100, 1_000, 10_000, 100_000];
/// Each fleet is carried through as many rollouts as it takes for so many legs, so that small ones are
/// measured as well as large ones; at least one up and one down.
const LEGS: u32 = 20_000;
/// The fleet that the goals are about; above it, one rollout is enough.
const JUDGED: u32 = 10_000;
/// Goals at that size, as multiples of the figures at the smallest.
const COST_MAX: f64 = 1.15;
const LATENCY_MAX: f64 = 1.5;

/// What is compared with the smallest fleet.
const COSTS: [(&str, &str); 3] = [
    ("cpu_us_per_leg", "processor time a target"),
    ("kib_per_target", "memory a target"),
    ("events_per_leg", "events a target"),
];

/// All samples of one size.
struct Samples {
    size: Size,
    runs: Vec<Found>,
    status: Histogram<u64>,
    dispatch: Histogram<u64>,
}

impl Samples {
    fn of(&self, name: &str) -> Spread {
        Spread::of(self.runs.iter().map(|run| run.figure(name)))
    }

    fn add(&mut self, found: Found) -> Result<()> {
        self.status.add(&found.status)?;
        self.dispatch.add(&found.dispatch)?;
        self.runs.push(found);
        Ok(())
    }
}

pub(crate) fn run(options: Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(Box::pin(measure(options)))
}

async fn measure(options: Options) -> Result<()> {
    let window = Window::open();
    let mut report = Report::new("bench-scale");
    let largest = if options.quick { 200 } else { options.targets };
    let first = if options.quick { 20 } else { SIZES[0] };
    let sizes = SIZES.into_iter().filter(|size| !options.quick && *size < largest);
    let sizes = std::iter::once(first).chain(sizes.skip(1)).chain([largest]);
    let mut all: Vec<Samples> = Vec::new();
    for targets in sizes {
        let rollouts = if targets > JUDGED { 1 } else { (LEGS / targets).max(2) };
        let rollouts = if options.quick { 2 } else { rollouts };
        let size = Size { targets, rollouts, nodes: options.nodes };
        let (status, dispatch) = (histogram()?, histogram()?);
        all.push(Samples { size, runs: Vec::new(), status, dispatch });
    }
    for pair in 0..options.pairs {
        for samples in &mut all {
            let size = samples.size;
            // The largest says what it takes, and is compared with nothing.
            if size.targets > JUDGED && pair > 0 {
                continue;
            }
            progress(&format!("{} targets, run {} of {}", size.targets, pair + 1, options.pairs));
            samples.add(run_once(size).await?)?;
        }
    }
    table(&mut report, &all);
    verdict(&mut report, &all);
    let json = all.iter().map(|samples| {
        json!({
            "targets": samples.size.targets, "rollouts": samples.size.rollouts,
            "runs": samples.runs.iter().map(Found::json).collect::<Vec<_>>(),
        })
    });
    report.json("sizes", Value::Array(json.collect()));
    report.json("nodes", json!(options.nodes));
    report.print(window.close(options.quick))
}

/// The rows of the table: a figure's name, and what it is called.
const ROWS: [(&str, &str); 20] = [
    ("events_per_s", "events/s"),
    ("rollout_s", "a rollout, s"),
    ("events_per_leg", "events a target"),
    ("cpu_us_per_leg", "processor time a target, µs"),
    ("register_cpu_us_per_target", "the same to register one"),
    ("empty_mib", "memory before, MiB"),
    ("full_mib", "memory after a rollout, MiB"),
    ("registered_kib_per_target", "KiB a target registered"),
    ("kib_per_target", "KiB a target after a rollout"),
    ("restarted_mib", "memory after a restart, MiB"),
    ("status_p50_ms", "status p50, ms"),
    ("status_p99_ms", "status p99, ms"),
    ("status_max_ms", "status, longest, ms"),
    ("dispatch_p50_ms", "dispatch p50, ms"),
    ("dispatch_p99_ms", "dispatch p99, ms"),
    ("plan_ms", "plan, ms"),
    ("start_ms", "start, ms"),
    ("snapshot_mib", "snapshot, MiB"),
    ("snapshot_ms", "snapshot, ms"),
    ("restart_ms", "restart, ms"),
];

fn table(report: &mut Report, all: &[Samples]) {
    let head = |samples: &Samples| samples.size.targets.to_string();
    let mut rows = vec![vec!["targets".to_owned()]];
    rows[0].extend(all.iter().map(head));
    rows.push(vec!["rollouts".to_owned()]);
    rows[1].extend(all.iter().map(|samples| samples.size.rollouts.to_string()));
    for (name, title) in ROWS {
        let mut row = vec![title.to_owned()];
        row.extend(all.iter().map(|samples| short(samples.of(name).median)));
        rows.push(row);
    }
    let nodes = all.first().map_or(0, |samples| samples.size.nodes);
    let (slots, steps) = (agent::SLOTS, crate::commit::skein::STEPS);
    report.table(
        &format!("{nodes} node(s), {AGENTS} agents with {slots} legs each, {steps} steps; medians"),
        &rows,
    );
}

fn verdict(report: &mut Report, all: &[Samples]) {
    let Some(base) = all.first() else { return };
    let mut lines = Vec::new();
    for samples in all.iter().skip(1) {
        let judged = samples.size.targets == JUDGED;
        let mut line = |name: &str, ratio: f64, goal: f64| {
            let said = match (judged, ratio <= goal) {
                (false, _) => "       ",
                (true, true) => "reached",
                (true, false) => "MISSED ",
            };
            let targets = samples.size.targets;
            report.line(format!(
                "  {said}  {name} at {targets:>6} against {}: {} (goal at {JUDGED}: {goal})",
                base.size.targets,
                short(ratio)
            ));
            lines.push(json!({
                "what": name, "targets": targets, "ratio": round(ratio), "goal": goal,
                "judged": judged, "reached": ratio <= goal,
            }));
        };
        for (name, title) in COSTS {
            line(title, samples.of(name).median / base.of(name).median, COST_MAX);
        }
        // Of all runs together: a quantile is not averaged.
        let p99 = |of: fn(&Samples) -> &Histogram<u64>| {
            quantile(of(samples), 0.99) / quantile(of(base), 0.99)
        };
        line("status p99", p99(|samples| &samples.status), LATENCY_MAX);
        line("dispatch p99", p99(|samples| &samples.dispatch), LATENCY_MAX);
    }
    report.json("ratios", Value::Array(lines));
}
