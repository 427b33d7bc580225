//! Gates around a step, asked by whoever carries it out: one after the other, each with a moment of its own, so that a
//! crash can fall between any two.

use skein_core::command::{Judgement, Outcome as Told};
use skein_core::event::Verdict;
use skein_core::outbox::Step;
use skein_core::spec::{Gate, Question, When};

use super::Sim;
use super::coverage::Reach;
use super::database::Database;
use super::executor::{Executor, Next, Stage};
use super::mutation::Mutation;
use crate::observation::{GateAnswer, Seen};

/// Where an executor goes on when a step is told. The gates after a step passed before the next one was begun: of the
/// last one that is found nobody knows.
pub(super) fn stage(executor: &Executor, database: &Database) -> Stage {
    let asks = executor.leg.gates.iter().any(|gate| gate.when == When::AfterStep);
    let half = || database.intent.as_ref().is_some_and(|intent| intent.done > 0);
    let is_last =
        executor.at + 1 > executor.found || (executor.at + 1 == executor.found && !half());
    if asks && is_last { Stage::After } else { Stage::Verify }
}

impl Sim {
    /// What a step waits for before it is begun, and what is asked then. `None`: it may begin.
    pub(super) fn before(
        &mut self,
        agent: usize,
        executor: &mut Executor,
        step: &Step,
    ) -> Option<Next> {
        if executor.asked == 0 && self.throttled(executor) {
            return Some(Next::Later);
        }
        if !self.mutated(Mutation::SkipsStepGates)
            && let Some(next) = self.ask_around(agent, executor, (step, When::BeforeStep))
        {
            return Some(next);
        }
        let asked = std::mem::take(&mut executor.asked) > 0;
        // Asking takes its time; after a wait they are asked anew.
        if asked && self.throttled(executor) {
            self.reach(Reach::ClosedAsking);
            return Some(Next::Later);
        }
        None
    }

    /// What is asked when a step is in force, before it counts as verified.
    pub(super) fn after(&mut self, agent: usize, executor: &mut Executor) -> Next {
        let Some(step) = executor.leg.steps.get(executor.at).cloned() else { return Next::Stop };
        if executor.at < executor.found && executor.asked == 0 {
            self.reach(Reach::AskedOfFound);
        }
        if let Some(next) = self.ask_around(agent, executor, (&step, When::AfterStep)) {
            return next;
        }
        executor.asked = 0;
        executor.stage = Stage::Verify;
        Next::On
    }

    /// Asks the next gate. `None`: all have passed.
    fn ask_around(
        &mut self,
        agent: usize,
        executor: &mut Executor,
        (step, when): (&Step, When),
    ) -> Option<Next> {
        let mut gates = executor.leg.gates.iter().filter(|gate| gate.when == when);
        let gate = gates.nth(executor.asked)?.clone();
        if executor.cancelled {
            self.reach(Reach::GivenBackAsking);
            return Some(executor.close(Told::Released { why: "cancelled".to_owned() }));
        }
        let answer = self.answer(agent, executor, &gate);
        self.see(Seen::GateAnswered(&GateAnswer {
            fence: executor.leg.fence,
            version: step.entry.version.clone(),
            gate: gate.name.clone(),
            passed: answer.passed,
        }));
        let silence = answer.inconclusive && self.mutated(Mutation::TakesSilence);
        let passed = answer.passed || silence;
        let judgement = Judgement { passed, ..answer.clone() };
        executor.tell(Told::Judged { step: step.ix, gate: gate.name.clone(), judgement });
        executor.asked += 1;
        if passed || (when == When::AfterStep && self.mutated(Mutation::VerifiesAnyhow)) {
            return Some(Next::On);
        }
        if answer.inconclusive {
            self.reach(Reach::Untold);
        }
        let after = when == When::AfterStep;
        self.reach(if after { Reach::StoppedAfter } else { Reach::StoppedBefore });
        let how = if answer.inconclusive { "could not be told" } else { "did not pass" };
        Some(executor.close(Told::Failed {
            step: step.ix,
            verdict: if after { Verdict::Fully } else { Verdict::Never },
            retryable: false,
            cancelled: false,
            message: format!("gate `{}` {} the step {how}", gate.name, when.as_str()),
            file: String::new(),
            line: 0,
        }))
    }

    /// What is measured; where nothing was before, nobody can tell.
    fn answer(&mut self, agent: usize, executor: &Executor, gate: &Gate) -> Judgement {
        let compares = matches!(&gate.question, Question::Latency(it) if it.compares());
        let known = || {
            let mut told = executor.leg.baselines.iter();
            executor.measured.contains(&gate.name) || told.any(|(name, _)| *name == gate.name)
        };
        let blind = compares && !known();
        let healed = self.healed;
        let dice = &mut self.agents[agent].dice;
        let passed = (healed || !dice.chance(120)) && !blind;
        let inconclusive = !passed && (blind || dice.chance(400));
        let measured = if passed { "0" } else { "3" }.to_owned();
        Judgement { passed, inconclusive, measured }
    }
}
