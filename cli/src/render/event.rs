//! One event of the log: a sentence in the past tense, and a flat object.

use serde::Serialize;
use skein_proto::agent::v1 as agent;
use skein_proto::log::v1::{self as log, event::Body};
use skein_proto::v1;

use super::knobs::knob;
use super::look::duration;
use super::words;

/// An event as scripts see it: fields that do not apply are left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Event {
    pub seq: u64,
    pub at_ms: u64,
    pub actor: String,
    /// SHA-256, hexadecimal.
    pub charter: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request: String,
    pub what: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rollout: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub agent: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fence: Option<u64>,
    /// What the engine wrote to its log while a step ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written_bytes: Option<u64>,
    /// Of a step's own time: how long it waited for locks that it got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked_ms: Option<u64>,
    /// Rows of the tables that it named, when its leg began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub touched_rows: Option<u64>,
    /// What happened, in one sentence.
    pub said: String,
}

/// A rollout's number in the log, as it is called everywhere else.
pub fn rollout_name(number: u32) -> String {
    format!("mig-{number:04}")
}

/// Names, as far as they fit.
fn targets(ids: &[String]) -> String {
    match ids {
        [one] => one.clone(),
        [one, ..] => format!("{}, such as {one}", words::count(ids.len() as u64, "target")),
        [] => "no target".to_owned(),
    }
}

/// The part of which something was said for later, too.
fn later(part: Option<&v1::Part>) -> String {
    let Some(part) = part else { return String::new() };
    let on = super::freezes::meant(part.selector.as_ref());
    match part.wave {
        0 => format!(" (and who comes later of {on})"),
        wave => format!(" (and who comes later of {on} in wave {wave})"),
    }
}

impl Event {
    pub fn new(event: &log::Event) -> Self {
        let mut told = Self {
            seq: event.seq,
            at_ms: event.at_ms,
            actor: event.actor.clone(),
            charter: words::hex(&event.charter),
            request: words::hex(&event.request_id),
            ..Self::default()
        };
        if let Some(body) = &event.body {
            told.body(body, event.seq);
        } else {
            told.what = "unknown";
            told.said.push_str("something that this release of skein has no word for");
        }
        told
    }

    pub(super) fn of(&mut self, event: &'static str, said: impl Into<String>) {
        self.what = event;
        self.said = said.into();
    }

    fn at(&mut self, rollout: u32, target: &str, fence: Option<u64>) {
        self.rollout = rollout_name(rollout);
        target.clone_into(&mut self.target);
        self.fence = fence;
    }

