//! The first look at a target: its session lock, and what its ledger says.
//!
//! A leg may have been begun by an executor that nobody heard of again: another agent, or an earlier
//! life of this one under the same lease. Until somebody has read the target's ledger, no report may say
//! that nothing of it stands: neither a failure nor a leg given back. So such a leg looks even when it is
//! cancelled, tries for long, and says nothing at all where it cannot look.

use std::time::Duration;

use skein_proto::agent::v1::{Leg, LegKind};

use super::Site;
use super::hold::{Hold, HoldError, pauses};
use super::stop::Stop;
use crate::config::Target;
use crate::db::{DbError, Observation, Timeouts};
use crate::session::Lease;
use crate::text::chain;

/// How long a cancelled leg still tries to look.
pub(super) const CANCELLED_WAIT: Duration = Duration::from_secs(30);

/// Whether an executor may have begun this leg, so that something of it may stand in the target. Nothing
/// goes forward before its backup is in the log, and a trial leaves nothing; of the way back and of a
/// repair nothing tells.
pub(crate) fn is_taken_over(leg: &Leg) -> bool {
    match leg.kind() {
        LegKind::Forward => leg.backup_recorded,
        LegKind::Undo | LegKind::Mend => true,
        LegKind::Trial | LegKind::Unspecified => false,
    }
}

/// Takes the target in hand and looks at it.
pub(super) async fn look<'a>(
    site: &'a Site,
    target: &'a Target,
    leg: &Leg,
    lease: &mut Lease,
) -> Result<(Hold<'a>, Observation), Stop> {
    let first = leg.steps.first().map_or(0, |step| step.step);
    let taken_over = is_taken_over(leg);
    let mut pauses = pauses();
    loop {
        let tried = tokio::select! {
            tried = open_patiently(target, &site.timeouts) => tried,
            over = nobody_asks(lease, taken_over) => return Err(over),
        };
        let error = match tried {
            Ok(seen) => return Ok(seen),
            Err(error) => error,
        };
        if !taken_over {
            return Err(error.stop(first));
        }
        let pause = pauses.next().filter(|_| error.is_retryable());
        let Some(pause) = pause else { return Err(error.stop(first).in_doubt()) };
        tracing::warn!(
            target = target.id.as_str(),
            error = chain(&error),
            "a target whose leg is taken over cannot be looked at yet"
        );
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            over = nobody_asks(lease, taken_over) => return Err(over),
        }
    }
}

async fn nobody_asks(lease: &mut Lease, taken_over: bool) -> Stop {
    if taken_over {
        lease.given_up(CANCELLED_WAIT).await.into()
    } else {
        lease.ended().await.into()
    }
}

/// A takeover waits for as long as another session holds the target: its statement may be an index
/// build of hours, and to end it would throw them away.
async fn open_patiently<'a>(
    target: &'a Target,
    timeouts: &'a Timeouts,
) -> Result<(Hold<'a>, Observation), HoldError> {
    loop {
        match Hold::open(target, timeouts).await {
            Err(HoldError::Db(error @ DbError::LockHeld { .. })) => {
                tracing::info!(target = target.id.as_str(), %error, "waiting for the target");
            }
            opened => return opened,
        }
    }
}
