//! Repairs: ledgers set right, edits accepted, targets of a rollout tried again or left out of it.

use std::time::Duration;

use skein_core::command::{Ask, Command};
use skein_core::decide::{self, Draft};
use skein_core::ids::{Digest, Millis, RepairId, RequestId, RolloutId, Version};
use skein_core::spec::{Direction, Selector};
use skein_core::state::Fleet;
use skein_core::state::repair::{Class, Line, Phase, State, Verb};
use skein_proto::v1;
use tonic::{Request, Response, Status};

use super::{Api, status};
use crate::codec;

/// Nobody waits longer for a repair in one request: whoever wants to asks again.
const WAIT_MAX: Duration = Duration::from_secs(20);
/// Repairs in a list.
const SHOWN: usize = 20;

#[tonic::async_trait]
impl v1::repairs_server::Repairs for Api {
    async fn repair(
        &self,
        request: Request<v1::RepairRequest>,
    ) -> Result<Response<v1::RepairReply>, Status> {
        let request = request.into_inner();
        self.same_charter(request.asker.as_ref())?;
        let selector = self.selected(request.selector.clone()).await?;
        let ask = Ask {
            verb: codec::verb(request.verb()).map_err(|error| status::malformed(&error))?,
            ..ask(&request.versions, &request.bundle, selector, &request.waiver)?
        };
        self.linearizable().await?;
        if request.dry {
            let draft = decide::draft(&self.machine.fleet(), &ask);
            return Ok(Response::new(drafted(&draft.map_err(|it| status::refused(&it))?)));
        }
        // What it is for those whose ledgers say so already is not recorded.
        let settled = decide::draft(&self.machine.fleet(), &ask).map_or(0, |draft| draft.settled);
        let asker = request.asker.clone();
        self.ask(asker.clone(), &request, Command::Repair(Box::new(ask))).await?;
        let id = codec::request_id(&asker.unwrap_or_default().request_id)
            .map_err(|error| status::malformed(&error))?;
        let fleet = self.machine.fleet();
        let state = asked(&fleet, id).ok_or_else(|| {
            status::missing("the repair is not remembered".to_owned(), "`skein repair list`")
        })?;
        Ok(Response::new(v1::RepairReply { settled, ..reply(&fleet, state) }))
    }

    async fn get_repair(
        &self,
        request: Request<v1::GetRepairRequest>,
    ) -> Result<Response<v1::RepairReply>, Status> {
        let request = request.into_inner();
        let id = number(&request.repair)?;
        self.linearizable().await?;
        let mut changes = self.machine.changes();
        let ended = async {
            while self.machine.fleet().repairs.get(&id).is_some_and(|state| !state.ended())
                && changes.changed().await.is_ok()
            {}
        };
        let limit = Duration::from_millis(request.wait_ms.into()).min(WAIT_MAX);
        // Late is no worse than not having waited: the answer says how it stands.
        drop(tokio::time::timeout(limit, ended).await);
        let fleet = self.machine.fleet();
        let state = fleet.repairs.get(&id).ok_or_else(|| missing(id))?;
        Ok(Response::new(reply(&fleet, state)))
    }

    async fn list_repairs(
        &self,
        _request: Request<v1::ListRepairsRequest>,
    ) -> Result<Response<v1::ListRepairsReply>, Status> {
        self.linearizable().await?;
        let fleet = self.machine.fleet();
        let repairs = fleet.repairs.values().rev().take(SHOWN).map(head).collect();
        Ok(Response::new(v1::ListRepairsReply { repairs }))
    }

    async fn withdraw(
        &self,
        request: Request<v1::WithdrawRequest>,
    ) -> Result<Response<v1::RepairReply>, Status> {
        let request = request.into_inner();
        let id = number(&request.repair)?;
        let command = Command::WithdrawRepair { repair: id, reason: request.reason.clone() };
        self.ask(request.asker.clone(), &request, command).await?;
        let fleet = self.machine.fleet();
        let state = fleet.repairs.get(&id).ok_or_else(|| missing(id))?;
        Ok(Response::new(reply(&fleet, state)))
    }

