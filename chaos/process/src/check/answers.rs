//! No gate passes more often than Prometheus gave a good answer: each strategy has a query of its own, and the server
//! counts what it said.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use skein_core::event::{Body, Event};
use skein_core::spec::Question;
use skein_core::state::Fleet;

use crate::world::web::Web;

#[derive(Debug)]
pub(super) struct Answers {
    web: Web,
    /// How often a gate with this query passed.
    passed: BTreeMap<String, usize>,
}

impl Answers {
    pub(super) fn new(web: Web) -> Self {
        Self { web, passed: BTreeMap::new() }
    }

    pub(super) fn see(&mut self, event: &Event, fleet: &Fleet) -> Result<()> {
        let Body::GatePassed { judged } = &event.body else { return Ok(()) };
        let Some(state) = fleet.rollouts.get(&judged.rollout) else { return Ok(()) };
        let gates = &state.plan.spec.strategy.gates;
        let gate = gates.iter().find(|gate| gate.name == judged.gate);
        let Some(Question::Prometheus { query, .. }) = gate.map(|gate| &gate.question) else {
            return Ok(());
        };
        let passed = self.passed.entry(query.clone()).or_default();
        *passed += 1;
        let well = self.web.well(query);
        ensure!(
            *passed <= well,
            "`{}` of {} passed {passed} times, and Prometheus answered it well {well} times",
            judged.gate,
            judged.rollout
        );
        Ok(())
    }

    /// How often any passed.
    pub(super) fn count(&self) -> usize {
        self.passed.values().sum()
    }
}
