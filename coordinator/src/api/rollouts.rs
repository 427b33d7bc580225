//! Rollouts: started, paused, resumed, rolled back, looked at.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use skein_core::command::{Command, Depth, Extent, Waiver};
use skein_core::decide::{Line, lines};
use skein_core::event::Stop;
use skein_core::ids::{Digest, Millis, RolloutId, Version, WaveIx};
use skein_core::schedule::Moment;
use skein_core::spec::Selector;
use skein_core::state::rollout::Status as State;
use skein_proto::v1;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::{Api, convert, explain, resumption, status};
use crate::calendar::Calendar;
use crate::{codec, condition};

/// A watcher hears of changes at most so often.
const WATCH_PACE: Duration = Duration::from_millis(100);
/// Without a change a watcher hears this often what is waited for.
const WATCH_IDLE: Duration = Duration::from_secs(2);

#[tonic::async_trait]
impl v1::rollouts_server::Rollouts for Api {
    async fn start(
        &self,
        request: Request<v1::StartRequest>,
    ) -> Result<Response<v1::RolloutReply>, Status> {
        let request = request.into_inner();
        self.linearizable().await?;
        let plan = self.plan_named(&request.plan)?;
        let command = Command::StartRollout { plan, waivers: waivers(&request.waivers) };
        let accepted = self.ask(request.asker.clone(), &request, command).await?;
        Ok(Response::new(reply(accepted.rollout, accepted.seq)))
    }

    async fn pause(
        &self,
        request: Request<v1::PauseRequest>,
    ) -> Result<Response<v1::RolloutReply>, Status> {
        let request = request.into_inner();
        let rollout = number(&request.rollout)?;
        let reason = request.reason.clone();
        let part = self.part(request.part.clone()).await?;
        let stop = match (request.after_batch, request.now) {
            (true, _) => Stop::BehindBatches,
            (false, true) => Stop::AfterSteps,
            (false, false) => Stop::AfterLegs,
        };
        let command = match part {
            Some((selector, wave)) => Command::HoldLanes { rollout, selector, wave, reason, stop },
            None => Command::PauseRollout { rollout, reason, stop },
        };
        let accepted = self.ask(request.asker.clone(), &request, command).await?;
        Ok(Response::new(reply(Some(rollout), accepted.seq)))
    }

    async fn resume(
        &self,
        request: Request<v1::ResumeRequest>,
    ) -> Result<Response<v1::RolloutReply>, Status> {
        let request = request.into_inner();
        let rollout = number(&request.rollout)?;
        let command = match self.part(request.part.clone()).await? {
            Some((selector, wave)) => Command::ReleaseLanes { rollout, selector, wave },
            None => Command::ResumeRollout { rollout, all: request.rolled_back },
        };
        let accepted = self.ask(request.asker.clone(), &request, command).await?;
        Ok(Response::new(reply(Some(rollout), accepted.seq)))
    }

    async fn resumption(
        &self,
        request: Request<v1::ResumptionRequest>,
    ) -> Result<Response<v1::ResumptionReply>, Status> {
        let request = request.into_inner();
        self.same_charter(request.asker.as_ref())?;
        let rollout = number(&request.rollout)?;
        self.linearizable().await?;
        let told = resumption::told(&self.machine.fleet(), rollout, request.rolled_back);
        told.map(Response::new).map_err(|refusal| status::refused(&refusal))
    }

    async fn abort(
        &self,
        request: Request<v1::AbortRequest>,
    ) -> Result<Response<v1::RolloutReply>, Status> {
        let request = request.into_inner();
        let rollout = number(&request.rollout)?;
        let reason = request.reason.clone();
        let command = match self.part(request.part.clone()).await? {
            Some((selector, wave)) => Command::AbortLanes { rollout, selector, wave, reason },
            None => Command::AbortRollout { rollout, reason },
        };
        let accepted = self.ask(request.asker.clone(), &request, command).await?;
        Ok(Response::new(reply(Some(rollout), accepted.seq)))
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelRequest>,
    ) -> Result<Response<v1::RolloutReply>, Status> {
        let request = request.into_inner();
        let rollout = number(&request.rollout)?;
        let part = self.part(request.part.clone()).await?;
        let command = Command::CancelLanes { rollout, part, reason: request.reason.clone() };
        let accepted = self.ask(request.asker.clone(), &request, command).await?;
        Ok(Response::new(reply(Some(rollout), accepted.seq)))
    }