    async fn accept_edited(
        &self,
        request: Request<v1::AcceptEditedRequest>,
    ) -> Result<Response<v1::AcceptEditedReply>, Status> {
        let request = request.into_inner();
        self.same_charter(request.asker.as_ref())?;
        let selector = self.selected(request.selector.clone()).await?;
        let ask = ask(&request.versions, &request.bundle, selector, &request.waiver)?;
        self.linearizable().await?;
        let edits = decide::edits(&self.machine.fleet(), &ask);
        let edits = if request.dry {
            edits.map_err(|refusal| status::refused(&refusal))?
        } else {
            let command = Command::AcceptEdited(Box::new(ask));
            self.ask(request.asker.clone(), &request, command).await?;
            // A repeat of what was done may find nobody left who is meant.
            edits.unwrap_or_default()
        };
        let edits = edits.into_iter().map(|edit| v1::Edit {
            version: edit.version.to_string(),
            file: edit.file,
            ran: codec::digests_out(&edit.ran),
            now: codec::digest_out(Some(edit.now)),
            targets: edit.targets.iter().map(ToString::to_string).collect(),
        });
        Ok(Response::new(v1::AcceptEditedReply { edits: edits.collect() }))
    }

    async fn retry_targets(
        &self,
        request: Request<v1::ChosenTargetsRequest>,
    ) -> Result<Response<v1::ChosenTargetsReply>, Status> {
        let request = request.into_inner();
        let rollout = rollout(&request.rollout)?;
        let selector = self.selected(request.selector.clone()).await?;
        let chosen = decide::retries;
        let command = Command::RetryTargets { rollout, selector: selector.clone() };
        self.chosen(request, (rollout, &selector), chosen, command).await
    }

    async fn skip_targets(
        &self,
        request: Request<v1::ChosenTargetsRequest>,
    ) -> Result<Response<v1::ChosenTargetsReply>, Status> {
        let request = request.into_inner();
        let rollout = rollout(&request.rollout)?;
        let selector = self.selected(request.selector.clone()).await?;
        let reason = request.reason.clone();
        let until = (request.until_ms > 0).then_some(Millis(request.until_ms));
        let command = Command::SkipTargets { rollout, selector: selector.clone(), reason, until };
        self.chosen(request, (rollout, &selector), decide::skips, command).await
    }
}

type Choice =
    fn(&Fleet, RolloutId, &Selector) -> Result<Vec<skein_core::ids::TargetId>, skein_core::Refusal>;

impl Api {
    /// Says which targets are meant, and asks for it unless it is only to be said.
    async fn chosen(
        &self,
        request: v1::ChosenTargetsRequest,
        (rollout, selector): (RolloutId, &Selector),
        choice: Choice,
        command: Command,
    ) -> Result<Response<v1::ChosenTargetsReply>, Status> {
        self.same_charter(request.asker.as_ref())?;
        self.linearizable().await?;
        let chosen = choice(&self.machine.fleet(), rollout, selector);
        let mut seq = 0;
        let targets = if request.dry {
            chosen.map_err(|refusal| status::refused(&refusal))?
        } else {
            seq = self.ask(request.asker.clone(), &request, command).await?.seq;
            // A repeat of what was done finds nothing left to choose.
            chosen.unwrap_or_default()
        };
        Ok(Response::new(v1::ChosenTargetsReply {
            rollout: rollout.to_string(),
            targets: targets.iter().map(ToString::to_string).collect(),
            seq,
        }))
    }
}

fn ask(
    versions: &[String],
    bundle: &[u8],
    selector: Selector,
    waiver: &str,
) -> Result<Ask, Status> {
    let bundle: Digest =
        codec::digest(bundle, "the bundle's digest").map_err(|error| status::malformed(&error))?;
    Ok(Ask {
        verb: Verb::Applied,
        versions: versions.iter().cloned().map(Version).collect(),
        bundle,
        selector,
        waiver: waiver.trim().to_owned(),
    })
}

