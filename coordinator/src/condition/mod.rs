//! Conditions on targets, in CEL: `region == "eu" && version.at_least("0042")`.
//!
//! ```text
//! read    text → tree: no name, function or form that is not offered here; what one target may cost
//! names   what can be said of a target, and how it is looked up
//! order   versions, compared by their numbers
//! place   the text with a caret under what is wrong
//! sample  a small fleet to ask, for tests and for fuzzing
//! ```
//!
//! What holds: an expression comes from outside, and nothing in it panics, waits or grows without bound: it is
//! read and asked on a thread of its own, with room for the deepest that is let in. What it may cost over this fleet
//! is known and refused before it is begun. It is evaluated once, by whoever takes the request; the core gets the ids.
//! A name that means nothing here is refused: a condition that is misspelt must not choose everything or nothing in
//! silence.

mod names;
mod order;
mod place;
mod read;
mod sample;

use std::collections::BTreeSet;
use std::sync::Arc;

use skein_core::ids::TargetId;
use skein_core::refusal::Kind;
use skein_core::schedule::Presence;
use skein_core::spec::Selector;
use skein_core::state::target;
use skein_core::{Fleet, Refusal};

use names::Known;
use read::Expression;
pub(crate) use sample::sample;

/// What all of an expression's evaluations may take together: a bound on the time that one request keeps a
/// node from other work, counted in nanoseconds of a slow processor and not measured.
const WORK_MAX: u64 = 5_000_000_000;

/// An expression that makes sense on this fleet, ready to be asked of its targets.
struct Asked<'a> {
    expression: &'a Expression,
    fleet: &'a Fleet,
    presence: &'a Presence,
    known: Known<'a>,
}

impl<'a> Asked<'a> {
    /// Refuses names that no target of the fleet gives a meaning, and work without measure.
    fn of(
        expression: &'a Expression,
        fleet: &'a Fleet,
        presence: &'a Presence,
    ) -> Result<Self, Refusal> {
        let known = Known::of(fleet);
        expression.means_something(&known)?;
        let all = fleet.targets.iter();
        let work = all.fold(0_u64, |sum, (_, target)| {
            sum.saturating_add(expression.work(target.in_force().len()))
        });
        if work > WORK_MAX {
            return Err(Refusal::new(
                Kind::Invalid,
                "the condition takes too much work over so many targets",
                "make it shorter, above all what stands inside of `exists` and `all`",
            ));
        }
        Ok(Self { expression, fleet, presence, known })
    }

    /// Whether it holds of a target.
    fn holds(&self, target: &target::State) -> Result<bool, Refusal> {
        let row =
            names::Row { fleet: self.fleet, presence: self.presence, target, known: &self.known };
        self.expression.holds(&row).map_err(|what| {
            let what = format!("on target {}: {what}", target.id);
            Refusal::new(Kind::Invalid, what, read::HELP)
        })
    }
}

/// What the deepest expression may need of a stack, many times over: parser and interpreter call themselves.
const STACK: usize = 64 << 20;

/// Does the work where neither a deep expression nor a panic of the library can end the node.
fn apart<T: Send>(work: impl FnOnce() -> Result<T, Refusal> + Send) -> Result<T, Refusal> {
    let broken = |why: &str| {
        Err(Refusal::new(
            Kind::Invalid,
            format!("the condition cannot be evaluated: {why}"),
            read::HELP,
        ))
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("condition".to_owned()).stack_size(STACK);
        match thread.spawn_scoped(scope, work) {
            Ok(thread) => thread.join().unwrap_or_else(|_panic| broken("the evaluation broke off")),
            Err(error) => broken(&error.to_string()),
        }
    })
}

/// The first targets after one that are selected. No more of them are asked about than `size` takes.
pub(crate) fn page<'a>(
    fleet: &'a Fleet,
    selector: &Selector,
    presence: &Presence,
    (after, size): (&TargetId, usize),
) -> Result<Vec<&'a target::State>, Refusal> {
    let named = |target: &&target::State| selector.names(&target.id, &target.description);
    let mut rest = fleet.targets.after(after).map(|(_, target)| target).filter(named);
    let Some(condition) = &selector.condition else { return Ok(rest.take(size).collect()) };
    apart(|| {
        let expression = Expression::read(&condition.text)?;
        let asked = Asked::of(&expression, fleet, presence)?;
        let mut found = Vec::new();
        while found.len() < size
            && let Some(target) = rest.next()
        {
            if asked.holds(target)? {
                found.push(target);
            }
        }
        Ok(found)
    })
}

/// Finds what a selector's condition holds of, among the targets that its other parts name.
pub(crate) fn settle(
    selector: &mut Selector,
    fleet: &Fleet,
    presence: &Presence,
) -> Result<(), Refusal> {
    let all = fleet.targets.iter().map(|(_, target)| target);
    settle_of(selector, (fleet, presence), all)
}

/// The same, among some targets.
pub(crate) fn settle_among(
    selector: &mut Selector,
    fleet: &Fleet,
    (presence, some): (&Presence, &BTreeSet<&TargetId>),
) -> Result<(), Refusal> {
    let some = some.iter().filter_map(|id| fleet.target(id).map(|(_, target)| target));
    settle_of(selector, (fleet, presence), some)
}

fn settle_of<'a>(
    selector: &mut Selector,
    (fleet, presence): (&'a Fleet, &Presence),
    targets: impl Iterator<Item = &'a target::State> + Send,
) -> Result<(), Refusal> {
    let Some(condition) = &selector.condition else { return Ok(()) };
    let holds = apart(|| {
        let expression = Expression::read(&condition.text)?;
        let asked = Asked::of(&expression, fleet, presence)?;
        let mut holds = BTreeSet::new();
        for target in targets {
            if selector.names(&target.id, &target.description) && asked.holds(target)? {
                holds.insert(target.id.clone());
            }
        }
        Ok(holds)
    })?;
    if let Some(condition) = &mut selector.condition {
        condition.holds = Arc::new(holds);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
