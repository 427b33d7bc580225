//! The intent: what a run outside of a transaction was about to do, written before it does it.

use super::answer::{Answer, text};
use super::fence::Token;
use super::fingerprint::{Fingerprint, Objects};
use super::ledger::Tables;
use super::order::{Direction, Order};
use super::sql::{hex, literal, unhex};

/// One row at most: the step in the middle of which the target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    pub step: String,
    pub direction: Direction,
    /// One-based number of the statement; one more than `statements` when all have run.
    pub statement: u64,
    pub statements: u64,
    pub phase: Phase,
    pub token: Token,
    pub digest: [u8; 32],
    /// Of the schema, before the statement. `None` where it would prove nothing.
    pub fingerprint_before: Option<Fingerprint>,
    /// The objects of the schema before the statement, each with a short digest.
    pub(crate) objects_before: Objects,
    /// The database server's clock, milliseconds since 1970.
    pub at_ms: u64,
}

/// Whether the statement may have been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Everything before the statement is done, and the statement was not sent.
    Ready,
    /// The statement was about to be sent.
    Sent,
    /// Everything before the statement is done, and of the statement the batches that `_skein_batches`
    /// counts. Agents that do not know batches cannot read this, and stop.
    Batches,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Sent => "sent",
            Self::Batches => "batches",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Ready, Self::Sent, Self::Batches].into_iter().find(|phase| phase.as_str() == text)
    }
}

/// Where a run stands, as it is written down.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark<'a> {
    pub(crate) statement: u64,
    pub(crate) statements: u64,
    pub(crate) phase: Phase,
    pub(crate) before: Option<(Fingerprint, &'a Objects)>,
}

impl Tables {
    pub(crate) fn read_intent(&self) -> String {
        let intent = self.intent();
        format!(
            "SELECT step, direction, statement, statements, phase, token, digest, \
             fingerprint_before, objects_before, at_ms FROM {intent} WHERE id = 1;\n"
        )
    }

    pub(crate) fn clear_intent(&self) -> String {
        format!("DELETE FROM {} WHERE id = 1;\n", self.intent())
    }

    /// Writes where `order` stands, over what stood there: two statements for one transaction. Both
    /// affect no row when the fence has passed the order.
    pub(crate) fn write_intent(&self, order: &Order, mark: Mark<'_>) -> String {
        let (intent, fence, engine) = (self.intent(), self.fence(), self.engine);
        let step = literal(engine, &order.step);
        let (direction, digest, token) = (order.direction, hex(&order.digest), order.token);
        let fingerprint =
            mark.before.map(|(fingerprint, _)| fingerprint.to_string()).unwrap_or_default();
        let objects = mark.before.map(|(_, objects)| objects.to_text()).unwrap_or_default();
        let objects = literal(engine, &objects);
        let (statement, statements, phase) = (mark.statement, mark.statements, mark.phase.as_str());
        let now = self.now_ms();
        format!(
            "DELETE FROM {intent} WHERE id = 1 \
             AND (SELECT token FROM {fence} WHERE id = 1) <= {token};\n\
             INSERT INTO {intent} (id, step, direction, statement, statements, phase, token, \
             digest, fingerprint_before, objects_before, at_ms) \
             SELECT 1, {step}, '{direction}', {statement}, {statements}, '{phase}', {token}, \
             '{digest}', '{fingerprint}', {objects}, {now} \
             FROM {fence} WHERE id = 1 AND token <= {token};\n"
        )
    }
}

/// Reads what [`Tables::read_intent`] asked for.
pub(crate) fn read(answer: &Answer) -> Result<Option<Intent>, String> {
    let Some(row) = answer.rows.first() else { return Ok(None) };
    intent_of(row)
        .map(Some)
        .ok_or_else(|| format!("the intent table holds a row that Skein never wrote: {row:?}"))
}

fn intent_of(row: &[Option<String>]) -> Option<Intent> {
    let fingerprint = text(row, 7)?;
    Some(Intent {
        step: text(row, 0)?.to_owned(),
        direction: Direction::parse(text(row, 1)?)?,
        statement: text(row, 2)?.parse().ok()?,
        statements: text(row, 3)?.parse().ok()?,
        phase: Phase::parse(text(row, 4)?)?,
        token: Token(text(row, 5)?.parse().ok()?),
        digest: unhex(text(row, 6)?)?,
        fingerprint_before: match fingerprint {
            "" => None,
            hex => Some(Fingerprint(unhex(hex)?)),
        },
        objects_before: Objects::parse(text(row, 8)?)?,
        at_ms: text(row, 9)?.parse().ok()?,
    })
}
