//! `skein-chaos shrink`: makes a failing seed small, and prints what is left as a golden script of the
//! core.

use std::io::{self, Write};

use super::model::Asked;
use crate::shrink::{script, shrink};

/// How it is called.
pub const USAGE: &str = "\
skein-chaos shrink --seed N [--mutation NAME]
    leaves out of a failing run what it can do without, and prints the rest as a script that can be kept
    in coordinator/core/tests/scripts";

/// The whole verb.
///
/// # Errors
/// It cannot be written.
pub fn main(asked: &Asked, out: &mut impl Write) -> io::Result<bool> {
    let seed = asked.from;
    let Some(shrunk) = shrink(seed, &asked.options) else {
        writeln!(out, "seed {seed} breaks no promise")?;
        return Ok(true);
    };
    writeln!(out, "seed {seed}: {}", shrunk.broken)?;
    let [operations, strikes, commands] = shrunk.before;
    let [fewer_operations, fewer_strikes, fewer_commands] = shrunk.after;
    writeln!(
        out,
        "operations {operations} → {fewer_operations}, faults {strikes} → {fewer_strikes}, commands and \
         effects {commands} → {fewer_commands}\nwithout: {:?}",
        shrunk.without
    )?;
    let Some(entries) = &shrunk.entries else {
        writeln!(
            out,
            "the promise is not broken by what the core was given alone: look at the trace of the seed"
        )?;
        return Ok(false);
    };
    let title = format!("Found by seed {seed} of the model: {}.", shrunk.broken.sentence);
    writeln!(out, "\n{}", script(&title, entries))?;
    writeln!(
        out,
        "keep it as coordinator/core/tests/scripts/t90_WHAT.txt, let\n\
         UPDATE_GOLDEN=1 cargo test -p skein-core --test golden\nwrite down what is told, mend the core, \
         and read the difference"
    )?;
    Ok(false)
}
