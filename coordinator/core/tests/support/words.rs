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

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skein_core::bundle::{Facts, Manifest, Migration, Script};
use skein_core::command::{Ask, Command, Depth, Extent, Meant, Outcome, Waiver};
use skein_core::event::{Measured, Stop, Verdict};
use skein_core::forecast::{self, By};
use skein_core::hours::{Openings, Span, stops};
use skein_core::ids::{
    AgentId, ClusterId, Digest, Fence, FreezeId, Incarnation, Millis, RepairId, RequestId,
    RolloutId, Seq, StepIx, TargetId, Version, WaveIx,
};
use skein_core::outbox::outbox;
use skein_core::plan;
use skein_core::policy::Policy;
use skein_core::schedule::{Moment, after_restore, waits_for};
use skein_core::spec::{
    AtClose, Backup, Blackout, Budget, Condition, Direction, Engine, Goal, Heavy, Knob, Limit,
    OnBreach, Order, Quantiles, Scope, Selector, Spec, Stage, TransactionMode, Wave, Window,
};
use skein_core::state::ledger::Entry;
use skein_core::state::repair::{Evidence, Verb};
use skein_core::state::tables::{Tables, UNKNOWN};
use skein_core::state::target::{Description, Observation};
use skein_core::view;

use super::world::{Fault, World, digest, fingerprint};
use super::{batches, gate, line, throttle};

/// A line's words: bare ones, and `key=value`.
struct Words<'a> {
    bare: Vec<&'a str>,
    keys: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn read(line: &'a str) -> Self {
        let (mut bare, mut keys) = (Vec::new(), BTreeMap::new());
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some((key, value)) => drop(keys.insert(key, value)),
                None => bare.push(word),
            }
        }
        Self { bare, keys }
    }

    fn at(&self, place: usize) -> &'a str {
        self.bare
            .get(place)
            .copied()
            .unwrap_or_else(|| panic!("a word is missing: {:?}", self.bare))
    }

    fn has(&self, word: &str) -> bool {
        self.bare.contains(&word)
    }

    fn key(&self, key: &str) -> Option<&'a str> {
        self.keys.get(key).copied()
    }

    fn number(&self, key: &str, otherwise: u32) -> u32 {
        self.key(key).map_or(otherwise, number)
    }

    fn rest(&self, from: usize) -> String {
        self.bare.get(from..).unwrap_or_default().join(" ")
    }
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

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

