//! What agents tell. A report under a lease that is gone is no result; a repeated one changes nothing.

use crate::command::Outcome;
use crate::event::{Archive, Body, LegKind, Verdict};
use crate::ids::{Fence, Millis, StepIx, TargetId};
use crate::plan::Step;
use crate::refusal::{Kind, Refusal};
use crate::spec::Backup;
use crate::state::Fleet;
use crate::state::rollout::{Lane, Phase, State};

/// The first pause before a retry; doubled at each further one.
const RETRY_FIRST_MS: u64 = 500;
/// The longest pause before a retry.
const RETRY_MAX_MS: u64 = 30_000;

struct Told<'a> {
    state: &'a State,
    lane: &'a Lane,
    target: &'a TargetId,
    fence: Fence,
    now: Millis,
}

pub(super) fn decide(
    fleet: &Fleet,
    now: Millis,
    id: &TargetId,
    (fence, outcome): (Fence, &Outcome),
) -> Result<Vec<Body>, Refusal> {
    // A target that was retired has no lease either; its executor has to hear just that.
    let live = fleet
        .target(id)
        .filter(|(_, target)| target.lease.as_ref().is_some_and(|lease| lease.fence == fence));
    if let Some((_, target)) = live.filter(|(_, target)| target.mend.is_some()) {
        return super::repair::report(fleet, target, (fence, outcome));
    }
    let Some((state, lane)) = live.and_then(|(ix, _)| fleet.lane(ix)) else {
        return Err(Refusal::new(
            Kind::LeaseLost,
            format!("fence {fence} on target {id} is no lease any more"),
            "write nothing more; the next holder reads the ledger and finds what was done",
        ));
    };
    let told = Told { state, lane, target: id, fence, now };
    match outcome {
        Outcome::BackedUp(archive) => told.backed_up(archive),
        Outcome::Applied { .. } => told.applied(outcome),
        Outcome::Verified { step, fingerprint } => {
            if step.0 < lane.verified {
                return Ok(Vec::new());
            }
            told.kind(LegKind::Forward, *step)?;
            told.in_order(*step, lane.verified)?;
            if lane.applied <= step.0 {
                return Err(told.out_of_order(*step));
            }
            let version = told.version(*step)?;
            Ok(vec![Body::StepVerified {
                rollout: state.id,
                target: id.clone(),
                fence,
                version,
                step: *step,
                fingerprint: *fingerprint,
            }])
        }
        Outcome::Failed { .. } => told.failed(outcome),
        Outcome::RolledBack { step, ms, already, fingerprint, measured } => {
            if step.0 >= lane.applied {
                return Ok(Vec::new());
            }
            told.kind(LegKind::Undo, *step)?;
            if step.0 + 1 != lane.applied {
                return Err(told.out_of_order(*step));
            }
            let version = told.version(*step)?;
            Ok(vec![Body::StepRolledBack {
                rollout: state.id,
                target: id.clone(),
                fence,
                version,
                step: *step,
                ms: *ms,
                already: *already,
                fingerprint: *fingerprint,
                measured: *measured,
            }])
        }
        Outcome::Stuck { step, why } => {
            told.current(*step)?;
            Ok(vec![Body::StepStuck {
                rollout: state.id,
                target: id.clone(),
                fence,
                version: told.version(*step)?,
                step: *step,
                why: why.clone(),
            }])
        }
        Outcome::Tried { step, passed, impossible, note } => {
            if step.0 < lane.verified {
                return Ok(Vec::new());
            }
            told.kind(LegKind::Trial, *step)?;
            told.in_order(*step, lane.verified)?;
            Ok(vec![Body::StepTried {
                rollout: state.id,
                target: id.clone(),
                fence,
                version: told.version(*step)?,
                step: *step,
                passed: *passed,
                impossible: *impossible,
                note: note.clone(),
            }])
        }
        Outcome::Judged { step, gate, judgement } => {
            told.kind(LegKind::Forward, *step)?;
            // What was judged before, by whoever had the step then, is not asked again.
            if step.0 < lane.verified {
                return Ok(Vec::new());
            }
            let gate = (gate.as_str(), told.version(*step)?);
            super::gate::of_step(state, (id, lane.wave, fence), gate, judgement)
        }
        Outcome::Baseline { gate, queries } => {
            told.kind(LegKind::Forward, StepIx(lane.applied))?;
            let Some((_, ix)) = live.and_then(|(_, target)| target.lane) else {
                return Ok(Vec::new());
            };
            super::baseline::taken(state, (ix, lane), (id, fence), (gate, queries))
        }
        Outcome::Mended { .. } => Err(Refusal::new(
            Kind::Invalid,
            format!("the ledger of {id} is not being repaired, and a repair was reported"),
            "send what belongs to a leg of a rollout",
        )),
        Outcome::Released { why } => Ok(vec![Body::LeaseExpired {
            rollout: state.id,
            target: id.clone(),
            fence,
            why: why.clone(),
            released: true,
        }]),
    }
}

