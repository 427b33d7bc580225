//! What breaks: processes, the network, disks, clocks, databases; and what others do behind our backs.

use skein_core::command::{Command, Judgement, Outcome as Told};
use skein_core::event::Verdict;
use skein_core::ids::{AgentId, Digest, Fence, RolloutId, StepIx, TargetId};
use skein_core::spec::Backup;
use skein_core::state::rollout::Lane;

use super::coverage::Fault;
use super::dice::{Dice, Stream};
use super::leader::SCHEDULER;
use super::network::Message;
use super::{Happening, Sim, executor, steps};
use crate::observation::Seen;

/// Faults and their weights; the network's own are made by the network.
const STRIKES: [(Fault, u32); 18] = [
    (Fault::AgentCrashes, 28),
    (Fault::AgentStalls, 16),
    (Fault::AgentDrains, 6),
    (Fault::SourceShrinks, 4),
    (Fault::AgentCutOff, 5),
    (Fault::AgentUnheard, 5),
    (Fault::AgentDeaf, 5),
    (Fault::LeaderDies, 14),
    (Fault::LeaderCutOff, 8),
    (Fault::DiskFails, 5),
    (Fault::ClockJumps, 8),
    (Fault::DatabaseDown, 8),
    (Fault::SchemaChanged, 1),
    (Fault::DatabaseRestored, 3),
    (Fault::MigratedByHand, 3),
    (Fault::ServerReplaced, 1),
    (Fault::ReportsNonsense, 6),
    (Fault::SchedulesNonsense, 4),
];

impl Sim {
    /// One fault, and the time of the next.
    pub(super) fn strike(&mut self) {
        if self.healed {
            return;
        }
        let number = self.run.numbers[1];
        self.run.numbers[1] += 1;
        let mut dice = self.dice(Stream::Strike, number);
        let next = dice.between(100, 2_500);
        self.at(next, Happening::Nemesis);
        // Where nothing is under way little can go wrong.
        let idle = self.leader.ahead.active.is_empty() && dice.chance(700);
        if idle || self.options.without.strikes.contains(&number) {
            return;
        }
        let all: u32 = STRIKES.iter().map(|(_, weight)| weight).sum();
        let mut left = dice.below(all);
        let fault = STRIKES.iter().find(|(_, weight)| match left.checked_sub(*weight) {
            Some(less) => {
                left = less;
                false
            }
            None => true,
        });
        let Some((fault, _)) = fault else { return };
        if self.make(*fault, &mut dice) {
            self.note(|| format!("strike {number}: {fault:?}"));
            self.fault(*fault);
        }
    }

    /// Makes a fault; false: there is nothing that it could happen to.
    fn make(&mut self, fault: Fault, dice: &mut Dice) -> bool {
        let agent = dice.place(self.agents.len());
        let database = dice.place(self.databases.len());
        let long = dice.between(500, 12_000);
        let until = self.now + long;
        match fault {
            Fault::AgentCrashes => {
                let up = self.agents[agent].up;
                self.crash(agent, long.min(8_000));
                up
            }
            Fault::AgentStalls => {
                self.agents[agent].stalled_until = until;
                self.agents[agent].up
            }
            Fault::AgentDrains => self.drain(agent),
            Fault::SourceShrinks => {
                let served = self.agents[agent].serves.contains(&database);
                if served {
                    self.agents[agent].unnamed.insert(database, until);
                    self.agents[agent].told = false;
                }
                served
            }
            Fault::AgentCutOff | Fault::AgentUnheard | Fault::AgentDeaf => {
                if fault != Fault::AgentDeaf {
                    self.wires[agent].unheard_until = until;
                }
                if fault != Fault::AgentUnheard {
                    self.wires[agent].deaf_until = until;
                }
                true
            }
            Fault::LeaderDies | Fault::LeaderCutOff | Fault::DiskFails if !self.leader.up => false,
            Fault::LeaderDies => {
                self.depose();
                true
            }
            Fault::LeaderCutOff => {
                self.cut_off(long);
                true
            }
            Fault::DiskFails => {
                self.leader.disk_fails = true;
                true
            }
            Fault::ClockJumps => {
                let jump = i64::try_from(dice.between(0, 20_000)).unwrap_or_default() - 10_000;
                self.leader.clock_ms += jump;
                true
            }
            Fault::DatabaseDown => {
                self.take_down(database, self.now + long / 2);
                true
            }
            Fault::SchemaChanged => {
                self.databases[database].by_hand += 1;
                true
            }
            Fault::DatabaseRestored => self.restore(database, dice),
            Fault::MigratedByHand => self.migrate_by_hand(database, dice),
            Fault::ServerReplaced => {
                let other = dice.place(self.databases.len());
                let target = &self.databases[database].id;
                let new = if dice.chance(500) {
                    self.databases[other].identity.clone()
                } else {
                    format!("another-of-{target}")
                };
                let free = self.untouched(database);
                if free {
                    self.databases[database].identity = new;
                }
                free
            }
            Fault::ReportsNonsense => self.report_nonsense(dice),
            Fault::SchedulesNonsense => self.schedule_nonsense(dice),
            Fault::MessageLost | Fault::MessageDoubled | Fault::MessageLate => false,
        }
    }

