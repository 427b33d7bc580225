//! What is asked of a wave now: one ask for each gate, or for each gate and target.

use std::collections::BTreeSet;

use super::rollout::{Phase as LanePhase, State};
use crate::ids::{AgentId, Fence, Millis, TargetIx, WaveIx};
use crate::spec::When;

/// Where an ask is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// For an agent.
    Waiting,
    /// An agent asks, under this fence.
    Asked(Fence),
    /// The answer was good.
    Passed,
}

/// One question, to be put by one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Its gate's place in the strategy.
    pub gate: u32,
    /// In which target; `None`: the gate is not of a target.
    pub target: Option<TargetIx>,
    /// Where it is.
    pub phase: Phase,
    /// Who asks, or asked last.
    pub agent: Option<AgentId>,
    /// In a soak: until when its agent asks again and again.
    pub until: Millis,
}

/// Everything that is asked of the open wave at one time. It is gone when all of it has passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// Of which wave.
    pub wave: WaveIx,
    /// When it is asked.
    pub when: When,
    /// By number.
    pub asks: Vec<Ask>,
    /// How many have not passed.
    pub open: u32,
    /// Those that wait for an agent.
    pub waiting: BTreeSet<u32>,
}

impl Round {
    /// Of a wave whose targets are done. `None`: there is nothing to ask.
    pub(crate) fn new(state: &State, wave: WaveIx, when: When) -> Option<Self> {
        // Everybody may have been left out in the stage before.
        state.lanes_of(wave).next()?;
        let mut asks = Vec::new();
        for gate in state.gates_of(wave, when) {
            let question =
                &state.plan.spec.strategy.gates.get(usize::try_from(gate).ok()?)?.question;
            let ask =
                |target| Ask { gate, target, phase: Phase::Waiting, agent: None, until: Millis(0) };
            if question.is_of_a_target() {
                let lanes = state.lanes_of(wave);
                let done = lanes.filter(|lane| lane.phase == LanePhase::Done);
                asks.extend(done.map(|lane| ask(Some(lane.target))));
            } else {
                asks.push(ask(None));
            }
        }
        let open = u32::try_from(asks.len()).unwrap_or(u32::MAX);
        (open > 0).then(|| Self { wave, when, asks, open, waiting: (0..open).collect() })
    }

    /// One of them.
    pub fn ask(&self, number: u32) -> Option<&Ask> {
        self.asks.get(usize::try_from(number).ok()?)
    }

    /// What is asked in a target, and has not passed.
    pub(crate) fn open_in(&self, target: TargetIx) -> impl Iterator<Item = u32> {
        let open = move |ask: &Ask| ask.target == Some(target) && ask.phase != Phase::Passed;
        (0..).zip(&self.asks).filter(move |(_, ask)| open(ask)).map(|(number, _)| number)
    }

    /// Moves one; the counters follow.
    pub(crate) fn put(&mut self, number: u32, phase: Phase) {
        let ask = usize::try_from(number).ok().and_then(|at| self.asks.get_mut(at));
        let Some(ask) = ask else { return };
        let old = std::mem::replace(&mut ask.phase, phase);
        self.open += u32::from(old == Phase::Passed);
        self.open -= u32::from(phase == Phase::Passed);
        if phase == Phase::Waiting {
            self.waiting.insert(number);
        } else {
            self.waiting.remove(&number);
        }
    }

    pub(crate) fn ask_mut(&mut self, number: u32) -> Option<&mut Ask> {
        self.asks.get_mut(usize::try_from(number).ok()?)
    }
}

/// Why a gate holds its rollout back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// For people: which gate, of what, and what was measured.
    pub why: String,
    /// In which target; `None`: it speaks of the whole wave.
    pub target: Option<TargetIx>,
}

/// What the gates after a wave want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// To be asked.
    Due(WaveIx),
    /// They are being asked.
    Open(WaveIx),
}
