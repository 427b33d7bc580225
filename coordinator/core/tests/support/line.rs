//! One event as one line.

use skein_core::decide::{Resumption, Way};
use skein_core::event::{Body, Event, Judged, LegKind, Overrun, Stop};
use skein_core::forecast::Interval;
use skein_core::ids::TargetId;
use skein_core::plan::{Block, Plan, Undo};
use skein_core::spec::{Direction, Quantiles};
use skein_core::state::ledger::Entry;
use skein_core::state::repair::Order;

/// The event's sequence, its name and what a reader of a script needs.
pub(crate) fn event(event: &Event) -> String {
    format!("{:>3} {}", event.seq, body(&event.body))
}

fn tail(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

fn body(body: &Body) -> String {
    match body {
        Body::ClusterFormed { .. } => "ClusterFormed".to_owned(),
        Body::CharterAdopted { policy, .. } => format!("CharterAdopted {policy:?}"),
        Body::ClusterRestored { fence, reason, .. } => {
            format!("ClusterRestored at fence {fence}{}", tail(reason))
        }
        Body::AgentJoined { agent, version } => format!("AgentJoined {agent} {version}"),
        Body::AgentLeft { agent } => format!("AgentLeft {agent}"),
        Body::TargetRegistered { agent, target, description } => {
            format!("TargetRegistered {target} by {agent}, {}", description.engine.as_str())
        }
        Body::TargetObserved { agent, target, seen, finding } => {
            let ledger: Vec<&str> =
                seen.ledger.iter().map(|entry| entry.version.as_str()).collect();
            format!("TargetObserved {target} by {agent} [{}]{}", ledger.join(" "), tail(finding))
        }
        Body::TargetUnreachable { agent, target, why } => {
            format!("TargetUnreachable {target} by {agent}{}", tail(why))
        }
        Body::TargetGone { agent, target } => format!("TargetGone {target} by {agent}"),
        Body::TargetRetired { target, reason } => format!("TargetRetired {target}{}", tail(reason)),
        Body::RestoreStarted { target, archive, reason } => {
            format!("RestoreStarted {target} from {archive}{}", tail(reason))
        }
        Body::BundleStored { manifest } => {
            let versions: Vec<&str> =
                manifest.migrations.iter().map(|one| one.version.as_str()).collect();
            format!("BundleStored [{}]", versions.join(" "))
        }
        Body::RolloutPlanned { rollout, plan, .. } => {
            format!("RolloutPlanned {rollout}{}", self::plan(plan))
        }
        Body::RolloutStarted { rollout } => format!("RolloutStarted {rollout}"),
        Body::WaveStarted { rollout, wave } => format!("WaveStarted {rollout} wave {wave}"),
        Body::RolloutPaused { rollout, reason, stop } => {
            let now = match stop {
                Stop::AfterLegs => "",
                Stop::AfterSteps => " at once",
                Stop::BehindBatches => " behind the batches under way",
            };
            format!("RolloutPaused {rollout}{now}{}", tail(reason))
        }
        Body::RolloutAborted { rollout, reason } => {
            format!("RolloutAborted {rollout}{}", tail(reason))
        }
        Body::WaveVerified { rollout, wave } => format!("WaveVerified {rollout} wave {wave}"),
        Body::WaveSoaked { rollout, wave } => format!("WaveSoaked {rollout} wave {wave}"),
        Body::WaveApproved { rollout, wave, reason } => {
            format!("WaveApproved {rollout} wave {wave}{}", tail(reason))
        }
        Body::KnobSet { rollout, knob } => format!("KnobSet {rollout} {knob:?}"),
        Body::LanesHeld { rollout, targets, reason, stop, part: _ } => {
            let end = match stop {
                Stop::AfterLegs => " at the end of its leg",
                Stop::AfterSteps => "",
                Stop::BehindBatches => " behind its batch",
            };
            format!("LanesHeld {rollout} {}{end}{}", ids(targets), tail(reason))
        }
        Body::LanesReleased { rollout, targets, part: _ } => {
            format!("LanesReleased {rollout} {}", ids(targets))
        }
        Body::LanesAborted { rollout, targets, reason, part: _ } => {
            format!("LanesAborted {rollout} {}{}", ids(targets), tail(reason))
        }
        Body::RequestSettled { rollout } => format!("RequestSettled {rollout}"),
        Body::RolloutResumed { rollout } => format!("RolloutResumed {rollout}"),
        Body::RolloutTurnedForward { rollout, wave, targets, all } => {
            let all = if *all { ", with what was rolled back by choice" } else { "" };
            format!("RolloutTurnedForward {rollout} from wave {wave}: {}{all}", ids(targets))
        }
        Body::RepairOrdered { repair, order } => {
            format!("RepairOrdered {repair}{}", self::order(order))
        }
        Body::RepairAssigned { repair, target, agent } => {
            format!("RepairAssigned {repair} {target} to {agent}")
        }
        Body::RepairReleased { repair, target, fence, why } => {
            format!("RepairReleased {repair} {target} fence {fence}{}", tail(why))
        }
        Body::TargetMended { repair, target, seen, evidence, finding, .. } => {
            let ledger: Vec<&str> =
                seen.ledger.iter().map(|entry| entry.version.as_str()).collect();
            let mut evidence: Vec<&str> = evidence.iter().map(|one| one.as_str()).collect();
            evidence.dedup();
            format!(
                "TargetMended {repair} {target} [{}] {}{}",
                ledger.join(" "),
                evidence.join(", "),
                tail(finding)
            )
        }
        Body::RepairFailed { repair, target, why, doubt, .. } => {
            let doubt = if *doubt { ", in doubt" } else { "" };
            format!("RepairFailed {repair} {target}{doubt}{}", tail(why))
        }
        Body::RepairWithdrawn { repair, reason } => {
            format!("RepairWithdrawn {repair}{}", tail(reason))
        }
        Body::EditAccepted { version, file, ran, reason, .. } => {
            format!("EditAccepted {version} {file}, {} texts{}", ran.len(), tail(reason))
        }
        Body::TargetsRetried { rollout, targets } => {
            let targets: Vec<&str> = targets.iter().map(TargetId::as_str).collect();
            format!("TargetsRetried {rollout} [{}]", targets.join(" "))
        }
        Body::TargetsSkipped { rollout, targets, reason, until } => {
            let targets: Vec<&str> = targets.iter().map(TargetId::as_str).collect();
            let until = until.map(|at| format!(", until {}", at.0)).unwrap_or_default();
            format!("TargetsSkipped {rollout} [{}]{until}{}", targets.join(" "), tail(reason))
        }
        Body::ArrivalsSettled { rollout, classes, joined, awaited, settled } => {
            let mut lines = vec![format!("ArrivalsSettled {rollout}")];
            for class in classes {
                let steps: Vec<String> =
                    class.steps.iter().map(|step| format!("+{}", step.entry.version)).collect();
                lines.push(format!("new class: [{}]", steps.join(" ")));
            }
            for (target, wave, class) in joined {
                lines.push(format!("{target} joins wave {wave}, class {}", class.0));
            }
            lines.extend(awaited.iter().map(|(target, why)| format!("waits for {target}: {why}")));
            if !settled.is_empty() {
                lines.push(format!("nothing to do with {}", ids(settled)));
            }
            lines.join("\n      ")
        }
        Body::ChangesFrozen { freeze, selector, until, reason } => {
            let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
            let labels = selector.labels.iter().flat_map(|(_, values)| values);
            let meant: Vec<&str> =
                selector.targets.iter().chain(labels).map(String::as_str).collect();
            format!("ChangesFrozen {freeze} [{}]{until}{}", meant.join(" "), tail(reason))
        }
        Body::ChangesThawed { freezes, reason } => {
            let freezes: Vec<String> = freezes.iter().map(ToString::to_string).collect();
            format!("ChangesThawed {}{}", freezes.join(" "), tail(reason))
        }
        Body::LanesCancelled { rollout, targets, reason, held } => {
            let held = if *held { ", held" } else { "" };
            format!("LanesCancelled {rollout} {}{held}{}", ids(targets), tail(reason))
        }
        Body::StepCancelled { rollout, target, version, verdict, message, .. } => {
            let left = verdict.as_str();
            format!("StepCancelled {rollout} {target} version {version}, {left}: {message}")
        }
        Body::RollbackStarted { rollout, cause, targets, breach: _ } => {
            let mut text = format!("RollbackStarted {rollout}: {cause}");
            for unwind in targets {
                text.push_str("\n      ");
                text.push_str(unwind.target.as_str());
                text.push_str(" keeps ");
                text.push_str(&unwind.keep.to_string());
                if !unwind.blocked_by.is_empty() {
                    text.push_str(", blocked by ");
                    text.push_str(&unwind.blocked_by);
                }
            }
            text
        }
        Body::RolloutHalted { rollout, reason } => {
            format!("RolloutHalted {rollout}{}", tail(reason))
        }
        Body::RolloutCompleted { rollout } => format!("RolloutCompleted {rollout}"),
        Body::RolloutRolledBack { rollout } => format!("RolloutRolledBack {rollout}"),
        Body::BaselineTaken { rollout, target, gate, queries, .. } => {
            let told = |it: &Quantiles| format!("{}/{}/{}", it.p50, it.p95, it.p99);
            let queries: Vec<String> = queries.iter().map(told).collect();
            format!("BaselineTaken {rollout} {gate} in {target}: {}", queries.join(", "))
        }
        Body::GatesOpened { rollout, wave } => format!("GatesOpened {rollout} wave {wave}"),
        Body::GateAsked { rollout, wave, gate, ask, target, agent, for_ms } => {
            let place = target.as_ref().map(|target| format!(" in {target}")).unwrap_or_default();
            let long = if *for_ms == 0 { String::new() } else { format!(", for {for_ms}") };
            format!("GateAsked {rollout} wave {wave} {gate}{place} ({ask}) by {agent}{long}")
        }
        Body::GateReleased { rollout, ask, agent, fence, why } => {
            format!("GateReleased {rollout} ({ask}) {agent} fence {fence}{}", tail(why))
        }
        Body::GatePassed { judged } => format!("GatePassed {}", self::judged(judged)),
        Body::GateFailed { judged } | Body::GateBreached { judged } => {
            let breach = matches!(body, Body::GateBreached { .. });
            let name = if breach { "GateBreached" } else { "GateFailed" };
            let how = if judged.inconclusive { ", inconclusive" } else { "" };
            format!("{name} {}{how}", self::judged(judged))
        }
        Body::LegAssigned { rollout, target, agent, kind } => {
            let kind = match kind {
                LegKind::Forward => "forward",
                LegKind::Undo => "undo",
                LegKind::Trial => "trial",
            };
            format!("LegAssigned {rollout} {target} to {agent}, {kind}")
        }
        Body::LeaseExpired { rollout, target, fence, why, .. } => {
            format!("LeaseExpired {rollout} {target} fence {fence}{}", tail(why))
        }
        Body::StepBackedUp { rollout, target, archive, steps, .. } => {
            let what = if archive.name.is_empty() {
                format!("exempt by {}", archive.exemption)
            } else {
                archive.name.clone()
            };
            format!("StepBackedUp {rollout} {target} {what} for [{}]", steps.join(" "))
        }
        Body::StepApplied { rollout, target, version, already, .. } => {
            let already = if *already { ", found there" } else { "" };
            format!("StepApplied {rollout} {target} version {version}{already}")
        }
        Body::StepVerified { rollout, target, version, .. } => {
            format!("StepVerified {rollout} {target} version {version}")
        }
        Body::StepFailed { rollout, target, version, verdict, retryable, message, .. } => format!(
            "StepFailed {rollout} {target} version {version}, {}, {}: {message}",
            if *retryable { "may pass" } else { "permanent" },
            verdict.as_str()
        ),
        Body::StepRetried { rollout, target, attempt, not_before } => {
            format!("StepRetried {rollout} {target} attempt {attempt} not before {not_before}")
        }
        Body::StepRolledBack { rollout, target, version, already, .. } => {
            let already = if *already { ", found undone" } else { "" };
            format!("StepRolledBack {rollout} {target} version {version}{already}")
        }
        Body::StepWaived { rollout, waiver } => {
            format!("StepWaived {rollout} step {}: {}", waiver.step, waiver.reason)
        }
        Body::StepStuck { rollout, target, version, why, .. } => {
            format!("StepStuck {rollout} {target} version {version}: {why}")
        }
        Body::StepOverran { overrun } => {
            let Overrun { rollout, target, version, undo, ms, forecast, .. } = overrun.as_ref();
            let what = if *undo { "undoing of " } else { "" };
            let Interval { p50, p95 } = forecast.interval;
            format!(
                "StepOverran {rollout} {target} {what}version {version}: {ms} ms where {p50} to {p95} were \
                 forecast from {}",
                forecast.samples
            )
        }
        Body::StepTried { rollout, target, version, passed, impossible, note, .. } => {
            let how = if *impossible {
                "cannot be tried"
            } else if *passed {
                "would pass"
            } else {
                "would fail"
            };
            format!("StepTried {rollout} {target} version {version} {how}{}", tail(note))
        }
    }
}

fn judged(judged: &Judged) -> String {
    let Judged { rollout, wave, gate, target, version, ask, fence, measured, .. } = judged;
    let place = target.as_ref().map(|target| format!(" in {target}")).unwrap_or_default();
    let of = if version.is_empty() { format!("({ask})") } else { format!("step {version}") };
    format!("{rollout} wave {wave} {gate}{place} {of} fence {fence}{}", tail(measured))
}

/// A line for each class with its targets.
fn order(order: &Order) -> String {
    let versions: Vec<&str> = order.versions.iter().map(skein_core::ids::Version::as_str).collect();
    let mut text =
        format!(" {} [{}]{}", order.verb.as_str(), versions.join(" "), tail(&order.waiver));
    for (class, number) in order.classes.iter().zip(0..) {
        let changes: Vec<String> = class
            .changes
            .iter()
            .map(|change| {
                let sign = if change.direction == Direction::Down { "-" } else { "+" };
                let probe = if change.probe { "?" } else { "" };
                format!("{sign}{}{probe}", change.entry.version)
            })
            .collect();
        let targets: Vec<&str> = order
            .targets
            .iter()
            .filter(|(_, class)| *class == number)
            .map(|(target, _)| target.as_str())
            .collect();
        text.push_str("\n      [");
        text.push_str(&changes.join(" "));
        text.push_str("] on ");
        text.push_str(&targets.join(" "));
    }
    text
}

/// Classes and waves, a line each.
fn plan(plan: &Plan) -> String {
    let mut text = String::new();
    for (number, class) in plan.classes.iter().enumerate() {
        let steps: Vec<String> = class
            .steps
            .iter()
            .map(|step| {
                let sign = match step.direction {
                    Direction::Up => "+",
                    Direction::Down => "-",
                    Direction::Validate => "?",
                };
                let undo = if step.undo == Undo::Impossible { "!" } else { "" };
                format!("{sign}{}{undo}", step.entry.version)
            })
            .collect();
        text.push_str(
            &format_args!(
                "\n      class {number}: {} targets, [{}]",
                class.targets,
                steps.join(" ")
            )
            .to_string(),
        );
    }
    for wave in &plan.waves {
        let targets: Vec<&str> = wave.targets.iter().map(|(id, _)| id.as_str()).collect();
        text.push_str("\n      wave ");
        text.push_str(&wave.name);
        if let Some(stage) = plan.stage(wave.stage) {
            text.push_str(" of ");
            text.push_str(&stage.name);
        }
        text.push_str(": ");
        text.push_str(&targets.join(" "));
    }
    for absent in &plan.absent {
        for part in ["\n      absent: ", absent.target.as_str(), ": ", &absent.why] {
            text.push_str(part);
        }
    }
    for note in &plan.notes {
        text.push_str("\n      note: ");
        text.push_str(note);
    }
    text
}

fn ids(targets: &[TargetId]) -> String {
    targets.iter().map(TargetId::as_str).collect::<Vec<_>>().join(" ")
}

/// What a resume would come to.
pub(crate) fn resumption(it: &Resumption) -> String {
    let way = match it.way {
        Way::AsItIs => "it goes on already".to_owned(),
        Way::On => "on".to_owned(),
        Way::Back => "back".to_owned(),
        Way::Forward(wave) => format!("forward from wave {wave}"),
    };
    let waves = it.waves.iter().map(|(wave, targets)| format!("; wave {wave}: {}", ids(targets)));
    let again = if it.again.is_empty() {
        String::new()
    } else {
        format!("; tried again: {}", ids(&it.again))
    };
    let left_out = if it.left_out.is_empty() {
        String::new()
    } else {
        format!("; left out: {}", ids(&it.left_out))
    };
    format!("{way}{}{again}{left_out}", waves.collect::<String>())
}

/// Targets that stand apart, the nearest class, and one of it.
pub(crate) fn block(block: &Block) -> String {
    let versions = |ledger: &[Entry]| {
        ledger.iter().map(|entry| entry.version.as_str()).collect::<Vec<_>>().join(" ")
    };
    let ids = |ids: &[TargetId]| ids.iter().map(TargetId::as_str).collect::<Vec<_>>().join(" ");
    let nearest = block.nearest.as_ref().map(|near| {
        format!("{} at [{}] ({})", near.members, versions(&near.ledger), ids(&near.examples))
    });
    format!(
        "{} {} at [{}]: {}; nearest: {}",
        block.engine.as_str(),
        ids(&block.targets),
        versions(&block.ledger),
        block.cause,
        nearest.unwrap_or_else(|| "none".to_owned())
    )
}
