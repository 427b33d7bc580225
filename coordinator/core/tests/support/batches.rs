//! The words of the golden scripts that are about statements in batches.

use skein_core::schedule::Batched;
use skein_core::spec::Batching;

use super::world::World;

/// Carries out a line.
pub(crate) fn run(world: &mut World, bare: &[&str]) {
    match bare {
        ["at", target, over @ ..] => {
            let lane = world.fleet.target(&(*target).into());
            let lease = lane.and_then(|(_, target)| target.lease.as_ref());
            let batched = Batched {
                fence: lease.map(|lease| lease.fence).expect("it has a lease"),
                statement: 2,
                over: over.join(" "),
                batches: 12,
                rows: 60_000,
                percent: Some(31),
                size: 5_000,
            };
            world.presence.batched.insert((*target).into(), batched);
        }
        ["batching", size, pause] => {
            let number = |text: &str| text.parse().expect("a number");
            world.strategy.batching = Batching { size: number(size), pause_ms: number(pause) };
        }
        other => panic!("no line {other:?}"),
    }
}

/// How a leg goes over its batches.
pub(crate) fn shown(batching: Batching) -> String {
    if batching == Batching::default() {
        return String::new();
    }
    format!(", batches of {} keys, {} ms apart", batching.size, batching.pause_ms)
}
