//! Statements that are killed on somebody's word. Who says so does not want them to count: the lanes are
//! held or their rollout is paused, and no budget is touched.

use super::knob::{meant, open, settled};
use super::part::has_more;
use super::rollout;
use crate::event::{Body, Stop};
use crate::ids::{RolloutId, TargetId, WaveIx};
use crate::refusal::{Kind, Refusal};
use crate::spec::Selector;
use crate::state::Fleet;
use crate::state::rollout::{Lane, Status};

pub(super) fn cancel(
    fleet: &Fleet,
    id: RolloutId,
    part: Option<&(Selector, Option<WaveIx>)>,
    reason: &str,
) -> Result<Vec<Body>, Refusal> {
    let state = rollout(fleet, id)?;
    open(state)?;
    if !state.is_open() {
        return Err(Refusal::new(
            Kind::Conflict,
            format!("{id} is not under way: no statement runs for it"),
            format!("see `skein status {id}`"),
        ));
    }
    let held = part.is_some();
    let everything = Selector::default();
    let (selector, wave) = part.map_or((&everything, None), |(selector, wave)| (selector, *wave));
    let meant = meant(fleet, state, selector, wave)?;
    if held && meant.iter().all(|(lane, _)| !has_more(state, lane)) {
        return Err(Refusal::new(
            Kind::Conflict,
            format!("nothing is left to do for {id} on the selected targets"),
            format!("see `skein status {id}`"),
        ));
    }
    let wanted = |lane: &Lane| {
        let runs = lane.fence.is_some() && !lane.kill;
        runs || (held && has_more(state, lane) && lane.held.is_none())
    };
    let targets: Vec<TargetId> =
        meant.into_iter().filter(|(lane, _)| wanted(lane)).map(|(_, id)| id.clone()).collect();
    let mut bodies = Vec::new();
    let stands = state.status == Status::Paused && state.stopping;
    if !held && !stands {
        let (reason, stop) = (reason.to_owned(), Stop::AfterSteps);
        bodies.push(Body::RolloutPaused { rollout: id, reason, stop });
    }
    if !targets.is_empty() {
        bodies.push(Body::LanesCancelled { rollout: id, targets, reason: reason.to_owned(), held });
    }
    Ok(settled(id, bodies))
}
