//! Reads the table of contents of a PostgreSQL archive.

use std::collections::BTreeSet;
use std::io::{self, PipeWriter, Read, Write};

use super::super::archive::{Archive, Listing};
use super::super::child::{Pipe, command, pipe, start};
use super::super::destination::{Destination, blocking};
use super::super::error::BackupError;
use super::super::stream::unpack;
use super::super::tool::{Fit, Tool, find};

/// A table of contents larger than this (some 500 000 objects) is not held in memory.
const LISTING_MAX: u64 = 64 << 20;

/// One line of the table of contents: `217; 1259 16390 TABLE public orders owner`. Names are not
/// quoted there, so one with a space is told by what else is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) line: String,
    pub(super) kind: String,
    /// Everything behind the kind: schema or `-`, names, owner.
    pub(super) rest: String,
}

/// Kinds of more than one word that matter here; of the rest the first word is enough.
const LONG_KINDS: [&str; 7] = [
    "FK CONSTRAINT",
    "TABLE DATA",
    "TABLE ATTACH",
    "FOREIGN TABLE",
    "MATERIALIZED VIEW DATA",
    "MATERIALIZED VIEW",
    "DEFAULT ACL",
];

impl Entry {
    pub(super) fn read(line: &str) -> Option<Self> {
        let (number, rest) = line.split_once("; ")?;
        let _number: u32 = number.parse().ok()?;
        let mut parts = rest.splitn(3, ' ');
        let (_, _, described) = (parts.next()?, parts.next()?, parts.next()?);
        let first = described.split(' ').next()?;
        let kind = LONG_KINDS
            .into_iter()
            .find(|kind| described.strip_prefix(kind).is_some_and(|rest| rest.starts_with(' ')))
            .unwrap_or(first);
        let rest = described.strip_prefix(kind)?.trim_start().to_owned();
        Some(Self { line: line.to_owned(), kind: kind.to_owned(), rest })
    }

    /// The schema that this entry creates.
    pub(super) fn created_schema(&self) -> Option<&str> {
        match self.kind.as_str() {
            "SCHEMA" => Some(self.rest.strip_prefix("- ")?.rsplit_once(' ')?.0),
            _ => None,
        }
    }

    /// The extension that this entry creates or comments on.
    pub(super) fn extension(&self) -> Option<&str> {
        match self.kind.as_str() {
            "EXTENSION" => self.rest.strip_prefix("- ").map(str::trim_end),
            "COMMENT" => self.rest.strip_prefix("- EXTENSION ").map(str::trim_end),
            _ => None,
        }
    }

    /// Whether it creates `schema` or something in it.
    pub(super) fn is_of(&self, schema: &str) -> bool {
        self.created_schema() == Some(schema) || self.inside(schema).is_some()
    }

    /// What follows the schema's name where the entry is in it.
    fn inside(&self, schema: &str) -> Option<&str> {
        self.rest.strip_prefix(schema)?.strip_prefix(' ')
    }

    /// Whether it is one of Skein's own tables, or something on one.
    pub(super) fn is_ledger(&self) -> bool {
        self.rest.split_whitespace().any(|word| word.starts_with("_skein_"))
    }

    /// `schema.table` of a table's own entry; the last word is the owner.
    fn table(&self, schemas: &BTreeSet<&str>) -> Option<String> {
        if self.kind != "TABLE" {
            return None;
        }
        let known = schemas
            .iter()
            .rev()
            .find_map(|schema| self.inside(schema).map(|names| (*schema, names)));
        let (schema, names) = known.or_else(|| self.rest.split_once(' '))?;
        Some(format!("{schema}.{}", names.rsplit_once(' ')?.0))
    }
}

/// An archive that was read to its end, and its table of contents.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) listing: Listing,
    pub(super) entries: Vec<Entry>,
}

pub(in super::super) async fn check(
    archive: &Archive,
    destination: &Destination,
) -> Result<Listing, BackupError> {
    read(archive, destination).await.map(|read| read.listing)
}

