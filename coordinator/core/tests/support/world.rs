//! The fleet under test with what surrounds it: a clock, connected agents, and targets whose steps
//! go well unless a script says otherwise.

use std::collections::BTreeMap;

use skein_core::bundle::Manifest;
use skein_core::command::{Command, Outcome, Request};
use skein_core::decide::{Decision, decide};
use skein_core::event::{Archive, Body, Event, LegKind, Measured, Verdict};
use skein_core::evolve::evolve;
use skein_core::forecast::overruns;
use skein_core::hours::frozen;
use skein_core::ids::{AgentId, Digest, Fence, Millis, RequestId, StepIx, TargetId};
use skein_core::outbox::{Leg, Mend, mends, outbox};
use skein_core::schedule::{Presence, schedule};
use skein_core::spec::{Backup, Strategy};
use skein_core::state::Fleet;
use skein_core::state::ledger::Entry;
use skein_core::state::repair::{Class, Evidence};
use skein_core::state::target::Observation;

use super::line;

/// A scripted failure: how often, and what is told.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) times: u32,
    pub(crate) verdict: Verdict,
    pub(crate) retryable: bool,
    pub(crate) message: String,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) fleet: Fleet,
    pub(crate) log: Vec<Event>,
    pub(crate) now: Millis,
    pub(crate) presence: Presence,
    pub(crate) bundles: BTreeMap<String, Manifest>,
    /// When legs were last said to be held back.
    held: BTreeMap<Fence, Millis>,
    pub(crate) strategy: Strategy,
    pub(crate) charter: Digest,
    pub(crate) plan: Digest,
    pub(crate) faults: BTreeMap<(TargetId, bool, u32), Fault>,
    pub(crate) request: Option<(RequestId, u64)>,
    pub(crate) out: String,
}

impl Default for World {
    fn default() -> Self {
        Self {
            fleet: Fleet::default(),
            log: Vec::new(),
            now: Millis(1_000),
            presence: Presence::default(),
            bundles: BTreeMap::new(),
            held: BTreeMap::new(),
            strategy: Strategy { parallelism: 64, ..Strategy::default() },
            charter: digest("charter"),
            plan: Digest::default(),
            faults: BTreeMap::new(),
            request: None,
            out: String::new(),
        }
    }
}

/// A digest of a text; not SHA-256, and no matter.
pub(crate) fn digest(text: &str) -> Digest {
    let mut bytes = [0_u8; 32];
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for chunk in bytes.chunks_mut(8) {
        for byte in text.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        chunk.copy_from_slice(&hash.to_be_bytes());
    }
    Digest(bytes)
}

/// The schema of a target is what its ledger says.
pub(crate) fn fingerprint(ledger: &[Entry]) -> Digest {
    let versions: Vec<&str> = ledger.iter().map(|entry| entry.version.as_str()).collect();
    digest(&format!("schema {}", versions.join(" ")))
}

impl World {
    pub(crate) fn say(&mut self, text: impl AsRef<str>) {
        self.out.push_str(text.as_ref());
        self.out.push('\n');
    }

    /// Decides and applies; tells what happened. Gives whether it was accepted.
    pub(crate) fn ask(&mut self, actor: &str, command: Command) -> bool {
        let (id, body) = self.request.take().unzip();
        let request = Request {
            id,
            digest: body.unwrap_or_default(),
            actor: actor.to_owned(),
            charter: self.charter,
            now: self.now,
            command,
        };
        match decide(&self.fleet, &request) {
            Ok(Decision::Events(events)) => {
                if events.is_empty() {
                    self.say("nothing to do");
                }
                for event in events {
                    self.begins_in_time(&event);
                    evolve(&mut self.fleet, &event).expect("what is decided can be applied");
                    self.say(line::event(&event));
                    self.log.push(event);
                }
                true
            }
            Ok(Decision::Repeated(answer)) => {
                let about = answer.rollout.map(|id| format!(", about {id}")).unwrap_or_default();
                self.say(format!("repeated: the first answer was event {}{about}", answer.first));
                true
            }
            Err(refusal) => {
                self.say(format!("refused ({:?}): {}", refusal.kind, refusal.what));
                self.say(format!("      next: {}", refusal.next));
                false
            }
        }
    }