    fn body(&mut self, body: &Body, seq: u64) {
        match body {
            Body::ClusterFormed(_)
            | Body::CharterAdopted(_)
            | Body::ClusterRestored(_)
            | Body::AgentJoined(_)
            | Body::AgentLeft(_) => {
                self.members(body);
            }
            Body::TargetRegistered(_)
            | Body::TargetObserved(_)
            | Body::TargetUnreachable(_)
            | Body::TargetGone(_)
            | Body::TargetRetired(_)
            | Body::RestoreStarted(_)
            | Body::BundleStored(_) => self.fleet(body),
            Body::RolloutPlanned(_)
            | Body::RolloutPlannedInStages(_)
            | Body::RolloutStarted(_)
            | Body::WaveStarted(_)
            | Body::RolloutPaused(_)
            | Body::RolloutResumed(_)
            | Body::RolloutTurnedForward(_)
            | Body::RequestSettled(_)
            | Body::RolloutAborted(_)
            | Body::WaveVerified(_)
            | Body::WaveSoaked(_)
            | Body::WaveApproved(_)
            | Body::KnobSet(_)
            | Body::LanesHeld(_)
            | Body::LanesReleased(_)
            | Body::LanesAborted(_)
            | Body::RollbackStarted(_)
            | Body::RolloutHalted(_)
            | Body::RolloutCompleted(_)
            | Body::RolloutRolledBack(_)
            | Body::StepWaived(_) => self.rollout(body),
            Body::RepairOrdered(_)
            | Body::RepairAssigned(_)
            | Body::RepairReleased(_)
            | Body::TargetMended(_)
            | Body::RepairFailed(_)
            | Body::RepairWithdrawn(_)
            | Body::EditAccepted(_)
            | Body::TargetsRetried(_)
            | Body::TargetsSkipped(_) => super::event_repair::told(self, body, seq),
            Body::GatesOpened(_)
            | Body::GateAsked(_)
            | Body::GateReleased(_)
            | Body::BaselineTaken(_)
            | Body::GatePassed(_)
            | Body::GateFailed(_)
            | Body::GateBreached(_) => super::gate::told(self, body, seq),
            Body::ChangesFrozen(_)
            | Body::ChangesThawed(_)
            | Body::LanesCancelled(_)
            | Body::StepCancelled(_) => super::event_pace::told(self, body),
            Body::ArrivalsSettled(e) => super::event_late::told(self, e),
            Body::StepOverran(e) => super::event_forecast::told(self, e),
            Body::LegAssigned(_) | Body::LeaseExpired(_) => self.leg(body, seq),
            Body::StepBackedUp(_)
            | Body::StepApplied(_)
            | Body::StepVerified(_)
            | Body::StepFailed(_)
            | Body::StepRetried(_)
            | Body::StepRolledBack(_)
            | Body::StepStuck(_)
            | Body::StepTried(_) => self.step(body),
        }
    }

    fn members(&mut self, body: &Body) {
        if let Body::ClusterFormed(e) = body {
            let bound =
                if e.bound.is_empty() { String::new() } else { format!(", bound to {}", e.bound) };
            let charter = words::hex(&e.charter);
            self.of(
                "cluster_formed",
                format!("formed the cluster under charter {}{bound}", words::id(&charter, false)),
            );
        } else if let Body::CharterAdopted(e) = body {
            let undo = if e.refuse_irreversible { "no step without a way back" } else { "waivers" };
            let backup = words::backup(e.least_backup());
            self.of(
                "charter_adopted",
                format!("adopted the charter: backup at least {backup}, {undo}"),
            );
        } else if let Body::ClusterRestored(e) = body {
            let incarnation = words::hex(&e.incarnation);
            self.of(
                "cluster_restored",
                format!(
                    "began again from a backup, as incarnation {}: {}",
                    words::id(&incarnation, false),
                    e.reason
                ),
            );
        } else if let Body::AgentJoined(e) = body {
            self.agent.clone_from(&e.agent);
            self.of("agent_joined", format!("agent {} joined with release {}", e.agent, e.version));
        } else if let Body::AgentLeft(e) = body {
            self.agent.clone_from(&e.agent);
            self.of("agent_left", format!("agent {} left", e.agent));
        }
    }

    fn fleet(&mut self, body: &Body) {
        if let Body::TargetRegistered(e) = body {
            self.agent.clone_from(&e.agent);
            let target = e.target.clone().unwrap_or_default();
            let engine = words::engine(target.engine());
            self.of(
                "target_registered",
                format!("agent {} registered {} ({engine})", e.agent, target.id),
            );
            self.target = target.id;
        } else if let Body::TargetObserved(e) = body {
            self.target.clone_from(&e.target);
            self.agent.clone_from(&e.agent);
            let seen = e.observation.clone().unwrap_or_default();
            let newest = seen.ledger.last().map_or("nothing", |entry| entry.version.as_str());
            let open = if seen.open_intent.is_empty() {
                String::new()
            } else {
                format!(", {} begun and neither finished nor undone", seen.open_intent)
            };
            self.of(
                "target_observed",
                format!(
                    "saw {} with {newest} in force, {} in all{open}",
                    e.target,
                    seen.ledger.len()
                ),
            );
        } else if let Body::TargetUnreachable(e) = body {
            self.target.clone_from(&e.target);
            self.agent.clone_from(&e.agent);
            self.of("target_unreachable", format!("could not look at {}: {}", e.target, e.why));
        } else if let Body::RestoreStarted(e) = body {
            self.target.clone_from(&e.target);
            self.of(
                "restore_started",
                format!("began to restore {} from {}: {}", e.target, e.archive, e.reason),
            );
        } else if let Body::TargetGone(e) = body {
            self.target.clone_from(&e.target);
            self.agent.clone_from(&e.agent);
            self.of("target_gone", format!("does not name {} any more", e.target));
        } else if let Body::TargetRetired(e) = body {
            self.target.clone_from(&e.target);
            self.of("target_retired", format!("retired {}: {}", e.target, e.reason));
        } else if let Body::BundleStored(e) = body {
            let digest = words::hex(&e.digest);
            let migrations = words::count(e.migrations.len() as u64, "migration");
            self.of(
                "bundle_stored",
                format!(
                    "stored bundle {}: {migrations} in {} format",
                    words::id(&digest, false),
                    e.format
                ),
            );
        }
    }

