//! `[[target]]`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::coordinator::Wrong;
use super::id::TargetId;
use super::secret::Secret;
use super::url::{Url, UrlError};
use crate::db::{Engine, Location};

/// A database (or one PostgreSQL schema) that this agent serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub id: TargetId,
    pub url: Url,
    /// From the URL where it stands in the file, else as given; `None` until the URL is read.
    pub engine: Option<Engine>,
    pub labels: BTreeMap<String, String>,
    /// What it shares with its neighbours: host, array, replication tree.
    pub group: String,
    /// The PostgreSQL schema that is the target, where it is not the whole database.
    pub schema: Option<String>,
    /// Where its replicas are, for throttles that ask them how far behind they are.
    pub replicas: Vec<Url>,
    /// What relative paths are relative to.
    pub directory: PathBuf,
}

impl Target {
    /// Where the target is now, with its secret for whoever needs more than a connection.
    pub async fn locate(&self) -> Result<(Location, Secret), UrlError> {
        let url = self.url.read(&self.directory).await?;
        let location = Location::parse(url.expose(), self.schema.as_deref())?;
        match self.engine {
            Some(expected) if expected != location.engine() => Err(UrlError::OtherEngine {
                place: self.url.to_string(),
                found: location.engine(),
                expected,
            }),
            _ => Ok((location, url)),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    id: Spanned<String>,
    url: Spanned<Url>,
    #[serde(default, deserialize_with = "super::engine::optional")]
    engine: Option<Engine>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    group: String,
    schema: Option<Spanned<String>>,
    #[serde(default)]
    replicas: Vec<Spanned<Url>>,
}

impl Raw {
    /// Where its id stands.
    pub(super) fn span(&self) -> Range<usize> {
        self.id.span()
    }

    pub(super) fn read(self, directory: &Path) -> Result<Target, Wrong> {
        let id = TargetId::parse(self.id.get_ref())
            .map_err(|error| (self.id.span(), error.to_string()))?;
        let span = self.url.span();
        let url = self.url.into_inner();
        let schema_span = self.schema.as_ref().map(Spanned::span);
        let schema = self.schema.map(Spanned::into_inner);
        let mut engine = self.engine;
        if let Url::Plain(text) = &url {
            let location = Location::parse(text.expose(), None)
                .map_err(|error| (span.clone(), error.to_string()))?;
            if engine.is_some_and(|engine| engine != location.engine()) {
                let found = location.engine();
                return Err((span, format!("the URL is for {found}, engine says otherwise")));
            }
            engine = Some(location.engine());
            Location::parse(text.expose(), schema.as_deref())
                .map_err(|error| (schema_span.clone().unwrap_or(span), error.to_string()))?;
        }
        if let (Some(span), Some(engine)) = (schema_span, engine)
            && engine != Engine::Postgres
        {
            return Err((span, format!("a target on {engine} is a whole database, not a schema")));
        }
        for replica in &self.replicas {
            if let Url::Plain(text) = replica.get_ref() {
                Location::parse(text.expose(), None)
                    .map_err(|error| (replica.span(), error.to_string()))?;
            }
        }
        let replicas = self.replicas.into_iter().map(Spanned::into_inner);
        let replicas = replicas.map(|url| url.relative_to(directory)).collect();
        Ok(Target {
            id,
            url: url.relative_to(directory),
            engine,
            labels: self.labels,
            group: self.group,
            schema,
            replicas,
            directory: directory.to_owned(),
        })
    }
}
