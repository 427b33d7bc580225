//! One leased leg on one target, from its first look to its last report.
//!
//! ```text
//! look (session lock, ledger) ► precheck ─┬─ forward  what is done already, fence, what gates compare with
//!                                        │           (acknowledged), backup or the exemption
//!                                        │           (acknowledged), the rest of the steps, with the gates
//!                                        │           around each, throttled
//!                                        ├─ undo     what is undone already, fence, the rest the other way
//!                                        └─ trial    steps in a transaction that is rolled back
//!      ► mend   evidence, then rows of the ledger: no script of the user's is run
//! ```
//!
//! What holds: before each step the lease is asked whether it may start; the only answers from the
//! coordinator that a leg waits for are those of its backup and of what was measured before it; whatever ends a leg is its last report,
//! but a lost lease, of which another agent tells; a leg is given back only when everything that
//! stands of it was seen and told before.

mod affected;
mod backup;
mod baseline;
mod forward;
mod gates;
mod half;
mod hold;
mod look;
mod mend;
mod name;
mod orders;
mod precheck;
mod reports;
mod stop;
mod trial;
mod undo;

use std::sync::Arc;

use skein_proto::agent::v1::{Baseline, Leg, LegKind};
use tokio::sync::watch;

use crate::backup::Destination;
use crate::bundles::Bundles;
use crate::config::{Target, TargetId};
use crate::db::{Engine, Observation, Order, Timeouts, Token};
use crate::gate::Asker;
use crate::metrics::{self, Counted};
use crate::roster::Roster;
use crate::session::{Lease, Over};
use crate::throttle::{Brake, Gauge, Pace, Progress, Waits};
use hold::Hold;
pub(crate) use look::is_taken_over;
use precheck::Standing;
pub(crate) use reports::Reports;
use stop::Stop;

/// What all legs of an agent share.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) roster: Arc<Roster>,
    pub(crate) timeouts: Timeouts,
    pub(crate) destination: Destination,
    pub(crate) bundles: Bundles,
    pub(crate) asker: Arc<Asker>,
    pub(crate) gauge: Arc<Gauge>,
    pub(crate) waits: Arc<Waits>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) counted: Counted,
}

/// Carries a leg out. Returns the id of its last report; none where the lease was lost.
pub(crate) async fn run(
    site: Arc<Site>,
    leg: Leg,
    (mut lease, pace): (Lease, watch::Receiver<Pace>),
    reports: Reports,
) -> Option<u64> {
    let shared = (site.gauge.clone(), site.waits.clone(), site.progress.clone());
    let mut brake = Brake::new(shared, (leg.fence, &leg.target), pace, &lease);
    let ended = Box::pin(carry_out(&site, &leg, (&mut lease, &mut brake), &reports)).await;
    match ended {
        Ok(last) => {
            site.counted.ended(leg.kind(), "done");
            Some(last)
        }
        Err(Stop::Lost(why)) => {
            site.counted.ended(leg.kind(), "lost");
            tracing::warn!(fence = leg.fence, target = leg.target, why, "the leg was left");
            None
        }
        Err(Stop::Report(outcome)) => {
            tracing::info!(fence = leg.fence, target = leg.target, ?outcome, "the leg has ended");
            site.counted.ended(leg.kind(), metrics::ended(&outcome));
            Some(reports.send(*outcome))
        }
    }
}

/// A leg on a target that was looked at.
struct Task<'a> {
    site: &'a Site,
    leg: &'a Leg,
    target: &'a Target,
    reports: &'a Reports,
    /// Under the session lock, before anything was written.
    seen: Observation,
    standing: Standing,
    /// How quickly the target answered before its first step, as far as gates around steps ask for it.
    baselines: Vec<Baseline>,
}

impl Task<'_> {
    /// Where the class has the step at a place in the leg.
    fn step(&self, at: usize) -> u32 {
        self.leg.steps.get(at).map_or(0, |step| step.step)
    }

    fn token(&self) -> Token {
        Token(self.leg.fence)
    }

    /// Rows that the tables which a step names had when the leg began.
    fn touched(&self, engine: Engine, order: &Order) -> Option<u64> {
        self.seen.tables.as_ref()?.touched(engine, &order.script.text)
    }

    fn is_undo(&self) -> bool {
        self.leg.kind() == LegKind::Undo
    }

    fn is_last(&self, at: usize) -> bool {
        at + 1 == self.leg.steps.len()
    }

    /// What to run, for each step of the leg. The bundle is at hand, or the coordinator is waited for.
    async fn orders(&self, hold: &Hold<'_>) -> Result<Vec<Order>, Stop> {
        let bundle = self.site.bundles.get(&self.leg.bundle).await;
        let bundle = bundle.map_err(|error| Stop::bundle(self.step(0), &error))?;
        orders::of(&bundle, self.leg, hold.engine())
    }

    /// The same, unless the leg is over before.
    async fn orders_unless_over(
        &self,
        hold: &Hold<'_>,
        lease: &mut Lease,
    ) -> Result<Vec<Order>, Stop> {
        tokio::select! {
            orders = self.orders(hold) => orders,
            over = lease.ended() => Err(over.into()),
        }
    }
}

async fn carry_out(
    site: &Site,
    leg: &Leg,
    (lease, brake): (&mut Lease, &mut Brake),
    reports: &Reports,
) -> Result<u64, Stop> {
    let first = leg.steps.first().map_or(0, |step| step.step);
    if leg.kind() == LegKind::Unspecified {
        let why = "this agent does not know the kind of this leg; upgrade the agent";
        return Err(Stop::stuck(first, why));
    }
    if leg.steps.is_empty() {
        return Err(Stop::released("the leg has no steps"));
    }
    let known = TargetId::parse(&leg.target).ok();
    let Some(target) = known.and_then(|id| site.roster.get(&id)) else {
        let why = format!("this agent does not serve target {}", leg.target);
        let stop = Stop::refused(first, why);
        return Err(if is_taken_over(leg) { stop.in_doubt() } else { stop });
    };
    let (mut hold, seen) = Box::pin(look::look(site, &target, leg, lease)).await?;
    if leg.kind() == LegKind::Mend {
        let work = mend::Work { site, leg, reports };
        let done = Box::pin(mend::run(&work, &mut hold, (lease, seen))).await;
        hold.close().await;
        return done;
    }
    let standing = precheck::check(leg, &seen).map_err(|why| Stop::stuck(first, why))?;
    let baselines = leg.baselines.clone();
    let mut task = Task { site, leg, target: &target, reports, seen, standing, baselines };
    let done = match leg.kind() {
        LegKind::Forward | LegKind::Mend | LegKind::Unspecified => {
            Box::pin(forward::run(&mut task, &mut hold, (lease, brake))).await
        }
        LegKind::Undo => Box::pin(undo::run(&task, &mut hold, (lease, brake))).await,
        LegKind::Trial => Box::pin(trial::run(&task, &mut hold, lease)).await,
    };
    hold.close().await;
    done
}

impl From<Over> for Stop {
    fn from(over: Over) -> Self {
        match over {
            Over::Cancelled(why) => Self::released(&why),
            Over::Lost(why) => Self::Lost(why),
        }
    }
}