    async fn set(
        &self,
        request: Request<v1::SetRequest>,
    ) -> Result<Response<v1::RolloutReply>, Status> {
        let request = request.into_inner();
        let rollout = number(&request.rollout)?;
        let knobs = request.knobs.iter().map(|knob| codec::knob(Some(knob.clone())));
        let knobs = knobs.collect::<Result<_, _>>().map_err(|error| status::malformed(&error))?;
        let command = Command::SetKnobs { rollout, knobs };
        let accepted = self.ask(request.asker.clone(), &request, command).await?;
        Ok(Response::new(reply(Some(rollout), accepted.seq)))
    }

    async fn approve(
        &self,
        request: Request<v1::ApproveRequest>,
    ) -> Result<Response<v1::RolloutReply>, Status> {
        let request = request.into_inner();
        let rollout = number(&request.rollout)?;
        let wave = match request.wave.checked_sub(1) {
            Some(wave) => WaveIx(wave),
            None => match self.next_to_approve(rollout).await {
                Ok(wave) => wave,
                // What it let open is open: the sequencer tells a repeat by its id, whatever wave it says.
                Err(_) if self.is_repeat(request.asker.as_ref()) => WaveIx::default(),
                Err(refusal) => return Err(refusal),
            },
        };
        let command = Command::ApproveWave { rollout, wave, reason: request.reason.clone() };
        let accepted = self.ask(request.asker.clone(), &request, command).await?;
        Ok(Response::new(reply(Some(rollout), accepted.seq)))
    }

    async fn roll_back(
        &self,
        request: Request<v1::RollBackRequest>,
    ) -> Result<Response<v1::RollBackReply>, Status> {
        let request = request.into_inner();
        self.same_charter(request.asker.as_ref())?;
        let rollout = number(&request.rollout)?;
        let (selector, wave) = match request.part.clone() {
            Some(part) => (part.selector, part.wave.checked_sub(1).map(WaveIx)),
            None => (request.selector.clone(), None),
        };
        let selector = self.selected(selector).await?;
        self.linearizable().await?;
        let depth = self.depth(rollout, &request).await?;
        let extent = Extent { selector, wave, depth };
        let (undo, forward) = {
            let fleet = self.machine.fleet();
            let forward = fleet.rollouts.get(&rollout).is_some_and(|state| {
                matches!(state.status, State::Running | State::Paused) && !state.turned
            });
            let lines = lines(&fleet, rollout, &extent);
            (lines.map(|lines| lines.into_iter().map(undo_line).collect()), forward)
        };
        let undo = if request.dry {
            undo.map_err(|refusal| status::refused(&refusal))?
        } else {
            let waivers = waivers(&request.waivers);
            let command = Command::RollBackRollout { rollout, extent, waivers };
            self.ask(request.asker.clone(), &request, command).await?;
            // A repeat of what was done may find nothing left to undo.
            undo.unwrap_or_default()
        };
        Ok(Response::new(v1::RollBackReply { rollout: rollout.to_string(), undo, forward }))
    }

