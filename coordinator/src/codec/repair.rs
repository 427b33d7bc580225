//! Repairs of ledgers, as the log keeps them.

use bytes::Bytes;
use skein_core::ids::{Digest, TargetId, Version};
use skein_core::spec::Direction;
use skein_core::state::repair::{Change, Class, Evidence, Order, Verb};
use skein_proto::v1;

use super::fleet::{engine, engine_out, entry, entry_out};
use super::{Malformed, digest, digest_out, required};

pub(crate) fn verb(wire: v1::RepairVerb) -> Result<Verb, Malformed> {
    match wire {
        v1::RepairVerb::RepairApplied => Ok(Verb::Applied),
        v1::RepairVerb::RepairNotApplied => Ok(Verb::NotApplied),
        v1::RepairVerb::RepairAdopt => Ok(Verb::Adopt),
        v1::RepairVerb::Unspecified => Err(Malformed::new("what a repair says", "is missing")),
    }
}

pub(crate) fn verb_out(verb: Verb) -> v1::RepairVerb {
    match verb {
        Verb::Applied => v1::RepairVerb::RepairApplied,
        Verb::NotApplied => v1::RepairVerb::RepairNotApplied,
        Verb::Adopt => v1::RepairVerb::RepairAdopt,
    }
}

fn evidence(wire: v1::Evidence) -> Result<Evidence, Malformed> {
    match wire {
        v1::Evidence::Schema => Ok(Evidence::Schema),
        v1::Evidence::Probe => Ok(Evidence::Probe),
        v1::Evidence::Waiver => Ok(Evidence::Waiver),
        v1::Evidence::Unspecified => Err(Malformed::new("the evidence of a repair", "is missing")),
    }
}

pub(crate) fn evidence_of(wire: &[i32]) -> Result<Vec<Evidence>, Malformed> {
    wire.iter()
        .map(|one| evidence(v1::Evidence::try_from(*one).unwrap_or(v1::Evidence::Unspecified)))
        .collect()
}

pub(crate) fn evidence_out(evidence: Evidence) -> v1::Evidence {
    match evidence {
        Evidence::Schema => v1::Evidence::Schema,
        Evidence::Probe => v1::Evidence::Probe,
        Evidence::Waiver => v1::Evidence::Waiver,
    }
}

pub(super) fn digests(wire: &[Bytes], what: &'static str) -> Result<Vec<Digest>, Malformed> {
    wire.iter().map(|one| digest(one, what)).collect()
}

pub(crate) fn digests_out(digests: &[Digest]) -> Vec<Bytes> {
    digests.iter().map(|one| digest_out(Some(*one))).collect()
}

fn change(wire: v1::RepairChange) -> Result<Change, Malformed> {
    Ok(Change {
        migration: wire.migration,
        entry: entry(required(wire.entry, "a row that is repaired")?)?,
        direction: if wire.remove { Direction::Down } else { Direction::Up },
        probe: wire.probe,
    })
}

fn change_out(change: &Change) -> v1::RepairChange {
    v1::RepairChange {
        migration: change.migration,
        entry: Some(entry_out(&change.entry)),
        remove: change.direction == Direction::Down,
        probe: change.probe,
    }
}

fn class(wire: v1::RepairClass) -> Result<Class, Malformed> {
    Ok(Class {
        engine: engine(wire.engine())?,
        before: wire.before.into_iter().map(entry).collect::<Result<_, _>>()?,
        changes: wire.changes.into_iter().map(change).collect::<Result<_, _>>()?,
        schemas: digests(&wire.schemas, "a schema's fingerprint")?,
    })
}

fn class_out(class: &Class) -> v1::RepairClass {
    v1::RepairClass {
        engine: engine_out(class.engine).into(),
        before: class.before.iter().map(entry_out).collect(),
        changes: class.changes.iter().map(change_out).collect(),
        schemas: digests_out(&class.schemas),
    }
}

pub(super) fn order(wire: v1::RepairOrder) -> Result<Order, Malformed> {
    Ok(Order {
        verb: verb(wire.verb())?,
        versions: wire.versions.into_iter().map(Version).collect(),
        bundle: digest(&wire.bundle, "the bundle's digest")?,
        waiver: wire.waiver,
        classes: wire.classes.into_iter().map(class).collect::<Result<_, _>>()?,
        targets: wire.targets.into_iter().map(|one| (TargetId(one.id), one.class)).collect(),
    })
}

pub(super) fn order_out(order: &Order) -> v1::RepairOrder {
    let target =
        |(id, class): &(TargetId, u32)| v1::RepairTarget { id: id.to_string(), class: *class };
    v1::RepairOrder {
        verb: verb_out(order.verb).into(),
        versions: order.versions.iter().map(ToString::to_string).collect(),
        bundle: digest_out(Some(order.bundle)),
        waiver: order.waiver.clone(),
        classes: order.classes.iter().map(class_out).collect(),
        targets: order.targets.iter().map(target).collect(),
    }
}
