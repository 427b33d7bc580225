//! Targets that stand apart.

use skein_core::ids::{TargetId, Version};
use skein_core::plan::{Block, Cause, Nearest};
use skein_proto::v1;

use super::fleet::{engine, engine_out, entry};
use super::{Malformed, digest, digest_option, digest_out, entry_out, required};

pub(super) fn block(wire: v1::Block) -> Result<Block, Malformed> {
    Ok(Block {
        engine: engine(wire.engine())?,
        ledger: wire.ledger.into_iter().map(entry).collect::<Result<_, _>>()?,
        schema: digest_option(&wire.schema, "a block's schema")?,
        targets: wire.targets.into_iter().map(TargetId).collect(),
        cause: match required(wire.cause, "why targets stand apart")? {
            v1::block::Cause::Held(problem) => Cause::Held(problem),
            v1::block::Cause::Unlike(others) => Cause::Unlike(others),
            v1::block::Cause::Foreign(version) => Cause::Foreign(Version(version)),
        },
        nearest: wire.nearest.map(nearest).transpose()?,
    })
}

fn nearest(wire: v1::NearestClass) -> Result<Nearest, Malformed> {
    Ok(Nearest {
        ledger: wire.ledger.into_iter().map(entry).collect::<Result<_, _>>()?,
        schema: digest(&wire.schema, "the schema of the nearest class")?,
        members: wire.members,
        examples: wire.examples.into_iter().map(TargetId).collect(),
    })
}

pub(crate) fn block_out(block: &Block) -> v1::Block {
    v1::Block {
        engine: engine_out(block.engine).into(),
        ledger: block.ledger.iter().map(entry_out).collect(),
        schema: digest_out(block.schema),
        targets: block.targets.iter().map(ToString::to_string).collect(),
        cause: Some(match &block.cause {
            Cause::Held(problem) => v1::block::Cause::Held(problem.clone()),
            Cause::Unlike(others) => v1::block::Cause::Unlike(*others),
            Cause::Foreign(version) => v1::block::Cause::Foreign(version.to_string()),
        }),
        nearest: block.nearest.as_ref().map(|nearest| v1::NearestClass {
            ledger: nearest.ledger.iter().map(entry_out).collect(),
            schema: digest_out(Some(nearest.schema)),
            members: nearest.members,
            examples: nearest.examples.iter().map(ToString::to_string).collect(),
        }),
    }
}
