//! Engines as the file spells them.

use serde::{Deserialize, Deserializer};

use crate::db::Engine;

const WORDS: [&str; 4] = ["postgres", "mysql", "mariadb", "sqlite"];

/// For `#[serde(deserialize_with)]`.
pub(super) fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Engine>, D::Error> {
    let text = String::deserialize(from)?;
    match text.as_str() {
        "postgres" => Ok(Some(Engine::Postgres)),
        "mysql" | "mariadb" => Ok(Some(Engine::Mysql)),
        "sqlite" => Ok(Some(Engine::Sqlite)),
        other => Err(serde::de::Error::unknown_variant(other, &WORDS)),
    }
}
