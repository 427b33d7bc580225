//! Laws over random histories: commands in any order, many of them nonsense, from a seed.

#[path = "support/dice.rs"]
mod dice;
mod support;

use dice::Dice;
use skein_core::command::{Command, Depth, Extent, Outcome, Waiver};
use skein_core::decide::{Decision, decide};
use skein_core::event::{Body, Measured, Stop, Verdict};
use skein_core::ids::{AgentId, Digest, Fence, Millis, RolloutId, StepIx, TargetId, WaveIx};
use skein_core::outbox::{Leg, Mend, mends, outbox};
use skein_core::schedule::schedule;
use skein_core::spec::{Backup, Knob, Selector};
use skein_core::state::rollout::Phase;
use support::world::{World, digest};
use support::{law, words};

const TARGETS: u32 = 6;
const AGENTS: u32 = 3;

fn target(dice: &mut Dice) -> TargetId {
    TargetId(format!("t-{}", 1 + dice.below(TARGETS)))
}

fn agent(dice: &mut Dice) -> AgentId {
    AgentId(format!("a{}", 1 + dice.below(AGENTS)))
}

fn rollout(dice: &mut Dice, world: &World) -> RolloutId {
    let last = world.fleet.rollouts.last_key_value().map_or(0, |(id, _)| id.0);
    // The later ones are the ones where something happens.
    RolloutId(last.saturating_sub(dice.below(3)))
}

fn set_up(dice: &mut Dice) -> World {
    let mut world = World::default();
    words::run(&mut world, &format!("fleet {TARGETS} slots=3"));
    words::run(&mut world, "agent a2 t-1 t-2 t-3");
    words::run(&mut world, "connect a2 slots=2");
    for n in 1..TARGETS {
        let rows = 3_u32.pow(n) * 1_000;
        words::run(&mut world, &format!("observe t-{n} tables=orders:{rows},items:{n}0"));
    }
    words::run(&mut world, "bundle b1 1 2 3 names=1:orders,3:orders+items");
    words::run(&mut world, "bundle b2 1 2 3- 4 names=1:orders,2:items");
    if dice.chance(50) {
        words::run(&mut world, "fleet 2 prefix=m engine=mysql agent=a3 slots=1");
    }
    world
}

fn plan(dice: &mut Dice, world: &mut World) {
    let breach = ["halt", "target", "wave", "rollout"][dice.below(4) as usize];
    let waves = ["t-1", "50%", "t-1,50%", "t-2+t-3,t-4"][dice.below(4) as usize];
    words::run(
        world,
        &format!(
            "strategy waves={waves} parallel={} budget={} breach={breach} retries={}",
            1 + dice.below(4),
            dice.below(3),
            dice.below(3)
        ),
    );
    let bundle = 1 + dice.below(2);
    let way = ["up", "up", "up", "down steps=1", "down none", "validate"][dice.below(6) as usize];
    let select = ["", "select=t-1,t-2", "select=t-*"][dice.below(3) as usize];
    let drift = if dice.chance(30) { "accept-drift" } else { "" };
    words::run(world, &format!("plan b{bundle} {way} {select} {drift}"));
    if dice.chance(80) {
        words::run(world, "start waive=*");
    }
}

fn outcome(dice: &mut Dice) -> Outcome {
    let step = StepIx(dice.below(5));
    let schema = dice.chance(50).then(|| digest("some schema"));
    let measured = Measured::default();
    match dice.below(9) {
        0 => Outcome::BackedUp(Box::new(World::archive(
            &TargetId::from("t-1"),
            &[],
            if dice.chance(20) { Backup::Exempt } else { Backup::Database },
        ))),
        1 => Outcome::Applied { step, ms: 0, rows: 0, already: dice.chance(50), measured },
        2 => Outcome::Verified { step, fingerprint: schema },
        3 | 4 => Outcome::Failed {
            step,
            verdict: [Verdict::Never, Verdict::Partly, Verdict::Fully, Verdict::Unknown]
                [dice.below(4) as usize],
            retryable: dice.chance(50),
            cancelled: dice.chance(30),
            message: "no".to_owned(),
            file: String::new(),
            line: 0,
        },
        5 => Outcome::RolledBack {
            step,
            ms: 0,
            already: dice.chance(50),
            fingerprint: schema,
            measured,
        },
        6 => Outcome::Stuck { step, why: "no probe".to_owned() },
        7 => Outcome::Tried {
            step,
            passed: dice.chance(70),
            impossible: dice.chance(20),
            note: String::new(),
        },
        _ => Outcome::Released { why: "drained".to_owned() },
    }
}