    async fn status(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusReply>, Status> {
        let request = request.into_inner();
        if !request.local {
            self.linearizable().await?;
        }
        self.look(&request).map(Response::new)
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainReply>, Status> {
        let request = request.into_inner();
        let rollout = number(&request.rollout)?;
        self.linearizable().await?;
        match request.at {
            None => {
                let fleet = self.machine.fleet();
                let now = self.machine.now(&fleet);
                let presence = self.presence(&fleet, now);
                explain::told(&fleet, (rollout, &request.target), Moment::of(&presence, now))
            }
            Some(at) => {
                let history = Arc::clone(&self.history);
                let told = tokio::task::spawn_blocking(move || {
                    let fleet = explain::as_it_was(&history, at)?;
                    // Windows and blackouts stand in the plans, and the event has its time.
                    let (hours, now) = (Calendar::default().hours(&fleet, fleet.time), fleet.time);
                    let moment = Moment { presence: None, hours: &hours, now };
                    explain::told(&fleet, (rollout, &request.target), moment)
                });
                told.await.map_err(|error| status::broken(&error))?
            }
        }
        .map(Response::new)
    }

    type WatchStream = BoxStream<'static, Result<v1::StatusReply, Status>>;

    async fn watch(
        &self,
        request: Request<v1::StatusRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        let mut changes = self.machine.changes();
        self.linearizable().await?;
        let api = self.clone();
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                changes.mark_unchanged();
                let reply = api.look(&request);
                let over = match &reply {
                    Ok(reply) => {
                        !request.rollout.is_empty()
                            && reply.rollouts.iter().all(|rollout| ended(rollout.state()))
                    }
                    Err(_) => true,
                };
                let fresh = reply.as_ref().map_or(true, |reply| reply.seq > request.after_seq);
                let gone = (fresh || over) && sender.send(reply).await.is_err();
                if gone || over {
                    break;
                }
                let heard = async {
                    let end = api.end_of(&request, changes.clone());
                    let paced = tokio::time::timeout(WATCH_PACE, end);
                    // An end is told at once, other news at the pace.
                    if paced.await.is_err() {
                        drop(changes.changed().await);
                    }
                };
                tokio::select! {
                    () = api.stop.cancelled() => break,
                    () = sender.closed() => break,
                    // No change for a while: what is waited for may be another thing by now.
                    _ = tokio::time::timeout(WATCH_IDLE, heard) => {}
                }
            }
        });
        Ok(Response::new(tokio_stream::wrappers::ReceiverStream::new(receiver).boxed()))
    }
}

impl Api {
    /// How far a rollback goes. What was at a time is folded again from the log.
    async fn depth(&self, id: RolloutId, request: &v1::RollBackRequest) -> Result<Depth, Status> {
        let ways = [request.steps > 0, !request.to_version.is_empty(), request.to_time_ms > 0];
        if ways.iter().filter(|way| **way).count() > 1 {
            return Err(Status::invalid_argument(
                "a rollback goes so many steps, to a version or to a time: name one of them",
            ));
        }
        if request.steps > 0 {
            return Ok(Depth::Steps(request.steps));
        }
        if !request.to_version.is_empty() {
            return Ok(Depth::Version(Version(request.to_version.clone())));
        }
        if request.to_time_ms == 0 {
            return Ok(Depth::Whole);
        }
        let (at, history) = (Millis(request.to_time_ms), Arc::clone(&self.history));
        if at > self.machine.now(&self.machine.fleet()) {
            return Err(Status::invalid_argument("a rollback goes to a time that has passed"));
        }
        let then = tokio::task::spawn_blocking(move || explain::as_it_was_at(&history, at));
        let then = then.await.map_err(|error| status::broken(&error))??;
        let state = then.rollouts.get(&id);
        let lanes = state.into_iter().flat_map(|state| state.lanes.iter());
        let kept = lanes.filter_map(|(_, lane)| {
            Some((then.targets.get(lane.target)?.id.clone(), lane.applied))
        });
        Ok(Depth::Time(then.seq, kept.collect()))
    }

    /// The targets and the wave that are meant; `None`: the whole rollout is.
    async fn part(
        &self,
        wire: Option<v1::Part>,
    ) -> Result<Option<(Selector, Option<WaveIx>)>, Status> {
        let Some(part) = wire else { return Ok(None) };
        let selector = self.selected(part.selector).await?;
        let wave = part.wave.checked_sub(1).map(WaveIx);
        Ok((wave.is_some() || selector != Selector::default()).then_some((selector, wave)))
    }

    /// A selector, with what its condition holds of now.
    pub(super) async fn selected(&self, wire: Option<v1::Selector>) -> Result<Selector, Status> {
        let mut selector = codec::selector(wire);
        if selector.condition.is_some() {
            self.linearizable().await?;
            let presence = self.sessions.presence();
            condition::settle(&mut selector, &self.machine.fleet(), &presence)
                .map_err(|refusal| status::refused(&refusal))?;
        }
        Ok(selector)
    }