    fn rollout(&mut self, body: &Body) {
        let mut on = |rollout: u32, event, said: String| {
            self.rollout = rollout_name(rollout);
            self.of(event, said);
        };
        if let Body::RolloutPlanned(e) | Body::RolloutPlannedInStages(e) = body {
            let plan = e.plan.clone().unwrap_or_default();
            let targets: u32 = plan.classes.iter().map(|class| class.targets).sum();
            let steps: u64 = plan
                .classes
                .iter()
                .map(|class| u64::from(class.targets) * (class.steps.len() as u64))
                .sum();
            let id = words::hex(&e.plan_id);
            on(
                e.rollout,
                "rollout_planned",
                format!(
                    "planned {} on {} as plan {}",
                    words::count(steps, "step"),
                    words::count(targets, "target"),
                    words::id(&id, false)
                ),
            );
        } else if let Body::RolloutStarted(e) = body {
            on(e.rollout, "rollout_started", "started the rollout".to_owned());
        } else if let Body::WaveStarted(e) = body {
            on(e.rollout, "wave_started", format!("started wave {}", e.wave.saturating_add(1)));
        } else if let Body::RolloutPaused(e) = body {
            let now = match (e.after_batch, e.after_steps) {
                (true, _) => " behind the batches under way",
                (false, true) => " at once",
                (false, false) => "",
            };
            on(e.rollout, "rollout_paused", format!("paused the rollout{now}: {}", e.reason));
        } else if let Body::RolloutAborted(e) = body {
            on(e.rollout, "rollout_aborted", format!("gave the rollout up: {}", e.reason));
        } else if let Body::WaveVerified(e) = body {
            let said = format!("verified wave {}, and watches it", e.wave.saturating_add(1));
            on(e.rollout, "wave_verified", said);
        } else if let Body::WaveSoaked(e) = body {
            let said = format!("watched wave {} to the end", e.wave.saturating_add(1));
            on(e.rollout, "wave_soaked", said);
        } else if let Body::WaveApproved(e) = body {
            let said = format!("lets wave {} open: {}", e.wave.saturating_add(1), e.reason);
            on(e.rollout, "wave_approved", said);
        } else if let Body::KnobSet(e) = body {
            let set = e.knob.as_ref().map(knob);
            let said = set.map(|set| format!("set {} to {}", set.name, set.value));
            on(e.rollout, "knob_set", said.unwrap_or_default());
        } else if let Body::LanesHeld(e) = body {
            let (held, later) = (targets(&e.targets), later(e.part.as_ref()));
            let now = if e.after_batch { " behind the batches under way" } else { "" };
            on(e.rollout, "lanes_held", format!("holds {held}{later}{now}: {}", e.reason));
        } else if let Body::LanesReleased(e) = body {
            let said = format!("lets {}{} go on", targets(&e.targets), later(e.part.as_ref()));
            on(e.rollout, "lanes_released", said);
        } else if let Body::LanesAborted(e) = body {
            let (left, later) = (targets(&e.targets), later(e.part.as_ref()));
            on(e.rollout, "lanes_aborted", format!("gave up {left}{later}: {}", e.reason));
        } else if let Body::RequestSettled(e) = body {
            on(e.rollout, "request_settled", "asked for what was the case already".to_owned());
        } else if let Body::RolloutResumed(e) = body {
            on(e.rollout, "rollout_resumed", "resumed the rollout".to_owned());
        } else if let Body::RolloutTurnedForward(e) = body {
            let count = words::count(e.targets.len() as u64, "target");
            let all = if e.all { ", with what was rolled back by choice" } else { "" };
            let from = e.wave.saturating_add(1);
            let said = format!("takes {count} forward again, from wave {from} on{all}");
            on(e.rollout, "rollout_turned_forward", said);
        } else if let Body::RollbackStarted(e) = body {
            let targets = words::count(e.targets.len() as u64, "target");
            on(e.rollout, "rollback_started", format!("began to unwind {targets}: {}", e.cause));
        } else if let Body::RolloutHalted(e) = body {
            on(e.rollout, "rollout_halted", format!("halted, an operator is needed: {}", e.reason));
        } else if let Body::RolloutCompleted(e) = body {
            on(e.rollout, "rollout_completed", "completed the rollout".to_owned());
        } else if let Body::RolloutRolledBack(e) = body {
            on(
                e.rollout,
                "rollout_rolled_back",
                "rolled the rollout back; the fleet is consistent".to_owned(),
            );
        } else if let Body::StepWaived(e) = body {
            let waiver = e.waiver.clone().unwrap_or_default();
            let what = if waiver.step == "*" {
                "every step that cannot be undone".to_owned()
            } else {
                waiver.step.clone()
            };
            on(
                e.rollout,
                "step_waived",
                format!("took responsibility for {what}: {}", waiver.reason),
            );
            self.version = waiver.step;
        }
    }

