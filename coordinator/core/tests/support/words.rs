//! The words of the golden scripts.
//!
//! ```text
//! fleet 3 [agent=a1] [slots=64] [engine=sqlite] [prefix=t] [label=ring] [region=eu] [rack=group] [blind]   register and look
//! agent a2 t-1 t-2 | names a2 t-1 (and nothing else) | connect a2 [slots=4] [gates=health,…|gates=] | disconnect a2
//! bundle b1 1 2- 3~ 4* 5? 6#   versions; - no down, ~ a comment was edited, * its SQL was changed, ? a probe,
//!     # it changes rows alone; [names=1:orders,2:orders+items]: tables that the scripts of a version name
//! strategy waves=t-1,50%,l:red,n:3,each! parallel=2 budget=1 percent=10 breach=wave retries=2 backup=exempt
//!     [stages=expand:1/contract:2] [over-all] [soak=500] [limit=ring:1] [group=1] [heavy=2/3:1] [order=ring|ring:b/a] [cover]
//! gate orders before-step|after-step|after-wave|soak [http=health|command=…] [wave=NAME] [below=3]
//!     [samples=5 need=3]   (in targets, where neither is named) | gate none
//! judge a1 orders [t-1] good|bad|silent [fence=N] [step=0] | release-gate a1 [fence=N] | asks a1
//! throttle lag 2000 [kind=load|query|http|REPLICAS] [text=x] [select=ring:red] | throttle none | knows a1
//! waits t-1 why (its leg does, as its agent says) | goes t-1
//! at t-1 users by id (its leg is at batches, as its agent says) | batching 5000 100 (keys, ms; of plans from now on)
//! set 1 throttle.lag=off|on|500ms|40
//! set 1 parallel=2 soak=0 budget=1 percent=5 group=1 retries=1 ring=1 | approve 1 wave=1 why
//! strategy [window=all|ring:red|t-1] [finish] [blackout=200-900]; hours 1 100-200,400-500 [all window's spans/the next's]
//! freeze [select=t-1] [until=900] [why=x] | thaw [1] [select=t-1]
//! cancel 1 [select=t-1] [wave=1] why; t-1 failed 0 cancelled [partly]
//! hold 1 [select=t-1] [wave=1] [at=end | at=batch] why | release 1 [select=t-1] [wave=1]
//! plan b1 [up|down|validate] [to=V] [steps=N] [time=T] [none] [select=t-1,t-2] [out-of-order] [accept-drift]
//! blocks b1 [select=…]   targets that stand apart
//! start [of=1] [waive=V|*] | pause 1 [at=once | at=batch] why | abort 1 why | resume 1 [rolled-back] [dry] | rollback 1 [dry] [select=…] [wave=1] [steps=N | to=2 | then=t-1:2,t-2:0] [waive=*]
//! tick | run | after 500 | fail t-1 0 [undo] [times=1] [retryable] [partly] | expire t-1
//! t-1 backed-up [nothing] [schema=x] [bytes=9] | applied 0 [already] [took=9 waited=9 wrote=9 touched=9] [resumed] | verified 0 |
//!     failed 0 [retryable] [partly] | rolled-back 0 | stuck 0 | tried 0 pass|fail|impossible | released | leg    [fence=N]
//! forecast plan|1    of the plan made last, by class and wave; of the rest of a rollout
//! t-1 baseline quick [queries=1] | gate quick after-step latency=1500 [runs=100]   thousandths of what was before
//! observe t-1 [bytes=9] [tables=orders:1000,items:?] [ledger=1,2~] [identity=x] [schema=x | like=1,2] [intent=x] [as-of=9] [fence=9] | unreachable t-1 why
//! ask settle 1 [asked=t-1,t-2 holds=t-1]    whom a condition was asked of, and meant
//! retire t-1 why
//! restore t-1 archive why | adopt [least=schema] [reversible]
//! repair applied|not-applied|adopt b1 2 3 [select=t-1] [why=x] | accept b1 2 [why=x] | withdraw 1 why
//! retry 1 [select=t-1] | skip 1 [select=t-1] [why=x] [until=9000]
//! restore-cluster 7 [fence=1000] why
//! status [1] [past] | why 1 t-1 | silent 1 | targets | id=7 body=1 WORDS… | charter=other WORDS…
//! ```

mod bundle;
mod fleet;
mod leg;
mod read;
mod rollout;
mod shown;
mod strategy;

