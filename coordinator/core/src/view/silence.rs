//! Agents that nobody hears of, and what waits for them: a line for each region, not for each target.

use std::collections::BTreeMap;
use std::fmt;

use crate::ids::{AgentId, Millis, TargetId, count_of_targets};
use crate::schedule::Presence;
use crate::state::Fleet;
use crate::state::rollout::State;

/// The label that says where a target is.
pub const REGION: &str = "region";
/// So many targets of an agent that is away are looked at, so that a status costs the same in any fleet.
const LOOKED_AT: usize = 4_096;
/// So many agents are named.
const NAMED: usize = 3;

/// Targets of one rollout and one region that could be worked on, were their agents heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence<'a> {
    /// Empty: they do not say.
    pub region: &'a str,
    /// Who would work on them.
    pub agents: Vec<&'a AgentId>,
    /// When one of these was heard of last; `None`: not since this node leads.
    pub since: Option<Millis>,
    /// How many wait.
    pub targets: usize,
    /// One of them.
    pub example: &'a TargetId,
}

impl<'a> Silence<'a> {
    fn of(region: &'a str, example: &'a TargetId) -> Self {
        Self { region, agents: Vec::new(), since: None, targets: 0, example }
    }

    /// As a sentence, at this time.
    pub fn say(&self, now: Millis) -> String {
        Sentence { silence: self, now }.to_string()
    }
}

struct Sentence<'s, 'a> {
    silence: &'s Silence<'a>,
    now: Millis,
}

impl fmt::Display for Sentence<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Silence { region, agents, since, targets, example } = self.silence;
        if !region.is_empty() {
            write!(f, "region {region}: ")?;
        }
        let names: Vec<&str> = agents.iter().take(NAMED).map(|agent| agent.as_str()).collect();
        match agents.len().saturating_sub(names.len()) {
            0 if agents.len() == 1 => write!(f, "agent {} has", names.join(", "))?,
            0 => write!(f, "agents {} have", names.join(", "))?,
            more => write!(f, "agents {} and {more} more have", names.join(", "))?,
        }
        f.write_str(" not been heard of ")?;
        match since {
            Some(since) => {
                write!(f, "for {} s", self.now.0.saturating_sub(since.0).div_ceil(1_000))?;
            }
            None => f.write_str("since this node leads")?,
        }
        let wait = if *targets == 1 { "waits" } else { "wait" };
        write!(f, ": {} {wait}, such as {example}", count_of_targets(*targets))
    }
}

/// What of a rollout waits for agents that are away, region by region.
pub fn silences<'a>(fleet: &'a Fleet, state: &State, presence: &'a Presence) -> Vec<Silence<'a>> {
    let mut regions: BTreeMap<&str, Silence<'a>> = BTreeMap::new();
    let away = fleet.agents.iter().filter(|(id, _)| !presence.slots.contains_key(*id));
    for (id, agent) in away {
        // Its legs will be given to somebody else once their leases are over.
        let legs = agent.legs.values().map(|target| (*target, true));
        let queue = agent.queues.get(&state.id).into_iter().flatten();
        let queue = queue.filter_map(|place| Some((state.lanes.get(place.lane)?.target, false)));
        for (ix, leased) in legs.chain(queue).take(LOOKED_AT) {
            let Some(target) = fleet.targets.get(ix) else { continue };
            let of_it = target.lane.is_some_and(|(rollout, _)| rollout == state.id);
            if !of_it || presence.has_one_of(&target.agents) {
                continue;
            }
            let region = target.description.labels.get(REGION).map_or("", String::as_str);
            let silence = regions.entry(region).or_insert_with(|| Silence::of(region, &target.id));
            if !silence.agents.contains(&id) {
                silence.agents.push(id);
                silence.since = silence.since.max(presence.heard.get(id).copied());
            }
            // One that several serve waits once.
            if leased || target.agents.first() == Some(id) {
                silence.targets += 1;
            }
        }
    }
    regions.into_values().collect()
}
