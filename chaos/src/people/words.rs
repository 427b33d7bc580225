//! What people say to a rollout that is under way, and to the fleet that it is on.

use skein_proto::v1;
use skein_proto::v1::pace_client::PaceClient;
use skein_proto::v1::repairs_client::RepairsClient;
use skein_proto::v1::rollouts_client::RolloutsClient;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::Person;

/// Of whom and of what words may speak.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Targets, the first of which means all of them.
    pub targets: Vec<String>,
    /// Throttles, the last of which nobody can read.
    pub throttles: Vec<String>,
    /// Of those, the ones whose limit is a time.
    pub of_time: Vec<String>,
    /// Also what only fleets of some size are asked for.
    pub wide: bool,
}

/// One thing that is said.
#[derive(Debug, Clone)]
pub enum Word {
    /// A knob is turned.
    Set(v1::SetRequest),
    /// A rollout, or a part of it, gets no more legs.
    Pause(v1::PauseRequest),
    /// It gets legs again; what turned back goes forward.
    Resume(v1::ResumeRequest),
    /// A wave may open.
    Approve(v1::ApproveRequest),
    /// The statements that run are killed.
    Cancel(v1::CancelRequest),
    /// A rollout, or a part of it, is given up.
    Abort(v1::AbortRequest),
    /// Some of it is undone, or all.
    RollBack(v1::RollBackRequest),
    /// Failed targets are tried again.
    Retry(v1::ChosenTargetsRequest),
    /// A rollout goes on without targets.
    Skip(v1::ChosenTargetsRequest),
    /// Nobody works on targets.
    Freeze(v1::FreezeRequest),
    /// They are worked on again.
    Thaw(v1::ThawRequest),
}

impl Word {
    /// Says it to one node; what is behind the answer in the log, where the answer tells.
    pub async fn put(self, channel: Channel) -> Result<Response<Option<u64>>, Status> {
        macro_rules! put {
            ($client:ident . $verb:ident ( $request:expr )) => {
                $client::new(channel).$verb($request).await?.map(|reply| Some(reply.seq))
            };
        }
        Ok(match self {
            Self::Set(request) => put!(RolloutsClient.set(request)),
            Self::Pause(request) => put!(RolloutsClient.pause(request)),
            Self::Resume(request) => put!(RolloutsClient.resume(request)),
            Self::Approve(request) => put!(RolloutsClient.approve(request)),
            Self::Cancel(request) => put!(RolloutsClient.cancel(request)),
            Self::Abort(request) => put!(RolloutsClient.abort(request)),
            Self::RollBack(request) => {
                RolloutsClient::new(channel).roll_back(request).await?.map(|_reply| None)
            }
            Self::Retry(request) => put!(RepairsClient.retry_targets(request)),
            Self::Skip(request) => put!(RepairsClient.skip_targets(request)),
            Self::Freeze(request) => put!(PaceClient.freeze(request)),
            Self::Thaw(request) => put!(PaceClient.thaw(request)),
        })
    }