use std::sync::Arc;

use skein_core::command::Command;
use skein_core::event::Stop;
use skein_core::hours::Openings;
use skein_core::ids::{
    ClusterId, Fence, FreezeId, Incarnation, Millis, RepairId, RequestId, RolloutId, Seq, TargetId,
    WaveIx,
};
use skein_core::policy::Policy;
use skein_core::schedule::after_restore;
use skein_core::spec::{Backup, Selector};
use skein_core::state::repair::Verb;
use skein_core::{plan, view};

use self::bundle::bundle;
use self::fleet::{description, fleet, join, observe, served};
use self::leg::{expire, report};
use self::read::{Words, number};
use self::rollout::{
    ask, chosen, extent, plan, rollout, selector, settles, spec, verdict, waivers, why,
};
use self::shown::{forecast, moment, status, targets};
use self::strategy::{backup, knobs, spans, strategy};
use super::world::{Fault, World, digest};
use super::{batches, gate, line, throttle};

/// Carries out one line.
pub(crate) fn run(world: &mut World, line: &str) {
    if world.fleet.cluster.is_none() {
        let charter = world.charter;
        let command =
            Command::FormCluster { cluster: ClusterId([1; 16]), charter, bound: String::new() };
        world.ask("root", command);
        world.out.clear();
    }
    let words = Words::read(line);
    let charter = world.charter;
    if let Some(other) = words.key("charter") {
        world.charter = digest(other);
    }
    world.request = words.key("id").map(|id| {
        (
            RequestId([u8::try_from(number(id)).expect("small"); 16]),
            u64::from(words.number("body", 0)),
        )
    });
    verb(world, &words);
    world.charter = charter;
    world.request = None;
}

