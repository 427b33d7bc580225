//! Freezes: no rollout works on targets, on somebody's word, until it is taken back or its time is over.

use crate::event::Body;
use crate::ids::{FreezeId, Millis};
use crate::refusal::{Kind, Refusal};
use crate::spec::Selector;
use crate::state::Fleet;

pub(super) fn declare(
    fleet: &Fleet,
    selector: &Selector,
    (until, now): (Option<Millis>, Millis),
    reason: &str,
) -> Result<Vec<Body>, Refusal> {
    if reason.trim().is_empty() {
        return Err(Refusal::new(
            Kind::Invalid,
            "a freeze without a reason helps nobody who waits for it",
            "say why: `skein freeze --reason \"…\"`",
        ));
    }
    if selector.condition.is_some() {
        return Err(Refusal::new(
            Kind::Invalid,
            "a freeze is over ids and labels: what a condition holds of is known for a moment only",
            "select by `--on` and `--label`",
        ));
    }
    if until.is_some_and(|until| until <= now) {
        return Err(Refusal::new(
            Kind::Invalid,
            "the freeze would be over before it begins",
            "give a time that is still to come, or none",
        ));
    }
    let means = |target: &crate::state::target::State| {
        !target.retired && selector.names(&target.id, &target.description)
    };
    if *selector != Selector::default() && !fleet.targets.iter().any(|(_, target)| means(target)) {
        return Err(Refusal::new(
            Kind::Missing,
            "the selector matches no target: nothing would be frozen",
            "`skein targets` lists ids and labels",
        ));
    }
    let freeze = FreezeId(fleet.frozen + 1);
    let (selector, reason) = (selector.clone(), reason.to_owned());
    Ok(vec![Body::ChangesFrozen { freeze, selector, until, reason }])
}

pub(super) fn lift(
    fleet: &Fleet,
    (named, selector): (&[FreezeId], &Selector),
    now: Millis,
    reason: &str,
) -> Result<Vec<Body>, Refusal> {
    let in_force = || fleet.freezes.iter().filter(|(_, freeze)| freeze.holds(now));
    if let Some(unknown) = named.iter().find(|id| in_force().all(|(known, _)| known != *id)) {
        return Err(Refusal::new(
            Kind::Missing,
            format!("no freeze {unknown} is in force"),
            "`skein status` lists those that are",
        ));
    }
    let everything = *selector == Selector::default();
    let freezes: Vec<FreezeId> = if named.is_empty() {
        let meant = in_force().filter(|(_, freeze)| everything || freeze.selector == *selector);
        meant.map(|(id, _)| *id).collect()
    } else {
        named.to_vec()
    };
    if freezes.is_empty() {
        let others: Vec<String> = in_force().map(|(id, _)| id.to_string()).collect();
        let what = match others.as_slice() {
            [] => "nothing is frozen".to_owned(),
            others => {
                format!("nothing was frozen with this selection; in force: {}", others.join(", "))
            }
        };
        return Err(Refusal::new(
            Kind::Conflict,
            what,
            "`skein status` says what is frozen; `skein thaw FREEZE` lifts one by its number",
        ));
    }
    Ok(vec![Body::ChangesThawed { freezes, reason: reason.to_owned() }])
}