    /// Something to get in the way of a rollout that is under way, or of one that has ended.
    pub fn draw(person: &mut impl Person, scope: &Scope, rollout: &str) -> Self {
        match person.below(if scope.wide { 20 } else { 14 }) {
            0..=3 => turn_a_knob(person, scope, rollout),
            4 => {
                let reason = "somebody wants to look at these".to_owned();
                let (asker, rollout) = (Some(person.asker()), rollout.to_owned());
                let part = Some(part(person, scope));
                Self::Pause(v1::PauseRequest { asker, rollout, reason, part, ..Default::default() })
            }
            5 => {
                let part = part(person, scope);
                let_go(person, rollout, part)
            }
            6 => {
                let (asker, rollout) = (Some(person.asker()), rollout.to_owned());
                let (reason, part) = ("it holds a lock".to_owned(), Some(part(person, scope)));
                Self::Cancel(v1::CancelRequest { asker, rollout, reason, part })
            }
            7 => {
                let (asker, rollout) = (Some(person.asker()), rollout.to_owned());
                let reason = "a mistake".to_owned();
                Self::Abort(v1::AbortRequest { asker, rollout, reason, part: None })
            }
            8 => Self::roll_back(person, scope, rollout),
            9 => {
                let target = person.below(scope.targets.len() as u64);
                Self::Retry(chosen(person, scope, rollout, target))
            }
            10 => {
                let target = some_of_them(person, scope);
                Self::Skip(chosen(person, scope, rollout, target))
            }
            11 => freeze(person, scope),
            12 => thaw(person),
            14 => pause(person, rollout),
            15 => wave_paused(person, rollout),
            16 => {
                let (asker, rollout) = (Some(person.asker()), rollout.to_owned());
                let selector = Some(selector(scope, some_of_them(person, scope)));
                let part = Some(v1::Part { selector, wave: 0 });
                let reason = "not these".to_owned();
                Self::Abort(v1::AbortRequest { asker, rollout, reason, part })
            }
            17 => {
                // What turned back goes forward again, also what somebody had chosen.
                let (asker, rollout) = (Some(person.asker()), rollout.to_owned());
                let rolled_back = person.percent(50);
                Self::Resume(v1::ResumeRequest { asker, rollout, part: None, rolled_back })
            }
            18 => {
                let (asker, rollout) = (Some(person.asker()), rollout.to_owned());
                let part = Some(v1::Part { selector: None, wave: person.number(1, 4) });
                let reason = "this wave holds locks".to_owned();
                Self::Cancel(v1::CancelRequest { asker, rollout, reason, part })
            }
            19 => Self::roll_back_more(person, scope, rollout),
            _ => approve(person, rollout),
        }
    }

    /// Whatever failed is tried again.
    pub fn retry(person: &mut impl Person, scope: &Scope, rollout: &str) -> Self {
        Self::Retry(chosen(person, scope, rollout, 0))
    }

    /// A throttle of it gets another limit: one that is met at once, or hardly ever.
    pub fn limit(person: &mut impl Person, scope: &Scope, rollout: &str, throttle: &str) -> Self {
        let most = person.one_of(&[200, 2_000, 20_000]).copied().unwrap_or_default();
        let setting = Some(limit(scope, throttle, most));
        let knob =
            v1::knob::Knob::Throttle(v1::ThrottleKnob { name: throttle.to_owned(), setting });
        set(person, rollout, v1::Knob { knob: Some(knob) })
    }

    /// One target, one wave, so many steps, to a version, or all of it is undone.
    pub fn roll_back(person: &mut impl Person, scope: &Scope, rollout: &str) -> Self {
        let (asker, rollout) = (Some(person.asker()), rollout.to_owned());
        let mut request = v1::RollBackRequest { asker, rollout, ..Default::default() };
        match person.below(6) {
            0 | 1 => {}
            2 => {
                let target = some_of_them(person, scope);
                request.selector = Some(selector(scope, target));
            }
            3 => request.steps = person.number(1, 2),
            4 => "1".clone_into(&mut request.to_version),
            _ => request.part = Some(v1::Part { selector: None, wave: 1 }),
        }
        Self::RollBack(request)
    }

    /// A region, a later wave, several steps of one target, to a later version.
    fn roll_back_more(person: &mut impl Person, scope: &Scope, rollout: &str) -> Self {
        let (asker, rollout) = (Some(person.asker()), rollout.to_owned());
        let mut request = v1::RollBackRequest { asker, rollout, ..Default::default() };
        match person.below(4) {
            0 => {
                let region = person.one_of(&["eu", "us", "ap"]).copied().unwrap_or("eu");
                let (name, values) = ("region".to_owned(), vec![region.to_owned()]);
                let labels = vec![v1::LabelMatch { name, values }];
                request.selector = Some(v1::Selector { labels, ..Default::default() });
            }
            1 => request.part = Some(v1::Part { selector: None, wave: person.number(2, 4) }),
            2 => {
                let target = some_of_them(person, scope);
                request.selector = Some(selector(scope, target));
                request.steps = person.number(1, 4);
            }
            _ => request.to_version = person.number(2, 5).to_string(),
        }
        Self::RollBack(request)
    }
}