    fn leg(&mut self, body: &Body, seq: u64) {
        if let Body::LegAssigned(e) = body {
            self.at(e.rollout, &e.target, Some(seq));
            self.agent.clone_from(&e.agent);
            let what = match e.kind() {
                agent::LegKind::Forward => "carry out",
                agent::LegKind::Undo => "undo",
                agent::LegKind::Trial => "try",
                agent::LegKind::Mend | agent::LegKind::Unspecified => "work on",
            };
            self.of(
                "leg_assigned",
                format!("gave agent {} the lease to {what} the steps of {}", e.agent, e.target),
            );
        } else if let Body::LeaseExpired(e) = body {
            self.at(e.rollout, &e.target, Some(e.fence));
            self.of(
                "lease_expired",
                format!("the lease on {} ended without a result: {}", e.target, e.why),
            );
        }
    }

    fn step(&mut self, body: &Body) {
        if let Body::StepBackedUp(e) = body {
            self.at(e.rollout, &e.target, Some(e.fence));
            let backup = e.backup.clone().unwrap_or_default();
            let said = if backup.exemption.is_empty() {
                format!(
                    "backed up {} ({}, {}) as {} in {}",
                    e.target,
                    words::backup(backup.scope()),
                    words::bytes(backup.bytes),
                    backup.archive,
                    duration(backup.ms),
                )
            } else {
                format!("took no backup of {}: {}", e.target, backup.exemption)
            };
            self.of("step_backed_up", said);
        } else if let Body::StepApplied(e) = body {
            self.at(e.rollout, &e.target, Some(e.fence));
            self.version.clone_from(&e.version);
            let applied = e.applied.unwrap_or_default();
            let said = if applied.already {
                format!("found {} in force on {}", e.version, e.target)
            } else {
                let waited = match applied.waited_ms {
                    0 => String::new(),
                    ms => format!(" after {} of waiting for locks", duration(ms)),
                };
                self.written_bytes = applied.written_bytes;
                let written = written(applied.written_bytes);
                self.locked_ms = applied.locked_ms;
                self.touched_rows = applied.touched_rows;
                let took = took(applied.ms, applied.locked_ms);
                let (version, target) = (&e.version, &e.target);
                format!("applied {version} to {target} in {took}{waited}{written}")
            };
            self.of("step_applied", said);
        } else if let Body::StepVerified(e) = body {
            self.at(e.rollout, &e.target, Some(e.fence));
            self.version.clone_from(&e.version);
            self.of("step_verified", format!("verified {} on {}", e.version, e.target));
        } else if let Body::StepFailed(e) = body {
            self.at(e.rollout, &e.target, Some(e.fence));
            self.version.clone_from(&e.version);
            let failed = e.failed.clone().unwrap_or_default();
            let place = if failed.file.is_empty() {
                String::new()
            } else {
                format!(" at {}:{}", failed.file, failed.line)
            };
            let verdict = verdict(failed.verdict());
            self.of(
                "step_failed",
                format!(
                    "{} failed on {}{place}: {} ({verdict})",
                    e.version, e.target, failed.message
                ),
            );
        } else {
            self.step_rest(body);
        }
    }

