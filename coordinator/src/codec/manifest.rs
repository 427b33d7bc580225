//! Bundles, without their text.

use skein_bundle::sql::{Dialect, names};
use skein_core::bundle::{Facts, Manifest, Migration, Script};
use skein_core::ids::{Digest, Version};
use skein_core::spec::{Engine, Lock, TransactionMode};
use skein_proto::log::v1 as log;
use skein_proto::v1;

use super::fleet::{engine, engine_out};
use super::{Malformed, digest, digest_out, required};

/// Words that are kept of one bundle: what comes behind them is forecast by the size of the database. An event is one
/// message between nodes, and may not grow with whatever is written into files.
const WORDS_MAX: usize = 1 << 20;

/// What the coordinator keeps of a bundle that was stored. Reads every script: not for the threads that answer.
pub(crate) fn manifest_of(digest: Digest, bundle: v1::Bundle) -> Result<Manifest, Malformed> {
    let mut room = WORDS_MAX;
    let migrations = bundle
        .migrations
        .into_iter()
        .map(|migration| {
            Ok(Migration {
                version: Version(migration.version),
                name: migration.name,
                up: script_of(required(migration.up, "a migration's up script")?, &mut room)?,
                down: migration.down.map(|down| script_of(down, &mut room)).transpose()?,
                verify: migration.verify.is_some(),
                probe: migration.probe.is_some(),
            })
        })
        .collect::<Result<_, Malformed>>()?;
    Ok(Manifest { digest, format: bundle.format, migrations })
}

/// With the words that may be names of tables: whoever has read the files says nothing of them.
fn script_of(wire: v1::Script, room: &mut usize) -> Result<Script, Malformed> {
    let text = wire.text;
    let facts = wire.facts.into_iter().map(|wire| {
        let facts = facts(wire)?;
        let words = names::of(dialect(facts.engine), &text);
        let words = words.filter(|words| words.len() <= *room).map(Vec::into_boxed_slice);
        *room -= words.as_ref().map_or(0, |words| words.len());
        Ok(Facts { words, ..facts })
    });
    Ok(Script {
        file: wire.file,
        raw: digest(&wire.raw_digest, "a script's digest")?,
        normalised: digest(&wire.normalised_digest, "a script's normalised digest")?,
        facts: facts.collect::<Result<_, Malformed>>()?,
    })
}

fn dialect(engine: Engine) -> Dialect {
    match engine {
        Engine::Postgres => Dialect::Postgres,
        Engine::Mysql => Dialect::Mysql,
        Engine::Sqlite => Dialect::Sqlite,
    }
}

pub(super) fn manifest(wire: log::BundleStored) -> Result<Manifest, Malformed> {
    let migrations = wire
        .migrations
        .into_iter()
        .map(|migration| {
            Ok(Migration {
                version: Version(migration.version),
                name: migration.name,
                up: script(required(migration.up, "a migration's up script")?)?,
                down: migration.down.map(script).transpose()?,
                verify: migration.verify,
                probe: migration.probe,
            })
        })
        .collect::<Result<_, Malformed>>()?;
    Ok(Manifest {
        digest: digest(&wire.digest, "a bundle's digest")?,
        format: wire.format,
        migrations,
    })
}

fn script(wire: log::ManifestScript) -> Result<Script, Malformed> {
    Ok(Script {
        file: wire.file,
        raw: digest(&wire.raw_digest, "a script's digest")?,
        normalised: digest(&wire.normalised_digest, "a script's normalised digest")?,
        facts: wire.facts.into_iter().map(facts).collect::<Result<_, _>>()?,
    })
}

pub(super) fn manifest_out(manifest: &Manifest) -> log::BundleStored {
    log::BundleStored {
        digest: digest_out(Some(manifest.digest)),
        format: manifest.format.clone(),
        migrations: manifest
            .migrations
            .iter()
            .map(|migration| log::ManifestMigration {
                version: migration.version.to_string(),
                name: migration.name.clone(),
                up: Some(script_out(&migration.up)),
                down: migration.down.as_ref().map(script_out),
                verify: migration.verify,
                probe: migration.probe,
            })
            .collect(),
    }
}

fn script_out(script: &Script) -> log::ManifestScript {
    log::ManifestScript {
        file: script.file.clone(),
        raw_digest: digest_out(Some(script.raw)),
        normalised_digest: digest_out(Some(script.normalised)),
        facts: script.facts.iter().map(facts_out).collect(),
    }
}

fn facts(wire: v1::ScriptFacts) -> Result<Facts, Malformed> {
    Ok(Facts {
        engine: engine(wire.engine())?,
        mode: mode(wire.mode()),
        why: wire.why,
        locks: wire.locks.into_iter().map(lock).collect(),
        destructive: wire.destructive,
        refusal: wire.refusal,
        statements: wire.statements,
        defines: wire.defines,
        words: wire.words.map(|words| words.names.into()),
    })
}

fn facts_out(facts: &Facts) -> v1::ScriptFacts {
    v1::ScriptFacts {
        engine: engine_out(facts.engine).into(),
        mode: mode_out(facts.mode).into(),
        why: facts.why.clone(),
        locks: facts.locks.iter().map(lock_out).collect(),
        destructive: facts.destructive,
        refusal: facts.refusal.clone(),
        statements: facts.statements,
        defines: facts.defines,
        words: facts.words.as_ref().map(|words| v1::Words { names: words.to_vec() }),
    }
}

pub(super) fn mode(wire: v1::TransactionMode) -> TransactionMode {
    match wire {
        v1::TransactionMode::OneTransaction => TransactionMode::OneTransaction,
        v1::TransactionMode::Statements => TransactionMode::Statements,
        // A script that is refused on an engine has no mode there.
        v1::TransactionMode::Whole | v1::TransactionMode::Unspecified => TransactionMode::Whole,
    }
}

pub(super) fn mode_out(mode: TransactionMode) -> v1::TransactionMode {
    match mode {
        TransactionMode::OneTransaction => v1::TransactionMode::OneTransaction,
        TransactionMode::Statements => v1::TransactionMode::Statements,
        TransactionMode::Whole => v1::TransactionMode::Whole,
    }
}

pub(super) fn lock(wire: v1::LockFact) -> Lock {
    Lock { name: wire.name, meaning: wire.meaning, table: wire.table }
}

pub(super) fn lock_out(lock: &Lock) -> v1::LockFact {
    v1::LockFact {
        name: lock.name.clone(),
        meaning: lock.meaning.clone(),
        table: lock.table.clone(),
    }
}
