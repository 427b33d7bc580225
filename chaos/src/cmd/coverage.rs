//! `skein-chaos coverage`: what the generator came across, and what it never made.

use std::io::{self, Write};
use std::path::Path;

use super::model::{self, Asked};
use crate::model::coverage::{Coverage, EVENTS, Fault, Reach, refusals_in};

/// How it is called.
pub const USAGE: &str = "\
skein-chaos coverage [--seeds FROM..TO]
    plays seeds 0..3000, or those that are named, and prints how often each fault, event, situation and
    refusal came up; what never did is an error";

/// Refusals that the model cannot meet, and why.
const BEYOND: [(&str, &str); 12] = [
    (" does not wait for ", "the scheduler's own are never refused"),
    (", before its steps", "they measure what they are asked for, and when they are"),
    (" stands apart: ", "one adopted database alone that is not like the others is rare"),
    (
        " cannot be reached: ",
        "a plan names who cannot be as absent; that it goes between plan and start is rare",
    ),
    ("nobody has come who could join ", "the schedule asks when somebody has"),
    ("the bundle's list is broken", "no list is"),
    (" was not read for ", "every script is read for every engine"),
    ("mend ", "the words are the script's own; `no such function` stands for them"),
    ("the cluster was formed under charter ", "the node's own, before it serves anybody"),
    (
        " may have been given before",
        "asked by whoever restores a cluster, which the model does not do",
    ),
    (" has ended, or somebody works on it", "the same"),
    (") schema ", "how a part of a database is named, and no refusal"),
];

/// Rules that the model does not ask for: it writes no gate and no throttle that could not be asked. The core's
/// scripts do.
const UNASKED: [&str; 2] = ["plan/gates.rs", "plan/throttles.rs"];

/// Every refusal in the sources of the core, by the parts of its sentence that do not change.
///
/// # Errors
/// The sources cannot be read.
pub fn refusals() -> io::Result<Vec<Vec<String>>> {
    let mut all = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../coordinator/core/src"), &mut all)?;
    all.retain(|parts| {
        let text = parts.concat();
        !BEYOND.iter().any(|(beyond, _)| text.contains(beyond))
    });
    all.sort();
    all.dedup();
    Ok(all)
}

fn collect(folder: &Path, all: &mut Vec<Vec<String>>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, all)?;
        } else if UNASKED.iter().any(|unasked| path.ends_with(unasked)) {
            // Not the model's.
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.extend(refusals_in(&std::fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

/// Each thing that may come up, with how often it did.
///
/// # Errors
/// The sources of the core cannot be read.
pub fn table(coverage: &Coverage) -> io::Result<Vec<(&'static str, String, u64)>> {
    let mut lines = Vec::new();
    for fault in Fault::ALL {
        let count = coverage.faults.get(fault).copied().unwrap_or_default();
        lines.push(("fault", format!("{fault:?}"), count));
    }
    for event in EVENTS {
        let count = coverage.events.get(event).copied().unwrap_or_default();
        lines.push(("event", event.to_owned(), count));
    }
    for reach in Reach::ALL {
        let count = coverage.reach.get(reach).copied().unwrap_or_default();
        lines.push(("situation", format!("{reach:?}"), count));
    }
    for parts in refusals()? {
        lines.push(("refusal", parts.join("…"), coverage.refused(&parts)));
    }
    Ok(lines)
}

/// The whole verb.
///
/// # Errors
/// It cannot be written, or the sources of the core cannot be read.
pub fn main(mut asked: Asked, out: &mut impl Write) -> io::Result<bool> {
    asked.options.refusals = true;
    let sum = model::play(&asked, out)?;
    let mut whole = true;
    for (what, name, count) in table(&sum.coverage)? {
        writeln!(out, "{count:>9}  {what:<10} {name}")?;
        whole &= count > 0;
    }
    Ok(whole && sum.violations.is_empty())
}
