//! What a run has seen, in Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::ValueEnum as _;
use skein_chaos::people::played::{Capability, Played};

use crate::check::Seen;
use crate::fault::Kind;
use crate::register::Counts;
use crate::round::Outcome;
use crate::workload::Tally;
use crate::world::Ground;
use crate::{Args, FAULTS};

/// What no run plays, whatever its seed.
const NOT_PLAYED: [&str; 2] = ["throttle by replica lag on MariaDB", "restore of a target"];

#[derive(Debug)]
pub(crate) struct Report {
    seed: u64,
    ground: Ground,
    left_out: Vec<String>,
    rounds: u64,
    faults: BTreeMap<Kind, usize>,
    seen: Seen,
    registers: Counts,
    leader: Vec<Duration>,
    agents: Vec<Duration>,
    ended: Vec<Duration>,
    took: Duration,
    /// What users did, and how often.
    users: Vec<(&'static str, usize)>,
    played: Played,
    /// In which round, what, and the command that replays it.
    violation: Option<(u64, String, String)>,
}

/// The command that plays a round once more.
pub(crate) fn again(seed: u64, number: u64, args: &Args) -> String {
    let mut words = vec![format!("skein-chaos-process --seed {seed} --from {number} --rounds 1")];
    if args.faults != FAULTS {
        words.push(format!("--faults {}", args.faults));
    }
    if !args.only.is_empty() {
        words.push(format!("--only '{}'", args.only));
    }
    if let Some(planted) = args.mutation.and_then(|planted| planted.to_possible_value()) {
        words.push(format!("--mutation {}", planted.get_name()));
    }
    words.join(" ")
}

impl Report {
    pub(crate) fn new(seed: u64, ground: Ground) -> Self {
        Self {
            seed,
            ground,
            left_out: Vec::new(),
            rounds: 0,
            faults: BTreeMap::new(),
            seen: Seen::default(),
            registers: Counts::default(),
            leader: Vec::new(),
            agents: Vec::new(),
            ended: Vec::new(),
            took: Duration::ZERO,
            users: Vec::new(),
            played: Played::default(),
            violation: None,
        }
    }

    pub(crate) fn leave_out(&mut self, what: &str) {
        self.left_out.push(what.to_owned());
    }

    pub(crate) fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// A round that held; the line to say about it.
    pub(crate) fn add(&mut self, number: u64, outcome: &Outcome) -> String {
        self.rounds += 1;
        for (kind, count) in &outcome.faults {
            *self.faults.entry(*kind).or_default() += count;
        }
        self.seen += outcome.seen;
        self.registers.histories += outcome.registers.histories;
        self.registers.questions += outcome.registers.questions;
        self.registers.unanswered += outcome.registers.unanswered;
        self.leader.push(outcome.leader);
        self.agents.push(outcome.agents);
        self.ended.push(outcome.ended);
        self.took += outcome.took;
        format!(
            "round {number}: {} faults, {} events, {} effects, {} leases ran out, {:.1} s",
            outcome.faults.values().sum::<usize>(),
            outcome.seen.events,
            outcome.seen.effects,
            outcome.seen.expired,
            outcome.took.as_secs_f64()
        )
    }

    pub(crate) fn tally(&mut self, tally: &Tally, played: &Played, web: (usize, usize)) {
        let read = |count: &std::sync::atomic::AtomicUsize| count.load(Ordering::Relaxed);
        self.users = vec![
            ("verbs of the command line", read(&tally.verbs)),
            ("strategies planned", read(&tally.plans)),
            ("of them refused", read(&tally.no_plans)),
            ("words said to rollouts", read(&tally.words)),
            ("of them refused", read(&tally.refused)),
            ("verbs, plans and words without an answer", read(&tally.unknown)),
            ("questions of gates and throttles over HTTP", web.0),
            ("of them answered with no", web.1),
        ];
        self.played = played.clone();
    }