fn verb(world: &mut World, words: &Words<'_>) {
    match words.at(0) {
        "fleet" => fleet(world, words),
        "agent" | "names" => {
            let targets =
                words.bare.iter().skip(2).map(|id| (TargetId::from(*id), description(words)));
            let targets = targets.collect();
            join(world, words.at(1), targets, words.at(0) == "names");
        }
        "connect" => {
            world.presence.slots.insert(words.at(1).into(), words.number("slots", 64));
            if let Some(sources) = words.key("gates") {
                let known = sources.split(',').filter(|it| !it.is_empty()).map(str::to_owned);
                world.presence.gates.insert(words.at(1).into(), known.collect());
            }
        }
        "throttle" | "knows" | "waits" | "goes" => throttle::run(world, &words.bare, &words.keys),
        "at" | "batching" => batches::run(world, &words.bare),
        "gate" | "judge" | "release-gate" | "asks" => gate::run(world, &words.bare, &words.keys),
        "disconnect" => {
            world.presence.slots.remove(&words.at(1).into());
            world.presence.heard.insert(words.at(1).into(), world.now);
            world.presence.gates.remove(&words.at(1).into());
        }
        "bundle" => bundle(world, words),
        "strategy" => strategy(world, words),
        "plan" => plan(world, words),
        "blocks" => {
            let blocks = plan::blocks(&world.fleet, &spec(world, words));
            if blocks.is_empty() {
                world.say("nobody stands apart");
            }
            for block in &blocks {
                world.say(line::block(block));
            }
        }
        "start" => {
            let command =
                Command::StartRollout { plan: chosen(world, words), waivers: waivers(words) };
            world.ask("ann", command);
        }
        "pause" => {
            let stop = match words.key("at") {
                Some("once") => Stop::AfterSteps,
                Some("batch") => Stop::BehindBatches,
                _ => Stop::AfterLegs,
            };
            let command =
                Command::PauseRollout { rollout: rollout(words), reason: words.rest(2), stop };
            world.ask("ann", command);
        }
        "abort" => {
            let (rollout, reason) = (rollout(words), words.rest(2));
            let wave = words.key("wave").map(|wave| WaveIx(number(wave)));
            let selector = selector(words);
            let command = if wave.is_some() || selector != Selector::default() {
                Command::AbortLanes { rollout, selector, wave, reason }
            } else {
                Command::AbortRollout { rollout, reason }
            };
            world.ask("ann", command);
        }
        "approve" => {
            let command = Command::ApproveWave {
                rollout: rollout(words),
                wave: WaveIx(words.number("wave", 0)),
                reason: words.rest(2),
            };
            world.ask("ann", command);
        }
        "hold" => {
            let command = Command::HoldLanes {
                rollout: rollout(words),
                selector: selector(words),
                wave: words.key("wave").map(|wave| WaveIx(number(wave))),
                reason: words.rest(2),
                stop: match words.key("at") {
                    None => Stop::AfterSteps,
                    Some("end") => Stop::AfterLegs,
                    Some("batch") => Stop::BehindBatches,
                    Some(other) => panic!("nobody stops {other}"),
                },
            };
            world.ask("ann", command);
        }
        "hours" => {
            let windows = words.at(2).split('/').map(spans).collect();
            let openings = Arc::new(Openings { windows });
            world.presence.hours.rollouts.insert(rollout(words), openings);
        }
        "freeze" => {
            let until = words.key("until").map(|until| Millis(u64::from(number(until))));
            let (selector, reason) = (selector(words), why(words));
            world.ask("ann", Command::Freeze { selector, until, reason });
        }
        "thaw" => {
            let freezes = words.bare.iter().skip(1).map(|id| FreezeId(number(id))).collect();
            let (selector, reason) = (selector(words), why(words));
            world.ask("ann", Command::Thaw { freezes, selector, reason });
        }
        "cancel" => {
            let wave = words.key("wave").map(|wave| WaveIx(number(wave)));
            let selector = selector(words);
            let part =
                (wave.is_some() || selector != Selector::default()).then_some((selector, wave));
            let command =
                Command::CancelLanes { rollout: rollout(words), part, reason: words.rest(2) };
            world.ask("ann", command);
        }
        "release" => {
            let command = Command::ReleaseLanes {
                rollout: rollout(words),
                selector: selector(words),
                wave: words.key("wave").map(|wave| WaveIx(number(wave))),
            };
            world.ask("ann", command);
        }
        "set" => {
            let command = Command::SetKnobs { rollout: rollout(words), knobs: knobs(words) };
            world.ask("ann", command);
        }
        "resume" => {
            let (rollout, all) = (rollout(words), words.has("rolled-back"));
            if words.has("dry") {
                let said = skein_core::decide::resumption(&world.fleet, rollout, all);
                world.say(match said {
                    Ok(resumption) => line::resumption(&resumption),
                    Err(refusal) => format!("refused: {}", refusal.what),
                });
                return;
            }
            world.ask("ann", Command::ResumeRollout { rollout, all });
        }
        "rollback" => {
            let extent = extent(words);
            let id = rollout(words);
            if words.has("dry") {
                match skein_core::decide::lines(&world.fleet, id, &extent) {
                    Ok(lines) => lines.iter().for_each(|line| {
                        let destroys = if line.destroys.is_empty() {
                            String::new()
                        } else {
                            format!(", destroys in {}", line.destroys.join(" "))
                        };
                        let versions = line.versions.join(" ");
                        let (target, wave) = (&line.target, line.wave);
                        world.say(format!("{target} wave {wave}: [{versions}]{destroys}"));
                    }),
                    Err(refusal) => world.say(format!("refused: {}", refusal.what)),
                }
                return;
            }
            let command = Command::RollBackRollout { rollout: id, extent, waivers: waivers(words) };
            world.ask("ann", command);
        }
        "ask" if words.at(1) == "mend" => {
            let (target, agent) = (words.at(2).into(), words.at(3).into());
            world.ask("scheduler", Command::AssignRepair { target, agent });
        }
        "ask" if words.at(1) == "overrun" => {
            let target: TargetId = words.at(2).into();
            let fence = world.lease(&target).map_or(Fence(0), |(_, fence)| fence);
            let ago = words.key("held").map(|ago| u64::from(number(ago)));
            let held = ago.map_or(Millis(0), |ago| Millis(world.now.0.saturating_sub(ago)));
            world.ask("scheduler", Command::RecordOverrun { target, fence, held });
        }
        "ask" => {
            let rollout = RolloutId(number(words.at(2)));
            let command = match words.at(1) {
                "start-wave" => Command::StartWave { rollout },
                "unwind" => Command::UnwindRollout { rollout },
                "soak" => Command::SoakWave { rollout },
                "finish" => Command::FinishRollout { rollout },
                "open-gates" => Command::OpenGates { rollout },
                "settle" => Command::SettleArrivals { rollout, meant: settles(world, words) },
                "assign" => Command::AssignLeg {
                    rollout,
                    target: words.at(3).into(),
                    agent: words.at(4).into(),
                },
                other => panic!("no command {other}"),
            };
            world.ask("scheduler", command);
        }
        "tick" => world.tick(),
        "run" => world.run(),
        "after" => world.now = Millis(world.now.0 + u64::from(number(words.at(1)))),
        "fail" => {
            let fault = Fault {
                times: words.number("times", 1),
                verdict: verdict(words),
                retryable: words.has("retryable"),
                message: "syntax error".to_owned(),
            };
            let key = (words.at(1).into(), words.has("undo"), number(words.at(2)));
            world.faults.insert(key, fault);
        }
        "expire" => expire(world, words),
        "observe" => observe(world, words),
        "unreachable" => {
            let (agent, target) = served(world, words.at(1));
            let seen = Err(words.rest(2));
            let as_of = words.key("as-of").map(|seq| Seq(u64::from(number(seq))));
            world.ask(
                agent.as_str(),
                Command::RecordObservation { agent: agent.clone(), target, seen, as_of },
            );
        }
        "retire" => {
            let command =
                Command::RetireTarget { target: words.at(1).into(), reason: words.rest(2) };
            world.ask("ann", command);
        }
        "adopt" => {
            let least = words.key("least").map_or(Backup::Exempt, backup);
            let policy =
                Policy { least_backup: least, refuse_irreversible: words.has("reversible") };
            world.ask("root", Command::AdoptCharter { policy, text: String::new() });
        }
        "restore" => {
            let (target, archive) = (words.at(1).into(), words.at(2).to_owned());
            world.ask("ann", Command::StartRestore { target, archive, reason: words.rest(3) });
        }
        "repair" => {
            let verb = match words.at(1) {
                "applied" => Verb::Applied,
                "not-applied" => Verb::NotApplied,
                "adopt" => Verb::Adopt,
                other => panic!("no repair {other}"),
            };
            let ask = ask(world, words, (verb, 2));
            world.ask("ann", Command::Repair(Box::new(ask)));
        }
        "accept" => {
            let ask = ask(world, words, (Verb::Applied, 1));
            world.ask("ann", Command::AcceptEdited(Box::new(ask)));
        }
        "withdraw" => {
            let repair = RepairId(number(words.at(1)));
            world.ask("ann", Command::WithdrawRepair { repair, reason: words.rest(2) });
        }
        "retry" => {
            let (rollout, selector) = (rollout(words), selector(words));
            world.ask("ann", Command::RetryTargets { rollout, selector });
        }
        "skip" => {
            let (rollout, selector) = (rollout(words), selector(words));
            let reason = why(words);
            let until = words.key("until").map(|at| Millis(u64::from(number(at))));
            world.ask("ann", Command::SkipTargets { rollout, selector, reason, until });
        }
        "restore-cluster" => {
            let command = Command::RestoreCluster {
                incarnation: Incarnation([u8::try_from(number(words.at(1))).expect("small"); 16]),
                fence: Fence(u64::from(words.number("fence", 1_000))),
                taken: world.now,
                reason: words.rest(2),
            };
            world.ask("root", command);
            for command in after_restore(&world.fleet) {
                world.ask("scheduler", command);
            }
        }
        "status" => status(world, words),
        "forecast" => forecast(world, words),
        "why" => {
            let id = TargetId::from(words.at(2));
            let (_, target) = world.fleet.target(&id).expect("it is there");
            let state = world.fleet.rollouts.get(&rollout(words)).expect("it is there");
            let lane = state.lanes.iter().find_map(|(_, lane)| {
                (world.fleet.targets.get(lane.target)?.id == id).then_some(lane)
            });
            let told = (lane.expect("it is a part of it"), target);
            let said = view::why(&world.fleet, state, told, moment(world, words));
            world.say(said.iter().map(|it| format!("      {it}")).collect::<Vec<_>>().join("\n"));
        }
        "silent" => {
            let state = world.fleet.rollouts.get(&rollout(words)).expect("it is there");
            let silent = view::silences(&world.fleet, state, &world.presence);
            let said = silent.iter().map(|silence| format!("      {}", silence.say(world.now)));
            world.say(said.collect::<Vec<_>>().join("\n"));
        }
        "targets" => targets(world),
        target => report(world, &TargetId::from(target), words),
    }
}