    fn step_rest(&mut self, body: &Body) {
        if let Body::StepRetried(e) = body {
            self.at(e.rollout, &e.target, None);
            self.of("step_retried", format!("{} is tried again, attempt {}", e.target, e.attempt));
        } else if let Body::StepRolledBack(e) = body {
            self.at(e.rollout, &e.target, Some(e.fence));
            self.version.clone_from(&e.version);
            let undone = e.rolled_back.clone().unwrap_or_default();
            let said = if undone.already {
                format!("found {} undone on {}", e.version, e.target)
            } else {
                self.written_bytes = undone.written_bytes;
                let written = written(undone.written_bytes);
                self.locked_ms = undone.locked_ms;
                self.touched_rows = undone.touched_rows;
                let took = took(undone.ms, undone.locked_ms);
                format!("undid {} on {} in {took}{written}", e.version, e.target)
            };
            self.of("step_rolled_back", said);
        } else if let Body::StepStuck(e) = body {
            self.at(e.rollout, &e.target, Some(e.fence));
            self.version.clone_from(&e.version);
            let why = e.stuck.clone().unwrap_or_default().why;
            self.of("step_stuck", format!("{} is stuck on {}: {why}", e.version, e.target));
        } else if let Body::StepTried(e) = body {
            self.at(e.rollout, &e.target, Some(e.fence));
            self.version.clone_from(&e.version);
            let tried = e.tried.clone().unwrap_or_default();
            let outcome = match (tried.impossible, tried.passed) {
                (true, _) => "could not be tried",
                (false, true) => "passed its trial",
                (false, false) => "failed its trial",
            };
            let note =
                if tried.note.is_empty() { String::new() } else { format!(": {}", tried.note) };
            self.of("step_tried", format!("{} {outcome} on {}{note}", e.version, e.target));
        }
    }
}

/// `3.2 s, 1.1 s of it waiting for locks`, where there was such a wait.
fn took(ms: u64, locked_ms: Option<u64>) -> String {
    match locked_ms.filter(|ms| *ms > 0) {
        None => duration(ms),
        Some(locked) => format!("{}, {} of it waiting for locks", duration(ms), duration(locked)),
    }
}

/// `, 48.0 KiB written`, where its agent told.
fn written(bytes: Option<u64>) -> String {
    bytes.map_or_else(String::new, |bytes| format!(", {} written", words::bytes(bytes)))
}

fn verdict(verdict: agent::Verdict) -> &'static str {
    match verdict {
        agent::Verdict::Never => "nothing of it is in force",
        agent::Verdict::Partly => "a part of it is in force",
        agent::Verdict::Fully => "all of it is in force",
        agent::Verdict::Unknown | agent::Verdict::Unspecified => {
            "what of it is in force cannot be told"
        }
    }
}