fn legs(world: &World) -> Vec<(AgentId, Leg)> {
    world
        .fleet
        .agents
        .keys()
        .flat_map(|agent| {
            outbox(&world.fleet, agent).into_iter().map(move |leg| (agent.clone(), leg))
        })
        .collect()
}

/// Ledgers are said to be wrong, targets are tried again or left out, and agents do what repairs ask.
fn mending(dice: &mut Dice, world: &mut World) {
    let number = rollout(dice, world).0;
    let (target, bundle) = (target(dice), 1 + dice.below(2));
    let (first, second) = (1 + dice.below(4), 1 + dice.below(4));
    let why = if dice.chance(80) { "why=seen" } else { "" };
    let line = match dice.below(12) {
        0 | 1 => format!("repair applied b{bundle} {first} {second} select={target} {why}"),
        2 | 3 => format!("repair not-applied b{bundle} {first} select={target} {why}"),
        4 => format!("repair adopt b{bundle} {first} select={target} {why}"),
        5 => format!("withdraw {} enough", 1 + dice.below(4)),
        6 | 7 => format!("retry {number} select={target}"),
        8 => format!("skip {number} select={target} {why}"),
        _ => {
            if let Some((agent, mend)) = dice.pick(&repairs(world)).cloned() {
                let fence = if dice.chance(90) { mend.fence } else { Fence(0) };
                if dice.chance(30) {
                    world.report(&agent, &mend.target, fence, outcome(dice));
                } else {
                    world.mend(&agent, &Mend { fence, ..mend });
                }
            }
            return;
        }
    };
    words::run(world, &line);
}

fn repairs(world: &World) -> Vec<(AgentId, Mend)> {
    let agents = world.fleet.agents.keys();
    let of = |agent: &AgentId| {
        let agent = agent.clone();
        mends(&world.fleet, &agent).into_iter().map(move |mend| (agent.clone(), mend))
    };
    agents.flat_map(of).collect()
}

/// One target, or everything.
fn part(dice: &mut Dice) -> Selector {
    let targets = if dice.chance(60) { vec![target(dice).0] } else { Vec::new() };
    Selector { targets, ..Selector::default() }
}