    /// It begins nothing more, gives its legs back, and is started again.
    fn drain(&mut self, agent: usize) -> bool {
        let any = !self.agents[agent].executors.is_empty();
        for executor in self.agents[agent].executors.values_mut() {
            executor.cancelled = true;
            executor.shut = true;
        }
        any
    }

    /// No rollout has it, nobody works on it, and no leg for it is on its way.
    fn untouched(&self, database: usize) -> bool {
        let id = &self.databases[database].id;
        let lane = self.leader.ahead.target(id).is_some_and(|(_, target)| target.lane.is_some());
        let applied = self.leader.applied.target(id);
        let lane = lane || applied.is_some_and(|(_, target)| target.lane.is_some());
        let mut executors = self.agents.iter().flat_map(|agent| agent.executors.values());
        let mut messages = self.queue.values().filter_map(|happening| match happening {
            Happening::Arrive(message) => Some(&**message),
            _ => None,
        });
        let on_its_way = messages.any(|message| match message {
            Message::Legs { legs, .. } => legs.iter().any(|leg| leg.target == *id),
            Message::Mends { mends, .. } => mends.iter().any(|mend| mend.target == *id),
            _ => false,
        });
        !lane
            && !self.is_mending(id)
            && !on_its_way
            && self.leader.old.as_ref().is_none_or(|old| old.until < self.now)
            && !executors.any(|executor| executor.database() == database)
    }

    /// A database is put back to where it was: ledger, fence and all.
    pub(super) fn restore(&mut self, database: usize, dice: &mut Dice) -> bool {
        if !self.untouched(database) {
            return false;
        }
        let one = &mut self.databases[database];
        if one.ledger.is_empty() {
            return false;
        }
        let keep = dice.place(one.ledger.len());
        one.ledger.truncate(keep);
        one.fence = Fence(dice.between(0, one.fence.0));
        one.intent = None;
        one.unrecorded.clear();
        one.undone.clear();
        one.restored = true;
        let found = one.found();
        self.see(Seen::Restored(&found));
        true
    }

    /// Somebody takes a row out of a ledger, or undoes its step and leaves the row.
    fn migrate_by_hand(&mut self, database: usize, dice: &mut Dice) -> bool {
        if !self.untouched(database) {
            return false;
        }
        let one = &mut self.databases[database];
        let Some(last) = one.ledger.last().cloned() else { return false };
        one.restored = true;
        if dice.chance(500) {
            one.undone.insert(last.version);
            return true;
        }
        one.ledger.pop();
        one.unrecorded.insert(last.version);
        let found = one.found();
        self.see(Seen::Restored(&found));
        true
    }

