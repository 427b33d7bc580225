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

/// One line of the table of contents: `217; 1259 16390 TABLE public orders owner`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) line: String,
    pub(super) kind: String,
    /// Everything behind the kind: schema or `-`, names, owner.
    pub(super) words: Vec<String>,
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
        let words = described.strip_prefix(kind)?.split_whitespace().map(str::to_owned).collect();
        Some(Self { line: line.to_owned(), kind: kind.to_owned(), words })
    }

    pub(super) fn schema(&self) -> Option<&str> {
        self.words.first().map(String::as_str).filter(|schema| *schema != "-")
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.words.get(1).map(String::as_str)
    }

    /// Whether it is one of Skein's own tables, or something on one.
    pub(super) fn is_ledger(&self) -> bool {
        self.words.iter().any(|word| word.starts_with("_skein_"))
    }

    /// `schema.table` of a table's own entry; the last word is the owner.
    fn table(&self) -> Option<String> {
        if self.kind != "TABLE" {
            return None;
        }
        let (_owner, names) = self.words.split_last()?;
        let (schema, table) = names.split_first()?;
        Some(format!("{schema}.{}", table.join(" ")))
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
    let tables: BTreeSet<String> = entries.iter().filter_map(Entry::table).collect();
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
        assert_eq!(
            read("217; 1259 16390 TABLE public orders me").table().unwrap(),
            "public.orders"
        );
        assert_eq!(
            read("217; 1259 16390 TABLE public two words me").table().unwrap(),
            "public.two words"
        );
        assert_eq!(read("33; 0 16390 TABLE DATA public orders me").table(), None);
        assert_eq!(
            read("35; 2606 1 FK CONSTRAINT public orders orders_fk me").kind,
            "FK CONSTRAINT"
        );
        let schema = read("5; 2615 2200 SCHEMA - tenant_1 me");
        assert_eq!((schema.schema(), schema.name()), (None, Some("tenant_1")));
        assert!(
            read("34; 2606 1 CONSTRAINT public _skein_ledger _skein_ledger_pkey me").is_ledger()
        );
        assert!(read("34; 0 0 COMMENT public TABLE _skein_ledger me").is_ledger());
        assert!(!read("34; 0 0 TABLE public a_skein_ledger me").is_ledger());
        assert_eq!(Entry::read(";     Format: CUSTOM"), None);
        assert_eq!(Entry::read(""), None);
    }
}