fn anything(dice: &mut Dice, world: &mut World) {
    match dice.below(21) {
        20 => mending(dice, world),
        0 => plan(dice, world),
        1..=4 => world.tick(),
        5..=8 => {
            if let Some((agent, leg)) = dice.pick(&legs(world)).cloned() {
                if dice.chance(25) {
                    let step = dice.below(3);
                    let how = ["", "retryable", "partly"][dice.below(3) as usize];
                    let undo = if dice.chance(40) { "undo" } else { "" };
                    words::run(world, &format!("fail {} {step} {how} {undo}", leg.target));
                }
                world.carry_out(&agent, &leg);
            }
        }
        9..=12 => {
            let outcome = outcome(dice);
            if let Some((agent, leg)) = dice.pick(&legs(world)).cloned() {
                let late = Fence(leg.fence.0.saturating_sub(u64::from(dice.below(8))));
                let fence = if dice.chance(10) { late } else { leg.fence };
                world.report(&agent, &leg.target, fence, outcome);
            } else {
                let (agent, target) = (agent(dice), target(dice));
                world.report(&agent, &target, Fence(u64::from(dice.below(60))), outcome);
            }
        }
        13 => {
            let target = target(dice);
            if let Some((_, fence)) = world.lease(&target) {
                let why = "silent".to_owned();
                world.ask("leader", Command::ExpireLease { target, fence, why });
            }
        }
        14 => {
            let rollout = rollout(dice, world);
            let command = match dice.below(14) {
                10 => Command::CancelLanes {
                    rollout,
                    part: dice.chance(70).then(|| (part(dice), None)),
                    reason: "it locks the world".to_owned(),
                },
                11 => Command::Freeze {
                    selector: part(dice),
                    until: Some(Millis(world.now.0 + u64::from(dice.below(500)))),
                    reason: "an audit".to_owned(),
                },
                12 => Command::Thaw {
                    freezes: Vec::new(),
                    selector: part(dice),
                    reason: String::new(),
                },
                0 => {
                    let stop = [Stop::AfterSteps, Stop::BehindBatches, Stop::AfterLegs];
                    let stop = stop[dice.below(3) as usize];
                    Command::PauseRollout { rollout, reason: "wait".to_owned(), stop }
                }
                3 => Command::AbortRollout { rollout, reason: "wrong".to_owned() },
                4 => {
                    let wave = WaveIx(dice.below(3));
                    Command::ApproveWave { rollout, wave, reason: String::new() }
                }
                5 => {
                    let knob = match dice.below(4) {
                        0 => Knob::Parallelism(dice.below(4)),
                        1 => Knob::SoakMs(u64::from(dice.below(1_000))),
                        2 => Knob::BudgetFailed(dice.below(3)),
                        _ => Knob::PerGroup(dice.below(2)),
                    };
                    Command::SetKnobs { rollout, knobs: vec![knob] }
                }
                6 => Command::HoldLanes {
                    rollout,
                    selector: Selector { targets: vec![target(dice).0], ..Selector::default() },
                    wave: None,
                    reason: "a fair".to_owned(),
                    stop: [Stop::AfterSteps, Stop::BehindBatches, Stop::AfterLegs]
                        [dice.below(3) as usize],
                },
                13 => Command::AbortLanes {
                    rollout,
                    selector: Selector { targets: vec![target(dice).0], ..Selector::default() },
                    wave: None,
                    reason: "sold".to_owned(),
                },
                7 => Command::ReleaseLanes { rollout, selector: Selector::default(), wave: None },
                1 | 2 => Command::ResumeRollout { rollout, all: dice.chance(20) },
                _ => {
                    let mut selector = Selector::default();
                    if dice.chance(40) {
                        selector.targets = vec![target(dice).0];
                    }
                    let steps = dice.below(3);
                    let reason = "so be it".to_owned();
                    let waivers = vec![Waiver { step: "*".to_owned(), reason }];
                    let depth = if steps == 0 { Depth::Whole } else { Depth::Steps(steps) };
                    let extent = Extent { selector, wave: None, depth };
                    Command::RollBackRollout { rollout, extent, waivers }
                }
            };
            world.ask("ann", command);
        }
        15 => {
            let rollout = rollout(dice, world);
            let (target, agent) = (target(dice), agent(dice));
            let command = match dice.below(5) {
                0 => Command::StartWave { rollout },
                3 => Command::SoakWave { rollout },
                1 => Command::UnwindRollout { rollout },
                2 => Command::FinishRollout { rollout },
                _ => Command::AssignLeg { rollout, target, agent },
            };
            world.ask("scheduler", command);
        }
        16 => {
            let target = target(dice);
            let what =
                ["", "ledger=1", "ledger=", "schema=odd", "identity=server-of-t-1", "intent=2/0"]
                    [dice.below(6) as usize];
            words::run(world, &format!("observe {target} {what}"));
            if dice.chance(60) {
                words::run(world, &format!("observe {target}"));
            }
        }
        17 => {
            let (agent, target) = (agent(dice), target(dice));
            words::run(world, &format!("agent {agent} {target}"));
            if dice.chance(30) {
                world.presence.slots.remove(&agent);
            } else {
                world.presence.slots.insert(agent, dice.below(4));
            }
        }
        18 if dice.chance(30) => {
            let (target, rows) = (target(dice), dice.below(1_000_000));
            words::run(world, &format!("observe {target} tables=orders:{rows}"));
        }
        18 => world.now = Millis(world.now.0 + u64::from(dice.below(2_000))),
        _ => {
            let target = target(dice);
            if dice.chance(15) {
                words::run(world, &format!("retire {target} gone"));
            } else if dice.chance(30) {
                words::run(world, &format!("unreachable {target} refused"));
            }
        }
    }
}

/// Asking twice gives the same, and nothing is asked for that is refused.
fn level_triggered(world: &World) {
    let once = format!("{:?}", schedule(&world.fleet, &world.presence, world.now));
    let twice = format!("{:?}", schedule(&world.fleet, &world.presence, world.now));
    assert_eq!(once, twice);
    for agent in world.fleet.agents.keys() {
        assert_eq!(outbox(&world.fleet, agent), outbox(&world.fleet, agent));
    }
}

fn history(seed: u64, length: u32) -> World {
    let mut dice = Dice::new(seed);
    let mut world = set_up(&mut dice);
    for _ in 0..length {
        anything(&mut dice, &mut world);
        law::holds(&world.fleet);
        level_triggered(&world);
        world.out.clear();
    }
    world
}

