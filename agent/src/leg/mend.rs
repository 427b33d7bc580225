//! Mend: rows of the ledger added and taken away, on evidence or on somebody's word. What is evidence: the
//! schema of a target that got there by migrations, for steps that change the schema; else the author's
//! probe. Where a probe says the opposite, nobody's word counts.

use bytes::Bytes;
use skein_proto::agent::v1::report::Outcome as Report;
use skein_proto::agent::v1::{Leg, LegStep, Mended};
use skein_proto::v1::{self, Evidence};

use super::hold::{Hold, HoldError, pauses};
use super::look::CANCELLED_WAIT;
use super::stop::Stop;
use super::{Reports, Site, precheck};
use crate::bundles::Loaded;
use crate::db::{Direction, Engine, Observation, Row, Token};
use crate::observe::{entries, to_wire};
use crate::session::Lease;
use crate::text::chain;
use crate::wire;

/// A leg that mends.
pub(super) struct Work<'a> {
    pub(super) site: &'a Site,
    pub(super) leg: &'a Leg,
    pub(super) reports: &'a Reports,
}

pub(super) async fn run(
    work: &Work<'_>,
    hold: &mut Hold<'_>,
    (lease, mut seen): (&mut Lease, Observation),
) -> Result<u64, Stop> {
    // By an earlier executor: then no end of this one may say that nothing was.
    let mut written = precheck::check_mend(work.leg, &seen) == Ok(true);
    let over =
        async { if written { lease.given_up(CANCELLED_WAIT).await } else { lease.ended().await } };
    let loaded = tokio::select! {
        loaded = work.site.bundles.get(&work.leg.bundle) => loaded,
        over = over => return Err(over.into()),
    };
    let loaded = loaded.map_err(|error| {
        let stop = Stop::bundle(0, &error);
        if written { stop.in_doubt() } else { stop }
    })?;
    let mut pauses = pauses();
    loop {
        let error = match attempt(work, hold, (lease, &seen, &mut written), &loaded).await {
            Ok((seen, evidence)) => {
                let evidence = evidence.into_iter().map(Into::into).collect();
                let mended = Mended { seen: Some(to_wire(&seen)), evidence };
                return Ok(work.reports.send(Report::Mended(mended)));
            }
            Err(Broken::Stop(stop)) => return Err(if written { stop.in_doubt() } else { stop }),
            Err(Broken::Session(error)) => error,
        };
        hold.lost();
        let Some(pause) = pauses.next().filter(|_| error.is_retryable()) else {
            let stop = error.stop(0);
            return Err(if written { stop.in_doubt() } else { stop });
        };
        tracing::warn!(target = work.leg.target, error = chain(&error), "the session broke");
        tokio::time::sleep(pause).await;
        lease.may_go_on().await?;
        // Whatever of it was written, the ledger tells.
        if let Ok(session) = hold.session().await
            && let Ok(again) = session.observe().await
        {
            seen = again;
        }
    }
}

/// Why an attempt came to nothing.
enum Broken {
    Stop(Stop),
    /// Another session may do better.
    Session(HoldError),
}

impl From<Stop> for Broken {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<HoldError> for Broken {
    fn from(error: HoldError) -> Self {
        Self::Session(error)
    }
}

impl From<crate::db::DbError> for Broken {
    fn from(error: crate::db::DbError) -> Self {
        Self::Session(error.into())
    }
}

async fn attempt(
    work: &Work<'_>,
    hold: &mut Hold<'_>,
    (lease, seen, written): (&mut Lease, &Observation, &mut bool),
    loaded: &Loaded,
) -> Result<(Observation, Vec<Evidence>), Broken> {
    let leg = work.leg;
    let done = precheck::check_mend(leg, seen).map_err(|why| Stop::refused(0, why))?;
    let evidence = evidence(leg, hold, (seen, loaded)).await?;
    if !done {
        let rows = rows(leg, seen)?;
        lease.may_start().await.map_err(Stop::from)?;
        *written = true;
        hold.session().await?.mend(Token(leg.fence), &rows).await?;
    }
    let seen = hold.session().await?.observe().await?;
    Ok((seen, evidence))
}

/// The rows that the ledger lacks: a half of the repair may stand, made by an executor that is gone.
fn rows<'a>(leg: &'a Leg, seen: &Observation) -> Result<Vec<Row<'a>>, Stop> {
    let stands = entries(seen);
    let mut rows = Vec::new();
    for step in &leg.steps {
        let digest = <[u8; 32]>::try_from(step.digest.as_ref())
            .map_err(|_wrong| Stop::refused(0, "a row without a digest; upgrade the agent"))?;
        let row = Row { step: &step.version, direction: direction(step), digest };
        let is_there = stands.iter().any(|entry| entry.version == step.version);
        if is_there == (row.direction == Direction::Down) {
            rows.push(row);
        }
    }
    Ok(rows)
}