    /// Waits until the rollout that is watched has ended; for ever, where all are.
    async fn end_of(&self, request: &v1::StatusRequest, mut changes: watch::Receiver<u64>) {
        let watched = RolloutId::parse(&request.rollout);
        loop {
            let over = watched.is_some_and(|id| {
                let fleet = self.machine.fleet();
                fleet.rollouts.get(&id).is_none_or(|state| state.status.ended())
            });
            if over || changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// The first wave that nobody has let open yet.
    async fn next_to_approve(&self, id: RolloutId) -> Result<WaveIx, Status> {
        self.linearizable().await?;
        let fleet = self.machine.fleet();
        let Some(state) = fleet.rollouts.get(&id) else {
            return Err(status::missing(
                format!("there is no rollout {id}"),
                "`skein status` lists them",
            ));
        };
        let mut waves = (state.opened..)
            .map(WaveIx)
            .zip(state.plan.waves.iter().skip(usize::try_from(state.opened).unwrap_or(usize::MAX)));
        let next = waves.find(|(wave, planned)| planned.approval && !state.approved.contains(wave));
        next.map(|(wave, _)| wave).ok_or_else(|| {
            status::missing(
                format!("no wave of {id} waits for anybody's word"),
                "waves that do have `approval = true` in the strategy",
            )
        })
    }

    fn look(&self, request: &v1::StatusRequest) -> Result<v1::StatusReply, Status> {
        let wanted =
            if request.rollout.is_empty() { None } else { Some(number(&request.rollout)?) };
        let leader = self.leader().map_or(0, |(node, _)| node);
        let fleet = self.machine.fleet();
        let now = self.machine.now(&fleet);
        let presence = self.presence(&fleet, now);
        let mut reply = convert::summary(&fleet, &presence, (now, leader));
        reply.concerns = self.timing.trips.concerns();
        let ids = match wanted {
            Some(id) if fleet.rollouts.contains_key(&id) => vec![id],
            Some(id) => {
                return Err(status::missing(
                    format!("there is no rollout {id}"),
                    "`skein status` lists them",
                ));
            }
            None => convert::newest(&fleet),
        };
        reply.rollouts = ids
            .iter()
            .filter_map(|id| fleet.rollouts.get(id))
            .map(|state| convert::rollout(&fleet, state, &presence, (now, request.lanes)))
            .collect();
        Ok(reply)
    }

    fn plan_named(&self, name: &str) -> Result<Digest, Status> {
        let fleet = self.machine.fleet();
        let mut found: Vec<Digest> = fleet
            .rollouts
            .values()
            .filter(|state| {
                state.id.to_string() == name
                    || (name.len() >= 4 && state.plan_id.to_string().starts_with(name))
            })
            .map(|state| state.plan_id)
            .collect();
        found.sort_unstable();
        found.dedup();
        match found.as_slice() {
            [plan] => Ok(*plan),
            [] => Err(status::missing(
                format!("there is no plan {name}"),
                "make one with `skein plan`; its id has at least 4 hexadecimal digits",
            )),
            [..] => Err(Status::invalid_argument(format!(
                "{} plans begin with {name}; give more of its digits",
                found.len()
            ))),
        }
    }
}

fn undo_line(line: Line) -> v1::UndoLine {
    v1::UndoLine {
        target: line.target.to_string(),
        versions: line.versions,
        why: if line.blocked_by.is_empty() {
            String::new()
        } else {
            "it has no down script".to_owned()
        },
        stops_at: line.blocked_by,
        wave: line.wave.0 + 1,
        destroys: line.destroys,
    }
}

fn ended(state: v1::RolloutState) -> bool {
    match state {
        v1::RolloutState::Completed | v1::RolloutState::RolledBack | v1::RolloutState::Halted => {
            true
        }
        v1::RolloutState::Unspecified
        | v1::RolloutState::Planned
        | v1::RolloutState::Running
        | v1::RolloutState::Paused
        | v1::RolloutState::Unwinding => false,
    }
}

fn number(text: &str) -> Result<RolloutId, Status> {
    RolloutId::parse(text).ok_or_else(|| {
        status::missing(
            format!("`{text}` is no rollout's id"),
            "ids look like mig-0042; `skein status` lists them",
        )
    })
}

fn waivers(wire: &[v1::Waiver]) -> Vec<Waiver> {
    wire.iter()
        .map(|waiver| Waiver { step: waiver.step.clone(), reason: waiver.reason.clone() })
        .collect()
}

fn reply(rollout: Option<RolloutId>, seq: u64) -> v1::RolloutReply {
    v1::RolloutReply {
        rollout: rollout.map(|rollout| rollout.to_string()).unwrap_or_default(),
        seq,
    }
}
