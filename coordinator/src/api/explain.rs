//! Why a rollout is where it is, now and at any moment of the past: the past is folded again from the log.

use skein_core::Fleet;
use skein_core::evolve::evolve;
use skein_core::ids::{Millis, RolloutId, TargetId};
use skein_core::schedule::{Moment, awaited, waits_for};
use skein_core::state::rollout::{Lane, State};
use skein_core::state::target;
use skein_core::view::{silences, spared, why};
use skein_proto::v1;
use skein_store::History;
use tonic::Status;

use super::{convert, status};
use crate::codec;

/// The state right after the event `at`. Costs as much as the log is long until there.
pub(super) fn as_it_was(history: &History, at: u64) -> Result<Fleet, Status> {
    let mut fleet = Fleet::default();
    for event in history.events(0) {
        let event = event.map_err(|error| status::broken(&error))?;
        if event.seq > at {
            return Ok(fleet);
        }
        let event = codec::decode_event(&event.bytes).map_err(|error| status::broken(&error))?;
        evolve(&mut fleet, &event).map_err(|error| status::broken(&error))?;
    }
    if fleet.seq.0 > at {
        return Ok(fleet);
    }
    Err(status::missing(
        format!("the log has no event {at} yet: it has {}", fleet.seq.0),
        "`skein history` lists them",
    ))
}

/// The state at a time: right after the last event that is not younger.
pub(super) fn as_it_was_at(history: &History, at: Millis) -> Result<Fleet, Status> {
    let mut fleet = Fleet::default();
    for event in history.events(0) {
        let event = event.map_err(|error| status::broken(&error))?;
        let event = codec::decode_event(&event.bytes).map_err(|error| status::broken(&error))?;
        if event.at > at {
            break;
        }
        evolve(&mut fleet, &event).map_err(|error| status::broken(&error))?;
    }
    Ok(fleet)
}

/// What is to be said of a rollout, or of one target of it.
pub(super) fn told(
    fleet: &Fleet,
    (id, target): (RolloutId, &str),
    moment: Moment<'_>,
) -> Result<v1::ExplainReply, Status> {
    let Some(state) = fleet.rollouts.get(&id) else {
        return Err(status::missing(
            format!("there is no rollout {id}"),
            "`skein status` lists them",
        ));
    };
    let sentences = if target.is_empty() {
        let said = waits_for(fleet, state, moment);
        let said = if said.is_empty() { "it ended well".to_owned() } else { said };
        let Moment { presence, now, .. } = moment;
        let silent = presence.into_iter().flat_map(|presence| silences(fleet, state, presence));
        std::iter::once(said).chain(silent.map(|silence| silence.say(now))).collect()
    } else {
        match (lane(fleet, state, target), without_lane(fleet, state, (target, moment))) {
            (Some(lane), _) => why(fleet, state, lane, moment),
            (None, Some(sentence)) => vec![sentence],
            (None, None) => {
                return Err(status::missing(
                    format!("target {target} is not part of {id}"),
                    &format!("`skein status {id}` lists its targets"),
                ));
            }
        }
    };
    Ok(v1::ExplainReply {
        seq: fleet.seq.0,
        at_ms: moment.now.0,
        state: convert::rollout_state(state.status).into(),
        sentences,
    })
}

fn lane<'a>(
    fleet: &'a Fleet,
    state: &'a State,
    target: &str,
) -> Option<(&'a Lane, &'a target::State)> {
    let ix = fleet.targets.find(&TargetId(target.to_owned()))?;
    let lane = state.lanes.iter().map(|(_, lane)| lane).find(|lane| lane.target == ix)?;
    Some((lane, fleet.targets.get(ix)?))
}

/// Of a target that the rollout means and that has no part in it yet.
fn without_lane(
    fleet: &Fleet,
    state: &State,
    (target, moment): (&str, Moment<'_>),
) -> Option<String> {
    if let Some((_, why)) = awaited(fleet, state).find(|(id, _)| id.as_str() == target) {
        return Some(format!("the rollout waits for it: {why}"));
    }
    let ix = fleet.targets.find(&TargetId(target.to_owned()))?;
    let exempt = state.exempt.get(&ix)?;
    let spared = spared(Some(exempt), (moment.hours, moment.now));
    Some(format!("the rollout goes on without it{spared}: {}, by {}", exempt.reason, exempt.by))
}
