//! A rollout that had turned back goes forward again with what a breach took back; with what a person had rolled
//! back by choice only where a person said so. It begins at the first wave that it does not have whole, and opens no
//! later one before.

use std::collections::{BTreeMap, BTreeSet};

use skein_core::event::{Body, Event};
use skein_core::ids::{RolloutId, TargetId, WaveIx};
use skein_core::state::rollout::Phase;

use super::{Held, Invariant, Past};
use crate::observation::Seen;

/// Counted from the events alone: the state's own account is what is checked.
#[derive(Debug, Default)]
struct Back {
    /// Taken back on somebody's word.
    asked: BTreeSet<TargetId>,
    /// Waves that were closed, to be opened anew one after another.
    closed: Option<WaveIx>,
}

#[derive(Debug, Default)]
pub(super) struct Forward(BTreeMap<RolloutId, Back>);

impl Forward {
    fn turned(
        &mut self,
        (event, past): (&Event, &Past),
        rollout: RolloutId,
        (wave, targets, all): (WaveIx, &[TargetId], bool),
    ) -> Held {
        let back = self.0.entry(rollout).or_default();
        let (seq, mut chosen) = (event.seq, targets.iter().filter(|it| back.asked.contains(it)));
        if let Some(target) = chosen.next().filter(|_| !all) {
            return Err(format!("{target} goes forward again (event {seq}), and nobody asked"));
        }
        back.asked.clear();
        back.closed = Some(wave);
        let Some(state) = past.fleet.rollouts.get(&rollout) else { return Ok(()) };
        let undone = |phase| matches!(phase, Phase::Undone | Phase::Residual);
        match state.lanes.iter().find(|(_, lane)| undone(lane.phase)) {
            None => Ok(()),
            Some((_, lane)) => {
                Err(format!("{rollout} went forward (event {seq}) with a lane {:?}", lane.phase))
            }
        }
    }
}

impl Invariant for Forward {
    fn sentence(&self) -> &'static str {
        "what a breach took back goes forward again wave by wave; what a person took back, by a person's word"
    }

    fn see(&mut self, seen: Seen<'_>, past: &Past) -> Held {
        let Seen::Event(event) = seen else { return Ok(()) };
        match &event.body {
            Body::RollbackStarted { rollout, targets, .. } => {
                let back = self.0.entry(*rollout).or_default();
                // The scheduler's have no request.
                for unwind in targets {
                    if event.request.is_some() {
                        back.asked.insert(unwind.target.clone());
                    } else {
                        back.asked.remove(&unwind.target);
                    }
                }
                Ok(())
            }
            Body::TargetsSkipped { rollout, targets, .. } => {
                let back = self.0.entry(*rollout).or_default();
                back.asked.retain(|target| !targets.contains(target));
                Ok(())
            }
            Body::RolloutTurnedForward { rollout, wave, targets, all } => {
                self.turned((event, past), *rollout, (*wave, targets, *all))
            }
            Body::WaveStarted { rollout, wave } => {
                let back = self.0.entry(*rollout).or_default();
                match back.closed {
                    Some(closed) if closed != *wave => {
                        Err(format!("wave {wave} of {rollout} opened, and {closed} was next"))
                    }
                    Some(_) => {
                        back.closed = Some(WaveIx(wave.0 + 1));
                        Ok(())
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
