//! Plans, and which part of which rollout a line is about.

use skein_core::command::{Ask, Command, Depth, Extent, Meant, Waiver};
use skein_core::event::Verdict;
use skein_core::ids::{Digest, RolloutId, Seq, TargetId, WaveIx};
use skein_core::plan;
use skein_core::spec::{Condition, Direction, Goal, Selector, Spec};
use skein_core::state::repair::Verb;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::read::{Words, number};
use crate::support::line;
use crate::support::world::{World, digest};

/// Whom a condition meant (`holds`) of those that it was asked of (`asked`); else there is none.
pub(super) fn settles(world: &World, words: &Words<'_>) -> Meant {
    let Some(asked) = words.key("asked") else { return Meant::AsPlanned };
    let ids = |ids: &str| ids.split(',').map(TargetId::from).collect::<BTreeSet<_>>();
    let state = world.fleet.rollouts.get(&RolloutId(number(words.at(2)))).expect("it is there");
    let mut spec = state.plan.spec.clone();
    spec.selector.condition = Some(Condition {
        text: "words".to_owned(),
        holds: Arc::new(words.key("holds").map(ids).unwrap_or_default()),
    });
    Meant::Found(Box::new(spec), ids(asked))
}

pub(super) fn why(words: &Words<'_>) -> String {
    words.key("why").unwrap_or_default().to_owned()
}

pub(super) fn ask(world: &World, words: &Words<'_>, (verb, at): (Verb, usize)) -> Ask {
    let bundle = world.bundles.get(words.at(at)).map_or_else(Digest::default, |one| one.digest);
    Ask {
        verb,
        versions: words.bare.iter().skip(at + 1).map(|version| (*version).into()).collect(),
        bundle,
        selector: selector(words),
        waiver: why(words),
    }
}

/// The plan made last, or that of a rollout by its number.
pub(super) fn chosen(world: &World, words: &Words<'_>) -> Digest {
    let named = words.key("of").map(|of| RolloutId(number(of)));
    let named = named.and_then(|id| world.fleet.rollouts.get(&id));
    named.map_or(world.plan, |state| state.plan_id)
}

pub(super) fn rollout(words: &Words<'_>) -> RolloutId {
    RolloutId(number(words.at(1)))
}

pub(super) fn verdict(words: &Words<'_>) -> Verdict {
    if words.has("partly") {
        Verdict::Partly
    } else if words.has("fully") {
        Verdict::Fully
    } else if words.has("unknown") {
        Verdict::Unknown
    } else {
        Verdict::Never
    }
}

pub(super) fn waivers(words: &Words<'_>) -> Vec<Waiver> {
    let reason = if words.has("silent") { "" } else { "the table is empty" };
    words
        .key("waive")
        .map(|step| Waiver { step: step.to_owned(), reason: reason.to_owned() })
        .into_iter()
        .collect()
}

pub(super) fn extent(words: &Words<'_>) -> Extent {
    let then = |text: &str| {
        let kept = text.split(',').filter_map(|one| one.split_once(':'));
        kept.map(|(target, steps)| (target.into(), number(steps))).collect()
    };
    let depth = match (words.key("steps"), words.key("to"), words.key("then")) {
        (Some(steps), _, _) => Depth::Steps(number(steps)),
        (_, Some(version), _) => Depth::Version(version.into()),
        (_, _, Some(text)) => Depth::Time(Seq(7), then(text)),
        (None, None, None) => Depth::Whole,
    };
    let wave = words.key("wave").map(|wave| WaveIx(number(wave)));
    Extent { selector: selector(words), wave, depth }
}

pub(super) fn selector(words: &Words<'_>) -> Selector {
    let mut selector = Selector::default();
    if let Some(globs) = words.key("select") {
        selector.targets = globs.split(',').map(str::to_owned).collect();
    }
    if let Some(group) = words.key("label") {
        selector.labels = vec![("ring".to_owned(), vec![group.to_owned()])];
    }
    selector
}

/// The question that a plan answers.
pub(super) fn spec(world: &World, words: &Words<'_>) -> Spec {
    let direction = if words.has("down") {
        Direction::Down
    } else if words.has("validate") {
        Direction::Validate
    } else {
        Direction::Up
    };
    let goal = if words.has("none") {
        Goal::Nothing
    } else if let Some(version) = words.key("to") {
        Goal::Version(version.into())
    } else if let Some(time) = words.key("time") {
        Goal::Timestamp(time.to_owned())
    } else if words.keys.contains_key("steps") {
        Goal::Steps(words.number("steps", 0))
    } else {
        Goal::Latest
    };
    let bundle = world.bundles.get(words.at(1)).map_or_else(Digest::default, |one| one.digest);
    Spec {
        bundle,
        selector: selector(words),
        direction,
        goal,
        strategy: world.strategy.clone(),
        out_of_order: words.has("out-of-order"),
        accept_drift: words.has("accept-drift"),
    }
}

pub(super) fn plan(world: &mut World, words: &Words<'_>) {
    let spec = spec(world, words);
    let made = match plan::make(&world.fleet, &spec) {
        Ok(made) => made,
        Err(refusal) => {
            world.say(format!("refused ({:?}): {}", refusal.kind, refusal.what));
            return world.say(format!("      next: {}", refusal.next));
        }
    };
    if made.up_to_date > 0 {
        world.say(format!("{} targets are where they should be", made.up_to_date));
    }
    for block in &made.accepted {
        world.say(format!("accepted {}", line::block(block)));
    }
    let id = digest(&format!("{made:?}"));
    let command = Command::PlanRollout { spec: Box::new(spec), plan: Arc::new(made), id };
    if world.ask("ann", command) {
        world.plan = id;
    }
}
