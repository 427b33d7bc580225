//! What agents tell of legs and repairs.

use skein_core::command::{Command, Outcome};
use skein_core::event::Measured;
use skein_core::hours::stops;
use skein_core::ids::{AgentId, Fence, StepIx, TargetId};
use skein_core::outbox::outbox;
use skein_core::spec::{Backup, Direction, Quantiles};
use skein_core::state::ledger::Entry;
use skein_core::state::repair::Evidence;
use skein_core::state::target::Observation;

use super::read::{Words, number};
use super::rollout::verdict;
use crate::support::world::{World, digest, fingerprint};
use crate::support::{batches, throttle};

pub(super) fn expire(world: &mut World, words: &Words<'_>) {
    let target = TargetId::from(words.at(1));
    let live = world.lease(&target).map(|(_, fence)| fence);
    let fence = words.key("fence").map(|fence| Fence(u64::from(number(fence)))).or(live);
    let why = "not heard of for 30 s".to_owned();
    let fence = fence.unwrap_or_default();
    world.ask("leader", Command::ExpireLease { target, fence, why });
}

pub(super) fn report(world: &mut World, target: &TargetId, words: &Words<'_>) {
    let lease = world.lease(target);
    let (agent, fence) = lease.unwrap_or_else(|| (AgentId::from("a1"), Fence(0)));
    let fence = words.key("fence").map_or(fence, |fence| Fence(u64::from(number(fence))));
    if words.at(1) == "leg" {
        return leg(world, &agent, target);
    }
    let step = words.bare.get(2).and_then(|step| step.parse().ok()).map(StepIx).unwrap_or_default();
    let after = words.key("schema").map(digest);
    let message = "syntax error".to_owned();
    let (ms, already) = (u64::from(words.number("took", 1)), words.has("already"));
    let measured = Measured {
        waited_ms: u64::from(words.number("waited", 0)),
        resumed: words.has("resumed"),
        written: words.key("wrote").map(|bytes| u64::from(number(bytes))),
        locked_ms: None,
        touched: words.key("touched").map(|rows| u64::from(number(rows))),
    };
    let outcome = match words.at(1) {
        "backed-up" => {
            let ledger = world.ledger(target);
            let scope = if words.has("nothing") { Backup::Exempt } else { Backup::Database };
            let mut archive = World::archive(target, &ledger, scope);
            archive.fingerprint = after.unwrap_or(archive.fingerprint);
            archive.target_bytes = u64::from(words.number("bytes", 0));
            archive.ms = ms;
            Outcome::BackedUp(Box::new(archive))
        }
        "applied" => Outcome::Applied { step, ms, rows: 0, already, measured },
        "verified" => Outcome::Verified { step, fingerprint: after },
        "failed" => Outcome::Failed {
            step,
            verdict: verdict(words),
            retryable: words.has("retryable"),
            cancelled: words.has("cancelled"),
            message,
            file: String::new(),
            line: 0,
        },
        "rolled-back" => Outcome::RolledBack { step, ms, already, fingerprint: after, measured },
        "baseline" => Outcome::Baseline {
            gate: words.at(2).to_owned(),
            queries: (0..words.number("queries", 1))
                .map(|_| Quantiles { p50: 100, p95: 200, p99: 300 })
                .collect(),
        },
        "mended" => return mended(world, (&agent, target, fence), words),
        "stuck" => Outcome::Stuck { step, why: "no probe".to_owned() },
        "tried" => Outcome::Tried {
            step,
            passed: words.has("pass"),
            impossible: words.has("impossible"),
            note: if words.has("pass") { String::new() } else { message },
        },
        "released" => Outcome::Released { why: "drained".to_owned() },
        other => panic!("no word {other}"),
    };
    world.report(&agent, target, fence, outcome);
}

/// What an executor tells of a repair: `ledger=1,2 evidence=waiver`.
fn mended(
    world: &mut World,
    (agent, target, fence): (&AgentId, &TargetId, Fence),
    words: &Words<'_>,
) {
    let entry =
        |version: &str| Entry { version: version.into(), digest: digest(&format!("{version}.up")) };
    let versions = words.key("ledger").unwrap_or_default().split(',');
    let ledger: Vec<Entry> = versions.filter(|one| !one.is_empty()).map(entry).collect();
    let evidence = words.key("evidence").unwrap_or_default().split(',');
    let evidence = evidence.filter(|one| !one.is_empty()).map(|one| match one {
        "schema" => Evidence::Schema,
        "probe" => Evidence::Probe,
        "waiver" => Evidence::Waiver,
        other => panic!("no evidence {other}"),
    });
    let evidence = evidence.collect();
    let seen = Box::new(Observation {
        engine_version: "16.4".to_owned(),
        identity: format!("server-of-{target}"),
        fingerprint: fingerprint(&ledger),
        ledger,
        fence,
        open_intent: String::new(),
        bytes: 0,
        tables: None,
    });
    world.report(agent, target, fence, Outcome::Mended { seen, evidence });
}

fn leg(world: &mut World, agent: &AgentId, target: &TargetId) {
    let legs = outbox(&world.fleet, agent);
    match legs.into_iter().find(|leg| leg.target == *target) {
        None => world.say("no leg"),
        Some(leg) => {
            let steps: Vec<String> = leg
                .steps
                .iter()
                .map(|step| {
                    let sign = if step.script == Direction::Down { "-" } else { "+" };
                    format!("{sign}{}", step.entry.version)
                })
                .collect();
            let expected: Vec<&str> =
                leg.expected.iter().map(|entry| entry.version.as_str()).collect();
            world.say(format!(
                "{:?} fence {} steps [{}] expects [{}]{}{}{}",
                leg.kind,
                leg.fence,
                steps.join(" "),
                expected.join(" "),
                if leg.backed_up { ", backed up" } else { "" },
                match (leg.cancelled, leg.kill) {
                    (_, true) => ", killed",
                    (true, false) if leg.after_batch => ", cancelled after its batch",
                    (true, false) => ", cancelled",
                    (false, false) => "",
                },
                throttle::shown(&leg.throttles) + &batches::shown(leg.batching),
            ));
            for gate in &leg.measure {
                world.say(format!("      measures for {} first", gate.name));
            }
            for (gate, queries) in &leg.baselines {
                let was: Vec<String> = queries.iter().map(|it| it.p95.to_string()).collect();
                world.say(format!("      {gate} was {}", was.join(", ")));
            }
            let (_, held) = world.fleet.target(&leg.target).expect("it has a lease");
            if let Some(why) = stops(&world.fleet, held, (&world.presence.hours, world.now)) {
                world.say(format!("      to be given back: {why}"));
            }
        }
    }
}
