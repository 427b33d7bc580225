//! Rounds: a writer is killed at a random moment, or the power goes, and what it promised is looked for.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use skein_chaos_disk::{Dice, Directories, Faults, Injected, Outcome, SyncFault, injected, pull};

use super::check::check;
use super::promised::Promised;
use crate::place::{self, Place};

/// After so many rounds the next begins with an empty directory: a long history is slow to check.
const EPOCH: u64 = 40;

/// A writer that makes so many more promises after a fault that must stop it does not stop.
const GOES_ON_MAX: u64 = 500;

/// How a round ends.
#[derive(Debug, Clone)]
pub enum End {
    /// SIGKILL: the page cache stays.
    Kill,
    /// The power goes: what was not forced to the disk may go too.
    Power {
        /// The layer, to be loaded before libc.
        preload: PathBuf,
        /// Whether every fsync lies. Then a loss is what has to be found.
        lie: bool,
    },
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `skein-chaos`, which has the writer in it.
    pub program: PathBuf,
    /// How many rounds.
    pub rounds: u64,
    /// Of all chance but the scheduler's.
    pub seed: u64,
    /// How each ends.
    pub end: End,
}

/// What rounds came to.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Rounds played.
    pub rounds: u64,
    /// Promises made.
    pub promises: u64,
    /// Histories with a torn tail.
    pub torn: u64,
    /// What the power cuts took.
    pub power: Outcome,
    /// Faults done.
    pub faults: BTreeMap<Injected, u64>,
    /// Writers that stopped by themselves, because of a fault.
    pub stopped: u64,
    /// Rounds in which something promised was gone, or wrong: what, and where it is kept.
    pub violations: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, promises, torn, power, faults, stopped, violations } = self;
        write!(f, "{rounds} rounds, {promises} promises, {torn} torn tails")?;
        let Outcome { writes, dropped, torn, names, names_dropped } = power;
        if writes + names > 0 {
            write!(f, "; of {writes} writes not forced {dropped} dropped and {torn} torn")?;
            write!(f, ", of {names} names {names_dropped} dropped")?;
        }
        if !faults.is_empty() {
            write!(f, "; faults {faults:?}, {stopped} writers stopped")?;
        }
        write!(f, "; {} violations", violations.len())
    }
}

/// Plays the rounds. An error is one of the surroundings, not of the store.
pub fn play(asked: &Asked) -> std::io::Result<Report> {
    let mut report = Report::default();
    let mut turn = 0;
    while turn < asked.rounds {
        let place = Place::new("writer")?;
        let mut promised = Promised::default();
        for _ in 0..EPOCH.min(asked.rounds - turn) {
            let seed = asked.seed.wrapping_add(turn);
            let wrong = round(asked, seed, place.path(), &mut promised, &mut report)?;
            turn += 1;
            report.rounds += 1;
            if let Some(what) = wrong {
                let kept = place.keep();
                report
                    .violations
                    .push(format!("round of seed {seed}: {what}; kept in {}", kept.display()));
                break;
            }
        }
        report.promises += promised.count;
        if matches!(asked.end, End::Power { lie: true, .. }) && !report.violations.is_empty() {
            break;
        }
    }
    Ok(report)
}

/// Which fault a power round has.
fn faults(dice: &mut Dice, lie: bool) -> (Faults, bool) {
    let mut faults = Faults::default();
    if lie {
        faults.sync = SyncFault::Lie;
        return (faults, false);
    }
    let stops = match dice.below(10) {
        0 => {
            faults.sync = SyncFault::Fail(1);
            true
        }
        1 => {
            faults.sync = SyncFault::FailAlways;
            true
        }
        2 => {
            faults.full = true;
            true
        }
        3 => {
            faults.short_one_in = 2;
            false
        }
        4 => {
            faults.sync_delay_ms = 1 + dice.below(4);
            false
        }
        _ => false,
    };
    // One failure may fall to the index, which is derived and does not stop anything.
    if stops && (faults.sync == SyncFault::Fail(1) || dice.one_in(2)) {
        let only = match dice.below(3) {
            0 => "leader/log",
            1 => "leader/history",
            _ => "follower/history",
        };
        only.clone_into(&mut faults.only);
    }
    (faults, stops)
}