fn rollout(text: &str) -> Result<RolloutId, Status> {
    RolloutId::parse(text).ok_or_else(|| {
        status::missing(
            format!("`{text}` is no rollout's id"),
            "ids look like mig-0042; `skein status` lists them",
        )
    })
}

fn number(text: &str) -> Result<RepairId, Status> {
    RepairId::parse(text).ok_or_else(|| {
        status::missing(
            format!("`{text}` is no repair's id"),
            "ids look like rep-0042; `skein repair list` lists them",
        )
    })
}

fn missing(id: RepairId) -> Status {
    status::missing(format!("there is no repair {id}"), "`skein repair list` lists them")
}

/// The repair that a request asked for: a repeat is told of the same one.
fn asked(fleet: &Fleet, request: Option<RequestId>) -> Option<&State> {
    match request {
        Some(_) => fleet.repairs.values().rev().find(|state| state.request == request),
        None => fleet.repairs.last_key_value().map(|(_, state)| state),
    }
}

fn changes(class: Option<&Class>) -> (Vec<String>, Vec<String>) {
    let changes = class.into_iter().flat_map(|class| &class.changes);
    let version = |change: &skein_core::state::repair::Change| change.entry.version.to_string();
    let (removes, adds): (Vec<_>, Vec<_>) =
        changes.partition(|change| change.direction == Direction::Down);
    (adds.into_iter().map(version).collect(), removes.into_iter().map(version).collect())
}

fn drafted(draft: &Draft) -> v1::RepairReply {
    let order = &draft.order;
    let lines = order.targets.iter().zip(&draft.evidence).map(|((target, class), evidence)| {
        let class = usize::try_from(*class).ok().and_then(|ix| order.classes.get(ix));
        let (adds, removes) = changes(class);
        v1::RepairLine {
            target: target.to_string(),
            adds,
            removes,
            evidence: evidence.iter().map(|one| codec::evidence_out(*one).into()).collect(),
            ..v1::RepairLine::default()
        }
    });
    v1::RepairReply {
        verb: codec::verb_out(order.verb).into(),
        versions: order.versions.iter().map(ToString::to_string).collect(),
        waiver: order.waiver.clone(),
        lines: lines.collect(),
        settled: draft.settled,
        ..v1::RepairReply::default()
    }
}

fn phase(phase: Phase) -> v1::RepairState {
    match phase {
        Phase::Waiting => v1::RepairState::RepairWaiting,
        Phase::Leased => v1::RepairState::RepairLeased,
        Phase::Mended => v1::RepairState::RepairMended,
        Phase::Failed => v1::RepairState::RepairFailed,
    }
}

fn line(fleet: &Fleet, state: &State, line: &Line) -> v1::RepairLine {
    let (adds, removes) = changes(state.class(line));
    let target = fleet.targets.get(line.target);
    v1::RepairLine {
        target: target.map(|target| target.id.to_string()).unwrap_or_default(),
        adds,
        removes,
        state: phase(line.phase).into(),
        evidence: line.evidence.iter().map(|one| codec::evidence_out(*one).into()).collect(),
        note: line.note.to_string(),
    }
}

/// Without its targets.
fn head(state: &State) -> v1::RepairReply {
    let mut counts = vec![0_u32; 5];
    for line in &state.lines {
        let place = usize::try_from(i32::from(phase(line.phase))).unwrap_or_default();
        if let Some(count) = counts.get_mut(place) {
            *count += 1;
        }
    }
    v1::RepairReply {
        repair: state.id.to_string(),
        verb: codec::verb_out(state.order.verb).into(),
        versions: state.order.versions.iter().map(ToString::to_string).collect(),
        waiver: state.order.waiver.clone(),
        lines: Vec::new(),
        settled: 0,
        ended: state.ended(),
        by: state.by.clone(),
        at_ms: state.at.0,
        counts,
    }
}

fn reply(fleet: &Fleet, state: &State) -> v1::RepairReply {
    let lines = state.lines.iter().map(|one| line(fleet, state, one)).collect();
    v1::RepairReply { lines, ..head(state) }
}