    /// No leg is given out on a target that somebody froze.
    fn begins_in_time(&self, event: &Event) {
        if let Body::LegAssigned { target, .. } = &event.body {
            let (_, state) = self.fleet.target(target).expect("it is there");
            assert!(frozen(&self.fleet, state, event.at).is_none(), "{target} is frozen");
        }
    }

    /// Does what the schedule says until it says nothing more.
    pub(crate) fn tick(&mut self) {
        for _ in 0..10_000 {
            let mut next = schedule(&self.fleet, &self.presence, self.now);
            let held = self.presence.held(&self.fleet).map(|fence| (fence, self.now));
            self.held.extend(held);
            next.commands.extend(overruns(&self.fleet, &self.held, self.now));
            if next.commands.is_empty() {
                return;
            }
            for command in next.commands {
                let shown = format!("{command:?}");
                assert!(self.ask("scheduler", command), "the schedule's own {shown} is refused");
            }
        }
        panic!("the schedule never comes to rest");
    }

    /// Carries out every leg that is handed out, until nothing moves.
    pub(crate) fn run(&mut self) {
        for _ in 0..1_000 {
            self.tick();
            let agents: Vec<AgentId> = self.presence.slots.keys().cloned().collect();
            let repairs: Vec<(AgentId, Mend)> = agents
                .iter()
                .flat_map(|agent| {
                    mends(&self.fleet, agent).into_iter().map(|it| (agent.clone(), it))
                })
                .collect();
            let quiet = repairs.is_empty();
            for (agent, mend) in repairs {
                self.mend(&agent, &mend);
            }
            let legs: Vec<(AgentId, Leg)> = agents
                .into_iter()
                .flat_map(|agent| {
                    outbox(&self.fleet, &agent).into_iter().map(move |leg| (agent.clone(), leg))
                })
                .collect();
            if legs.is_empty() && quiet {
                let Some(at) = schedule(&self.fleet, &self.presence, self.now).wake_at else {
                    return;
                };
                self.now = self.now.max(at);
                self.say(format!("    at {at}"));
            }
            for (agent, leg) in legs {
                self.carry_out(&agent, &leg);
            }
        }
        panic!("the fleet never comes to rest");
    }

    pub(crate) fn report(
        &mut self,
        agent: &AgentId,
        target: &TargetId,
        fence: Fence,
        outcome: Outcome,
    ) {
        self.ask(
            agent.as_str(),
            Command::Report { agent: agent.clone(), target: target.clone(), fence, outcome },
        );
    }

    /// One leg from end to end, as a good executor does it.
    pub(crate) fn carry_out(&mut self, agent: &AgentId, leg: &Leg) {
        let mut ledger = leg.expected.clone();
        if !leg.backed_up && leg.kind == LegKind::Forward {
            let archive = Self::archive(&leg.target, &ledger, leg.backup);
            self.report(agent, &leg.target, leg.fence, Outcome::BackedUp(Box::new(archive)));
        }
        if leg.cancelled {
            let why = "cancelled".to_owned();
            return self.report(agent, &leg.target, leg.fence, Outcome::Released { why });
        }
        let last = leg.steps.last().map(|step| step.ix);
        for step in &leg.steps {
            if let Some(fault) = self.fault(&leg.target, leg.kind == LegKind::Undo, step.ix.0) {
                let outcome = if leg.kind == LegKind::Trial {
                    Outcome::Tried {
                        step: step.ix,
                        passed: false,
                        impossible: false,
                        note: fault.message,
                    }
                } else {
                    Outcome::Failed {
                        step: step.ix,
                        verdict: fault.verdict,
                        retryable: fault.retryable,
                        cancelled: false,
                        message: fault.message,
                        file: String::new(),
                        line: 0,
                    }
                };
                return self.report(agent, &leg.target, leg.fence, outcome);
            }
            match step.script {
                skein_core::spec::Direction::Down => {
                    ledger.retain(|entry| entry.version != step.entry.version);
                }
                _ if leg.kind == LegKind::Trial => {}
                _ => ledger.push(step.entry.clone()),
            }
            let after = (Some(step.ix) == last).then(|| fingerprint(&ledger));
            self.told(agent, leg, step.ix, after);
        }
    }

