//! What the figures were measured on, and whether the machine was quiet enough to judge by them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::stats::{float, round};

/// Linux gives processor times in hundredths of a second, whatever the kernel's own clock does.
const TICK: Duration = Duration::from_millis(10);
/// Above this load per core before the run, figures are no verdict.
const LOAD_MAX: f64 = 1.5;
/// The same for the share of the machine that others used during the run.
const OTHERS_MAX: f64 = 0.5;

/// A stretch of time in which something is measured.
#[derive(Debug)]
pub(crate) struct Window {
    started: Instant,
    load: f64,
    busy: Duration,
    ours: Duration,
    commit: String,
}

/// How it was on the machine.
#[derive(Debug)]
pub(crate) struct Circumstances {
    /// Why the figures are no verdict; empty: they are one.
    pub(crate) refusals: Vec<String>,
    pub(crate) json: Value,
}

impl Circumstances {
    /// Adds reasons against a verdict.
    pub(crate) fn doubt(&mut self, why: Vec<String>) {
        self.refusals.extend(why);
        self.json["verdict"] = json!(self.refusals.is_empty());
        self.json["no_verdict_because"] = json!(self.refusals);
    }
}

impl Window {
    pub(crate) fn open() -> Self {
        Self { started: Instant::now(), load: load(), busy: busy(), ours: ours(), commit: commit() }
    }

    /// Call it when every process that was measured has been waited for.
    pub(crate) fn close(self, quick: bool) -> Circumstances {
        let cores = cores();
        let wall = self.started.elapsed();
        let others =
            busy().saturating_sub(self.busy).saturating_sub(ours().saturating_sub(self.ours));
        let share = others.as_secs_f64() / (wall.as_secs_f64() * cores);
        let mut refusals = Vec::new();
        if cfg!(debug_assertions) {
            refusals.push("this is a debug build".to_owned());
        }
        if quick {
            refusals.push("this is a quick run".to_owned());
        }
        if self.load > LOAD_MAX * cores {
            refusals.push(format!("the load before was {:.2} on {cores} cores", self.load));
        }
        if share > OTHERS_MAX {
            refusals.push(format!("others used {:.0} % of the machine meanwhile", share * 100.0));
        }
        let json = json!({
            "cpu": cpu(), "cores": cores, "commit": self.commit, "debug": cfg!(debug_assertions),
            "load_before": self.load, "load_after": load(), "others_share": round(share),
            "seconds": round(wall.as_secs_f64()), "verdict": refusals.is_empty(),
            "no_verdict_because": refusals,
        });
        Circumstances { refusals, json }
    }
}

/// Load over the last minute.
pub(crate) fn load() -> f64 {
    first_word("/proc/loadavg").unwrap_or(f64::NAN)
}

fn first_word(path: &str) -> Option<f64> {
    fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
}

pub(crate) fn cores() -> f64 {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    float(count as u64)
}

fn cpu() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or("unknown", |model| model.trim_start_matches([' ', '\t', ':'])).to_owned()
}

fn commit() -> String {
    let git = |words: &[&str]| {
        let output =
            Command::new("git").args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output();
        output.ok().filter(|output| output.status.success())
    };
    let Some(head) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    let head = String::from_utf8_lossy(&head.stdout).trim().to_owned();
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    if changed.is_some_and(|changed| changed.stdout.is_empty()) { head } else { head + "+changes" }
}

/// What all processors of the machine have worked since it started.
fn busy() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let Some(line) = stat.lines().next() else { return Duration::ZERO };
    let ticks: Vec<u32> =
        line.split_whitespace().skip(1).map(|ticks| ticks.parse().unwrap_or_default()).collect();
    // user nice system idle iowait irq softirq steal
    let worked = ticks.iter().take(8).enumerate().filter(|(place, _)| ![3, 4].contains(place));
    worked.map(|(_, ticks)| TICK * *ticks).sum()
}

/// What this process and every child that it has waited for have used.
pub(crate) fn ours() -> Duration {
    stat_fields("self", 11..15)
}

/// What a process has used by now.
pub(crate) fn cpu_of(pid: u32) -> Duration {
    stat_fields(&pid.to_string(), 11..13)
}

fn stat_fields(process: &str, which: std::ops::Range<usize>) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // "pid (name) state …": the name may contain anything, so fields are counted from the right of it.
    let Some((_, rest)) = stat.rsplit_once(") ") else { return Duration::ZERO };
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let wanted = fields.get(which).unwrap_or_default();
    wanted.iter().filter_map(|ticks| ticks.parse::<u32>().ok()).map(|ticks| TICK * ticks).sum()
}

/// Resident memory of a process, MiB: now, and the most that it ever had.
pub(crate) fn memory(process: &str) -> Option<(f64, f64)> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
    };
    Some((field("VmRSS:")?, field("VmHWM:")?))
}

/// What kind of disk a directory is on.
pub(crate) fn disk(path: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let best = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (device, at, kind) = (words.next()?, words.next()?, words.next()?);
            path.starts_with(at).then(|| (at.len(), format!("{kind} on {device}")))
        })
        .max();
    best.map_or_else(|| "unknown".to_owned(), |(_, disk)| disk)
}
