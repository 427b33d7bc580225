//! The databases, as somebody who may look at them at any time finds them. What is in them counts once
//! it would outlast a power cut: an image is taken whenever a transaction is on the disk.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use skein_chaos::observation::{Database, Effect};
use skein_chaos_interpose::disk;
use skein_core::ids::{Digest, Fence, TargetId, Version};
use skein_core::spec::Direction;
use skein_core::state::ledger::Entry;

use crate::agent;

/// A row of the ledger, and its token.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    step: String,
    up: bool,
    digest: Digest,
    token: Fence,
}

/// What a database tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Content {
    rows: Vec<Row>,
    fence: Fence,
    open_intent: Option<String>,
    /// The sum of all balances, where there is such a table: what the migrations of the fixture make.
    balances: Option<i64>,
}

/// One target, as it was last seen.
#[derive(Debug)]
pub(crate) struct Target {
    id: TargetId,
    seen: Content,
}

/// What has changed in one.
pub(crate) enum Change {
    Fence(Fence, Fence),
    Effect(Box<Effect>),
}

impl Target {
    pub(crate) fn new(number: u64) -> Self {
        let id = TargetId(agent::target(number));
        let file = agent::file(&id.0);
        disk::watch(&file, &file.with_extension("db-journal"));
        Self { id, seen: Content::default() }
    }

    pub(crate) fn id(&self) -> &TargetId {
        &self.id
    }

    /// Whether this is its file.
    pub(crate) fn is(&self, file: &Path) -> bool {
        file.ends_with(agent::file(&self.id.0))
    }

    /// What has happened in it since it was last asked; it is now what stands in `image`.
    ///
    /// # Errors
    /// What was there for good is not there any more.
    pub(crate) fn changes(&mut self, image: &Path) -> Result<Vec<Change>, String> {
        let now = read(image).ok_or_else(|| format!("{}: it is no database any more", self.id))?;
        let mut changes = Vec::new();
        let Some(new) = now.rows.strip_prefix(self.seen.rows.as_slice()) else {
            return Err(format!(
                "{}: its ledger was {:?}, on the disk, and is {:?}",
                self.id, self.seen.rows, now.rows
            ));
        };
        let mut fence = self.seen.fence;
        let mut stack = self.seen.in_force();
        for row in new {
            if row.token != fence {
                changes.push(Change::Fence(fence, row.token));
                fence = row.token;
            }
            let effect = row.effect(&self.id, &mut stack)?;
            changes.push(Change::Effect(Box::new(effect)));
        }
        if now.fence != fence {
            changes.push(Change::Fence(fence, now.fence));
        }
        self.seen = now;
        Ok(changes)
    }

    /// A planted bug: its fence stands at nothing again.
    pub(crate) fn forget_fence(&self) {
        change(&agent::file(&self.id.0), "UPDATE _skein_fence SET token = 0");
    }

    /// A planted bug: the ledger loses its last row.
    pub(crate) fn forget_row(&self) {
        let last = "DELETE FROM _skein_ledger WHERE seq = (SELECT MAX(seq) FROM _skein_ledger)";
        change(&agent::file(&self.id.0), last);
    }

    /// As it is in the end.
    ///
    /// # Errors
    /// It cannot be read, or holds other data than its migrations make.
    pub(crate) fn found(&mut self) -> Result<Database, String> {
        let file = agent::file(&self.id.0);
        let now = read(&file).ok_or_else(|| format!("{}: cannot be read", self.id))?;
        let ledger = now.in_force();
        let expected = balances(&ledger);
        if now.balances != expected {
            return Err(format!(
                "{}: its balances add up to {:?}, and with {:?} in force it is {expected:?}",
                self.id,
                now.balances,
                ledger.iter().map(|entry| entry.version.to_string()).collect::<Vec<_>>()
            ));
        }
        Ok(Database {
            target: self.id.clone(),
            ledger,
            fence: now.fence,
            open_intent: now.open_intent,
        })
    }
}

impl Content {
    fn in_force(&self) -> Vec<Entry> {
        let mut stack = Vec::new();
        for row in &self.rows {
            row.apply(&mut stack);
        }
        stack
    }
}

impl Row {
    fn apply(&self, stack: &mut Vec<Entry>) {
        stack.retain(|entry| entry.version.to_string() != self.step);
        if self.up {
            stack.push(Entry { version: Version::from(self.step.as_str()), digest: self.digest });
        }
    }

    fn effect(&self, target: &TargetId, stack: &mut Vec<Entry>) -> Result<Effect, String> {
        // The row of an undo has the digest of what was run; the log goes by the step's own.
        let known = stack.iter().find(|entry| entry.version.to_string() == self.step).cloned();
        self.apply(stack);
        let (entry, script) = if self.up {
            let version = Version::from(self.step.as_str());
            (Entry { version, digest: self.digest }, Direction::Up)
        } else {
            let known = known
                .ok_or_else(|| format!("{target}: {} was undone, and not in force", self.step))?;
            (known, Direction::Down)
        };
        let fence = self.token;
        let (target, intent) = (target.clone(), false);
        Ok(Effect { target, entry, script, fence, whole: true, intent, statements: false })
    }
}

/// What the fixture's migrations make of the balances 10, 20 and 30, in whatever order they are in force.
fn balances(in_force: &[Entry]) -> Option<i64> {
    let mut sum = None;
    for entry in in_force {
        match entry.version.to_string().as_str() {
            "0001" | "1" => sum = Some(60),
            "0002" | "2" => sum = sum.map(|sum: i64| sum * 2),
            "0004" | "4" => sum = sum.map(|sum| sum + 21),
            _ => {}
        }
    }
    sum
}

/// Everything that counts, if nobody is just writing it.
fn read(file: &Path) -> Option<Content> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(file, flags).ok()?;
    let tables: BTreeSet<String> = database
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table'")
        .ok()?
        .query_map([], |row| row.get(0))
        .ok()?
        .collect::<Result<_, _>>()
        .ok()?;
    let mut content = Content::default();
    if tables.contains("_skein_ledger") {
        content.rows = database
            .prepare("SELECT step, direction, digest, token FROM _skein_ledger ORDER BY seq")
            .ok()?
            .query_map([], |row| {
                let direction: String = row.get(1)?;
                let digest: String = row.get(2)?;
                let token: i64 = row.get(3)?;
                Ok(Row {
                    step: row.get(0)?,
                    up: direction == "up",
                    digest: unhex(&digest),
                    token: Fence(u64::try_from(token).unwrap_or(0)),
                })
            })
            .ok()?
            .collect::<Result<_, _>>()
            .ok()?;
    }
    if tables.contains("_skein_fence") {
        let token: i64 =
            database.query_row("SELECT token FROM _skein_fence", [], |row| row.get(0)).ok()?;
        content.fence = Fence(u64::try_from(token).unwrap_or(0));
    }
    if tables.contains("accounts") {
        let sum = database.query_row("SELECT SUM(balance) FROM accounts", [], |row| row.get(0));
        content.balances = Some(sum.ok()?);
    }
    Some(content)
}

/// What no product does: only for bugs that are planted. Where somebody is writing, it comes to nothing.
fn change(file: &Path, sql: &str) {
    if let Ok(database) = Connection::open(file) {
        drop(database.execute_batch(&format!("PRAGMA synchronous = EXTRA; {sql}")));
    }
}

fn unhex(text: &str) -> Digest {
    let mut digest = [0; 32];
    for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
        let pair = text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        *byte = pair.unwrap_or(0);
    }
    Digest(digest)
}
