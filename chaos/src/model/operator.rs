//! Somebody who plans, starts, pauses, resumes and rolls back, and asks again when no answer comes.

use skein_core::command::{Command, Waiver};
use skein_core::ids::{Digest, RequestId, RolloutId};
use skein_core::plan;
use skein_core::spec::Selector;
use skein_core::state::rollout::Status;

use super::leader::Waiter;
use super::{Happening, Sim, generate};

/// A request, kept to be sent again.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    id: RequestId,
    body: u64,
    command: Command,
}

impl Sim {
    pub(super) fn operate(&mut self) {
        if self.healed {
            return self.let_go();
        }
        let next = self.dice.between(100, 3_000);
        self.at(next, Happening::Operator);
        if !self.leader.up {
            return;
        }
        match self.dice.below(10) {
            0..=3 => self.plan_and_start(),
            4 if self.dice.chance(150) => {
                let one = self.dice.place(self.databases.len());
                let target = self.databases[one].id.clone();
                self.request(Command::RetireTarget { target, reason: "merged".to_owned() });
            }
            4 => self.again(),
            _ => self.on_a_rollout(),
        }
    }

    /// After the last fault: what is paused goes on, so that everything comes to an end.
    fn let_go(&mut self) {
        if !self.leader.up {
            return self.at(500, Happening::Operator);
        }
        let paused: Vec<RolloutId> = self
            .leader
            .ahead
            .rollouts
            .values()
            .filter(|state| state.status == Status::Paused)
            .map(|state| state.id)
            .collect();
        for rollout in paused {
            self.urge("ann", Command::ResumeRollout { rollout });
        }
    }

    fn plan_and_start(&mut self) {
        let spec = generate::spec(&mut self.dice, &self.bundles, &self.databases);
        let made = match plan::make(&self.leader.ahead, &spec) {
            Ok(made) if !made.is_empty() => made,
            Ok(_) => return,
            Err(refusal) => return self.note(|| format!("no plan: {refusal}")),
        };
        let mut id = [0; 32];
        let number = u32::try_from(self.requests.len()).unwrap_or(u32::MAX);
        id[..4].copy_from_slice(&number.to_be_bytes());
        id[4] = 1;
        let id = Digest(id);
        self.request(Command::PlanRollout { spec: Box::new(spec), plan: Box::new(made), id });
        if self.dice.chance(900) {
            self.request(Command::StartRollout { plan: id, waivers: waivers() });
        }
    }

    fn on_a_rollout(&mut self) {
        let last = self.leader.ahead.rollouts.last_key_value().map_or(0, |(id, _)| id.0);
        let rollout = RolloutId(last.saturating_sub(self.dice.below(3)));
        let command = match self.dice.below(6) {
            0 => Command::PauseRollout { rollout, reason: "let me see".to_owned() },
            1..=3 => Command::ResumeRollout { rollout },
            _ => {
                let mut selector = Selector::default();
                if self.dice.chance(400) {
                    let one = self.dice.place(self.databases.len());
                    selector.targets = vec![self.databases[one].id.0.clone()];
                }
                let steps = self.dice.below(3);
                Command::RollBackRollout { rollout, selector, steps, waivers: waivers() }
            }
        };
        self.request(command);
    }

    fn request(&mut self, command: Command) {
        let number = u64::try_from(self.requests.len()).unwrap_or(u64::MAX);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        let asked = Asked { id: RequestId(id), body: number, command };
        self.requests.push(asked.clone());
        self.put(asked);
    }

    /// An earlier request once more: as it was, or with another body under the same id.
    fn again(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let one = self.dice.place(self.requests.len());
        let mut asked = self.requests[one].clone();
        if self.dice.chance(300) {
            asked.body += 1_000_000;
        }
        self.put(asked);
    }

    fn put(&mut self, asked: Asked) {
        let Asked { id, body, command } = asked;
        self.note(|| format!("asked: {command:?}"));
        let answer = match self.ask("ann", Some((id, body)), command) {
            // Nothing to do: nothing is remembered either.
            Ok(None) => return,
            Ok(first) => first,
            Err(_) => None,
        };
        self.wait(Waiter::Person(id, body, answer));
    }
}

fn waivers() -> Vec<Waiver> {
    vec![Waiver { step: "*".to_owned(), reason: "agreed".to_owned() }]
}