    /// One repair of a ledger, as a good executor does it.
    pub(crate) fn mend(&mut self, agent: &AgentId, mend: &Mend) {
        if let Some(fault) = self.fault(&mend.target, false, 0) {
            let outcome = Outcome::Failed {
                step: StepIx(0),
                verdict: fault.verdict,
                retryable: false,
                cancelled: false,
                message: fault.message,
                file: String::new(),
                line: 0,
            };
            return self.report(agent, &mend.target, mend.fence, outcome);
        }
        let known = self.fleet.target(&mend.target).map(|(_, target)| target);
        let engine = known.map(|target| target.description.engine).expect("it is known");
        let schema = known.and_then(|target| {
            target.seen.as_ref().map(|seen| seen.fingerprint).or(target.fingerprint)
        });
        let schema = schema.unwrap_or_else(|| fingerprint(&mend.expected));
        let class = Class {
            engine,
            before: mend.expected.clone(),
            changes: mend.changes.clone(),
            schemas: Vec::new(),
        };
        let proved = mend.schemas.contains(&schema);
        let evidence = mend.changes.iter().map(|change| match (proved, change.probe) {
            (true, _) => Evidence::Schema,
            (false, true) => Evidence::Probe,
            (false, false) => Evidence::Waiver,
        });
        let evidence = evidence.collect();
        let seen = Box::new(Observation {
            engine_version: "16.4".to_owned(),
            identity: mend.identity.clone(),
            fingerprint: schema,
            ledger: class.after(),
            fence: mend.fence,
            open_intent: String::new(),
            bytes: 0,
            tables: None,
        });
        self.report(agent, &mend.target, mend.fence, Outcome::Mended { seen, evidence });
    }

    fn told(&mut self, agent: &AgentId, leg: &Leg, step: StepIx, fingerprint: Option<Digest>) {
        let (ms, measured) = (1, Measured::default());
        let outcomes = match leg.kind {
            LegKind::Forward => vec![
                Outcome::Applied { step, ms, rows: 0, already: false, measured },
                Outcome::Verified { step, fingerprint },
            ],
            LegKind::Undo => {
                vec![Outcome::RolledBack { step, ms, already: false, fingerprint, measured }]
            }
            LegKind::Trial => {
                vec![Outcome::Tried { step, passed: true, impossible: false, note: String::new() }]
            }
        };
        for outcome in outcomes {
            self.report(agent, &leg.target, leg.fence, outcome);
        }
    }

    fn fault(&mut self, target: &TargetId, undo: bool, step: u32) -> Option<Fault> {
        let fault = self.faults.get_mut(&(target.clone(), undo, step))?;
        fault.times = fault.times.checked_sub(1)?;
        Some(fault.clone())
    }

    pub(crate) fn archive(target: &TargetId, ledger: &[Entry], scope: Backup) -> Archive {
        let exempt = scope == Backup::Exempt;
        Archive {
            name: if exempt { String::new() } else { format!("{target}.dump") },
            sha256: digest("archive"),
            bytes: 1,
            tool: "test".to_owned(),
            scope,
            ms: 1,
            fingerprint: fingerprint(ledger),
            exemption: if exempt { "charter".to_owned() } else { String::new() },
            target_bytes: 0,
        }
    }

    /// The lease on a target, if there is one.
    pub(crate) fn lease(&self, target: &TargetId) -> Option<(AgentId, Fence)> {
        let (_, target) = self.fleet.target(target)?;
        target.lease.as_ref().map(|lease| (lease.agent.clone(), lease.fence))
    }

    /// What the log takes to be in force on a target.
    pub(crate) fn ledger(&self, target: &TargetId) -> Vec<Entry> {
        self.fleet.target(target).map_or_else(Vec::new, |(_, target)| {
            self.fleet.entries.spell(&target.ledger).cloned().collect()
        })
    }

    /// The log, replayed from nothing, is the state.
    pub(crate) fn replays(&self) {
        let mut fleet = Fleet::default();
        for event in &self.log {
            evolve(&mut fleet, event).expect("what was applied once can be applied again");
        }
        assert_eq!(format!("{fleet:?}"), format!("{:?}", self.fleet));
        let formed = self.log.iter().all(|event| !matches!(event.body, Body::ClusterFormed { .. }))
            || self.fleet.under_charter == self.fleet.seq.0;
        assert!(formed, "every event is under the charter");
    }
}
