//! The network between agents and the leader: loses, doubles, delays, and is cut in either direction.

use skein_core::command::{Judgement, Outcome as Told};
use skein_core::ids::{Fence, Seq, TargetId};
use skein_core::outbox::{Ask, Leg, Mend};
use skein_core::state::target::Observation;

use super::coverage::Fault;
use super::dice::Dice;
use super::{Happening, Sim};

/// What goes over the network.
#[derive(Debug, Clone)]
pub(super) enum Message {
    Beat {
        agent: usize,
        life: u32,
        fences: Vec<Fence>,
        held: Vec<Fence>,
    },
    Report {
        agent: usize,
        life: u32,
        target: TargetId,
        fence: Fence,
        serial: u32,
        told: Told,
    },
    Ack {
        agent: usize,
        life: u32,
        fence: Fence,
        serial: u32,
        answer: Answer,
    },
    Legs {
        agent: usize,
        life: u32,
        legs: Vec<Leg>,
    },
    Mends {
        agent: usize,
        life: u32,
        mends: Vec<Mend>,
    },
    Asks {
        agent: usize,
        life: u32,
        asks: Vec<Ask>,
    },
    Judged {
        agent: usize,
        life: u32,
        fence: Fence,
        judgement: Judgement,
    },
    Seen {
        agent: usize,
        life: u32,
        target: TargetId,
        seen: Box<Result<Observation, String>>,
        as_of: Seq,
    },
}

/// What a report came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Recorded,
    LeaseLost,
    Refused,
}

/// The way between an agent and whoever leads.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) dice: Dice,
    /// Nothing that the agent says arrives until then.
    pub(super) unheard_until: u64,
    /// Nothing that it is told arrives until then.
    pub(super) deaf_until: u64,
}

impl Message {
    fn agent(&self) -> (usize, bool) {
        match self {
            Self::Beat { agent, .. }
            | Self::Report { agent, .. }
            | Self::Judged { agent, .. }
            | Self::Seen { agent, .. } => (*agent, true),
            Self::Ack { agent, .. }
            | Self::Legs { agent, .. }
            | Self::Mends { agent, .. }
            | Self::Asks { agent, .. } => (*agent, false),
        }
    }
}

impl Sim {
    /// Loses, doubles and delays.
    pub(super) fn send(&mut self, message: Message) {
        let message = Box::new(message);
        let (agent, up) = message.agent();
        let loss = self.loss;
        let noisy = !self.healed && !self.options.without.noise;
        let wire = &mut self.wires[agent];
        let cut = self.now < if up { wire.unheard_until } else { wire.deaf_until };
        let lost = wire.dice.chance(loss);
        let doubled = wire.dice.chance(30);
        let slow = wire.dice.chance(20);
        let again = wire.dice.between(1, 4_000);
        let long = wire.dice.between(50, 9_000);
        let short = wire.dice.between(1, 20);
        if cut || (noisy && lost) {
            if !cut {
                self.fault(Fault::MessageLost);
            }
            return self.note(|| format!("lost: {message:?}"));
        }
        if noisy && doubled {
            self.fault(Fault::MessageDoubled);
            self.at(again, Happening::Arrive(message.clone()));
        }
        if noisy && slow {
            self.fault(Fault::MessageLate);
        }
        self.at(if noisy && slow { long } else { short }, Happening::Arrive(message));
    }

    pub(super) fn arrive(&mut self, message: Message) {
        match message {
            Message::Beat { agent, life, fences, held } => {
                self.heard(agent, life, (&fences, &held));
            }
            Message::Report { .. } => self.reported(message),
            Message::Seen { agent, life, target, seen, as_of } => {
                self.seen((agent, life), target, (*seen, as_of));
            }
            Message::Ack { agent, life, fence, serial, answer } => {
                self.acked((agent, life), fence, serial, answer);
            }
            Message::Legs { agent, life, legs } => self.handed(agent, life, legs),
            Message::Mends { agent, life, mends } => self.handed_mends(agent, life, &mends),
            Message::Asks { agent, life, asks } => self.asked(agent, life, asks),
            Message::Judged { agent, life, fence, judgement } => {
                self.judged(agent, life, (fence, judgement));
            }
        }
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        self.run.faults += 1;
        *self.run.coverage.faults.entry(fault).or_default() += 1;
    }
}
