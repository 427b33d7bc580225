//! From the wire to the reader's model.

use prost::Message as _;
use skein_bundle::{
    Bundle, Digits, Format, MarkedStatement, Migration, Order, Script, Transaction,
};
use skein_proto::v1;

/// Bytes that are no bundle, or none that this program knows how to run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("read the bundle: its bytes are no bundle ({why})")]
    Bytes { why: String },
    #[error("read the bundle: its format {format:?} is unknown here; upgrade the agent")]
    Format { format: String },
    #[error("read the bundle: migration {version} has no up script")]
    NoUp { version: String },
    #[error("read the bundle: {file} has a digest of {bytes} bytes, not 32")]
    Digest { file: String, bytes: usize },
}

/// Reads the bytes that [`super::encode`] wrote.
pub fn decode(bytes: &[u8]) -> Result<Bundle, WireError> {
    let bundle =
        v1::Bundle::decode(bytes).map_err(|error| WireError::Bytes { why: error.to_string() })?;
    from_wire(bundle)
}

/// The bundle as its reader made it, without warnings. Versions of digits order as numbers.
pub fn from_wire(bundle: v1::Bundle) -> Result<Bundle, WireError> {
    let Some(format) = Format::parse(&bundle.format) else {
        return Err(WireError::Format { format: bundle.format });
    };
    let migrations = bundle.migrations.into_iter().map(|one| migration(format, one));
    Ok(Bundle { format, migrations: migrations.collect::<Result<_, _>>()?, warnings: Vec::new() })
}

fn migration(format: Format, migration: v1::Migration) -> Result<Migration, WireError> {
    let v1::Migration { version, name, up, down, verify, probe } = migration;
    let Some(up) = up else { return Err(WireError::NoUp { version }) };
    let read = |script: Option<v1::Script>| script.map(|one| script_of(format, one)).transpose();
    let order = match Digits::parse(&version) {
        Some(digits) => Order::Number(digits),
        None => Order::Text(version.clone()),
    };
    Ok(Migration {
        version,
        order,
        name,
        up: script_of(format, up)?,
        down: read(down)?,
        verify: read(verify)?,
        probe: read(probe)?,
    })
}

fn script_of(format: Format, script: v1::Script) -> Result<Script, WireError> {
    let digest = |bytes: &[u8]| {
        <[u8; 32]>::try_from(bytes)
            .ok()
            .ok_or_else(|| WireError::Digest { file: script.file.clone(), bytes: bytes.len() })
    };
    let raw_digest = digest(&script.raw_digest)?;
    let normalised_digest = digest(&script.normalised_digest)?;
    let marked = |one: v1::MarkedStatement| MarkedStatement { line: one.line, text: one.text };
    Ok(Script {
        format,
        file: script.file,
        line: script.line,
        text: script.text,
        transaction: if script.outside_transaction {
            Transaction::Outside
        } else {
            Transaction::Wrapped
        },
        raw_digest,
        normalised_digest,
        marked: script.marked.into_iter().map(marked).collect(),
    })
}