pub(super) async fn read(
    archive: &Archive,
    destination: &Destination,
) -> Result<Contents, BackupError> {
    let found = find(Tool::PgRestore, Fit::Postgres { major: tool_major(archive) }).await?;
    let stored = destination.open_whole(archive).await?;
    let mut command = command(&found);
    command.arg("--list");
    let ((stdin, to), (from, stdout)) = (pipe()?, pipe()?);
    let running = start(&found, command, Pipe::Both(stdin, stdout), None)?;
    let wanted = archive.clone();
    let unpacking =
        blocking("reading the archive", move || unpack(stored, &wanted, Deaf(Some(to))));
    let name = archive.location.clone();
    let listening = blocking("reading the listing", move || {
        let mut text = Vec::new();
        from.take(LISTING_MAX)
            .read_to_end(&mut text)
            .map_err(|error| BackupError::Unreadable { name, why: error.to_string() })?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    });
    let (unpacked, text) = tokio::join!(unpacking, listening);
    let finished = running.finish().await;
    let unreadable = |why: String| BackupError::Unreadable { name: archive.location.clone(), why };
    // Changed bytes explain whatever pg_restore says about them.
    let bytes_dumped = unpacked?.map_err(|error| unreadable(error.to_string()))?;
    finished.map_err(|error| unreadable(error.to_string()))?;
    let entries: Vec<Entry> = text?.lines().filter_map(Entry::read).collect();
    let schemas: BTreeSet<&str> =
        entries.iter().filter_map(Entry::created_schema).chain(archive.schema.as_deref()).collect();
    let tables: BTreeSet<String> =
        entries.iter().filter_map(|entry| entry.table(&schemas)).collect();
    let listing = Listing {
        tables: tables.into_iter().collect(),
        entries: u64::try_from(entries.len()).unwrap_or(u64::MAX),
        bytes_dumped,
    };
    Ok(Contents { listing, entries })
}

/// The major version of the program that made the archive; its reader must not be older.
pub(super) fn tool_major(archive: &Archive) -> u32 {
    let version = archive.tool.rsplit(' ').next().unwrap_or_default();
    version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default()
}

/// `pg_restore --list` stops reading behind the table of contents; the archive is read on.
struct Deaf(Option<PipeWriter>);

impl Write for Deaf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(to) = &mut self.0 else { return Ok(bytes.len()) };
        match to.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.0 = None;
                Ok(bytes.len())
            }
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_table_of_contents_are_read() {
        let read = |line| Entry::read(line).unwrap();
        let table = |line| read(line).table(&BTreeSet::from(["Ten", "Ten ant"]));
        assert_eq!(table("217; 1259 16390 TABLE public orders me").unwrap(), "public.orders");
        assert_eq!(table("217; 1259 16390 TABLE public two words me").unwrap(), "public.two words");
        assert_eq!(table("217; 1259 16390 TABLE Ten ant t me").unwrap(), "Ten ant.t");
        assert_eq!(table("33; 0 16390 TABLE DATA public orders me"), None);
        assert_eq!(read("35; 2606 1 FK CONSTRAINT public orders fk me").kind, "FK CONSTRAINT");
        let schema = read("5; 2615 2200 SCHEMA - Ten ant me");
        assert_eq!(schema.created_schema(), Some("Ten ant"));
        assert!(schema.is_of("Ten ant") && !schema.is_of("Ten"));
        assert_eq!(read("2; 3079 16385 EXTENSION - pgcrypto ").extension(), Some("pgcrypto"));
        assert_eq!(read("3; 0 0 COMMENT - EXTENSION pgcrypto ").extension(), Some("pgcrypto"));
        assert!(
            read("34; 2606 1 CONSTRAINT public _skein_ledger _skein_ledger_pkey me").is_ledger()
        );
        assert!(read("34; 0 0 COMMENT public TABLE _skein_ledger me").is_ledger());
        assert!(!read("34; 0 0 TABLE public a_skein_ledger me").is_ledger());
        assert_eq!(Entry::read(";     Format: CUSTOM"), None);
        assert_eq!(Entry::read(""), None);
    }
}
