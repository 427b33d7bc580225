//! Throttles: what an executor measures before it begins a step, and waits for. How busy each thing is changes by
//! itself, and now and then nobody can read it.

use skein_core::spec::Throttle;

use super::Sim;
use super::coverage::Reach;
use super::dice::{Dice, Stream};
use super::executor::Executor;
use super::mutation::Mutation;
use crate::observation::{Gauged, Seen};

/// For so long a figure stays as it is.
const STEADY_MS: u64 = 700;

impl Sim {
    /// Whether something holds the next step back.
    pub(super) fn throttled(&mut self, executor: &mut Executor) -> bool {
        if executor.free || self.mutated(Mutation::NoThrottle) {
            return false;
        }
        for throttle in executor.leg.throttles.clone() {
            let once = self.mutated(Mutation::MeasuresOnce);
            let known = executor.good.get(&throttle.name);
            let holds = |until: u64| self.now < until || once;
            if known.is_some_and(|(limit, until)| *limit == throttle.limit && holds(*until)) {
                continue;
            }
            let value = self.gauge(executor.database(), &throttle);
            let (fence, at) = (executor.leg.fence, self.now);
            let name = throttle.name;
            self.see(Seen::Gauged(&Gauged { fence, throttle: name.clone(), value, at }));
            let limit = if throttle.measure.has_limit() { throttle.limit } else { 1 };
            if !value.map_or(self.mutated(Mutation::FailsOpen), |value| value < limit) {
                executor.good.remove(&name);
                self.reach(if value.is_none() { Reach::Unread } else { Reach::Throttled });
                executor.hold(at);
                return true;
            }
            executor.good.insert(name, (throttle.limit, at + throttle.interval_ms));
        }
        false
    }

    /// What somebody who looks now reads.
    fn gauge(&self, database: usize, throttle: &Throttle) -> Option<u64> {
        if self.healed {
            return Some(0);
        }
        let limited = throttle.measure.has_limit();
        let what = (u64::try_from(database).unwrap_or_default() << 1) | u64::from(limited);
        let mut dice = Dice::new(self.seed, Stream::Gauge, (self.now / STEADY_MS) << 8 | what);
        match dice.below(10) {
            0 => None,
            1 | 2 if limited => Some(2_500),
            3 if limited => Some(1_500),
            _ if limited => Some(500),
            1 | 2 => Some(1),
            _ => Some(0),
        }
    }
}
