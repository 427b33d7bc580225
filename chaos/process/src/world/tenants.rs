//! Targets that an agent finds by itself: a program names them, as whoever knows the tenants would.
//!
//! Some are there from the beginning, for those who work by hand. Others come in the midst of a round, and are
//! retired in a later one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use serde_json::json;
use skein_agent::db::Engine;

use super::target::Target;

/// The region whose agent finds them.
pub(crate) const BY: &str = "eu";
/// The beginning of the ids of those that people migrate by hand.
pub(crate) const HAND: &str = "hand/";
/// Of those that come with a schema and without a ledger.
pub(crate) const OLD: &str = "old/";

/// Whether only one person works on it, by rollouts of its own.
pub(crate) fn is_somebodys(id: &str) -> bool {
    id.starts_with(HAND) || id.starts_with(OLD)
}

/// How an agent reaches a server: over its own wire.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    pub(crate) postgres: SocketAddr,
    pub(crate) mysql: SocketAddr,
}

impl Reach {
    pub(crate) fn url(&self, target: &Target) -> String {
        let Self { postgres, mysql } = self;
        match target.engine {
            Engine::Sqlite => target.url.clone(),
            Engine::Mysql => format!("mysql://root@{mysql}/{}?ssl-mode=DISABLED", target.name),
            Engine::Postgres => {
                format!("postgres://postgres@{postgres}/{}?sslmode=disable", target.name)
            }
        }
    }
}

#[derive(Debug, Default)]
struct Named {
    /// With the object that the program prints.
    rows: BTreeMap<String, String>,
    /// Not any more.
    gone: BTreeSet<String>,
}

/// What the program prints. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Tenants {
    file: PathBuf,
    reach: Reach,
    named: Arc<Mutex<Named>>,
}

impl Tenants {
    pub(crate) fn new(dir: &Path, reach: Reach) -> Self {
        Self { file: dir.join("tenants.json"), reach, named: Arc::default() }
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    fn change(&self, change: impl FnOnce(&mut Named)) -> Result<()> {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut named);
        let mut text = String::new();
        for row in named.rows.values() {
            text.push_str(row);
            text.push('\n');
        }
        // Whole or not there: it may be read at any moment.
        let next = self.file.with_extension("next");
        std::fs::write(&next, text).context("failed to write down the tenants")?;
        std::fs::rename(&next, &self.file).context("failed to write down the tenants")
    }

    /// From now on it is named.
    pub(crate) fn name(&self, target: &Target) -> Result<()> {
        let row = json!({
            "id": target.id,
            "url": self.reach.url(target),
            "group": target.engine.to_string(),
            "region": target.region,
        });
        self.change(|named| {
            named.rows.insert(target.id.clone(), row.to_string());
        })
    }

    /// And from now on it is not.
    pub(crate) fn forget(&self, id: &str) -> Result<()> {
        self.change(|named| {
            named.rows.remove(id);
            named.gone.insert(id.to_owned());
        })
    }

    /// Whether an agent should know it.
    pub(crate) fn serves(&self, id: &str) -> bool {
        let named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        !named.gone.contains(id)
    }
}
