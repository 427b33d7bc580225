//! The one model that every on-disk format is read into.

use std::fmt;

use crate::finding::Finding;

/// A directory of migrations, read whole. Migrations stand in the order in which they are applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    pub format: Format,
    pub migrations: Vec<Migration>,
    /// What was read past: nothing here changes what runs, and all of it deserves a look.
    pub warnings: Vec<Finding>,
}

/// The on-disk formats that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    GolangMigrate,
    Sqlx,
    Dbmate,
    Diesel,
    Goose,
}

/// One versioned change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// As written on disk, less what the format itself takes away (Diesel's dashes).
    pub version: String,
    /// Where it stands among its neighbours: versions of different formats order differently.
    pub order: Order,
    pub name: String,
    pub up: Script,
    pub down: Option<Script>,
    /// `NAME.verify.sql`: must succeed, and every row it returns must begin with a true value.
    pub verify: Option<Script>,
    /// `NAME.probe.sql`: one query whose first value tells whether the up script is in force.
    pub probe: Option<Script>,
}

/// How versions order: by number (of any size) or as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Decimal digits without leading zeros, compared by length and then by digits, so that a
    /// version beyond 64 bits keeps its place.
    Number(Digits),
    /// Compared byte by byte.
    Text(String),
}

/// A non-negative decimal number of any size, without leading zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digits(String);

impl Digits {
    /// `None` unless `text` is one or more ASCII digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let trimmed = text.trim_start_matches('0');
        Some(Self(if trimmed.is_empty() { "0".to_owned() } else { trimmed.to_owned() }))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Ord for Digits {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Digits {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// SQL text of one direction of one migration, with where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Whose rules the file follows: they decide how it is declared to run outside of a transaction.
    pub format: Format,
    /// Path relative to the bundle's directory, with `/` between its parts.
    pub file: String,
    /// One-based line of `file` at which `text` begins.
    pub line: u32,
    /// What is sent to the database (for goose and dbmate: the section, without its directives).
    pub text: String,
    pub transaction: Transaction,
    /// SHA-256 of the bytes on disk that this script was cut from.
    pub raw_digest: [u8; 32],
    /// SHA-256 of `text` without comments and with white space folded outside of literals: equal
    /// digests mean that an edit changed nothing that runs.
    pub normalised_digest: [u8; 32],
    /// Pieces, where the format itself marks them (the statements of goose, the sections of a dbmate
    /// file with several, in the order in which they run); else empty, and the splitter decides.
    pub marked: Vec<MarkedStatement>,
}

/// A statement that the format delimits by itself (goose's `StatementBegin` … `StatementEnd`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkedStatement {
    pub line: u32,
    pub text: String,
}

/// Whether the author wants the script inside a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transaction {
    /// One transaction around the script, where the engine can.
    Wrapped,
    /// The author declared that this script runs outside of a transaction.
    Outside,
}

impl Format {
    pub const ALL: [Self; 5] =
        [Self::GolangMigrate, Self::Sqlx, Self::Dbmate, Self::Diesel, Self::Goose];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::GolangMigrate => "golang-migrate",
            Self::Sqlx => "sqlx",
            Self::Dbmate => "dbmate",
            Self::Diesel => "diesel",
            Self::Goose => "goose",
        }
    }

    /// Whether SQLite enforces foreign keys when the format's own tool runs a script that does not say.
    ///
    /// The library's own default is off. golang-migrate opens it through mattn/go-sqlite3 or
    /// modernc.org/sqlite and dbmate through mattn/go-sqlite3, none of which turns it on unless the URL
    /// says so; goose uses whatever connection it is given, with the same drivers. Diesel sets nothing
    /// either (a build with the bundled library differs: libsqlite3-sys compiles it with
    /// `SQLITE_DEFAULT_FOREIGN_KEYS=1`). sqlx alone sends `PRAGMA foreign_keys = ON` with every
    /// connection (`SqliteConnectOptions::new`).
    pub fn sqlite_foreign_keys(self) -> bool {
        match self {
            Self::Sqlx => true,
            Self::GolangMigrate | Self::Dbmate | Self::Diesel | Self::Goose => false,
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == text)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
