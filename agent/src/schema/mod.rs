//! A target's schema for people: object by object, bounded, and without what somebody may have hidden in it.
//!
//! What holds: no row is read; whatever stands in a schema as a string or a comment (a default, a comment, a
//! check, the body of a routine: each may have a password in it) leaves this host as a tag only, from which
//! nobody gets it back; two schemas that were read with the same salt have the same tag for the same text.

mod hide;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use skein_proto::v1;

use crate::config::Target;
use crate::db::{self, Engine, Schema};
use crate::text::chain;
use hide::Hidden;

/// Of one schema, bytes: names first, then lines. Those that find no room are told by their digests.
const BYTES_MAX: usize = 1 << 19;

/// Reads the schema as it is now. The error is fit for showing: it holds no password.
pub(crate) async fn read(target: &Target, salt: &[u8]) -> Result<v1::Schema, String> {
    let (location, _) = target.locate().await.map_err(|error| chain(&error))?;
    let schema = db::schema(&location).await.map_err(|error| chain(&error))?;
    to_wire((&schema, location.engine()), salt, BYTES_MAX)
}

fn to_wire(
    (schema, engine): (&Schema, Engine),
    salt: &[u8],
    most: usize,
) -> Result<v1::Schema, String> {
    const DIGEST: usize = 8;
    let names: usize = schema
        .iter()
        .map(|(key, _)| key.kind.len() + key.name.len() + key.on.len() + 2 * DIGEST)
        .sum();
    let Some(mut room) = most.checked_sub(names) else {
        let count = schema.iter().count();
        return Err(format!("its schema has {count} objects, too many to be told"));
    };
    let hidden = Hidden::new(engine, salt);
    let mut objects = Vec::new();
    for (key, lines) in schema.iter() {
        let told = hidden.lines(&key.kind, lines);
        let size: usize = told.iter().map(|line| line.len() + 4).sum();
        let fits = size <= room;
        room -= if fits { size } else { 0 };
        let mut hash = Sha256::new();
        hash.update(salt);
        for line in lines {
            hash.update(line);
            hash.update(b"\n");
        }
        let digest: [u8; 32] = hash.finalize().into();
        objects.push(v1::SchemaObject {
            kind: key.kind.clone(),
            name: key.name.clone(),
            hangs_on: key.on.clone(),
            lines: if fits { told } else { Vec::new() },
            digest: Bytes::copy_from_slice(digest.split_at(DIGEST).0),
            lines_left_out: !fits,
        });
    }
    Ok(v1::Schema { fingerprint: Bytes::copy_from_slice(&schema.fingerprint().0), objects })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Key;

    fn schema() -> Schema {
        let mut schema = Schema::default();
        let key = |kind: &str, name: &str, on: &str| Key {
            kind: kind.to_owned(),
            name: name.to_owned(),
            on: on.to_owned(),
        };
        schema.push(key("table", "t", "t"), ["column a text default 'pa55word'::text".to_owned()]);
        schema.push(key("index", "i", "t"), ["CREATE INDEX i ON t (a)".to_owned()]);
        schema
    }

    #[test]
    fn what_finds_no_room_is_told_by_its_digest() {
        let whole = to_wire((&schema(), Engine::Postgres), b"salt", BYTES_MAX).unwrap();
        assert!(!format!("{whole:?}").contains("pa55word"), "{whole:?}");
        let small = to_wire((&schema(), Engine::Postgres), b"salt", 80).unwrap();
        let left_out: Vec<bool> = small.objects.iter().map(|it| it.lines_left_out).collect();
        assert_eq!(left_out, [false, true], "{small:?}");
        let digests = |schema: &v1::Schema| -> Vec<Bytes> {
            schema.objects.iter().map(|object| object.digest.clone()).collect()
        };
        assert_eq!(digests(&whole), digests(&small));
        let salted = to_wire((&schema(), Engine::Postgres), b"other", BYTES_MAX).unwrap();
        assert_ne!(digests(&whole), digests(&salted));
        assert!(to_wire((&schema(), Engine::Postgres), b"salt", 20).is_err());
    }
}