    /// Capabilities that never came up: to be said aloud.
    pub(crate) fn never(&self) -> Vec<&'static str> {
        self.played.never().map(Capability::words).chain(NOT_PLAYED).collect()
    }

    pub(crate) fn violation(&mut self, number: u64, what: &str, again: String) {
        self.violation = Some((number, what.to_owned(), again));
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a string can be written to");
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let faults: usize = self.faults.values().sum();
        writeln!(out, "# Chaos on real processes\n")?;
        writeln!(
            out,
            "{} rounds, {faults} faults of {} kinds, {}, in {:.0} s. Seed {}, commit {}.\n",
            self.rounds,
            self.faults.len(),
            if self.violation.is_some() { "**a violation**" } else { "no violation" },
            self.took.as_secs_f64(),
            self.seed,
            commit()
        )?;
        if let Some((number, what, again)) = &self.violation {
            writeln!(out, "Round {number}: {what}\n")?;
            writeln!(out, "Again: `{again}`\n")?;
        }
        writeln!(
            out,
            "Machine: {}, {}. {}\n",
            machine(),
            match self.ground {
                Ground::Spaces => "network namespaces on a bridge",
                Ground::Loopback => "loopback only",
            },
            if self.left_out.is_empty() { "Nothing was left out." } else { "Left out:" }
        )?;
        for what in &self.left_out {
            writeln!(out, "- {what}")?;
        }
        writeln!(out, "\n| fault | times |\n|---|--:|")?;
        for (kind, count) in &self.faults {
            writeln!(out, "| {} | {count} |", kind.words())?;
        }
        let seen = &self.seen;
        writeln!(out, "\n| what users did, and what came of it | |\n|---|--:|")?;
        for (what, count) in &self.users {
            writeln!(out, "| {what} | {count} |")?;
        }
        for (what, count) in [
            ("promises kept (acknowledgements, ends that were told)", seen.promises),
            ("events", seen.events),
            ("effects on targets, each counted", seen.effects),
            ("of them found by a later holder", seen.already),
            ("of them told by nobody, of targets that were given up", seen.untold),
            ("of them held against what a signal or the replica had said before", seen.gauged),
            ("gates that passed on what Prometheus said, each against its answers", seen.answered),
            ("targets planned by an edited text that was accepted", seen.spared),
            ("ledgers set right by a repair", seen.mended),
            ("rollouts completed", seen.completed),
            ("rolled back", seen.rolled_back),
            ("halted, an operator asked for", seen.halted),
            ("leases that ran out", seen.expired),
            ("failures that were tried again", seen.failed),
            ("steps reported as stuck", seen.stuck),
            ("terms of office", seen.elections),
            ("client histories, each linearizable", self.registers.histories),
            ("questions in them", self.registers.questions),
            ("of them without an answer", self.registers.unanswered),
        ] {
            writeln!(out, "| {what} | {count} |")?;
        }
        writeln!(out, "\n| capability | played |\n|---|--:|")?;
        for capability in Capability::ALL {
            let times = self.played.times(*capability);
            if times > 0 {
                writeln!(out, "| {} | {times} |", capability.words())?;
            }
        }
        let never = self.never();
        if !never.is_empty() {
            writeln!(out, "\nNever played in these rounds: {}.", never.join(", "))?;
        }
        writeln!(out, "\n| after everything was healed, s | median | longest |\n|---|--:|--:|")?;
        for (what, times) in [
            ("until all nodes know one leader", &self.leader),
            ("until all agents are connected", &self.agents),
            ("until everything that was begun has ended", &self.ended),
        ] {
            let mut times: Vec<Duration> = times.clone();
            times.sort_unstable();
            let median = times.get(times.len() / 2).copied().unwrap_or_default();
            let longest = times.last().copied().unwrap_or_default();
            writeln!(
                out,
                "| {what} | {:.2} | {:.2} |",
                median.as_secs_f64(),
                longest.as_secs_f64()
            )?;
        }
        Ok(())
    }
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |model| model.trim_start_matches([' ', '\t', ':']));
    format!("{cores} cores, {model}")
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
