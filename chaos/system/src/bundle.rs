//! What is rolled out: the fixture's migrations, read by the product's own reader.

use std::path::Path;

/// The bundle as it goes over the wire. Reads files: call it before a simulation begins.
///
/// # Panics
/// Where the fixture is not there.
pub(crate) fn content() -> Vec<u8> {
    let fixture = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/fleet"));
    let bundle = skein_bundle::read(fixture, None).expect("the fixture is a bundle");
    skein_agent::wire::encode(&bundle)
}