/// Something that holds a rollout back for as long as nobody takes it away.
#[derive(Debug, Clone)]
pub enum Hindrance {
    /// Targets that somebody holds.
    Held,
    /// A wave that waits for a word.
    Word,
    /// Targets that are not there.
    Absent,
    /// A knob, with what it should be.
    Knob(v1::Knob),
    /// A freeze.
    Frozen,
}

impl Hindrance {
    /// Whatever may hold it back.
    pub fn all(rollout: &v1::RolloutStatus) -> Vec<Self> {
        let mut all = vec![Self::Held];
        if rollout.waits_for_word > 0 {
            all.push(Self::Word);
        }
        if rollout.waits_for_absent {
            all.push(Self::Absent);
        }
        for knob in &rollout.knobs {
            let off = match &knob.knob {
                Some(v1::knob::Knob::Windows(true)) => v1::knob::Knob::Windows(false),
                Some(v1::knob::Knob::Throttle(throttle))
                    if throttle.setting != Some(v1::throttle_knob::Setting::On(false)) =>
                {
                    throttle_off(&throttle.name)
                }
                Some(v1::knob::Knob::Parallelism(0)) => v1::knob::Knob::Parallelism(2),
                _ => continue,
            };
            all.push(Self::Knob(v1::Knob { knob: Some(off) }));
        }
        all.push(Self::Frozen);
        all
    }

    /// What takes it away.
    pub fn word(self, person: &mut impl Person, scope: &Scope, rollout: &str) -> Word {
        match self {
            Self::Held => {
                let part = v1::Part { selector: Some(selector(scope, 0)), wave: 0 };
                let_go(person, rollout, part)
            }
            Self::Word => approve(person, rollout),
            Self::Absent => Word::Skip(chosen(person, scope, rollout, 0)),
            Self::Knob(knob) => set(person, rollout, knob),
            Self::Frozen => thaw(person),
        }
    }
}

/// A target by its number; zero: all of them.
fn selector(scope: &Scope, target: u64) -> v1::Selector {
    let name = usize::try_from(target).ok().and_then(|place| scope.targets.get(place)).cloned();
    v1::Selector { targets: name.into_iter().collect(), ..Default::default() }
}

/// Not all of them, and never the last one.
fn some_of_them(person: &mut impl Person, scope: &Scope) -> u64 {
    person.between(1, (scope.targets.len() as u64).saturating_sub(1))
}

fn part(person: &mut impl Person, scope: &Scope) -> v1::Part {
    let target = person.below(scope.targets.len() as u64);
    v1::Part { selector: Some(selector(scope, target)), wave: 0 }
}

fn chosen(
    person: &mut impl Person,
    scope: &Scope,
    rollout: &str,
    target: u64,
) -> v1::ChosenTargetsRequest {
    v1::ChosenTargetsRequest {
        asker: Some(person.asker()),
        rollout: rollout.to_owned(),
        selector: Some(selector(scope, target)),
        reason: "merged into another".to_owned(),
        ..Default::default()
    }
}

/// In milliseconds, or in thousandths.
fn limit(scope: &Scope, throttle: &str, most: u64) -> v1::throttle_knob::Setting {
    if scope.of_time.iter().any(|name| name == throttle) {
        v1::throttle_knob::Setting::Ms(most)
    } else {
        v1::throttle_knob::Setting::Thousandths(most)
    }
}

fn throttle_off(name: &str) -> v1::knob::Knob {
    let setting = Some(v1::throttle_knob::Setting::On(false));
    v1::knob::Knob::Throttle(v1::ThrottleKnob { name: name.to_owned(), setting })
}

