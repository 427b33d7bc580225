//! Durable, replicated requests: three coordinator nodes as processes of their own on loopback, beside
//! etcd in the same seat, alternately, and beside what the disk allows. Everybody syncs, everybody has
//! defaults.

pub(crate) mod batched;
mod disk;
mod etcd;
pub(crate) mod failover;
pub(crate) mod node;
pub(crate) mod recovery;
pub(crate) mod skein;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value, json};

use self::etcd::{Etcd, Members};
use self::node::Nodes;
use self::skein::Skein;
use crate::Options;
use crate::load::{self, Client as _, Outcome};
use crate::machine::{self, Window};
use crate::report::{Report, progress};
use crate::stats::{Spread, float, ms, round, short};

/// Targets of each agent in one batched run: 16 agents x 400 targets x 22 events.
const PER_AGENT: usize = 400;
/// A batch is compared with transactions of as many puts.
const TXN_CLIENTS: usize = 16;

/// What is asked of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    /// So many clients, each with one request in flight.
    Closed(usize),
    /// So many a second, whatever happens.
    Open(u32),
    /// Agents' streams; transactions there.
    Batched,
}

impl Load {
    fn name(self) -> String {
        match self {
            Self::Closed(clients) => format!("closed {clients}"),
            Self::Open(rate) => format!("open {rate}/s"),
            Self::Batched => "batched".to_owned(),
        }
    }
}

/// What came of one load on one side.
#[derive(Debug)]
struct Sample {
    outcome: Outcome,
    /// Of all three processes, for one event, microseconds.
    cpu_us: f64,
}

impl Sample {
    fn json(&self) -> Value {
        let mut json = self.outcome.json();
        json["cpu_us_per_event"] = json!(round(self.cpu_us));
        json
    }
}

/// The two sides of one load, pair by pair.
#[derive(Debug, Default)]
struct Sides {
    ours: Vec<Sample>,
    theirs: Vec<Sample>,
}

impl Sides {
    fn ratio(&self, figure: impl Fn(&Sample) -> f64) -> Spread {
        let ours: Vec<f64> = self.ours.iter().map(&figure).collect();
        let theirs: Vec<f64> = self.theirs.iter().map(&figure).collect();
        Spread::of_ratios(&ours, &theirs)
    }
}

pub(crate) fn run(options: Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(Box::pin(measure(options)))
}

struct Bench {
    nodes: Nodes,
    skein: Skein,
    etcd: Option<(Members, Etcd)>,
    options: Options,
    /// Numbers the batched runs.
    round: u32,
}

async fn measure(options: Options) -> Result<()> {
    let window = Window::open();
    let mut report = Report::new("bench-commit");
    progress("the generator's self-test");
    match load::self_test().await {
        Ok(found) => report.json("self_test", found),
        Err(error) => report.doubt(format!("{error:#}")),
    }
    let root = tempfile::tempdir().context("failed to make a directory for the nodes")?;
    report.line(format!("data on {}", machine::disk(root.path())));
    let nodes = Nodes::start(root.path())?;
    progress("setting up 256 rollouts");
    let skein = Skein::set_up(&nodes, Duration::ZERO).await?;
    let etcd = if etcd::found() {
        let mut members = Members::start(root.path(), None)?;
        let client = members.client(Duration::ZERO).await?;
        Some((members, client))
    } else {
        report.skip("etcd is not installed (Debian: etcd-server): nothing to compare with");
        None
    };
    let mut bench = Bench { nodes, skein, etcd, options, round: 0 };
    let idle = (mean(&bench.nodes.rss()), bench.etcd.as_ref().map(|etcd| mean(&etcd.0.rss())));

    let mut loads = vec![Load::Closed(1), Load::Closed(16), Load::Closed(64), Load::Closed(256)];
    loads.extend([Load::Open(100), Load::Open(1_000), Load::Batched]);
    let mut results: Vec<(Load, Sides)> =
        loads.into_iter().map(|load| (load, Sides::default())).collect();
    let mut disk = Vec::new();
    let from = bench.skein.events().await?;
    for pair in 0..options.pairs {
        let directory = root.path().to_owned();
        let time = bench.time();
        disk.push(tokio::task::spawn_blocking(move || disk::append(&directory, time)).await??);
        for (load, sides) in &mut results {
            progress(&format!("pair {} of {}: {}", pair + 1, options.pairs, load.name()));
            // Who goes first changes, so that neither always finds a warm disk.
            if pair.is_multiple_of(2) {
                sides.ours.push(Box::pin(bench.ours(*load)).await?);
                sides.theirs.extend(Box::pin(bench.theirs(*load)).await?);
            } else {
                sides.theirs.extend(Box::pin(bench.theirs(*load)).await?);
                sides.ours.push(Box::pin(bench.ours(*load)).await?);
            }
        }
    }
    let size = bench.skein.mean_size(from).await?;
    let after = (mean(&bench.nodes.rss()), bench.etcd.as_ref().map(|etcd| mean(&etcd.0.rss())));
    drop(bench);
    show(&mut report, &results, &disk, size);
    memory(&mut report, idle, after);
    goals(&mut report, &results);
    report.print(window.close(options.quick))
}

