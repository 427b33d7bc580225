//! The least that one process can do: connections of its own, the same SQL, one transaction with a
//! tracking row for each migration, on so many threads. No plan, no log, no lock, no backup, no undo.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, anyhow, bail};
use rusqlite::Connection;

use super::fixture::{MIGRATIONS, shards_of};

/// The process: `apply|status DIRECTORY SHARDS THREADS`.
pub(crate) fn role(words: &[String]) -> Result<()> {
    let [what, directory, shards, threads] = words else {
        bail!("the floor wants apply|status DIRECTORY SHARDS THREADS")
    };
    let shards: Vec<PathBuf> =
        shards_of(Path::new(directory), shards.parse().context("the number of shards")?).collect();
    let threads: usize = threads.parse().context("the number of threads")?;
    let one: fn(&Path) -> Result<()> = if what == "status" { status } else { apply };
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let work = || {
            while let Some(shard) = shards.get(next.fetch_add(1, Ordering::Relaxed)) {
                one(shard)?;
            }
            Ok::<(), anyhow::Error>(())
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().map_err(|_panic| anyhow!("a thread of the floor has ended badly"))?
        })
    })
}

fn apply(shard: &Path) -> Result<()> {
    let database = Connection::open(shard)?;
    database.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_migrations (version TEXT PRIMARY KEY, at TEXT DEFAULT CURRENT_TIMESTAMP)",
    )?;
    let known = versions(&database)?;
    let mut track = database.prepare("INSERT INTO schema_migrations (version) VALUES (?1)")?;
    for (name, up, _) in MIGRATIONS {
        let version = name.split('_').next().unwrap_or(name);
        if known.iter().any(|known| known == version) {
            continue;
        }
        let transaction = database.unchecked_transaction()?;
        transaction.execute_batch(up)?;
        track.execute([version])?;
        transaction.commit()?;
    }
    Ok(())
}

fn status(shard: &Path) -> Result<()> {
    let database = Connection::open(shard)?;
    if versions(&database)?.len() == MIGRATIONS.len() { Ok(()) } else { bail!("not migrated") }
}

fn versions(database: &Connection) -> Result<Vec<String>> {
    let mut query = database.prepare("SELECT version FROM schema_migrations ORDER BY version")?;
    let versions = query.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(versions)
}
