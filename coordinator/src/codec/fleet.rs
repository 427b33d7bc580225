//! Targets: what they are, and what was seen in them.

use bytes::Bytes;
use skein_core::ids::{Fence, TargetId, Version};
use skein_core::spec::{Condition, Engine, Selector};
use skein_core::state::ledger::Entry;
use skein_core::state::tables::Tables;
use skein_core::state::target::{Description, Observation};
use skein_proto::v1;

use super::{Malformed, digest, digest_out};

pub(super) fn engine(wire: v1::Engine) -> Result<Engine, Malformed> {
    match wire {
        v1::Engine::Postgres => Ok(Engine::Postgres),
        v1::Engine::Mysql => Ok(Engine::Mysql),
        v1::Engine::Sqlite => Ok(Engine::Sqlite),
        v1::Engine::Unspecified => {
            Err(Malformed::new("the engine", "is not one that is known here"))
        }
    }
}

pub(super) fn engine_out(engine: Engine) -> v1::Engine {
    match engine {
        Engine::Postgres => v1::Engine::Postgres,
        Engine::Mysql => v1::Engine::Mysql,
        Engine::Sqlite => v1::Engine::Sqlite,
    }
}

pub(crate) fn description(
    wire: v1::TargetDescription,
) -> Result<(TargetId, Description), Malformed> {
    if wire.id.is_empty() {
        return Err(Malformed::new("the target's id", "is empty"));
    }
    let engine = engine(wire.engine())?;
    let description = Description { engine, labels: wire.labels, group: wire.resource_group };
    Ok((TargetId(wire.id), description))
}

pub(crate) fn description_out(id: &TargetId, description: &Description) -> v1::TargetDescription {
    v1::TargetDescription {
        id: id.to_string(),
        engine: engine_out(description.engine).into(),
        labels: description.labels.clone(),
        resource_group: description.group.clone(),
    }
}

pub(super) fn entry(wire: v1::LedgerEntry) -> Result<Entry, Malformed> {
    let digest = digest(&wire.digest, "a ledger row's digest")?;
    Ok(Entry { version: Version(wire.version), digest })
}

pub(crate) fn entry_out(entry: &Entry) -> v1::LedgerEntry {
    v1::LedgerEntry {
        version: entry.version.to_string(),
        digest: Bytes::copy_from_slice(&entry.digest.0),
    }
}

pub(crate) fn observation(wire: v1::Observation) -> Result<Observation, Malformed> {
    Ok(Observation {
        engine_version: wire.engine_version,
        identity: wire.identity,
        fingerprint: digest(&wire.fingerprint, "the schema fingerprint")?,
        ledger: wire.ledger.into_iter().map(entry).collect::<Result<_, _>>()?,
        fence: Fence(wire.fence),
        open_intent: wire.open_intent,
        bytes: wire.bytes,
        tables: wire.tables.map(|told| Tables::new(told.names.into_iter().zip(told.rows))),
    })
}

pub(crate) fn observation_out(seen: &Observation) -> v1::Observation {
    v1::Observation {
        engine_version: seen.engine_version.clone(),
        identity: seen.identity.clone(),
        fingerprint: digest_out(Some(seen.fingerprint)),
        ledger: seen.ledger.iter().map(entry_out).collect(),
        fence: seen.fence.0,
        open_intent: seen.open_intent.clone(),
        bytes: seen.bytes,
        tables: seen.tables.as_ref().map(|tables| {
            let (names, rows) = tables.iter().unzip();
            v1::TableRows { names, rows }
        }),
    }
}

pub(crate) fn selector(wire: Option<v1::Selector>) -> Selector {
    let wire = wire.unwrap_or_default();
    let condition = (!wire.r#where.is_empty()).then(|| Condition::new(wire.r#where));
    // Beside a condition it is there for coordinators that know of none.
    let bars = |label: &v1::LabelMatch| condition.is_some() && *label == v1::LabelMatch::default();
    let labels = wire.labels.into_iter().filter(|label| !bars(label));
    Selector {
        targets: wire.targets,
        labels: labels.map(|label| (label.name, label.values)).collect(),
        condition,
    }
}

pub(crate) fn selector_out(selector: &Selector) -> v1::Selector {
    let label = |(name, values): &(String, Vec<String>)| v1::LabelMatch {
        name: name.clone(),
        values: values.clone(),
    };
    let bar = selector.condition.as_ref().map(|_| v1::LabelMatch::default());
    v1::Selector {
        targets: selector.targets.clone(),
        labels: selector.labels.iter().map(label).chain(bar).collect(),
        r#where: selector.condition.as_ref().map(|it| it.text.clone()).unwrap_or_default(),
    }
}