impl Bench {
    fn time(&self) -> Duration {
        Duration::from_millis(if self.options.quick { 500 } else { 4_000 })
    }

    fn warm_up(&self) -> Duration {
        self.time() / 8
    }

    async fn ours(&mut self, load: Load) -> Result<Sample> {
        let cpu = self.nodes.cpu();
        let events = self.skein.events().await?;
        let (answered, outcome) = if load == Load::Batched {
            self.round += 1;
            let targets = if self.options.quick { 10 } else { PER_AGENT };
            let outcome = batched::run(&self.skein.channel()?, self.round, targets).await?;
            // Registering the targets is no part of the run, but of the processor time: two events each.
            let registered = u64::try_from(batched::AGENTS * (2 * targets + 1))?;
            (outcome.done + registered, outcome)
        } else {
            let before = self.skein.answered();
            let outcome = self.drive(&self.skein, load).await?;
            (self.skein.answered() - before, outcome)
        };
        let made = self.skein.events().await? - events;
        ensure!(
            made == answered || load == Load::Batched,
            "{answered} requests were acknowledged and {made} events are in the history"
        );
        let cpu_us = ms(self.nodes.cpu().saturating_sub(cpu)) * 1_000.0 / float(answered);
        Ok(Sample { outcome, cpu_us })
    }

    async fn theirs(&self, load: Load) -> Result<Option<Sample>> {
        let Some((members, client)) = &self.etcd else { return Ok(None) };
        let cpu = members.cpu();
        let (answered, outcome) = if load == Load::Batched {
            let client = client.batched(batched::BATCH);
            let (warm_up, time) = (self.warm_up(), self.time());
            let mut outcome = load::closed(&client, TXN_CLIENTS, warm_up, time).await?;
            let puts = batched::BATCH as u64;
            outcome.done *= puts;
            (client.answered() * puts, outcome)
        } else {
            let before = client.answered();
            let outcome = self.drive(client, load).await?;
            (client.answered() - before, outcome)
        };
        let cpu_us = ms(members.cpu().saturating_sub(cpu)) * 1_000.0 / float(answered);
        Ok(Some(Sample { outcome, cpu_us }))
    }

    async fn drive<C: load::Client>(&self, client: &C, load: Load) -> Result<Outcome> {
        let outcome = match load {
            Load::Closed(clients) => {
                load::closed(client, clients, self.warm_up(), self.time()).await?
            }
            Load::Open(rate) => load::open_to_end(client, rate, self.time()).await?,
            Load::Batched => anyhow::bail!("batches are driven apart"),
        };
        ensure!(outcome.failed == 0, "{} requests failed under {}", outcome.failed, load.name());
        ensure!(outcome.done > 0, "nothing was answered under {}", load.name());
        Ok(outcome)
    }
}

/// What a sample is asked for.
type Figure<'a> = &'a dyn Fn(&Sample) -> f64;

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / float(values.len() as u64)
}

