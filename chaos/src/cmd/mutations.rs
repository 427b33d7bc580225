//! `skein-chaos mutations`: plants every bug that is known, and shows which promise finds it, and how
//! soon. A promise that no bug breaks says nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::PathBuf;

use crate::invariants::Watch;
use crate::model::mutation::Mutation;
use crate::model::{Options, run};
use crate::mutants::{MUTANTS, Scratch};

/// How it is called.
pub const USAGE: &str = "\
skein-chaos mutations [--around | --core] [--seeds N] [--part K/N]
    plants each bug in turn, around the core or in a copy of its sources (both, unless one is named),
    and prints the seeds that it took (20000 at most, or N) and the promises that it broke; a part of the
    list is the K-th of N (what is left out counts as not broken)";

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Those around the core.
    pub around: bool,
    /// Those in its sources.
    pub core: bool,
    /// At most so many seeds for each.
    pub seeds: u64,
    /// The k-th of n parts of the list.
    pub part: (usize, usize),
}

/// Reads the words behind the verb.
pub fn read(mut words: impl Iterator<Item = String>) -> Option<Asked> {
    let mut asked = Asked { around: true, core: true, seeds: 20_000, part: (1, 1) };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--around" => asked.core = false,
            "--core" => asked.around = false,
            "--seeds" => asked.seeds = words.next()?.parse().ok()?,
            "--part" => {
                let part = words.next()?;
                let (k, n) = part.split_once('/')?;
                asked.part = (k.parse().ok()?, n.parse().ok().filter(|n| *n > 0)?);
            }
            _ => return None,
        }
    }
    Some(asked)
}

/// What planting a bug came to.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The first seed that broke a promise.
    pub first: Option<u64>,
    /// Each promise that was broken, and by how many seeds.
    pub broken: BTreeMap<String, u64>,
}

/// Seeds played on after the first that broke something, to see what else breaks.
const MORE: u64 = 300;

/// Plants a bug around the core, and plays so many seeds at most until a promise breaks, and so many
/// more.
pub fn plant(mutation: Mutation, seeds: u64, more: u64) -> Found {
    let options = Options { mutation: Some(mutation), ..Options::default() };
    let mut found = Found::default();
    for seed in 0..seeds {
        if found.first.is_some_and(|first| seed > first + more) {
            break;
        }
        if let Some(broken) = run(seed, &options).violation {
            found.first.get_or_insert(seed);
            *found.broken.entry(broken.invariant.to_owned()).or_default() += 1;
        }
    }
    found
}

fn line(out: &mut impl Write, name: &str, found: &Found) -> io::Result<()> {
    let seeds = found.first.map_or_else(|| "never".to_owned(), |first| (first + 1).to_string());
    let broken: Vec<String> =
        found.broken.iter().map(|(name, count)| format!("{name} {count}")).collect();
    writeln!(out, "| {name} | {seeds} | {} |", broken.join(", "))
}

/// The whole verb.
///
/// # Errors
/// It cannot be written, or the copy cannot be built.
pub fn main(asked: &Asked, out: &mut impl Write) -> io::Result<bool> {
    let mut broken: BTreeSet<String> = BTreeSet::new();
    let mut unseen: Vec<String> = Vec::new();
    let mut take = |name: String, found: &Found| {
        if found.first.is_none() {
            unseen.push(name);
        }
        broken.extend(found.broken.keys().cloned());
    };
    writeln!(out, "| planted bug | found within | by the promises, seeds |\n|---|--:|---|")?;
    if asked.around {
        for mutation in part(&Mutation::ALL, asked.part).copied() {
            let found = plant(mutation, asked.seeds, MORE);
            line(out, &format!("{mutation:?}"), &found)?;
            take(format!("{mutation:?}"), &found);
        }
    }
    if asked.core {
        let scratch = Scratch::new(&folder())?;
        for mutant in part(MUTANTS, asked.part) {
            if let Err(said) = scratch.build(mutant)? {
                return Err(io::Error::other(format!("{} is no program: {said}", mutant.name)));
            }
            let found = play(&scratch, asked.seeds)?;
            line(out, mutant.name, &found)?;
            take(mutant.name.to_owned(), &found);
        }
    }
    let watch = Watch::default();
    let idle: Vec<&str> =
        watch.promises().map(|(name, _)| name).filter(|name| !broken.contains(*name)).collect();
    writeln!(out, "\nnot found: {unseen:?}\npromises that no bug broke: {idle:?}")?;
    Ok(unseen.is_empty() && (idle.is_empty() || !asked.around || asked.part.1 > 1))
}

/// The k-th of n parts.
fn part<T>(all: &[T], (k, n): (usize, usize)) -> impl Iterator<Item = &T> {
    all.iter().skip(k.saturating_sub(1)).step_by(n)
}

fn folder() -> PathBuf {
    std::env::temp_dir().join(format!("skein-mutants-{}", std::process::id()))
}

/// Seeds in growing steps, until one breaks something.
fn play(scratch: &Scratch, most: u64) -> io::Result<Found> {
    let mut found = Found::default();
    let (mut from, mut step) = (0, 200);
    while from < most && found.first.is_none() {
        let to = most.min(from + step);
        let output = scratch.play(from..to)?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        // A panic in the core is found as well as a broken promise.
        if !output.status.success() {
            found.first = Some(to);
            *found.broken.entry("panic".to_owned()).or_default() += 1;
        }
        for line in said.lines() {
            let Some((seed, promise)) = line
                .strip_prefix("seed ")
                .and_then(|rest| rest.split_once(": "))
                .and_then(|(seed, rest)| Some((seed.parse().ok()?, rest.split_once(": ")?.0)))
            else {
                continue;
            };
            found.first.get_or_insert(seed);
            *found.broken.entry(promise.to_owned()).or_default() += 1;
        }
        (from, step) = (to, step * 4);
    }
    Ok(found)
}
