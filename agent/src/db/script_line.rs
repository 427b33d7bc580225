//! Which line of a file a failure belongs to, and which rows of its answers count as changed.

use skein_bundle::Script;
use skein_bundle::sql::{Class, ScriptPlan, Split, split};

use super::answer::Answer;
use super::failure::Broken;
use super::location::Engine;
use super::order::Order;

/// The line of the failing statement of an order's script that was sent as a whole.
pub(crate) fn of_script(order: &Order, broken: &Broken) -> Option<u32> {
    of_position(&order.script, broken)
        .or_else(|| order.plan.judged.get(broken.done.len()).map(|judged| judged.line))
}

/// The same for a verify script, for which nobody made a plan.
pub(crate) fn of_verify(engine: Engine, verify: &Script, broken: &Broken) -> Option<u32> {
    of_position(verify, broken).or_else(|| {
        match split(engine.dialect(), &verify.text, verify.line) {
            Split::Statements(statements) => {
                statements.get(broken.done.len()).map(|statement| statement.line)
            }
            Split::Whole { line, .. } => Some(line),
        }
    })
}

fn of_position(script: &Script, broken: &Broken) -> Option<u32> {
    lines_down(script.line, &script.text, broken.failure.position?)
}

/// The line of a one-based character of `text`, which begins at line `first`.
pub(crate) fn lines_down(first: u32, text: &str, position: usize) -> Option<u32> {
    let ahead = text.chars().take(position.saturating_sub(1));
    let lines = ahead.filter(|c| *c == '\n').count();
    first.checked_add(u32::try_from(lines).ok()?)
}

/// Rows changed by a script that was sent as a whole: what was only read does not count.
pub(crate) fn rows_changed(plan: &ScriptPlan, answers: &[Answer]) -> u64 {
    if plan.judged.len() != answers.len() {
        return answers.iter().map(|answer| answer.affected).sum();
    }
    plan.judged
        .iter()
        .zip(answers)
        .filter(|(judged, _)| judged.facts.class == Class::Dml)
        .map(|(_, answer)| answer.affected)
        .sum()
}
