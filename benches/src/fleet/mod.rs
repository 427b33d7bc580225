//! A fleet of SQLite shards taken through ten migrations: Skein whole (plan, replicated log of one node,
//! agent, ledger in each shard), the sqlite3 shell, and the floor. Each run begins with fresh copies;
//! every shard is looked at before a time counts.

mod fixture;
pub(crate) mod floor;
mod tool;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use self::tool::{Task, Took, Tool};
use crate::Options;
use crate::machine::{self, Window};
use crate::report::{Report, progress};
use crate::stats::{Spread, ms, round, short};

const TOOLS: [Tool; 10] = [
    Tool::Skein(2, false),
    Tool::Skein(8, false),
    Tool::Skein(8, true),
    Tool::Floor(1),
    Tool::Floor(2),
    Tool::Floor(8),
    Tool::Plain(1),
    Tool::Plain(2),
    Tool::Plain(8),
    Tool::Naive(8),
];

/// What a tool took in each round.
#[derive(Debug)]
struct Runs {
    tool: Tool,
    apply: Vec<Took>,
    again: Vec<Took>,
    status: Vec<Took>,
}

impl Runs {
    fn json(&self) -> Value {
        let list = |took: &[Took]| {
            let one = |took: &Took| json!({ "wall_ms": round(ms(took.wall)), "cpu_ms": round(ms(took.cpu)), "peak_mib": took.peak.map(round) });
            took.iter().map(one).collect::<Vec<_>>()
        };
        json!({ "apply": list(&self.apply), "again": list(&self.again), "status": list(&self.status) })
    }
}

pub(crate) fn run(options: Options) -> Result<()> {
    let window = Window::open();
    let mut report = Report::new("bench-fleet");
    let shards = if options.quick { options.shards.min(10) } else { options.shards };
    let root = tempfile::tempdir().context("failed to make a directory for the shards")?;
    report.line(format!(
        "{shards} shards, {} migrations, data on {}",
        fixture::MIGRATIONS.len(),
        machine::disk(root.path())
    ));
    let mut tools: Vec<Tool> = TOOLS.to_vec();
    if !tools.iter().all(|tool| tool.present()) {
        report.skip("sqlite3 is not installed: the shell is left out");
        tools.retain(|tool| tool.present());
    }
    for (weight, rows) in [("heavy", 10_000), ("light", 0)] {
        let template = root.path().join(format!("{weight}.db"));
        fixture::template(&template, rows)?;
        let mut runs: Vec<Runs> = tools
            .iter()
            .map(|&tool| Runs { tool, apply: Vec::new(), again: Vec::new(), status: Vec::new() })
            .collect();
        for pair in 0..options.pairs {
            // Who goes first changes with each round.
            let count = runs.len();
            runs.rotate_left(usize::from(pair > 0) * count / 3);
            for one in &mut runs {
                progress(&format!(
                    "{weight}, round {} of {}: {}",
                    pair + 1,
                    options.pairs,
                    one.tool
                ));
                let directory = root.path().join("fleet");
                fixture::project(&directory, &template, shards, one.tool.at_once())?;
                one.measure(&directory, shards, rows)?;
                std::fs::remove_dir_all(&directory).context("failed to remove a fleet")?;
            }
        }
        runs.sort_by_key(|one| tools.iter().position(|tool| *tool == one.tool));
        show(&mut report, weight, &runs, shards);
    }
    report.print(window.close(options.quick))
}

impl Runs {
    fn measure(&mut self, directory: &Path, shards: u32, rows: u32) -> Result<()> {
        // The copies are on the disk before anybody's commits wait for it.
        Command::new("sync").status().context("failed to sync")?;
        self.apply.push(self.tool.run(Task::Apply, directory, shards)?);
        fixture::verify(directory, shards, rows)?;
        if !matches!(self.tool, Tool::Naive(_)) {
            self.again.push(self.tool.run(Task::Apply, directory, shards)?);
            self.status.push(self.tool.run(Task::Status, directory, shards)?);
        }
        Ok(())
    }
}

