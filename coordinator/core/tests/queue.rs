//! Long queues of one agent: what may not go does not keep back what may.

#[expect(dead_code, reason = "the scripts use the rest of it")]
mod support;

use skein_core::command::Command;
use skein_core::ids::Millis;
use skein_core::schedule::schedule;
use support::words;
use support::world::World;

/// More than a tick looks at, twice.
const FROZEN: u32 = 9_000;

#[test]
fn who_is_behind_many_that_are_frozen_has_its_turn() {
    let mut world = World::default();
    words::run(&mut world, &format!("fleet {FROZEN} prefix=a slots=4"));
    words::run(&mut world, "fleet 1 prefix=z");
    words::run(&mut world, "bundle b1 1");
    words::run(&mut world, "strategy parallel=10000");
    words::run(&mut world, "plan b1");
    words::run(&mut world, "freeze select=a-* why=audit");
    words::run(&mut world, "start");
    words::run(&mut world, "ask start-wave 1");
    let (first, mut now) = (world.now, world.now);
    loop {
        let next = schedule(&world.fleet, &world.presence, now);
        if let [Command::AssignLeg { target, .. }] = next.commands.as_slice() {
            assert_eq!(target.as_str(), "z-1");
            break;
        }
        assert!(next.commands.is_empty(), "{} commands", next.commands.len());
        let wake = next.wake_at.expect("it asks again by itself");
        assert!(wake > now && wake <= Millis(first.0 + 10_000), "{wake:?}");
        now = wake;
    }
}
