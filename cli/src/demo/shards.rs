//! Twelve SQLite shards in three regions, and what is in them.

use std::path::{Path, PathBuf};

use futures::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use sqlx::ValueRef as _;

use crate::render::words;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _, Row as _, TypeInfo as _,
};

/// Region and number of each, as `eu-1`.
pub(crate) const SHARDS: [&str; 12] = [
    "eu-1", "eu-2", "eu-3", "us-1", "us-2", "us-3", "us-4", "ap-1", "ap-2", "ap-3", "ap-4", "ap-5",
];
/// The shard whose data breaks the third migration.
pub(crate) const BROKEN: &str = "eu-3";

/// Where a shard is.
pub(crate) fn path(dir: &Path, shard: &str) -> PathBuf {
    dir.join("shards").join(format!("{shard}.db"))
}

/// The region in a shard's name.
pub(crate) fn region(shard: &str) -> &str {
    shard.split('-').next().unwrap_or(shard)
}

async fn open(dir: &Path, shard: &str) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new().filename(path(dir, shard)).create_if_missing(true).connect().await
}

/// Makes the shards: users, and the profiles from which their addresses will come. On one shard two
/// users have the same address.
pub(crate) async fn create(dir: &Path, rows: u32) -> Result<(), sqlx::Error> {
    for shard in SHARDS {
        let mut connection = open(dir, shard).await?;
        let fill = format!(
            "BEGIN;
             CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
             CREATE TABLE profiles (user_id INTEGER PRIMARY KEY, address TEXT NOT NULL);
             CREATE TABLE effects (step TEXT NOT NULL);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO users SELECT i, 'user ' || i FROM n;
             INSERT INTO profiles SELECT id, 'u' || id || '@{shard}.example' FROM users;
             COMMIT;"
        );
        // Only our own words and a number are in it.
        sqlx::raw_sql(AssertSqlSafe(fill)).execute(&mut connection).await?;
        if shard == BROKEN {
            let twin = i64::from(rows * 17 / 20);
            sqlx::query("UPDATE profiles SET address = 'u1@eu-3.example' WHERE user_id = ?")
                .bind(twin)
                .execute(&mut connection)
                .await?;
        }
        connection.close().await?;
    }
    Ok(())
}

/// SHA-256 over the schema and every row of a shard, but for Skein's own tables.
pub(crate) async fn checksum(dir: &Path, shard: &str) -> Result<String, sqlx::Error> {
    let mut connection = open(dir, shard).await?;
    let mut hash = Sha256::new();
    let schema = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '\\_skein\\_%' ESCAPE '\\' \
                  AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type DESC, name";
    let objects: Vec<(String, Option<String>)> =
        sqlx::query_as(schema).fetch_all(&mut connection).await?;
    for (name, sql) in objects {
        let sql = sql.unwrap_or_default();
        // ALTER TABLE leaves white space of its own behind.
        hash.update(sql.split_whitespace().collect::<Vec<_>>().join(" "));
        if !sql.trim_start().to_ascii_uppercase().starts_with("CREATE TABLE") {
            continue;
        }
        let rows = format!("SELECT * FROM \"{}\" ORDER BY rowid", name.replace('"', "\"\""));
        // The name comes from the catalogue and is quoted.
        let mut rows = sqlx::query(AssertSqlSafe(rows)).fetch(&mut connection);
        while let Some(row) = rows.try_next().await? {
            for column in row.columns() {
                let value = row.try_get_raw(column.ordinal())?;
                if value.is_null() {
                    hash.update([0]);
                    continue;
                }
                let text = match value.type_info().name() {
                    "INTEGER" => row.try_get::<i64, _>(column.ordinal())?.to_string(),
                    _ => row.try_get::<String, _>(column.ordinal())?,
                };
                hash.update([1]);
                hash.update(text);
            }
        }
    }
    connection.close().await?;
    Ok(words::hex(&hash.finalize()))
}

/// The checksums of all shards, in order.
pub(crate) async fn checksums(dir: &Path) -> Result<Vec<String>, sqlx::Error> {
    let mut sums = Vec::with_capacity(SHARDS.len());
    for shard in SHARDS {
        sums.push(checksum(dir, shard).await?);
    }
    Ok(sums)
}

/// How often each step has had its effect on a shard: the steps themselves keep that count.
pub(crate) async fn effects(dir: &Path, shard: &str) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let mut connection = open(dir, shard).await?;
    let counts = sqlx::query_as("SELECT step, count(*) FROM effects GROUP BY step ORDER BY step")
        .fetch_all(&mut connection)
        .await?;
    connection.close().await?;
    Ok(counts)
}
