//! From the reader's model to the wire.

use bytes::Bytes;
use prost::Message as _;
use skein_bundle::{Bundle, MarkedStatement, Migration, Script, Transaction};
use skein_proto::v1;

use super::facts;

/// The bytes that are stored, handed on and digested.
pub fn encode(bundle: &Bundle) -> Vec<u8> {
    to_wire(bundle).encode_to_vec()
}

/// The bundle with what is known of each script on each engine. Warnings stay behind: they are for
/// whoever read the directory.
pub fn to_wire(bundle: &Bundle) -> v1::Bundle {
    v1::Bundle {
        format: bundle.format.as_str().to_owned(),
        migrations: bundle.migrations.iter().map(migration).collect(),
    }
}

fn migration(migration: &Migration) -> v1::Migration {
    v1::Migration {
        version: migration.version.clone(),
        name: migration.name.clone(),
        up: Some(script(&migration.up, true)),
        down: migration.down.as_ref().map(|down| script(down, true)),
        // Neither is run by itself, so that nobody plans it.
        verify: migration.verify.as_ref().map(|verify| script(verify, false)),
        probe: migration.probe.as_ref().map(|probe| script(probe, false)),
    }
}

fn script(script: &Script, planned: bool) -> v1::Script {
    let marked = |statement: &MarkedStatement| v1::MarkedStatement {
        line: statement.line,
        text: statement.text.clone(),
    };
    v1::Script {
        file: script.file.clone(),
        line: script.line,
        text: script.text.clone(),
        outside_transaction: script.transaction == Transaction::Outside,
        raw_digest: Bytes::copy_from_slice(&script.raw_digest),
        normalised_digest: Bytes::copy_from_slice(&script.normalised_digest),
        marked: script.marked.iter().map(marked).collect(),
        facts: if planned { facts::of(script) } else { Vec::new() },
    }
}