impl Told<'_> {
    fn step(&self, step: StepIx) -> Result<&Step, Refusal> {
        self.state.step(self.lane, step).ok_or_else(|| self.out_of_order(step))
    }

    fn version(&self, step: StepIx) -> Result<String, Refusal> {
        self.step(step).map(|step| step.entry.version.to_string())
    }

    /// The leg under way is of the kind that such a report belongs to.
    fn kind(&self, kind: LegKind, step: StepIx) -> Result<(), Refusal> {
        if self.state.leg_kind(self.lane) == kind { Ok(()) } else { Err(self.out_of_order(step)) }
    }

    /// The step is the one that the leg is at: nothing before it is left untold.
    fn current(&self, step: StepIx) -> Result<(), Refusal> {
        let at = match self.state.leg_kind(self.lane) {
            LegKind::Forward | LegKind::Trial => Some(self.lane.verified),
            LegKind::Undo => self.lane.applied.checked_sub(1),
        };
        if at == Some(step.0) { Ok(()) } else { Err(self.out_of_order(step)) }
    }

    fn in_order(&self, step: StepIx, next: u32) -> Result<(), Refusal> {
        if step.0 == next { Ok(()) } else { Err(self.out_of_order(step)) }
    }

    fn out_of_order(&self, step: StepIx) -> Refusal {
        Refusal::new(
            Kind::Invalid,
            format!(
                "a report about step {step} of {} does not fit: {} steps are applied and {} verified",
                self.target, self.lane.applied, self.lane.verified
            ),
            "send the reports of a leg in order",
        )
    }

    fn backed_up(&self, archive: &Archive) -> Result<Vec<Body>, Refusal> {
        if self.lane.archive.is_some() {
            return Ok(Vec::new());
        }
        self.kind(LegKind::Forward, StepIx(self.lane.applied))?;
        let exempt = self.state.plan.spec.strategy.backup == Backup::Exempt;
        if archive.name.is_empty() && !exempt {
            return Err(Refusal::new(
                Kind::Denied,
                format!("the plan wants a backup of {}, and none was taken", self.target),
                "take it; the exemption is the charter's to give",
            ));
        }
        // What stayed in force when something was taken back, or before the stage, is not behind it.
        let leg = self.lane.applied..self.state.until(self.lane);
        let steps = leg.filter_map(|step| self.state.step(self.lane, StepIx(step)));
        let steps = steps.map(|step| step.entry.version.to_string()).collect();
        Ok(vec![Body::StepBackedUp {
            rollout: self.state.id,
            target: self.target.clone(),
            fence: self.fence,
            archive: Box::new(archive.clone()),
            steps,
        }])
    }

    fn applied(&self, outcome: &Outcome) -> Result<Vec<Body>, Refusal> {
        let &Outcome::Applied { step, ms, rows, already, measured } = outcome else {
            return Ok(Vec::new());
        };
        if step.0 < self.lane.applied {
            return Ok(Vec::new());
        }
        self.kind(LegKind::Forward, step)?;
        self.in_order(step, self.lane.applied)?;
        if self.lane.verified != self.lane.applied {
            return Err(self.out_of_order(step));
        }
        if self.lane.archive.is_none() {
            return Err(Refusal::new(
                Kind::Denied,
                format!("step {step} of {} comes before its backup is recorded", self.target),
                "report the backup, and wait for its acknowledgement",
            ));
        }
        Ok(vec![Body::StepApplied {
            rollout: self.state.id,
            target: self.target.clone(),
            fence: self.fence,
            version: self.version(step)?,
            step,
            ms,
            rows,
            already,
            measured,
        }])
    }

    fn failed(&self, outcome: &Outcome) -> Result<Vec<Body>, Refusal> {
        let Outcome::Failed { step, verdict, retryable, cancelled, message, file, line } = outcome
        else {
            return Ok(Vec::new());
        };
        self.current(*step)?;
        // A word of somebody's is no failure, unless nobody can tell what it left.
        let told = match verdict {
            Verdict::Never | Verdict::Partly => true,
            Verdict::Fully | Verdict::Unknown => false,
        };
        let asked = self.lane.kill || self.state.may_leave_batches(self.lane);
        if *cancelled && asked && told {
            return Ok(vec![Body::StepCancelled {
                rollout: self.state.id,
                target: self.target.clone(),
                fence: self.fence,
                version: self.version(*step)?,
                step: *step,
                verdict: *verdict,
                message: message.clone(),
            }]);
        }
        let mut bodies = vec![Body::StepFailed {
            rollout: self.state.id,
            target: self.target.clone(),
            fence: self.fence,
            version: self.version(*step)?,
            step: *step,
            verdict: *verdict,
            retryable: *retryable,
            message: message.clone(),
            file: file.clone(),
            line: *line,
        }];
        let retries = self.state.retries();
        // A lane that is to be unwound turns back instead of trying again, and one that was given up ends.
        let turning = self.lane.given_up || (self.lane.unwind && self.lane.phase == Phase::Leased);
        if *retryable && *verdict == Verdict::Never && self.lane.attempt < retries && !turning {
            let pause = RETRY_FIRST_MS << self.lane.attempt.min(16);
            bodies.push(Body::StepRetried {
                rollout: self.state.id,
                target: self.target.clone(),
                attempt: self.lane.attempt + 1,
                not_before: Millis(self.now.0.saturating_add(pause.min(RETRY_MAX_MS))),
            });
        }
        Ok(bodies)
    }
}