fn set(person: &mut impl Person, rollout: &str, knob: v1::Knob) -> Word {
    let (asker, rollout) = (Some(person.asker()), rollout.to_owned());
    Word::Set(v1::SetRequest { asker, rollout, knobs: vec![knob] })
}

fn turn_a_knob(person: &mut impl Person, scope: &Scope, rollout: &str) -> Word {
    let number = u32::try_from(person.below(5)).unwrap_or(0);
    let busy = scope.throttles.split_last().map_or(&[][..], |(_, busy)| busy);
    let knob = match person.below(if scope.wide { 12 } else { 7 }) {
        0 => v1::knob::Knob::Parallelism(number),
        1 => v1::knob::Knob::SoakMs(u64::from(number) * 500),
        2 => v1::knob::Knob::BudgetFailed(number),
        3 => v1::knob::Knob::Retries(number),
        4 => v1::knob::Knob::Windows(false),
        5 => {
            // No draw where there is no choice.
            let name = if busy.len() < 2 { busy.first() } else { person.one_of(busy) };
            let setting = match person.below(3) {
                0 => v1::throttle_knob::Setting::On(true),
                1 => v1::throttle_knob::Setting::On(false),
                _ => limit(scope, name.map_or("", String::as_str), 500),
            };
            let name = name.cloned().unwrap_or_default();
            v1::knob::Knob::Throttle(v1::ThrottleKnob { name, setting: Some(setting) })
        }
        7 => v1::knob::Knob::Batch(u64::from(number) * 900),
        8 => v1::knob::Knob::BatchPauseMs(u64::from(number) * 50),
        9 => v1::knob::Knob::PerGroup(number),
        10 => v1::knob::Knob::Limit(v1::Limit { label: "region".to_owned(), most: number }),
        11 => v1::knob::Knob::BudgetPercent(number * 20),
        _ => throttle_off(scope.throttles.last().map_or("", String::as_str)),
    };
    set(person, rollout, v1::Knob { knob: Some(knob) })
}

fn let_go(person: &mut impl Person, rollout: &str, part: v1::Part) -> Word {
    let (asker, rollout) = (Some(person.asker()), rollout.to_owned());
    Word::Resume(v1::ResumeRequest { asker, rollout, part: Some(part), ..Default::default() })
}

fn approve(person: &mut impl Person, rollout: &str) -> Word {
    let (asker, rollout) = (Some(person.asker()), rollout.to_owned());
    let reason = "it looks well".to_owned();
    Word::Approve(v1::ApproveRequest { asker, rollout, wave: 0, reason })
}

/// All of it: after the legs under way, after their step, or behind their batch.
fn pause(person: &mut impl Person, rollout: &str) -> Word {
    let (asker, rollout) = (Some(person.asker()), rollout.to_owned());
    let (now, after_batch) = match person.below(3) {
        0 => (false, false),
        1 => (true, false),
        _ => (true, true),
    };
    let reason = "to look at it".to_owned();
    Word::Pause(v1::PauseRequest { asker, rollout, reason, now, after_batch, part: None })
}

fn wave_paused(person: &mut impl Person, rollout: &str) -> Word {
    let (asker, rollout) = (Some(person.asker()), rollout.to_owned());
    let part = Some(v1::Part { selector: None, wave: person.number(1, 4) });
    let (reason, now) = ("this wave is watched".to_owned(), person.percent(50));
    Word::Pause(v1::PauseRequest { asker, rollout, reason, now, part, ..Default::default() })
}

fn freeze(person: &mut impl Person, scope: &Scope) -> Word {
    let target = person.below(scope.targets.len() as u64);
    Word::Freeze(v1::FreezeRequest {
        asker: Some(person.asker()),
        selector: Some(selector(scope, target)),
        until_ms: 0,
        reason: "an audit".to_owned(),
    })
}

fn thaw(person: &mut impl Person) -> Word {
    let asker = Some(person.asker());
    Word::Thaw(v1::ThawRequest { asker, reason: "it is over".to_owned(), ..Default::default() })
}
