//! The core with what surrounds it in a coordinator, and nothing of it: no log, no network, no agent.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use skein_core::bundle::{Facts, Manifest, Migration, Script};
use skein_core::command::{Command, Outcome, Request};
use skein_core::decide::{Decision, decide};
use skein_core::event::{Archive, Event, Measured};
use skein_core::evolve::evolve;
use skein_core::ids::{AgentId, ClusterId, Digest, Millis, TargetId};
use skein_core::outbox::{Leg, outbox};
use skein_core::plan::make;
use skein_core::schedule::{Presence, schedule};
use skein_core::spec::{
    Backup, Direction, Engine, Goal, Selector, Spec, Strategy, TransactionMode,
};
use skein_core::state::Fleet;
use skein_core::state::rollout::Status;
use skein_core::state::target::{Description, Observation};
use tokio::time::Instant;

const STEPS: u8 = 10;
const CHARTER: Digest = Digest([7; 32]);

/// Where the time goes.
#[derive(Debug, Default)]
pub(super) struct Spent {
    pub(super) decide: Duration,
    pub(super) evolve: Duration,
    /// Ticks that have legs to hand out.
    pub(super) schedule: Duration,
    /// Ticks that find every slot taken.
    pub(super) idle: Duration,
    pub(super) outbox: Duration,
    /// Requests decided, each with two looks at the clock for either part.
    pub(super) decisions: u64,
    pub(super) outboxes: u64,
}

#[derive(Debug)]
pub(super) struct World {
    fleet: Fleet,
    presence: Presence,
    now: Millis,
    /// Every event, where a replay is wanted.
    log: Option<Vec<Event>>,
    pub(super) spent: Spent,
}

fn digest(kind: u8, number: u8) -> Digest {
    let mut bytes = [0; 32];
    bytes[0] = kind;
    bytes[1] = number;
    Digest(bytes)
}

fn manifest() -> Manifest {
    let script = |number: u8, way: &str| Script {
        file: format!("{number:04}_step.{way}.sql"),
        raw: digest(1, number),
        normalised: digest(2, number),
        facts: vec![Facts {
            engine: Engine::Sqlite,
            mode: TransactionMode::OneTransaction,
            why: String::new(),
            locks: Vec::new(),
            destructive: false,
            refusal: String::new(),
            statements: 1,
            defines: None,
            words: None,
        }],
    };
    let migrations = (1..=STEPS).map(|number| Migration {
        version: format!("{number:04}").as_str().into(),
        name: "step".to_owned(),
        up: script(number, "up"),
        down: Some(script(number, "down")),
        verify: false,
        probe: false,
    });
    Manifest { digest: digest(3, 0), format: "sqlx".to_owned(), migrations: migrations.collect() }
}

impl World {
    /// `keep`: the events, for a replay.
    pub(super) fn new(keep: bool) -> Self {
        Self {
            fleet: Fleet::default(),
            presence: Presence::default(),
            now: Millis(1_000),
            log: keep.then(Vec::new),
            spent: Spent::default(),
        }
    }

    /// Decides and applies; gives the number of events.
    fn ask(&mut self, actor: &str, command: Command) -> Result<u64> {
        let request = Request {
            id: None,
            digest: 0,
            actor: actor.to_owned(),
            charter: CHARTER,
            now: self.now,
            command,
        };
        let begun = Instant::now();
        let decision = decide(&self.fleet, &request);
        let decided = Instant::now();
        let events = match decision.map_err(|refusal| anyhow!("{refusal}"))? {
            Decision::Events(events) => events,
            Decision::Repeated(_) => bail!("no request was made twice"),
        };
        let applying = Instant::now();
        for event in &events {
            evolve(&mut self.fleet, event)?;
        }
        self.spent.evolve += applying.elapsed();
        self.spent.decide += decided - begun;
        self.spent.decisions += 1;
        let count = events.len() as u64;
        if let Some(log) = &mut self.log {
            log.extend(events);
        }
        Ok(count)
    }

    /// Forms the cluster; agents come with their targets and have looked at them.
    pub(super) fn register(&mut self, targets: u32, agents: u32, slots: u32) -> Result<()> {
        let cluster = ClusterId::default();
        let form = Command::FormCluster { cluster, charter: CHARTER, bound: String::new() };
        self.ask("bench", form)?;
        self.ask("bench", Command::StoreBundle { manifest: Arc::new(manifest()) })?;
        for agent in 0..agents {
            let id = AgentId(format!("agent-{agent:03}"));
            let mine: Vec<TargetId> = (0..targets)
                .filter(|target| target % agents == agent)
                .map(|target| TargetId(format!("fleet/shard-{target:06}")))
                .collect();
            let description = || Description {
                engine: Engine::Sqlite,
                labels: std::collections::BTreeMap::new(),
                group: String::new(),
            };
            let join = Command::JoinAgent {
                agent: id.clone(),
                version: "bench".to_owned(),
                targets: mine.iter().map(|target| (target.clone(), description())).collect(),
                whole: false,
            };
            self.ask(id.as_str(), join)?;
            for target in mine {
                let seen = Observation {
                    engine_version: "3".to_owned(),
                    identity: target.to_string(),
                    fingerprint: digest(4, 0),
                    ledger: Vec::new(),
                    fence: skein_core::ids::Fence(0),
                    open_intent: String::new(),
                    bytes: 0,
                    tables: None,
                };
                let look = Command::RecordObservation {
                    agent: id.clone(),
                    target,
                    seen: Ok(seen),
                    as_of: None,
                };
                self.ask(id.as_str(), look)?;
            }
            self.presence.slots.insert(id, slots);
        }
        Ok(())
    }

