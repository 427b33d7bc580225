//! A transcript as a golden script of the core (`coordinator/core/tests/scripts`): the same words, so
//! that it can be kept there.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use skein_core::bundle::Manifest;
use skein_core::command::{Ask, Command, Depth, Extent, Outcome, Waiver};
use skein_core::event::{Archive, Stop, Verdict};
use skein_core::ids::{Digest, Incarnation, RepairId, RolloutId, Version, WaveIx};
use skein_core::spec::{
    Backup, Direction, Engine, Goal, Knob, OnBreach, Order, Scope, Selector, Setting, Spec,
};
use skein_core::state::ledger::Entry as Row;
use skein_core::state::repair::Evidence;
use skein_core::state::target::{Description, Observation};

use super::transcript::{Asked, Entry};
use crate::model::database::digest;
use crate::observation::Effect;

/// A pause that a retry waits for is no shorter.
const SHORTEST_PAUSE_MS: u64 = 500;

/// The script, with a sentence on top.
pub fn script(title: &str, entries: &[Entry]) -> String {
    let mut words = Words::default();
    let mut text = format!("# {title}\n\n");
    let mut now = None;
    for entry in entries {
        let lines = match entry {
            Entry::Asked(asked) => {
                let last = *now.get_or_insert(asked.now.0);
                let mut lines = Vec::new();
                let waited = asked.now.0.saturating_sub(last);
                let least = match asked.command {
                    Command::AssignLeg { .. } => SHORTEST_PAUSE_MS,
                    // A wave is watched for as long as it is.
                    Command::StartWave { .. } | Command::FinishRollout { .. } => 1,
                    _ => u64::MAX,
                };
                if waited >= least {
                    now = Some(asked.now.0);
                    lines.push(format!("after {waited}"));
                }
                lines.extend(words.command(asked));
                lines
            }
            Entry::Effect(effect) => vec![self::effect(effect)],
            Entry::Fence(..) => Vec::new(),
            Entry::Mended(mended) => {
                let (target, ledger) = (&mended.database.target, &mended.database.ledger);
                vec![format!("# the ledger of {target} is set right: [{}]", rows(ledger))]
            }
            Entry::Restored(database) => {
                vec![format!("# {} is put back to [{}]", database.target, rows(&database.ledger))]
            }
        };
        for line in lines {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}

fn effect(effect: &Effect) -> String {
    let sign = if effect.script == Direction::Down { '-' } else { '+' };
    let half = if effect.whole { "" } else { ", the first part" };
    format!("# effect: {} {sign}{}{half}", effect.target, effect.entry.version)
}

/// Numbers that the script gives by itself.
#[derive(Debug, Default)]
struct Words {
    bundles: BTreeMap<Digest, usize>,
    rollouts: BTreeMap<RolloutId, usize>,
    plans: BTreeMap<Digest, usize>,
    repairs: usize,
    ordered: BTreeMap<RepairId, usize>,
}

impl Words {
    fn rollout(&self, rollout: RolloutId) -> usize {
        self.rollouts.get(&rollout).copied().unwrap_or_default()
    }

    fn ask(&self, ask: &Ask) -> String {
        let bundle = self.bundles.get(&ask.bundle).copied().unwrap_or_default();
        let versions: Vec<&str> = ask.versions.iter().map(Version::as_str).collect();
        let why = if ask.waiver.is_empty() {
            String::new()
        } else {
            format!(" why={}", ask.waiver.replace(' ', "-"))
        };
        format!("b{bundle} {}{}{why}", versions.join(" "), selector(&ask.selector))
    }

    fn command(&mut self, asked: &Asked) -> Vec<String> {
        let line = match &asked.command {
            // A script's cluster is formed by itself.
            Command::FormCluster { .. } => return Vec::new(),
            Command::RestoreCluster {
                incarnation: Incarnation([number, ..]),
                fence,
                reason,
                ..
            } => {
                format!("restore-cluster {number} fence={fence} {reason}")
            }
            // Follows the restore by itself.
            Command::HaltRollout { .. } => return Vec::new(),
            Command::AdoptCharter { policy, .. } => {
                let never = if policy.refuse_irreversible { " reversible" } else { "" };
                format!("adopt least={}{never}", backup(policy.least_backup))
            }
            Command::JoinAgent { agent, targets, .. } => return join(agent.as_str(), targets),
            // The sequence of a shorter run is another one: a look that comes too late is left out.
            Command::RecordObservation { target, seen: Ok(seen), .. } => {
                format!("observe {target} {}", observation(seen))
            }
            Command::RecordObservation { target, seen: Err(why), .. } => {
                format!("unreachable {target} {why}")
            }
            Command::RetireTarget { target, reason } => format!("retire {target} {reason}"),
            Command::StartRestore { target, archive, reason } => {
                format!("restore {target} {archive} {reason}")
            }
            Command::StoreBundle { manifest } => {
                let number = self.bundles.len() + 1;
                self.bundles.insert(manifest.digest, number);
                format!("bundle b{number} {}", bundle(manifest))
            }
            Command::PlanRollout { spec, id, .. } => {
                let number = self.rollouts.len() + 1;
                self.rollouts.extend(asked.planned.map(|planned| (planned, number)));
                self.plans.insert(*id, number);
                let bundle = self.bundles.get(&spec.bundle).copied().unwrap_or_default();
                return vec![strategy(spec), format!("plan b{bundle} {}", question(spec))];
            }
            Command::StartRollout { plan, waivers } => {
                let number = self.plans.get(plan).copied().unwrap_or_default();
                format!("start of={number}{}", self::waivers(waivers))
            }
            Command::PauseRollout { rollout, reason, stop } => {
                let at = match stop {
                    Stop::AfterLegs => "",
                    Stop::AfterSteps => "at=once ",
                    Stop::BehindBatches => "at=batch ",
                };
                format!("pause {} {at}{reason}", self.rollout(*rollout))
            }
            Command::AbortRollout { rollout, reason } => {
                format!("abort {} {reason}", self.rollout(*rollout))
            }
            Command::ApproveWave { rollout, wave, reason } => {
                format!("approve {} wave={wave} {reason}", self.rollout(*rollout))
            }
            Command::SetKnobs { rollout, knobs } => {
                let knobs: Vec<String> = knobs.iter().map(knob).collect();
                format!("set {} {}", self.rollout(*rollout), knobs.join(" "))
            }
            Command::HoldLanes { rollout, selector, wave, reason, stop } => format!(
                "hold {}{}{}{} {reason}",
                self.rollout(*rollout),
                self::selector(selector),
                of_wave(*wave),
                match stop {
                    Stop::AfterLegs => " at=end",
                    Stop::AfterSteps => "",
                    Stop::BehindBatches => " at=batch",
                }
            ),
            Command::AbortLanes { rollout, selector, wave, reason } => format!(
                "abort {}{}{} {reason}",
                self.rollout(*rollout),
                self::selector(selector),
                of_wave(*wave)
            ),
            Command::ReleaseLanes { rollout, selector, wave } => format!(
                "release {}{}{}",
                self.rollout(*rollout),
                self::selector(selector),
                of_wave(*wave)
            ),
            Command::CancelLanes { rollout, part, reason } => {
                let (chosen, wave) =
                    part.as_ref().map_or_else(Default::default, |(chosen, wave)| {
                        (selector(chosen), of_wave(*wave))
                    });
                format!("cancel {}{chosen}{wave} {reason}", self.rollout(*rollout))
            }
            Command::Freeze { selector, until, reason } => format!(
                "freeze{}{} why={}",
                self::selector(selector),
                until.map(|until| format!(" until={until}")).unwrap_or_default(),
                reason.replace(' ', "-")
            ),
            Command::Thaw { freezes, selector, .. } => {
                let freezes: Vec<String> =
                    freezes.iter().map(|freeze| freeze.0.to_string()).collect();
                format!("thaw {}{}", freezes.join(" "), self::selector(selector))
            }
            Command::SoakWave { rollout } => format!("ask soak {}", self.rollout(*rollout)),
            Command::ResumeRollout { rollout, all } => {
                let all = if *all { " rolled-back" } else { "" };
                format!("resume {}{all}", self.rollout(*rollout))
            }
            Command::RollBackRollout { rollout, extent, waivers } => format!(
                "rollback {}{}{}{}",
                self.rollout(*rollout),
                selector(&extent.selector),
                self::extent(extent),
                self::waivers(waivers)
            ),
            Command::RetryTargets { rollout, selector } => {
                format!("retry {}{}", self.rollout(*rollout), self::selector(selector))
            }
            Command::SkipTargets { rollout, selector, reason, until } => format!(
                "skip {}{} why={}{}",
                self.rollout(*rollout),
                self::selector(selector),
                reason.replace(' ', "-"),
                until.map(|at| format!(" until={}", at.0)).unwrap_or_default()
            ),
            Command::Repair(ask) => {
                self.repairs += 1;
                self.ordered.extend(asked.repair.map(|repair| (repair, self.repairs)));
                format!("repair {} {}", ask.verb.as_str(), self.ask(ask))
            }
            Command::AcceptEdited(ask) => format!("accept {}", self.ask(ask)),
            Command::WithdrawRepair { repair, reason } => {
                let number = self.ordered.get(repair).copied().unwrap_or_default();
                format!("withdraw {number} {reason}")
            }
            Command::AssignRepair { target, agent } => format!("ask mend {target} {agent}"),
            // Scripts of it are written without gates.
            Command::OpenGates { .. }
            | Command::AskGate { .. }
            | Command::ReleaseGate { .. }
            | Command::JudgeGate { .. }
            | Command::Report {
                outcome: Outcome::Judged { .. } | Outcome::Baseline { .. }, ..
            } => {
                return Vec::new();
            }
            Command::SettleArrivals { rollout, .. } => {
                format!("ask settle {}", self.rollout(*rollout))
            }
            Command::StartWave { rollout } => format!("ask start-wave {}", self.rollout(*rollout)),
            Command::AssignLeg { rollout, target, agent } => {
                format!("ask assign {} {target} {agent}", self.rollout(*rollout))
            }
            Command::UnwindRollout { rollout } => format!("ask unwind {}", self.rollout(*rollout)),
            Command::FinishRollout { rollout } => format!("ask finish {}", self.rollout(*rollout)),
            Command::ExpireLease { target, .. } => format!("expire {target}"),
            Command::RecordOverrun { target, .. } => format!("ask overrun {target}"),
            Command::Report { target, outcome, .. } => format!("{target} {}", report(outcome)),
        };
        vec![line]
    }
}

/// What of a rollout, and how far.
fn extent(extent: &Extent) -> String {
    let wave = extent.wave.map(|wave| format!(" wave={wave}")).unwrap_or_default();
    let depth = match &extent.depth {
        Depth::Whole => String::new(),
        Depth::Steps(steps) => format!(" steps={steps}"),
        Depth::Version(version) => format!(" to={version}"),
        Depth::Time(_, then) => {
            let then: Vec<String> =
                then.iter().map(|(target, steps)| format!("{target}:{steps}")).collect();
            format!(" then={}", then.join(","))
        }
    };
    format!("{wave}{depth}")
}

/// A line for each description among the targets.
fn join(agent: &str, targets: &[(skein_core::ids::TargetId, Description)]) -> Vec<String> {
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    for (id, description) in targets {
        let engine = match description.engine {
            Engine::Postgres => "postgres",
            Engine::Mysql => "mysql",
            Engine::Sqlite => "sqlite",
        };
        let ring = description.labels.get("ring").map(|ring| format!(" label={ring}"));
        let key = format!("engine={engine}{} rack={}", ring.unwrap_or_default(), description.group);
        let ids = lines.entry(key).or_default();
        ids.push(' ');
        ids.push_str(id.as_str());
    }
    if lines.is_empty() {
        return vec![format!("agent {agent}")];
    }
    lines.into_iter().map(|(key, ids)| format!("agent {agent}{ids} {key}")).collect()
}

/// A word that stands for a schema.
fn schema(fingerprint: Digest) -> String {
    format!("schema={}", fingerprint.short())
}

fn observation(seen: &Observation) -> String {
    let mut text = format!(
        "ledger={} {} identity={}",
        rows(&seen.ledger),
        schema(seen.fingerprint),
        seen.identity
    );
    if !seen.open_intent.is_empty() {
        let written = write!(text, " intent={}", seen.open_intent);
        debug_assert!(written.is_ok(), "a String takes everything");
    }
    text
}

fn rows(rows: &[Row]) -> String {
    rows.iter().map(|row| marked(&row.version, row.digest)).collect::<Vec<_>>().join(",")
}

/// A version, with the mark of a file that was edited.
fn marked(version: &Version, raw: Digest) -> String {
    let marks = [("", ""), (" edited", "~"), (" changed", "*")];
    let mark = marks.iter().find(|(text, _)| digest(&format!("{version}.up{text}")) == raw);
    format!("{version}{}", mark.map_or("", |(_, mark)| mark))
}

fn bundle(manifest: &Manifest) -> String {
    let words = manifest.migrations.iter().map(|migration| {
        let down = if migration.down.is_none() { "-" } else { "" };
        format!("{}{down}", marked(&migration.version, migration.up.raw))
    });
    words.collect::<Vec<_>>().join(" ")
}

fn backup(backup: Backup) -> &'static str {
    match backup {
        Backup::Database => "database",
        Backup::Tables => "tables",
        Backup::Schema => "schema",
        Backup::Exempt => "exempt",
    }
}

fn strategy(spec: &Spec) -> String {
    let strategy = &spec.strategy;
    let waves: Vec<String> = strategy
        .waves
        .iter()
        .map(|wave| {
            let what = match (wave.percent, wave.count, wave.selector.labels.first()) {
                _ if wave.one_per_class => "each".to_owned(),
                (0, 0, Some((_, rings))) => format!("l:{}", rings.join("+")),
                (0, 0, None) => wave.selector.targets.join("+"),
                (0, count, _) => format!("n:{count}"),
                (percent, _, _) => format!("{percent}%"),
            };
            let approval = if wave.approval { "!" } else { "" };
            let soak = wave.soak_ms.map(|soak| format!("@{soak}")).unwrap_or_default();
            let most = match wave.parallelism {
                0 => String::new(),
                most => format!("x{most}"),
            };
            let per = if wave.per.is_empty() { String::new() } else { format!("~{}", wave.per) };
            format!("{what}{approval}{soak}{most}{per}")
        })
        .collect();
    let order = match &strategy.order {
        Order::Id => "id".to_owned(),
        Order::Label(label) => label.clone(),
        Order::Listed(label, values) => format!("{label}:{}", values.join("/")),
    };
    let limits =
        strategy.limits.iter().map(|limit| format!(" limit={}:{}", limit.label, limit.most));
    let limits: String = limits.collect();
    let all = if strategy.budget.scope == Scope::Rollout { " over-all" } else { "" };
    let stages = strategy.stages.iter().map(|stage| format!("{}:{}", stage.name, stage.to));
    let stages = stages.collect::<Vec<_>>().join("/");
    let cover = if strategy.cover_classes { " cover" } else { "" };
    let breach = match strategy.on_breach {
        OnBreach::Halt => "halt",
        OnBreach::RollbackTarget => "target",
        OnBreach::RollbackWave => "wave",
        OnBreach::RollbackRollout => "rollout",
    };
    let heavy = &strategy.heavy.steps;
    let heavy: Vec<String> = heavy.iter().map(ToString::to_string).collect();
    format!(
        "strategy waves={} parallel={} budget={} percent={} breach={breach} retries={} backup={} \
         soak={} group={} heavy={}:{} order={order} stages={stages}{limits}{all}{cover}",
        waves.join(","),
        strategy.parallelism,
        strategy.budget.failed,
        strategy.budget.percent,
        strategy.retries,
        backup(strategy.backup),
        strategy.soak_ms,
        strategy.per_group,
        heavy.join("/"),
        strategy.heavy.per_group,
    )
}

fn knob(knob: &Knob) -> String {
    match knob {
        Knob::Parallelism(most) => format!("parallel={most}"),
        Knob::Limit(limit) => format!("{}={}", limit.label, limit.most),
        Knob::PerGroup(most) => format!("group={most}"),
        Knob::HeavyPerGroup(most) => format!("heavy={most}"),
        Knob::SoakMs(soak) => format!("soak={soak}"),
        Knob::BudgetFailed(failed) => format!("budget={failed}"),
        Knob::BudgetPercent(percent) => format!("percent={percent}"),
        Knob::Retries(retries) => format!("retries={retries}"),
        Knob::Throttle(name, setting) => match setting {
            Setting::Off => format!("throttle.{name}=off"),
            Setting::On => format!("throttle.{name}=on"),
            Setting::Time(ms) => format!("throttle.{name}={ms}ms"),
            Setting::Value(limit) => format!("throttle.{name}={limit}"),
        },
        Knob::Batch(size) => format!("batch={size}"),
        Knob::BatchPauseMs(pause) => format!("batch_pause={pause}"),
        Knob::Windows(hold) => format!("windows={}", if *hold { "on" } else { "off" }),
    }
}

fn of_wave(wave: Option<WaveIx>) -> String {
    wave.map(|wave| format!(" wave={wave}")).unwrap_or_default()
}

fn question(spec: &Spec) -> String {
    let direction = match spec.direction {
        Direction::Up => "up",
        Direction::Down => "down",
        Direction::Validate => "validate",
    };
    let goal = match &spec.goal {
        Goal::Latest => String::new(),
        Goal::Version(version) => format!(" to={version}"),
        Goal::Steps(steps) => format!(" steps={steps}"),
        Goal::Timestamp(time) => format!(" time={time}"),
        Goal::Nothing => " none".to_owned(),
    };
    let late = if spec.out_of_order { " out-of-order" } else { "" };
    let drift = if spec.accept_drift { " accept-drift" } else { "" };
    format!("{direction}{goal}{}{late}{drift}", selector(&spec.selector))
}

fn selector(selector: &Selector) -> String {
    let mut text = String::new();
    if !selector.targets.is_empty() {
        text = format!(" select={}", selector.targets.join(","));
    }
    if let Some((_, rings)) = selector.labels.first() {
        text.push_str(" label=");
        text.push_str(&rings.join(","));
    }
    text
}

fn waivers(waivers: &[Waiver]) -> String {
    match waivers.first() {
        None => String::new(),
        Some(waiver) if waiver.reason.trim().is_empty() => format!(" silent waive={}", waiver.step),
        Some(waiver) => format!(" waive={}", waiver.step),
    }
}

fn after(fingerprint: Option<Digest>) -> String {
    fingerprint.map_or_else(String::new, |after| format!(" {}", schema(after)))
}

fn report(outcome: &Outcome) -> String {
    let found = |already: bool| if already { " already" } else { "" };
    match outcome {
        Outcome::BackedUp(archive) => backed_up(archive),
        Outcome::Applied { step, already, .. } => format!("applied {step}{}", found(*already)),
        Outcome::Verified { step, fingerprint } => {
            format!("verified {step}{}", after(*fingerprint))
        }
        Outcome::Failed { step, verdict, retryable, cancelled, .. } => {
            let verdict = match verdict {
                Verdict::Never => "",
                Verdict::Partly => " partly",
                Verdict::Fully => " fully",
                Verdict::Unknown => " unknown",
            };
            let retryable = if *retryable { " retryable" } else { "" };
            let cancelled = if *cancelled { " cancelled" } else { "" };
            format!("failed {step}{verdict}{retryable}{cancelled}")
        }
        Outcome::RolledBack { step, already, fingerprint, .. } => {
            format!("rolled-back {step}{}{}", found(*already), after(*fingerprint))
        }
        Outcome::Stuck { step, .. } => format!("stuck {step}"),
        Outcome::Tried { step, passed, impossible, .. } => {
            let how = match (passed, impossible) {
                (_, true) => "pass impossible",
                (true, false) => "pass",
                (false, false) => "fail",
            };
            format!("tried {step} {how}")
        }
        Outcome::Mended { seen, evidence } => {
            let evidence = evidence.iter().map(|one| match one {
                Evidence::Schema => "schema",
                Evidence::Probe => "probe",
                Evidence::Waiver => "waiver",
            });
            let evidence: Vec<&str> = evidence.collect();
            format!("mended {} evidence={}", observation(seen), evidence.join(","))
        }
        // Left out above.
        Outcome::Judged { .. } => "judged".to_owned(),
        Outcome::Baseline { gate, .. } => format!("baseline {gate}"),
        Outcome::Released { .. } => "released".to_owned(),
    }
}

fn backed_up(archive: &Archive) -> String {
    let nothing = if archive.name.is_empty() { " nothing" } else { "" };
    format!("backed-up{nothing} {}", schema(archive.fingerprint))
}
