//! What a target is and what its ledger says, in the words of the wire.

use bytes::Bytes;
use skein_proto::v1;

use crate::config::Target;
use crate::db::{self, Intent, Token};
use crate::text::chain;

/// Looks at a target, behind a fence where an executor of before may still be there. The error is fit for
/// showing: it holds no password.
pub(crate) async fn look_at(
    target: &Target,
    fence: Option<Token>,
) -> Result<v1::Observation, String> {
    let (location, _) = target.locate().await.map_err(|error| chain(&error))?;
    let seen = match fence {
        Some(fence) => db::observe_behind(&location, fence).await,
        None => db::observe(&location).await,
    };
    seen.map(|seen| to_wire(&seen)).map_err(|error| chain(&error))
}

pub(crate) fn to_wire(seen: &db::Observation) -> v1::Observation {
    v1::Observation {
        engine_version: seen.version.clone(),
        identity: seen.identity.to_string(),
        fingerprint: Bytes::copy_from_slice(&seen.fingerprint.0),
        ledger: entries(seen),
        fence: seen.fence.map_or(0, |token| token.0),
        open_intent: seen.intent.as_ref().map(intent).unwrap_or_default(),
        bytes: seen.size_bytes.unwrap_or_default(),
        tables: seen.tables.as_ref().map(|tables| {
            let (names, rows) = tables.iter().unzip();
            v1::TableRows { names, rows }
        }),
    }
}

/// The migrations in force, in the order in which they were applied.
pub(crate) fn entries(seen: &db::Observation) -> Vec<v1::LedgerEntry> {
    seen.applied()
        .into_iter()
        .map(|row| v1::LedgerEntry {
            version: row.step.clone(),
            digest: Bytes::copy_from_slice(&row.digest),
        })
        .collect()
}

fn intent(intent: &Intent) -> String {
    format!(
        "step {} ({}) at statement {} of {}, under lease {}",
        intent.step, intent.direction, intent.statement, intent.statements, intent.token
    )
}