/// One round in `dir`; what is wrong after it, if anything is.
fn round(
    asked: &Asked,
    seed: u64,
    dir: &Path,
    promised: &mut Promised,
    report: &mut Report,
) -> std::io::Result<Option<String>> {
    let mut dice = Dice::new(seed);
    let (root, side) = (dir.join("root"), dir.join("side"));
    std::fs::create_dir_all(&root)?;
    std::fs::create_dir_all(&side)?;
    let mut command = Command::new(&asked.program);
    command.arg("writer").arg(&root).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut fault = (Faults::default(), false);
    if let End::Power { preload, lie } = &asked.end {
        place::under(&mut command, preload, &root, &side);
        fault = faults(&mut dice, *lie);
    }
    let mut child = command.spawn()?;
    let lines = child.stdout.take().map(BufReader::new).into_iter().flat_map(BufReader::lines);
    let mut lines = lines.map_while(Result::ok);
    // Most are killed at work, some while they start and recover.
    let wanted = if dice.one_in(5) { 0 } else { 1 + dice.below(60) };
    let mut met = 0;
    while met < wanted {
        let Some(line) = lines.next() else { break };
        met += u64::from(promised.learn(&line));
    }
    let ended = met < wanted;
    let mut stopped = false;
    if !ended && fault.0 != Faults::default() {
        fault.0.store(&side)?;
        // It either stops by itself or goes on as long as the others.
        let mut more = if fault.1 { GOES_ON_MAX } else { dice.below(20) };
        while more > 0 {
            let Some(line) = lines.next() else { break };
            more -= u64::from(promised.learn(&line));
        }
        stopped = fault.1;
    }
    if !stopped && !ended {
        let moment = if wanted == 0 { 40_000 } else { 3_000 };
        moment_of(Duration::from_micros(dice.below(moment)));
    }
    child.kill()?;
    for line in lines {
        promised.learn(&line);
    }
    let said = ending(&mut child)?;
    if ended {
        return Ok(Some(format!("the writer ended by itself: {said}")));
    }
    if stopped {
        report.stopped += 1;
        if !said.contains("stopped: ") {
            return Ok(Some(format!("the writer went on or broke after {:?}: {said}", fault.0)));
        }
    }
    // Now and then the process is killed, or has stopped, and the power stays: what it wrote is found by the
    // next, and not on the disk yet, even where an fsync of it has failed.
    if matches!(asked.end, End::Power { lie, .. } if lie || !dice.one_in(4)) {
        for (kind, count) in injected(&side)? {
            *report.faults.entry(kind).or_insert(0) += count;
        }
        let outcome = pull(&root, &side, dice.next_u64(), Directories::Strict)?;
        report.power += outcome;
    } else {
        Faults::default().store(&side)?;
    }
    // On a copy, so that the next writer recovers from what was left, and not from what a check made of it.
    let copy = dir.join("copy");
    place::copy(&root, &copy)?;
    let checked = check(&copy, promised);
    std::fs::remove_dir_all(&copy)?;
    Ok(match checked {
        Ok(found) => {
            report.torn += found.torn;
            None
        }
        Err(what) => Some(format!("{what} (fault: {:?})", fault.0)),
    })
}

/// How the writer ended: what it said last.
fn ending(child: &mut Child) -> std::io::Result<String> {
    let mut said = String::new();
    if let Some(stderr) = &mut child.stderr {
        stderr.read_to_string(&mut said)?;
    }
    let status = child.wait()?;
    Ok(format!("{status}: {}", said.trim()))
}

#[expect(clippy::disallowed_methods, reason = "a random moment is what this is about")]
fn moment_of(delay: Duration) {
    std::thread::sleep(delay);
}
