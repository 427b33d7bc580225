//! One leased leg on one target, from its first look to its last report.
//!
//! ```text
//! bundle ► orders ► session lock ► precheck ─┬─ forward  fence, backup (acknowledged), steps
//!                                           ├─ undo     fence, steps the other way
//!                                           └─ trial    steps in a transaction that is rolled back
//! ```
//!
//! What holds: before each step the lease is asked whether it may start; the only answer from the
//! coordinator that a leg waits for is that of its backup; whatever ends a leg is its last report,
//! but a lost lease, of which another agent tells.

mod backup;
mod forward;
mod hold;
mod name;
mod orders;
mod precheck;
mod reports;
mod stop;
mod trial;
mod undo;

use std::collections::BTreeMap;
use std::sync::Arc;

use skein_proto::agent::v1::{Leg, LegKind};

use crate::backup::Destination;
use crate::bundles::Bundles;
use crate::config::{Target, TargetId};
use crate::db::{DbError, Order, Timeouts, Token};
use crate::session::{Lease, Over};
use hold::{Hold, HoldError};
pub(crate) use reports::Reports;
use stop::Stop;

/// What all legs of an agent share.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) targets: Arc<BTreeMap<TargetId, Target>>,
    pub(crate) timeouts: Timeouts,
    pub(crate) destination: Destination,
    pub(crate) bundles: Bundles,
}

/// Carries a leg out. Returns the id of its last report; none where the lease was lost.
pub(crate) async fn run(
    site: Arc<Site>,
    leg: Leg,
    mut lease: Lease,
    reports: Reports,
) -> Option<u64> {
    let ended = Box::pin(carry_out(&site, &leg, &mut lease, &reports)).await;
    match ended {
        Ok(last) => Some(last),
        Err(Stop::Lost(why)) => {
            tracing::warn!(fence = leg.fence, target = leg.target, why, "the leg was left");
            None
        }
        Err(Stop::Report(outcome)) => {
            tracing::info!(fence = leg.fence, target = leg.target, ?outcome, "the leg has ended");
            Some(reports.send(*outcome))
        }
    }
}

/// A leg with everything that it needs at hand.
struct Task<'a> {
    site: &'a Site,
    leg: &'a Leg,
    target: &'a Target,
    reports: &'a Reports,
    /// For each step of the leg.
    orders: Vec<Order>,
}

impl Task<'_> {
    /// Where the class has the step at a place in the leg.
    fn step(&self, at: usize) -> u32 {
        self.leg.steps.get(at).map_or(0, |step| step.step)
    }

    fn token(&self) -> Token {
        Token(self.leg.fence)
    }
}

async fn carry_out(
    site: &Site,
    leg: &Leg,
    lease: &mut Lease,
    reports: &Reports,
) -> Result<u64, Stop> {
    let first = leg.steps.first().map_or(0, |step| step.step);
    let kind = match leg.kind() {
        LegKind::Unspecified => {
            let why = "this agent does not know the kind of this leg; upgrade the agent";
            return Err(Stop::stuck(first, why));
        }
        kind @ (LegKind::Forward | LegKind::Undo | LegKind::Trial) => kind,
    };
    if leg.steps.is_empty() {
        return Err(Stop::released("the leg has no steps"));
    }
    let known = TargetId::parse(&leg.target).ok();
    let Some(target) = known.and_then(|id| site.targets.get(&id)) else {
        let why = format!("this agent does not serve target {}", leg.target);
        return Err(Stop::refused(first, why));
    };

    // While the coordinator is away nothing is fetched, and nothing need be: nothing has started.
    let bundle = tokio::select! {
        bundle = site.bundles.get(&leg.bundle) => {
            bundle.map_err(|error| Stop::bundle(first, &error))?
        }
        over = lease.ended() => return Err(over.into()),
    };
    lease.may_start().await?;
    let mut hold = tokio::select! {
        hold = open_patiently(target, &site.timeouts) => hold.map_err(|error| error.stop(first))?,
        over = lease.ended() => return Err(over.into()),
    };
    let orders = orders::of(&bundle, leg, hold.engine())?;
    let task = Task { site, leg, target, reports, orders };
    let done = match kind {
        LegKind::Forward | LegKind::Unspecified => {
            Box::pin(forward::run(&task, &mut hold, lease)).await
        }
        LegKind::Undo => Box::pin(undo::run(&task, &mut hold, lease)).await,
        LegKind::Trial => Box::pin(trial::run(&task, &mut hold)).await,
    };
    hold.close().await;
    done
}

/// A takeover waits for as long as another session holds the target: its statement may be an index
/// build of hours, and to end it would throw them away.
async fn open_patiently<'a>(
    target: &'a Target,
    timeouts: &'a Timeouts,
) -> Result<Hold<'a>, HoldError> {
    loop {
        match Hold::open(target, timeouts).await {
            Err(HoldError::Db(error @ DbError::LockHeld { .. })) => {
                tracing::info!(target = target.id.as_str(), %error, "waiting for the target");
            }
            opened => return opened,
        }
    }
}

impl From<Over> for Stop {
    fn from(over: Over) -> Self {
        match over {
            Over::Cancelled(why) => Self::released(&why),
            Over::Lost(why) => Self::Lost(why),
        }
    }
}
