//! What the ledger says of a step before it is run.

use super::intent::Intent;
use super::ledger::LedgerRow;
use super::order::{Direction, Order};
use super::sql::hex;
use super::step_error::{Cause, StepError};
use super::verdict::Verdict;

/// The row that makes running `order` needless; `None` when it is to be run. Another step's open
/// intent comes before any other objection: until it is closed, the ledger is not the whole truth.
pub(crate) fn already(
    order: &Order,
    latest: Option<LedgerRow>,
    open: Option<&Intent>,
) -> Result<Option<LedgerRow>, StepError> {
    match (in_ledger(order, latest), open) {
        (Ok(Some(row)), _) => Ok(Some(row)),
        (_, Some(open)) if !open.is_of(order) => Err(open.in_the_way_of(order)),
        (objection, _) => objection,
    }
}

fn in_ledger(order: &Order, latest: Option<LedgerRow>) -> Result<Option<LedgerRow>, StepError> {
    match (order.direction, latest) {
        (Direction::Up, Some(row)) if row.direction == Direction::Up => {
            if row.digest == order.digest { Ok(Some(row)) } else { Err(drift(order, &row)) }
        }
        // Undone by whichever script: there is nothing left to undo.
        (Direction::Down, Some(row)) if row.direction == Direction::Down => Ok(Some(row)),
        (Direction::Down, None) => Err(StepError::new(
            order,
            Cause::NotApplied,
            Verdict::Never,
            "the ledger of the target has no such step, so there is nothing to undo; \
             compare the target with the plan",
        )),
        (Direction::Up, _) | (Direction::Down, Some(_)) => Ok(None),
    }
}

fn drift(order: &Order, row: &LedgerRow) -> StepError {
    let (was, is) = (hex(&row.digest), hex(&order.digest));
    let message = format!(
        "the step was applied from a file with digest {was}, this file has {is}: it was edited \
         after it ran; restore the file, or write the change as a new migration"
    );
    StepError::new(order, Cause::Drift, Verdict::Fully, message)
}