/// Whom a condition meant (`holds`) of those that it was asked of (`asked`); else there is none.
fn settles(world: &World, words: &Words<'_>) -> Meant {
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

/// `100-200,400-500`.
fn spans(text: &str) -> Vec<Span> {
    let span = |text: &str| {
        let (from, until) = text.split_once('-').expect("a span has two ends");
        Span { from: Millis(u64::from(number(from))), until: Millis(u64::from(number(until))) }
    };
    text.split(',').filter(|text| !text.is_empty()).map(span).collect()
}

/// `all`, `ring:red` those with a label, else targets.
fn meant(text: &str) -> Selector {
    let mut selector = Selector::default();
    match text.split_once(':') {
        Some((label, value)) => {
            selector.labels = vec![(label.to_owned(), vec![value.to_owned()])];
        }
        None if text == "all" => {}
        None => selector.targets = text.split('+').map(str::to_owned).collect(),
    }
    selector
}

fn why(words: &Words<'_>) -> String {
    words.key("why").unwrap_or_default().to_owned()
}

/// What is forecast of a plan, and of the rest of a rollout.
fn forecast(world: &mut World, words: &Words<'_>) {
    let told = |it: &forecast::Amount| {
        let forecast::Interval { p50, p95 } = it.interval;
        let rows = match it.by_rows {
            0 => String::new(),
            steps => format!(", {steps} steps by rows"),
        };
        let written = match (it.weighed, it.written) {
            (0, _) => String::new(),
            (steps, forecast::Interval { p50, p95 }) => {
                format!(", {steps} of {} steps write {p50} to {p95} bytes", it.steps)
            }
        };
        let (measured, parts) = (it.measured, it.parts);
        format!("{p50} to {p95} ms, {measured} of {parts} parts measured{rows}{written}")
    };
    if words.at(1) != "plan" {
        let state = world.fleet.rollouts.get(&rollout(words)).expect("it is there");
        let rest = forecast::rest(&world.fleet, state, world.now);
        return world.say(rest.as_ref().map_or_else(|| "no forecast".to_owned(), told));
    }
    let plan = chosen(world, words);
    let state = world.fleet.rollouts.values().find(|state| state.plan_id == plan);
    let state = state.expect("it was planned");
    let planned = forecast::planned(&world.fleet, &state.plan).expect("it is no trial");
    let mut said = Vec::new();
    for (class, ix) in planned.classes.iter().zip(1..) {
        let backup = class.backup.iter().map(|it| ("backup".to_owned(), it));
        let steps = class.steps.iter().zip(1..).map(|(it, step)| (format!("step {step}"), it));
        for (what, it) in backup.chain(steps) {
            said.push(match it.forecast {
                None => format!("class {ix} {what}: never measured"),
                Some(one) => format!(
                    "class {ix} {what}: {} to {} ms from {} measurements{}{}{}",
                    one.interval.p50,
                    one.interval.p95,
                    one.samples,
                    match (one.by, it.rows) {
                        (By::Rows, Some(rows)) => format!(", by {rows} rows"),
                        (By::Rows, None) => ", by rows".to_owned(),
                        (By::Bytes, _) => ", by size".to_owned(),
                        (By::Nothing, _) => String::new(),
                    },
                    if it.beyond > 0 { ", beyond what was measured" } else { "" },
                    one.written.map_or_else(String::new, |forecast::Interval { p50, p95 }| {
                        format!(", writes {p50} to {p95} bytes")
                    })
                ),
            });
        }
    }
    let waves = planned.waves.iter().zip(1..);
    said.extend(waves.map(|(wave, number)| format!("wave {number}: {}", told(wave))));
    said.push(format!("whole: {}", told(&planned.whole)));
    world.say(said.join("\n"));
}

fn ask(world: &World, words: &Words<'_>, (verb, at): (Verb, usize)) -> Ask {
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
fn chosen(world: &World, words: &Words<'_>) -> Digest {
    let named = words.key("of").map(|of| RolloutId(number(of)));
    let named = named.and_then(|id| world.fleet.rollouts.get(&id));
    named.map_or(world.plan, |state| state.plan_id)
}

fn rollout(words: &Words<'_>) -> RolloutId {
    RolloutId(number(words.at(1)))
}

fn verdict(words: &Words<'_>) -> Verdict {
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

fn waivers(words: &Words<'_>) -> Vec<Waiver> {
    let reason = if words.has("silent") { "" } else { "the table is empty" };
    words
        .key("waive")
        .map(|step| Waiver { step: step.to_owned(), reason: reason.to_owned() })
        .into_iter()
        .collect()
}

fn extent(words: &Words<'_>) -> Extent {
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

fn selector(words: &Words<'_>) -> Selector {
    let mut selector = Selector::default();
    if let Some(globs) = words.key("select") {
        selector.targets = globs.split(',').map(str::to_owned).collect();
    }
    if let Some(group) = words.key("label") {
        selector.labels = vec![("ring".to_owned(), vec![group.to_owned()])];
    }
    selector
}

fn description(words: &Words<'_>) -> Description {
    let engine = match words.key("engine") {
        None | Some("postgres") => Engine::Postgres,
        Some("mysql") => Engine::Mysql,
        Some("sqlite") => Engine::Sqlite,
        Some(other) => panic!("no engine {other}"),
    };
    let label = |word, name: &str| words.key(word).map(|value| (name.to_owned(), value.to_owned()));
    let (ring, region) = (label("label", "ring"), label("region", view::REGION));
    let group = words.key("rack").unwrap_or_default().to_owned();
    Description { engine, labels: ring.into_iter().chain(region).collect(), group }
}

fn join(world: &mut World, agent: &str, targets: Vec<(TargetId, Description)>, whole: bool) {
    let command =
        Command::JoinAgent { agent: agent.into(), version: "1.0".to_owned(), targets, whole };
    world.ask(agent, command);
}

/// Registers targets, connects their agent and lets it look at each. Only a summary is told.
fn fleet(world: &mut World, words: &Words<'_>) {
    let agent = words.key("agent").unwrap_or("a1");
    let prefix = words.key("prefix").unwrap_or("t");
    let ids: Vec<TargetId> =
        (1..=number(words.at(1))).map(|ix| TargetId(format!("{prefix}-{ix}"))).collect();
    join(world, agent, ids.iter().map(|id| (id.clone(), description(words))).collect(), false);
    world.presence.slots.insert(agent.into(), words.number("slots", 64));
    if !words.has("blind") {
        for id in &ids {
            look(world, id, &Words::read(""));
        }
    }
    world.out.clear();
    world.say(format!("{} targets", ids.len()));
}

fn served(world: &World, target: &str) -> (AgentId, TargetId) {
    let target = TargetId::from(target);
    let agent = world.fleet.target(&target).and_then(|(_, state)| state.agents.first().cloned());
    (agent.unwrap_or_else(|| AgentId::from("nobody")), target)
}

fn observe(world: &mut World, words: &Words<'_>) {
    look(world, &words.at(1).into(), words);
}

fn look(world: &mut World, id: &TargetId, words: &Words<'_>) {
    let (agent, target) = served(world, id.as_str());
    let ledger = match words.key("ledger") {
        None => world.ledger(id),
        Some(versions) => versions
            .split(',')
            .filter(|version| !version.is_empty())
            .map(|word| {
                let version = word.trim_end_matches(['~', '*']);
                let edit = if word.contains('~') { " edited" } else { "" };
                let change = if word.contains('*') { " changed" } else { "" };
                Entry {
                    version: version.into(),
                    digest: digest(&format!("{version}.up{edit}{change}")),
                }
            })
            .collect(),
    };
    let like = |versions: &str| digest(&format!("schema {}", versions.replace(',', " ")));
    let fingerprint = words
        .key("schema")
        .map(digest)
        .or_else(|| words.key("like").map(like))
        .unwrap_or_else(|| fingerprint(&ledger));
    // An agent does what it is asked to.
    let doubted = world.fleet.target(&target).is_some_and(|(_, target)| target.needs_fence());
    let raised = if doubted { world.fleet.fence(world.fleet.seq) } else { Fence(0) };
    let seen = Ok(Observation {
        engine_version: words.key("release").unwrap_or("16.4").to_owned(),
        identity: words.key("identity").map_or_else(|| format!("server-of-{id}"), str::to_owned),
        fingerprint,
        ledger,
        fence: words.key("fence").map_or(raised, |fence| Fence(u64::from(number(fence)))),
        open_intent: words.key("intent").unwrap_or_default().to_owned(),
        bytes: u64::from(words.number("bytes", 0)),
        tables: words.key("tables").map(tables),
    });
    let as_of = words.key("as-of").map(|seq| Seq(u64::from(number(seq))));
    let command = Command::RecordObservation { agent: agent.clone(), target, seen, as_of };
    world.ask(agent.as_str(), command);
}

/// The number that stands for a table's name.
fn table(name: &str) -> u32 {
    let Digest([a, b, c, d, ..]) = digest(name);
    u32::from_be_bytes([a, b, c, d])
}

/// `orders:1000,items:?`, where `?` is what nobody could estimate.
fn tables(text: &str) -> Tables {
    let one = |text: &str| {
        let (name, rows) = text.split_once(':').expect("a table and its rows");
        (table(name), if rows == "?" { UNKNOWN } else { u64::from(number(rows)) })
    };
    Tables::new(text.split(',').filter(|one| !one.is_empty()).map(one))
}

/// `names=1:orders,2:orders+items,3:`: what the scripts of a version name. Others nobody has read.
fn named(words: &Words<'_>, version: &str) -> Option<Box<[u32]>> {
    let all = words.key("names")?.split(',').filter_map(|one| one.split_once(':'));
    let (_, names) = all.into_iter().find(|(of, _)| *of == version)?;
    let mut names: Vec<u32> = names.split('+').filter(|name| !name.is_empty()).map(table).collect();
    names.sort_unstable();
    Some(names.into())
}

/// A script on all engines; on MySQL statement by statement.
fn script(file: String, text: &str, normalised: &str) -> Script {
    let facts = [Engine::Postgres, Engine::Mysql, Engine::Sqlite].map(|engine| Facts {
        engine,
        mode: if engine == Engine::Mysql {
            TransactionMode::Statements
        } else {
            TransactionMode::OneTransaction
        },
        why: String::new(),
        locks: Vec::new(),
        destructive: false,
        refusal: String::new(),
        statements: 1,
        defines: None,
        words: None,
    });
    Script { file, raw: digest(text), normalised: digest(normalised), facts: facts.to_vec() }
}

fn bundle(world: &mut World, words: &Words<'_>) {
    let migrations = words.bare.iter().skip(2).map(|word| {
        let version = word.trim_end_matches(['-', '~', '*', '?', '#']);
        let edit = if word.contains('~') { " edited" } else { "" };
        let change = if word.contains('*') { " changed" } else { "" };
        let probe = word.contains('?');
        let mut up = script(
            format!("{version}.up.sql"),
            &format!("{version}.up{edit}{change}"),
            &format!("{version}.up normalised{change}"),
        );
        let named = named(words, version);
        for facts in &mut up.facts {
            facts.defines = Some(!word.contains('#'));
            facts.words.clone_from(&named);
        }
        let down = (!word.contains('-')).then(|| {
            let text = format!("{version}.down");
            let mut down = script(format!("{version}.down.sql"), &text, &text);
            down.facts.iter_mut().for_each(|facts| facts.words.clone_from(&named));
            down
        });
        let name = format!("change {version}");
        Migration { version: Version::from(version), name, up, down, verify: false, probe }
    });
    let manifest = Manifest {
        digest: digest(&words.bare.join(" ")),
        format: "test".to_owned(),
        migrations: migrations.collect(),
    };
    world.bundles.insert(words.at(1).to_owned(), manifest.clone());
    world.ask("ann", Command::StoreBundle { manifest: Arc::new(manifest) });
}

fn strategy(world: &mut World, words: &Words<'_>) {
    let strategy = &mut world.strategy;
    if let Some(waves) = words.key("waves") {
        strategy.waves = waves.split(',').filter(|one| !one.is_empty()).map(wave).collect();
    }
    if let Some(stages) = words.key("stages") {
        let stage = |text: &str| {
            let (name, to) = text.split_once(':').expect("a stage and its last version");
            Stage { name: name.to_owned(), to: Version::from(to) }
        };
        strategy.stages = stages.split('/').filter(|it| !it.is_empty()).map(stage).collect();
    }
    strategy.parallelism = words.number("parallel", strategy.parallelism);
    strategy.retries = words.number("retries", strategy.retries);
    let Budget { failed, percent, scope } = strategy.budget;
    strategy.budget = Budget {
        failed: words.number("budget", failed),
        percent: words.number("percent", percent),
        scope: if words.has("over-all") { Scope::Rollout } else { scope },
    };
    strategy.soak_ms = u64::from(words.number("soak", 0));
    strategy.per_group = words.number("group", strategy.per_group);
    if let Some((steps, most)) = words.key("heavy").and_then(|heavy| heavy.split_once(':')) {
        let steps = steps.split('/').filter(|step| !step.is_empty()).map(Version::from).collect();
        strategy.heavy = Heavy { steps, per_group: number(most) };
    }
    strategy.cover_classes |= words.has("cover");
    if let Some(windows) = words.key("window") {
        let at_close = if words.has("finish") { AtClose::Finish } else { AtClose::Stop };
        let window = |text: &str| Window {
            name: text.to_owned(),
            selector: meant(text),
            to: if words.has("never") { 0 } else { 60 },
            zone: "UTC".to_owned(),
            at_close,
            ..Window::default()
        };
        strategy.windows = windows.split(',').filter(|text| !text.is_empty()).map(window).collect();
    }
    if let Some(text) = words.key("blackout") {
        let blackout = |span: &Span| Blackout {
            name: "the fair".to_owned(),
            from: span.from,
            until: span.until,
            zone: "UTC".to_owned(),
            ..Blackout::default()
        };
        strategy.blackouts = spans(text).iter().map(blackout).collect();
    }
    if let Some((label, most)) = words.key("limit").and_then(|limit| limit.split_once(':')) {
        strategy.limits = vec![Limit { label: label.to_owned(), most: number(most) }];
    }
    if let Some(order) = words.key("order") {
        let (label, values) = order.split_once(':').unwrap_or((order, ""));
        let values: Vec<String> =
            values.split('/').filter(|it| !it.is_empty()).map(str::to_owned).collect();
        strategy.order = match (label, values.is_empty()) {
            ("id", _) => Order::Id,
            (label, true) => Order::Label(label.to_owned()),
            (label, false) => Order::Listed(label.to_owned(), values),
        };
    }
    strategy.on_breach = match words.key("breach") {
        None => strategy.on_breach,
        Some("halt") => OnBreach::Halt,
        Some("target") => OnBreach::RollbackTarget,
        Some("wave") => OnBreach::RollbackWave,
        Some("rollout") => OnBreach::RollbackRollout,
        Some(other) => panic!("no scope {other}"),
    };
    strategy.backup = words.key("backup").map_or(strategy.backup, backup);
}

fn backup(text: &str) -> Backup {
    match text {
        "exempt" => Backup::Exempt,
        "schema" => Backup::Schema,
        "tables" => Backup::Tables,
        "database" => Backup::Database,
        other => panic!("no backup {other}"),
    }
}

/// `t-1` one target, `50%` a share, `n:3` so many, `each` one a class, `l:red` those with a label; behind
/// it `!`: somebody has to let it open, `@500`: how long it is watched, `x2`: so many at one time, `~region`: for each
/// value of that label.
fn wave(text: &str) -> Wave {
    let mut wave = Wave { name: text.to_owned(), ..Wave::default() };
    let (text, per) = text.split_once('~').unwrap_or((text, ""));
    per.clone_into(&mut wave.per);
    let (text, most) = text.split_once('x').unwrap_or((text, "0"));
    wave.parallelism = number(most);
    let (text, soak) = text.split_once('@').unwrap_or((text, ""));
    wave.soak_ms = (!soak.is_empty()).then(|| u64::from(number(soak)));
    let (text, approval) = text.strip_suffix('!').map_or((text, false), |text| (text, true));
    wave.approval = approval;
    if let Some(percent) = text.strip_suffix('%') {
        wave.percent = number(percent);
    } else if let Some(count) = text.strip_prefix("n:") {
        wave.count = number(count);
    } else if text == "each" {
        wave.one_per_class = true;
    } else if let Some(ring) = text.strip_prefix("l:") {
        wave.selector.labels = vec![("ring".to_owned(), vec![ring.to_owned()])];
    } else {
        wave.selector.targets = text.split('+').map(str::to_owned).collect();
    }
    wave
}

/// The question that a plan answers.
fn spec(world: &World, words: &Words<'_>) -> Spec {
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

fn plan(world: &mut World, words: &Words<'_>) {
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

fn expire(world: &mut World, words: &Words<'_>) {
    let target = TargetId::from(words.at(1));
    let live = world.lease(&target).map(|(_, fence)| fence);
    let fence = words.key("fence").map(|fence| Fence(u64::from(number(fence)))).or(live);
    let why = "not heard of for 30 s".to_owned();
    let fence = fence.unwrap_or_default();
    world.ask("leader", Command::ExpireLease { target, fence, why });
}

fn report(world: &mut World, target: &TargetId, words: &Words<'_>) {
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

/// Of the past nobody knows who was connected.
fn moment<'a>(world: &'a World, words: &Words<'_>) -> Moment<'a> {
    let presence = (!words.has("past")).then_some(&world.presence);
    Moment { presence, hours: &world.presence.hours, now: world.now }
}

fn status(world: &mut World, words: &Words<'_>) {
    let mut lines = Vec::new();
    for state in world.fleet.rollouts.values() {
        let phases = ["waiting", "ready", "leased", "done", "failed", "stuck", "undo-ready"];
        let phases = phases.into_iter().chain(["undo-leased", "undone", "residual", "waived"]);
        let counts: Vec<String> = phases
            .zip(state.total.all())
            .filter(|(_, count)| **count > 0)
            .map(|(phase, count)| format!("{count} {phase}"))
            .collect();
        lines.push(format!("{} {:?}: {}", state.id, state.status, counts.join(", ")));
        let why = waits_for(&world.fleet, state, moment(world, words));
        if !why.is_empty() {
            lines.push(format!("      {why}"));
        }
        let residual = view::residual(state);
        for (_, lane) in residual.filter(|_| state.status.ended()) {
            let target = world.fleet.targets.get(lane.target).expect("a lane has a target");
            let note = lane.note.as_deref().unwrap_or("no note");
            lines.push(format!(
                "      left over: {}, {} steps in force: {note}",
                target.id, lane.applied
            ));
        }
    }
    world.say(lines.join("\n"));
}

fn targets(world: &mut World) {
    let lines: Vec<String> = world
        .fleet
        .targets
        .iter()
        .map(|(_, target)| {
            let ledger: Vec<&str> = world
                .fleet
                .entries
                .spell(&target.ledger)
                .map(|entry| entry.version.as_str())
                .collect();
            let held = if target.problem.is_empty() {
                String::new()
            } else {
                format!(" held: {}", target.problem)
            };
            format!("{} [{}]{held}", target.id, ledger.join(" "))
        })
        .collect();
    world.say(lines.join("\n"));
}

fn knobs(words: &Words<'_>) -> Vec<Knob> {
    let knob = |(name, value): (&&str, &&str)| match *name {
        "parallel" => Knob::Parallelism(number(value)),
        "soak" => Knob::SoakMs(u64::from(number(value))),
        "budget" => Knob::BudgetFailed(number(value)),
        "percent" => Knob::BudgetPercent(number(value)),
        "group" => Knob::PerGroup(number(value)),
        "heavy" => Knob::HeavyPerGroup(number(value)),
        "retries" => Knob::Retries(number(value)),
        "windows" => Knob::Windows(*value == "on"),
        "batch" => Knob::Batch(u64::from(number(value))),
        "batch_pause" => Knob::BatchPauseMs(u64::from(number(value))),
        name if name.starts_with("throttle.") => {
            Knob::Throttle(name.replacen("throttle.", "", 1), throttle::setting(value))
        }
        label => Knob::Limit(Limit { label: label.to_owned(), most: number(value) }),
    };
    words.keys.iter().filter(|(name, _)| !["id", "body"].contains(name)).map(knob).collect()
}