    pub(super) fn plan_and_start(&mut self) -> Result<()> {
        let spec = Spec {
            bundle: digest(3, 0),
            selector: Selector::default(),
            direction: Direction::Up,
            goal: Goal::Latest,
            strategy: Strategy {
                parallelism: u32::MAX,
                backup: Backup::Exempt,
                ..Strategy::default()
            },
            out_of_order: false,
            accept_drift: false,
        };
        let plan = make(&self.fleet, &spec).map_err(|refusal| anyhow!("{refusal}"))?;
        let id = digest(5, 0);
        let record = Command::PlanRollout { spec: Box::new(spec), plan: Arc::new(plan), id };
        self.ask("bench", record)?;
        self.ask("bench", Command::StartRollout { plan: id, waivers: Vec::new() })?;
        // What it took to get here is not what is asked about.
        self.spent = Spent::default();
        Ok(())
    }

    /// Ticks and carries out legs, agent after agent, until nothing is left. Events, idle ticks and legs.
    pub(super) fn carry_out(&mut self) -> Result<(u64, u64, u64)> {
        let (mut events, mut ticks, mut legs) = (0, 0, 0);
        let agents: Vec<AgentId> = self.presence.slots.keys().cloned().collect();
        loop {
            let mut moved = false;
            // A coordinator asks the scheduler after each record: here after each agent's reports.
            for agent in &agents {
                let begun = Instant::now();
                let next = schedule(&self.fleet, &self.presence, self.now);
                self.spent.schedule += begun.elapsed();
                let handed_out = !next.commands.is_empty();
                for command in next.commands {
                    events += self.ask("skein/scheduler", command)?;
                    moved = true;
                }
                if handed_out {
                    events += self.until_idle(&mut ticks)?;
                }
                let begun = Instant::now();
                let mine = outbox(&self.fleet, agent);
                self.spent.outbox += begun.elapsed();
                self.spent.outboxes += 1;
                for leg in mine {
                    events += self.leg(agent, &leg)?;
                    legs += 1;
                    moved = true;
                }
            }
            if !moved {
                return Ok((events, ticks, legs));
            }
        }
    }

    /// What was opened just now has to be handed out before a tick finds nothing to do.
    fn until_idle(&mut self, ticks: &mut u64) -> Result<u64> {
        let mut events = 0;
        loop {
            let begun = Instant::now();
            let next = schedule(&self.fleet, &self.presence, self.now);
            let took = begun.elapsed();
            if next.commands.is_empty() {
                self.spent.idle += took;
                *ticks += 1;
                return Ok(events);
            }
            self.spent.schedule += took;
            for command in next.commands {
                events += self.ask("skein/scheduler", command)?;
            }
        }
    }

    /// Every step goes well.
    fn leg(&mut self, agent: &AgentId, leg: &Leg) -> Result<u64> {
        let archive = Archive {
            name: String::new(),
            sha256: Digest::default(),
            bytes: 0,
            tool: String::new(),
            scope: Backup::Exempt,
            ms: 0,
            fingerprint: digest(4, 0),
            exemption: "the plan asks for none".to_owned(),
            target_bytes: 0,
        };
        let mut events = self.tell(agent, leg, Outcome::BackedUp(Box::new(archive)))?;
        let last = leg.steps.last().map(|step| step.ix);
        for step in &leg.steps {
            let ix = step.ix;
            let fingerprint = (Some(ix) == last).then(|| digest(4, 1));
            let measured = Measured::default();
            let applied = Outcome::Applied { step: ix, ms: 1, rows: 0, already: false, measured };
            events += self.tell(agent, leg, applied)?;
            events += self.tell(agent, leg, Outcome::Verified { step: ix, fingerprint })?;
        }
        Ok(events)
    }

    fn tell(&mut self, agent: &AgentId, leg: &Leg, outcome: Outcome) -> Result<u64> {
        let report = Command::Report {
            agent: agent.clone(),
            target: leg.target.clone(),
            fence: leg.fence,
            outcome,
        };
        let events = self.ask("agent", report)?;
        ensure!(events == 1, "a report made {events} events");
        Ok(events)
    }

    /// Every step of every target is verified.
    pub(super) fn completed(&self, targets: u32) -> bool {
        self.fleet.rollouts.values().all(|rollout| {
            rollout.status == Status::Completed
                && rollout.progress.verified == u64::from(targets) * u64::from(STEPS)
        })
    }

    /// What a status is made of.
    pub(super) fn progress(&self) -> Option<(u64, u32)> {
        let (_, rollout) = self.fleet.rollouts.last_key_value()?;
        Some((rollout.progress.verified, rollout.leased()))
    }

    /// Applies every event to an empty state; the number and the time.
    pub(super) fn replay(&self) -> Result<(u64, Duration)> {
        let log = self.log.as_deref().context("the events were not kept")?;
        let mut fleet = Fleet::default();
        let begun = Instant::now();
        for event in log {
            evolve(&mut fleet, event)?;
        }
        let time = begun.elapsed();
        ensure!(fleet.seq == self.fleet.seq, "the replay has another end");
        Ok((log.len() as u64, time))
    }
}