    /// A report under a live lease that cannot be true.
    fn report_nonsense(&mut self, dice: &mut Dice) -> bool {
        let fleet = &self.leader.ahead;
        let leases: Vec<(TargetId, AgentId, Fence)> = fleet
            .targets
            .iter()
            .filter_map(|(_, target)| {
                let lease = target.lease.as_ref()?;
                Some((target.id.clone(), lease.agent.clone(), lease.fence))
            })
            .collect();
        if leases.is_empty() || !self.leader.up {
            return false;
        }
        let (target, agent, fence) = leases[dice.place(leases.len())].clone();
        let database = self.place_of(&target).unwrap_or_default();
        let mended =
            || Told::Mended { seen: Box::new(self.observation(database)), evidence: Vec::new() };
        let found = fleet.targets.find(&target).and_then(|ix| fleet.lane(ix));
        let told = match found {
            None => Told::Verified { step: StepIx(0), fingerprint: None },
            Some(_) if dice.chance(100) => mended(),
            Some((state, lane)) => {
                nonsense(lane, state.plan.spec.strategy.backup == Backup::Exempt, dice)
            }
        };
        let actor = format!("agent/{agent}");
        let command = Command::Report { agent, target, fence, outcome: told.clone() };
        if let Ok(Some(_)) = self.ask(&actor, None, command) {
            self.refused("a report that cannot be true is refused", format!("{told:?}"));
        }
        true
    }

    /// Somebody schedules what the rules do not ask for; they decide whether it does any harm.
    fn schedule_nonsense(&mut self, dice: &mut Dice) -> bool {
        let last = self.leader.ahead.rollouts.last_key_value().map_or(0, |(id, _)| id.0);
        if last == 0 || !self.leader.up {
            return false;
        }
        let rollout = RolloutId(last.saturating_sub(dice.below(3)));
        let what = dice.below(5);
        // Windows are the schedule's to keep: the rules know no calendar.
        let paced = self.leader.ahead.rollouts.get(&rollout).is_some_and(|state| {
            let strategy = &state.plan.spec.strategy;
            !strategy.windows.is_empty() || !strategy.blackouts.is_empty()
        });
        let command = match what {
            _ if what == 3 && paced => return false,
            4 => Command::AssignRepair {
                target: self.databases[dice.place(self.databases.len())].id.clone(),
                agent: self.agents[dice.place(self.agents.len())].id.clone(),
            },
            0 => Command::StartWave { rollout },
            1 => Command::UnwindRollout { rollout },
            2 => Command::FinishRollout { rollout },
            _ => Command::AssignLeg {
                rollout,
                target: self.databases[dice.place(self.databases.len())].id.clone(),
                agent: self.agents[dice.place(self.agents.len())].id.clone(),
            },
        };
        self.urge(SCHEDULER, command);
        true
    }

    /// From here on nothing breaks: everybody is up, awake and connected, and clocks are right.
    pub(super) fn heal(&mut self) {
        self.note(|| "faults end".to_owned());
        self.healed = true;
        self.leader.clock_ms = 0;
        self.leader.old = None;
        self.openings.clear();
        for agent in 0..self.agents.len() {
            self.agents[agent].stalled_until =
                self.agents[agent].stalled_until.min(self.now + 2_000);
            self.wires[agent].unheard_until = 0;
            self.wires[agent].deaf_until = 0;
            self.start(agent);
            self.agents[agent].unnamed.clear();
            self.agents[agent].told = false;
        }
        for database in &mut self.databases {
            database.down_until = database.down_until.min(self.now + 1_000);
        }
        let at = self.clock();
        self.see(Seen::Healed { at });
        // What the operator has paused, he lets go.
        self.at(1_000, Happening::Operator);
    }
}

/// What is no true report of a lane.
fn nonsense(lane: &Lane, exempt: bool, dice: &mut Dice) -> Told {
    let step = StepIx(lane.applied + 1);
    if dice.beside(Stream::Around).chance(80) {
        let (gate, measured) = ("no-such".to_owned(), "0".to_owned());
        let judgement = Judgement { passed: true, inconclusive: false, measured };
        return Told::Judged { step: StepIx(lane.verified), gate, judgement };
    }
    match dice.below(6) {
        0 if lane.archive.is_none() => steps::in_force(StepIx(lane.applied), (1, false)),
        1 if lane.archive.is_none() && !exempt => {
            Told::BackedUp(Box::new(executor::archive("", Digest::default(), Backup::Exempt)))
        }
        2 => Told::Verified { step: StepIx(lane.verified + 1), fingerprint: None },
        3 => Told::Stuck { step: StepIx(99), why: "no reason".to_owned() },
        4 => Told::Failed {
            step: StepIx(99),
            verdict: Verdict::Fully,
            retryable: true,
            cancelled: false,
            message: "no reason".to_owned(),
            file: "none.sql".to_owned(),
            line: 1,
        },
        _ => steps::in_force(step, (1, true)),
    }
}
