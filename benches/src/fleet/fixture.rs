//! The fleet: SQLite files with an `accounts` table, and ten migrations of the usual kinds. The same
//! files for everybody.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use rusqlite::Connection;

/// Name, up, down: four tables, two columns, one backfill of every row, two indexes of which one has two
/// columns (a third comes with a table), one copy of every row.
pub(super) const MIGRATIONS: [(&str, &str, &str); 10] = [
    (
        "0001_orders",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, account_id INTEGER NOT NULL, placed_at INTEGER NOT NULL, cents INTEGER NOT NULL);",
        "DROP TABLE orders;",
    ),
    (
        "0002_order_items",
        "CREATE TABLE order_items (order_id INTEGER NOT NULL, line INTEGER NOT NULL, sku TEXT NOT NULL, PRIMARY KEY (order_id, line));",
        "DROP TABLE order_items;",
    ),
    (
        "0003_addresses",
        "CREATE TABLE addresses (id INTEGER PRIMARY KEY, account_id INTEGER NOT NULL, city TEXT, country TEXT);\nCREATE INDEX addresses_account ON addresses (account_id, country);",
        "DROP TABLE addresses;",
    ),
    (
        "0004_audit_entries",
        "CREATE TABLE audit_entries (id INTEGER PRIMARY KEY, account_id INTEGER NOT NULL, what TEXT NOT NULL, at INTEGER NOT NULL);",
        "DROP TABLE audit_entries;",
    ),
    (
        "0005_tier",
        "ALTER TABLE accounts ADD COLUMN tier TEXT NOT NULL DEFAULT 'none';",
        "ALTER TABLE accounts DROP COLUMN tier;",
    ),
    (
        "0006_email_key",
        "ALTER TABLE accounts ADD COLUMN email_key TEXT;",
        "ALTER TABLE accounts DROP COLUMN email_key;",
    ),
    (
        "0007_backfill",
        "UPDATE accounts SET email_key = lower(email), tier = CASE WHEN balance > 5000 THEN 'gold' ELSE 'plain' END;",
        "UPDATE accounts SET email_key = NULL, tier = 'none';",
    ),
    (
        "0008_email_key_index",
        "CREATE INDEX accounts_email_key ON accounts (email_key);",
        "DROP INDEX accounts_email_key;",
    ),
    (
        "0009_tier_index",
        "CREATE INDEX accounts_tier_created ON accounts (tier, created_at);",
        "DROP INDEX accounts_tier_created;",
    ),
    (
        "0010_first_entries",
        "INSERT INTO audit_entries (account_id, what, at) SELECT id, 'created as ' || tier, created_at FROM accounts;",
        "DELETE FROM audit_entries;",
    ),
];

/// What the migrations make.
const OBJECTS: [&str; 7] = [
    "orders",
    "order_items",
    "addresses",
    "addresses_account",
    "audit_entries",
    "accounts_email_key",
    "accounts_tier_created",
];

/// One database that all shards are copies of.
pub(super) fn template(path: &Path, rows: u32) -> Result<()> {
    let database = Connection::open(path).context("failed to make the shard to copy")?;
    database
        .execute_batch(
            "CREATE TABLE accounts (id INTEGER PRIMARY KEY, email TEXT NOT NULL, created_at INTEGER NOT NULL, balance INTEGER NOT NULL);",
        )
        .context("failed to make the table of accounts")?;
    database
        .execute(
            "INSERT INTO accounts
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
             SELECT i, 'Account.' || i || '@Example.org', 1700000000 + i * 37, i * 7919 % 10000 FROM n WHERE ?1 > 0",
            [rows],
        )
        .context("failed to fill the table of accounts")?;
    Ok(())
}

/// A directory with everything that any of the tools wants: copies of the template, the migrations as
/// they are, the same wrapped in transactions that record themselves, and a project file.
pub(super) fn project(directory: &Path, template: &Path, shards: u32, slots: u32) -> Result<()> {
    let make = |name: &str| {
        let path = directory.join(name);
        fs::create_dir_all(&path).map(|()| path).context("failed to make a directory")
    };
    let (files, wrapped) = (make("migrations")?, make("wrapped")?);
    let write = |path: PathBuf, text: &str| fs::write(path, text).context("failed to write a file");
    for (name, up, down) in MIGRATIONS {
        write(files.join(format!("{name}.up.sql")), &format!("{up}\n"))?;
        write(files.join(format!("{name}.down.sql")), &format!("{down}\n"))?;
        let version = name.split('_').next().unwrap_or(name);
        let text = format!(
            "BEGIN;\n{up}\nINSERT INTO schema_migrations (version) VALUES ('{version}');\nCOMMIT;\n"
        );
        write(wrapped.join(format!("{version}.sql")), &text)?;
    }
    let mut config =
        format!("[project]\nformat = \"sqlx\"\n[agent]\nid = \"bench\"\nslots = {slots}\n");
    make("shards")?;
    for shard in shards_of(directory, shards) {
        fs::copy(template, &shard).context("failed to copy a shard")?;
        let name = shard.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        writeln!(config, "[[target]]\nid = \"{name}\"\nurl = \"sqlite:shards/{name}.db\"")?;
    }
    write(directory.join("skein.toml"), &config)
}

/// The files of the shards.
pub(super) fn shards_of(directory: &Path, shards: u32) -> impl Iterator<Item = PathBuf> {
    let directory = directory.join("shards");
    (0..shards).map(move |shard| directory.join(format!("s{shard:05}.db")))
}

/// Looks at every shard with its own eyes: every object is there, every row was changed.
pub(super) fn verify(directory: &Path, shards: u32, rows: u32) -> Result<()> {
    for shard in shards_of(directory, shards) {
        verify_one(&shard, rows).with_context(|| format!("{} is not migrated", shard.display()))?;
    }
    Ok(())
}

fn verify_one(shard: &Path, rows: u32) -> Result<()> {
    let database = Connection::open(shard)?;
    let count = |sql: &str| database.query_row(sql, [], |row| row.get::<_, u32>(0));
    for object in OBJECTS {
        let sql = format!("SELECT count(*) FROM sqlite_schema WHERE name = '{object}'");
        ensure!(count(&sql)? == 1, "{object} is missing");
    }
    let filled = count(
        "SELECT count(*) FROM accounts WHERE email_key = lower(email) AND tier IN ('gold', 'plain')",
    )?;
    ensure!(filled == rows, "{filled} of {rows} rows are backfilled");
    let copied = count("SELECT count(*) FROM audit_entries")?;
    ensure!(copied == rows, "{copied} of {rows} rows are copied");
    Ok(())
}
