//! The whole of `skein.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::agent::Agent;
use super::coordinator::{self, Coordinator};
use super::discovery::{self, Discovery};
use super::error::ConfigError;
use super::project::Project;
use super::strategy::Strategy;
use super::target::{self, Target};
use super::window::{Blackout, Window};

/// A file that was read and found to be in order. Paths in it are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub path: PathBuf,
    /// What relative paths in the file are relative to.
    pub directory: PathBuf,
    pub project: Project,
    /// `None`: the coordinator runs inside this process, with its data in [`Self::data`].
    pub coordinator: Option<Coordinator>,
    pub agent: Agent,
    pub strategy: Strategy,
    /// When targets may be worked on, whatever the strategy.
    pub windows: Vec<Window>,
    /// When they may not.
    pub blackouts: Vec<Blackout>,
    /// In the order of the file.
    pub targets: Vec<Target>,
    /// Where more of them are found.
    pub discoveries: Vec<Discovery>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    project: Project,
    coordinator: Option<coordinator::Raw>,
    #[serde(default)]
    agent: Agent,
    #[serde(default)]
    strategy: Strategy,
    #[serde(default, rename = "window")]
    windows: Vec<Window>,
    #[serde(default, rename = "blackout")]
    blackouts: Vec<Blackout>,
    #[serde(default, rename = "target")]
    targets: Vec<target::Raw>,
    #[serde(default, rename = "discovery")]
    discoveries: Vec<discovery::Raw>,
}

impl File {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], at the first thing that is wrong.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unread = |source| ConfigError::Read { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(unread)?;
        let whole = std::path::absolute(path).map_err(unread)?;
        let directory = whole.parent().unwrap_or(Path::new("/"));
        Self::parse(&text, path, directory)
    }

    /// The same for text that was read already; `path` is for errors only.
    pub fn parse(text: &str, path: &Path, directory: &Path) -> Result<Self, ConfigError> {
        let raw: Raw =
            toml::from_str(text).map_err(|error| ConfigError::toml(path, text, &error))?;
        let wrong =
            |(span, message): coordinator::Wrong| ConfigError::at(path, text, &span, &message);
        let mut targets = Vec::with_capacity(raw.targets.len());
        let mut lines = BTreeMap::new();
        for target in raw.targets {
            let span = target.span();
            let target = target.read(directory).map_err(wrong)?;
            let line = line_of(text, span.start);
            if let Some(first) = lines.insert(target.id.clone(), line) {
                let message = format!(
                    "target `{}` stands here and on line {first}; an id names one target only",
                    target.id
                );
                return Err(wrong((span, message)));
            }
            targets.push(target);
        }
        let mut discoveries: Vec<Discovery> = Vec::with_capacity(raw.discoveries.len());
        for discovery in raw.discoveries {
            let span = discovery.span();
            let discovery = discovery.read(directory).map_err(wrong)?;
            if discoveries.iter().any(|other| other.name == discovery.name) {
                let message = format!("another discovery is called `{}`, too", discovery.name);
                return Err(wrong((span, message)));
            }
            discoveries.push(discovery);
        }
        Ok(Self {
            path: path.to_owned(),
            directory: directory.to_owned(),
            project: raw.project.relative_to(directory),
            coordinator: raw.coordinator.map(coordinator::Raw::read).transpose().map_err(wrong)?,
            agent: raw.agent,
            strategy: raw.strategy,
            windows: raw.windows,
            blackouts: raw.blackouts,
            targets,
            discoveries,
        })
    }

    /// Where everything is kept that Skein itself makes on this host.
    pub fn data(&self) -> PathBuf {
        self.directory.join(".skein")
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