fn direction(step: &LegStep) -> Direction {
    match step.script() {
        v1::Direction::Down => Direction::Down,
        v1::Direction::Up | v1::Direction::Unspecified | v1::Direction::Validate => Direction::Up,
    }
}

/// On what each change rests. Refuses where there is none.
async fn evidence(
    leg: &Leg,
    hold: &mut Hold<'_>,
    (seen, loaded): (&Observation, &Loaded),
) -> Result<Vec<Evidence>, Broken> {
    let schema = Bytes::copy_from_slice(&seen.fingerprint.0);
    let known = leg.schemas.contains(&schema);
    let engine = hold.engine();
    let mut evidence = Vec::with_capacity(leg.steps.len());
    let mut missing: Vec<&str> = Vec::new();
    for step in &leg.steps {
        if known && defines(loaded, step, engine) {
            evidence.push(Evidence::Schema);
            continue;
        }
        let told = match probe(loaded, step) {
            Some(probe) => hold.session().await?.probe(probe).await?,
            None => None,
        };
        let wanted = direction(step) == Direction::Up;
        match told {
            Some(told) if told == wanted => evidence.push(Evidence::Probe),
            Some(_) => return Err(contradicted(step).into()),
            None if leg.waived => evidence.push(Evidence::Waiver),
            None => missing.push(&step.version),
        }
    }
    if missing.is_empty() { Ok(evidence) } else { Err(unproved(&missing, known).into()) }
}

fn migration<'a>(loaded: &'a Loaded, step: &LegStep) -> Option<&'a skein_bundle::Migration> {
    let at = usize::try_from(step.migration).ok()?;
    loaded.bundle.migrations.get(at).filter(|migration| migration.version == step.version)
}

fn probe<'a>(loaded: &'a Loaded, step: &LegStep) -> Option<&'a skein_bundle::Script> {
    migration(loaded, step).filter(|_| step.probe)?.probe.as_ref()
}

/// Whether the schema tells of a step at all: one that changes rows alone leaves it as it was.
fn defines(loaded: &Loaded, step: &LegStep, engine: Engine) -> bool {
    let Some(migration) = migration(loaded, step) else { return false };
    let Ok(at) = usize::try_from(step.migration) else { return false };
    let plan = loaded.plan((at, Direction::Up, engine.dialect()), &migration.up);
    plan.is_ok_and(|plan| wire::defines(&plan))
}

fn contradicted(step: &LegStep) -> Stop {
    let (said, found) = match direction(step) {
        Direction::Up => ("is in force", "is not"),
        Direction::Down => ("is not in force", "is"),
    };
    Stop::refused(
        0,
        format!(
            "it is said that {} {said}, and its probe says that it {found}; nothing was changed. If \
             the probe is wrong, mend it and ask again",
            step.version
        ),
    )
}

fn unproved(versions: &[&str], known: bool) -> Stop {
    let why = if known {
        "the schema is the right one, but they do not change it, and they have no probe that answers"
    } else {
        "no target that got there by migrations has this schema, and they have no probe that answers"
    };
    Stop::refused(
        0,
        format!(
            "nothing proves what is said of {}: {why}; nothing was changed. Look at the target; \
             then write a probe, or take responsibility: --waive \"why\"",
            versions.join(", ")
        ),
    )
}
