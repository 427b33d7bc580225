//! Plans: computed from the state, recorded through the sequencer.

use std::sync::Arc;

use bytes::Bytes;
use skein_core::command::Command;
use skein_core::forecast;
use skein_core::hours::{Hours, Shut, never_open};
use skein_core::ids::{Digest, Millis, RolloutId};
use skein_core::plan::{self, Plan};
use skein_core::refusal::Kind;
use skein_core::spec::Spec;
use skein_core::state::rollout;
use skein_core::{Fleet, Refusal, view};
use skein_proto::v1;
use tonic::{Request, Response, Status};

use super::{Api, status};
use crate::sequencer::Failure;
use crate::{calendar, clock, codec, condition};

/// The fleet may move between computing and recording; so often it is computed again.
const ATTEMPTS: usize = 5;

#[tonic::async_trait]
impl v1::planner_server::Planner for Api {
    async fn plan(
        &self,
        request: Request<v1::PlanRequest>,
    ) -> Result<Response<v1::PlanReply>, Status> {
        let request = request.into_inner();
        self.same_charter(request.asker.as_ref())?;
        let mut spec =
            codec::spec(request.spec.clone()).map_err(|error| status::malformed(&error))?;
        self.linearizable().await?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let plan = Arc::new(self.make(&mut spec)?);
            let id = codec::plan_id(&plan);
            if request.dry || plan.is_empty() {
                return Ok(Response::new(self.reply(id, &plan, None)));
            }
            let command =
                Command::PlanRollout { spec: Box::new(spec.clone()), plan: Arc::clone(&plan), id };
            match self.record(&request, command).await {
                Ok(rollout) => {
                    let rollout =
                        rollout.or_else(|| self.machine.fleet().planned.get(&id).copied());
                    return Ok(Response::new(self.reply(id, &plan, rollout)));
                }
                Err(Failure::Refused(refusal))
                    if refusal.kind == Kind::Stale && attempt < ATTEMPTS => {}
                Err(failure) => return Err(status::failed(failure)),
            }
        }
    }

    async fn blocks(
        &self,
        request: Request<v1::PlanRequest>,
    ) -> Result<Response<v1::BlocksReply>, Status> {
        let mut spec =
            codec::spec(request.into_inner().spec).map_err(|error| status::malformed(&error))?;
        self.linearizable().await?;
        let presence = self.sessions.presence();
        let fleet = self.machine.fleet();
        for selector in spec.selectors_mut() {
            condition::settle(selector, &fleet, &presence)
                .map_err(|refusal| status::refused(&refusal))?;
        }
        let blocks = plan::blocks(&fleet, &spec).iter().map(codec::block_out).collect();
        Ok(Response::new(v1::BlocksReply { blocks }))
    }

    async fn get_plan(
        &self,
        request: Request<v1::GetPlanRequest>,
    ) -> Result<Response<v1::PlanReply>, Status> {
        let wanted = request.into_inner().id;
        self.linearizable().await?;
        let fleet = self.machine.fleet();
        let answer = |state: &rollout::State| {
            let forecast = forecast(&fleet, &state.plan, self.machine.now(&fleet));
            reply((state.plan_id, &state.plan), Some(state.id), forecast)
        };
        let by_number = RolloutId::parse(&wanted).and_then(|id| fleet.rollouts.get(&id));
        let found = if let Some(state) = by_number.filter(|_| wanted.starts_with("mig-")) {
            vec![state]
        } else {
            let begins = |state: &&rollout::State| state.plan_id.to_string().starts_with(&wanted);
            let mut found: Vec<_> = fleet.rollouts.values().filter(begins).collect();
            found.dedup_by_key(|state| state.plan_id);
            found
        };
        match found.as_slice() {
            [state] => Ok(Response::new(answer(state))),
            [] => Err(status::missing(
                format!("there is no plan {wanted}"),
                "make one with `skein plan`; `skein status` lists rollouts",
            )),
            [..] => Err(Status::invalid_argument(format!(
                "{} plans begin with {wanted}; give more of its digits",
                found.len()
            ))),
        }
    }
}