fn show(report: &mut Report, results: &[(Load, Sides)], disk: &[Outcome], size: usize) {
    let rates = Spread::of(disk.iter().map(Outcome::rate));
    let p99 = Spread::of(disk.iter().map(|outcome| outcome.ms(0.99)));
    report.line(format!(
        "this disk, append of 256 B + fdatasync one after the other: {rates} a second, p99 {p99} ms"
    ));
    report.line(format!("one request makes one event of {size} B on average; one put has 256 B"));
    report.json("disk", json!({ "per_s": rates.json(), "p99_ms": p99.json() }));
    report.json("event_bytes", json!(size));
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let mut rows =
        vec![words(&["load", "who", "events/s", "p50 ms", "p99 ms", "p99.9 ms", "cpu µs/event"])];
    let mut ratios = vec![words(&["ours/etcd", "events/s", "p50", "p99", "p99.9", "cpu"])];
    let mut json = Map::new();
    for (load, sides) in results {
        for (who, samples) in [("skein", &sides.ours), ("etcd", &sides.theirs)] {
            if samples.is_empty() {
                continue;
            }
            let of = |figure: Figure<'_>| short(Spread::of(samples.iter().map(figure)).median);
            rows.push(vec![
                load.name(),
                who.to_owned(),
                of(&|sample| sample.outcome.rate()),
                of(&|sample| sample.outcome.ms(0.5)),
                of(&|sample| sample.outcome.ms(0.99)),
                of(&|sample| sample.outcome.ms(0.999)),
                of(&|sample| sample.cpu_us),
            ]);
        }
        let side = |samples: &[Sample]| samples.iter().map(Sample::json).collect::<Vec<_>>();
        let mut entry = json!({ "skein": side(&sides.ours), "etcd": side(&sides.theirs) });
        if !sides.theirs.is_empty() {
            let figures: [(&str, Figure<'_>); 5] = [
                ("per_s", &|sample| sample.outcome.rate()),
                ("p50", &|sample| sample.outcome.ms(0.5)),
                ("p99", &|sample| sample.outcome.ms(0.99)),
                ("p999", &|sample| sample.outcome.ms(0.999)),
                ("cpu", &|sample| sample.cpu_us),
            ];
            let mut row = vec![load.name()];
            for (name, figure) in figures {
                let ratio = sides.ratio(figure);
                entry["ratio"][name] = ratio.json();
                row.push(ratio.to_string());
            }
            ratios.push(row);
        }
        json.insert(load.name(), entry);
    }
    report.table("medians of the pairs (batched: latency of a message of 64)", &rows);
    if ratios.len() > 1 {
        report.table("ratios, median (worst and best pair)", &ratios);
    }
    report.json("loads", Value::Object(json));
}

fn memory(report: &mut Report, idle: (f64, Option<f64>), after: (f64, Option<f64>)) {
    let theirs = idle.1.zip(after.1);
    report.line(format!(
        "\nresident memory of a node, MiB: {} before, {} after all loads{}",
        short(idle.0),
        short(after.0),
        theirs.map_or_else(String::new, |(idle, after)| format!(
            "; etcd {} and {}",
            short(idle),
            short(after)
        ))
    ));
    let theirs = theirs.map(|(idle, after)| json!({ "idle": round(idle), "after": round(after) }));
    report.json(
        "rss_mib",
        json!({ "skein": { "idle": round(idle.0), "after": round(after.0) }, "etcd": theirs }),
    );
    if let Some(theirs) = after.1 {
        report.line(format!(
            "G14 memory after the loads: {} of etcd's, goal ≤ 0.50",
            short(after.0 / theirs)
        ));
    }
}

/// A goal counts where the median reaches it and the worst pair is within 15 % of it.
fn goals(report: &mut Report, results: &[(Load, Sides)]) {
    let of = |load: Load| results.iter().find(|(other, _)| *other == load).map(|(_, sides)| sides);
    let rate = |sample: &Sample| sample.outcome.rate();
    let mut lines = Vec::new();
    let mut at_least = |name: &str, ratio: Spread, goal: f64| {
        let reached = ratio.median >= goal && ratio.min * 1.15 >= goal;
        lines.push((format!("{name}: {ratio}, goal ≥ {goal:.2}"), reached));
    };
    let some = |load: Load| of(load).filter(|sides| !sides.theirs.is_empty());
    if let Some(sides) = some(Load::Closed(256)) {
        at_least("G8 events/s at 256 clients", sides.ratio(rate), 2.5);
    }
    if let (Some(batched), Some(single)) = (some(Load::Batched), some(Load::Closed(256))) {
        let ours: Vec<f64> = batched.ours.iter().map(rate).collect();
        let theirs: Vec<f64> = single.theirs.iter().map(rate).collect();
        at_least("G9 batched against single puts", Spread::of_ratios(&ours, &theirs), 5.0);
        at_least("   batched against transactions of 64", batched.ratio(rate), 1.0);
    }
    let mut at_most = |name: &str, ratio: Spread, goal: f64| {
        let reached = ratio.median <= goal && ratio.max <= goal * 1.15;
        lines.push((format!("{name}: {ratio}, goal ≤ {goal:.2}"), reached));
    };
    if let Some(sides) = some(Load::Closed(1)) {
        at_most("G10 p50 of one client", sides.ratio(|sample| sample.outcome.ms(0.5)), 0.6);
        at_most("G10 p99 of one client", sides.ratio(|sample| sample.outcome.ms(0.99)), 0.6);
    }
    if let Some(sides) = some(Load::Open(1_000)) {
        at_most("G11 p99 at 1,000/s", sides.ratio(|sample| sample.outcome.ms(0.99)), 0.5);
    }
    if let Some(sides) = some(Load::Closed(256)) {
        at_most("G13 processor time of an event", sides.ratio(|sample| sample.cpu_us), 0.3);
    }
    if let (Some(batched), Some(single)) = (some(Load::Batched), some(Load::Closed(256))) {
        let ours: Vec<f64> = batched.ours.iter().map(|sample| sample.cpu_us).collect();
        let theirs: Vec<f64> = single.theirs.iter().map(|sample| sample.cpu_us).collect();
        at_most("G13 the same, batched", Spread::of_ratios(&ours, &theirs), 0.05);
    }
    for load in [Load::Open(100), Load::Open(1_000)] {
        if let Some(sides) = of(load) {
            let p99 = Spread::of(sides.ours.iter().map(|sample| sample.outcome.ms(0.99)));
            at_most(&format!("p99 at {}, ms", load.name()), p99, 5.0);
        }
    }
    report.line("\ngoals");
    for (line, reached) in &lines {
        report.line(format!("  {}  {line}", if *reached { "reached" } else { "MISSED " }));
    }
    let json = lines.iter().map(|(line, reached)| json!({ "goal": line, "reached": reached }));
    report.json("goals", json.collect());
}