#[test]
fn laws_hold_over_random_histories() {
    let mut rolled_back = 0;
    let mut completed = 0;
    let mut halted = 0;
    let mut mended = 0;
    for seed in 0..360 {
        let world = std::panic::catch_unwind(|| history(seed, 250))
            .unwrap_or_else(|_| panic!("a law is broken in the history of seed {seed}"));
        law::in_order(&world.log);
        world.replays();
        let of = |event: &&skein_core::Event| matches!(event.body, Body::TargetMended { .. });
        mended += world.log.iter().filter(of).count();
        for state in world.fleet.rollouts.values() {
            match state.status {
                skein_core::state::rollout::Status::RolledBack => rolled_back += 1,
                skein_core::state::rollout::Status::Completed => completed += 1,
                skein_core::state::rollout::Status::Halted => halted += 1,
                _ => {}
            }
        }
    }
    // Histories that get nowhere would show nothing.
    assert!(
        rolled_back > 20 && completed > 20 && halted > 20 && mended > 20,
        "{rolled_back} {completed} {halted} {mended}"
    );
}

#[test]
fn a_history_goes_on_from_any_prefix_as_it_did() {
    for seed in 0..10 {
        let world = history(seed, 200);
        let half = world.log.len() / 2;
        let mut fleet = skein_core::Fleet::default();
        for event in &world.log[..half] {
            skein_core::evolve::evolve(&mut fleet, event).expect("it went before");
        }
        let mut copy = fleet.clone();
        for event in &world.log[half..] {
            skein_core::evolve::evolve(&mut fleet, event).expect("it went before");
            skein_core::evolve::evolve(&mut copy, event).expect("it went before");
        }
        assert_eq!(format!("{fleet:?}"), format!("{copy:?}"));
        assert_eq!(format!("{fleet:?}"), format!("{:?}", world.fleet));
    }
}

#[test]
fn a_completed_rollout_verified_every_step_and_a_rolled_back_one_undid_what_it_named() {
    for seed in 200..260 {
        let world = history(seed, 200);
        for state in world.fleet.rollouts.values() {
            use skein_core::state::rollout::Status;
            for (_, lane) in state.lanes.iter() {
                match state.status {
                    Status::Completed => {
                        if lane.phase == Phase::Waived {
                            continue;
                        }
                        assert_eq!(lane.phase, Phase::Done, "seed {seed} {}", state.id);
                        assert_eq!(lane.verified, state.steps(lane), "seed {seed} {}", state.id);
                    }
                    Status::RolledBack => {
                        assert!(!state.left_over(lane), "seed {seed} {}: {lane:?}", state.id);
                        assert!(
                            !lane.unwind || lane.applied == lane.keep,
                            "seed {seed} {}: {lane:?}",
                            state.id
                        );
                    }
                    _ => {}
                }
            }
            let open = state.opened.min(u32::try_from(state.plan.waves.len()).unwrap_or(u32::MAX));
            assert_eq!(state.opened, open, "no wave beyond the last: {:?}", WaveIx(open));
        }
    }
}

#[test]
fn a_decision_changes_nothing_and_a_repeat_is_told_the_first_answer() {
    let mut world = set_up(&mut Dice::new(7));
    words::run(&mut world, "plan b1");
    let request = skein_core::Request {
        id: Some(skein_core::ids::RequestId([9; 16])),
        digest: 1,
        actor: "ann".to_owned(),
        charter: world.charter,
        now: world.now,
        command: Command::StartRollout { plan: world.plan, waivers: Vec::new() },
    };
    let before = format!("{:?}", world.fleet);
    let first = decide(&world.fleet, &request).expect("it can be started");
    assert_eq!(first, decide(&world.fleet, &request).expect("it can be started"));
    assert_eq!(before, format!("{:?}", world.fleet));
    let Decision::Events(events) = first else { panic!("nothing was asked before") };
    for event in &events {
        skein_core::evolve::evolve(&mut world.fleet, event).expect("decided on this state");
    }
    let again = decide(&world.fleet, &request);
    assert!(matches!(again, Ok(Decision::Repeated(answer)) if answer.first == events[0].seq));
    let other = skein_core::Request { digest: 2, ..request.clone() };
    assert!(decide(&world.fleet, &other).is_err());
    let charter = skein_core::Request { charter: Digest::default(), id: None, ..request };
    assert!(decide(&world.fleet, &charter).is_err());
}