impl Api {
    /// With what is forecast of it now, which is no part of it.
    fn reply(&self, id: Digest, plan: &Plan, rollout: Option<RolloutId>) -> v1::PlanReply {
        let fleet = self.machine.fleet();
        let unfinished = view::unfinished(&fleet, plan).into_iter().map(|(id, targets)| {
            let again = fleet.rollouts.get(&id).is_some_and(|it| view::forward_again(it) > 0);
            v1::Unfinished { rollout: id.to_string(), targets, forward_again: again }
        });
        let forecast = forecast(&fleet, plan, self.machine.now(&fleet));
        v1::PlanReply { unfinished: unfinished.collect(), ..reply((id, plan), rollout, forecast) }
    }

    fn make(&self, spec: &mut Spec) -> Result<Plan, Status> {
        let presence = self.sessions.presence();
        let fleet = self.machine.fleet();
        let refused = |refusal: Refusal| status::refused(&refusal);
        for selector in spec.selectors_mut() {
            condition::settle(selector, &fleet, &presence).map_err(refused)?;
        }
        let plan = plan::make(&fleet, spec).map_err(refused)?;
        opens(&fleet, &plan).map_err(refused)?;
        Ok(plan)
    }

    /// Records a plan. Without a request id: the same plan is recorded once in any case.
    async fn record(
        &self,
        request: &v1::PlanRequest,
        command: Command,
    ) -> Result<Option<RolloutId>, Failure> {
        let asker = request.asker.clone().unwrap_or_default();
        let charter = codec::digest(&asker.charter, "the asker's charter").unwrap_or_default();
        let request = skein_core::Request {
            id: None,
            digest: 0,
            actor: asker.actor,
            charter,
            now: Millis(0),
            command,
        };
        self.sequencer.ask(request).await.map(|accepted| accepted.rollout)
    }
}

/// Each target that has something to do may be worked on at some time.
fn opens(fleet: &Fleet, plan: &Plan) -> Result<(), Refusal> {
    let strategy = &plan.spec.strategy;
    if strategy.windows.is_empty() {
        return Ok(());
    }
    let now = clock::now();
    let openings = calendar::reckon(strategy, now).map_err(|why| {
        Refusal::new(Kind::Invalid, why, "mend the zone of the window; nothing was planned")
    })?;
    let targets = plan.waves.iter().flat_map(|wave| &wave.targets);
    let targets = targets.filter_map(|(id, _)| fleet.target(id));
    let never = never_open(strategy, &openings, now, targets.map(|(_, target)| target));
    let Some((target, window)) = never else { return Ok(()) };
    Err(Refusal::new(
        Kind::Unfit,
        format!(
            "{} could never be worked on: {} does not open within a year outside of the blackouts",
            target.id,
            window.called()
        ),
        "widen the window or shorten the blackout in skein.toml, or leave the target out",
    ))
}

/// `None`: it only tries its steps.
fn forecast(fleet: &Fleet, plan: &Plan, now: Millis) -> Option<v1::PlanForecast> {
    let planned = forecast::planned(fleet, plan)?;
    let strategy = &plan.spec.strategy;
    // A zone that is not known was refused before.
    let openings = calendar::reckon(strategy, now).unwrap_or_default();
    let hours = Hours::default();
    let shut = Shut::of_plan(fleet, (strategy, &openings), (&hours, now));
    let fit = forecast::windows(fleet, plan, &shut);
    Some(codec::planned_out(&planned, fit.map(codec::window_fit_out)))
}

fn reply(
    (id, plan): (Digest, &Plan),
    rollout: Option<RolloutId>,
    forecast: Option<v1::PlanForecast>,
) -> v1::PlanReply {
    v1::PlanReply {
        id: Bytes::copy_from_slice(&id.0),
        plan: Some(codec::plan_out(plan)),
        rollout: rollout.map(|rollout| rollout.to_string()).unwrap_or_default(),
        forecast,
        unfinished: Vec::new(),
    }
}