/// Which of the tasks is compared.
type Which = fn(&Runs) -> &[Took];

fn walls(took: &[Took]) -> Vec<f64> {
    took.iter().map(|took| ms(took.wall)).collect()
}

fn show(report: &mut Report, weight: &str, runs: &[Runs], shards: u32) {
    let steps = f64::from(shards) * 10.0;
    let head =
        ["tool", "apply s", "ms/(shard·migration)", "cpu s", "again s", "status s", "peak MiB"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut json = Map::new();
    for one in runs {
        let median = |values: Vec<f64>| Spread::of(values).median;
        let seconds = |took: &[Took]| {
            if took.is_empty() {
                "–".to_owned()
            } else {
                format!("{:.3}", median(walls(took)) / 1e3)
            }
        };
        let cpu = median(one.apply.iter().map(|took| took.cpu.as_secs_f64()).collect());
        let peak: Vec<f64> = one.apply.iter().filter_map(|took| took.peak).collect();
        rows.push(vec![
            one.tool.to_string(),
            seconds(&one.apply),
            short(median(walls(&one.apply)) / steps),
            short(cpu),
            seconds(&one.again),
            seconds(&one.status),
            if peak.is_empty() { "–".to_owned() } else { short(median(peak)) },
        ]);
        json.insert(one.tool.to_string(), one.json());
    }
    let title =
        if weight == "heavy" { "10,000 rows a shard" } else { "no rows: schema changes only" };
    report.table(&format!("{weight}: {title}; medians of the rounds"), &rows);
    let mut ratios = Map::new();
    let mut lines = Vec::new();
    let mut compare = |name: &str, ours: Tool, theirs: Tool, which: Which| {
        let of = |tool: Tool| runs.iter().find(|one| one.tool == tool).map(|one| walls(which(one)));
        let (Some(ours), Some(theirs)) = (of(ours), of(theirs)) else { return };
        let ratio = Spread::of_ratios(&ours, &theirs);
        lines.push(format!("  {name}: {ratio}"));
        ratios.insert(name.to_owned(), ratio.json());
    };
    let (apply, again, status): (Which, Which, Which) =
        (|one| &one.apply, |one| &one.again, |one| &one.status);
    let goals = if weight == "heavy" {
        ("G1 goal ≤ 1.10", "G2 goal ≤ 0.80")
    } else {
        ("floor", "G3 goal ≤ 0.60 of the best peer's")
    };
    for at_once in [2, 8] {
        let ours = Tool::Skein(at_once, false);
        compare(
            &format!("apply / floor, P {at_once} ({})", goals.0),
            ours,
            Tool::Floor(at_once),
            apply,
        );
        compare(
            &format!("apply / sqlite3 a shard, P {at_once} ({})", goals.1),
            ours,
            Tool::Plain(at_once),
            apply,
        );
    }
    compare(
        "apply with backups / without, P 8",
        Tool::Skein(8, true),
        Tool::Skein(8, false),
        apply,
    );
    compare("apply / sqlite3 a migration, P 8", Tool::Skein(8, false), Tool::Naive(8), apply);
    compare(
        "again / floor, P 8 (every shard is looked at: G5b goal ≤ 1.50)",
        Tool::Skein(8, false),
        Tool::Floor(8),
        again,
    );
    compare("again / sqlite3 a shard, P 8", Tool::Skein(8, false), Tool::Plain(8), again);
    compare(
        "status / sqlite3 a shard, P 8 (G6 goal ≤ 0.05)",
        Tool::Skein(8, false),
        Tool::Plain(8),
        status,
    );
    report.line("\nratios, median (least–most of the rounds)");
    for line in lines {
        report.line(line);
    }
    report.json(weight, json!({ "shards": shards, "runs": json, "ratios": ratios }));
}
