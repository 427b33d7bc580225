//! Where a target's URL is kept, and how it is come by at each connection.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer};

use super::secret::Secret;
use crate::db::Engine;

/// How long a command may take to print a URL.
const COMMAND_WAIT: Duration = Duration::from_secs(20);

/// A URL, or the place where it stands. Read at each connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Url {
    /// In the file itself.
    Plain(Secret),
    /// In this variable of the agent's environment.
    Env(String),
    /// In this file, around which white space does not count.
    File(PathBuf),
    /// On the standard output of this line, run by `sh -c`.
    Command(String),
    /// What one of the others gives, in which `{name}` stands for a value. A command finds the value of `id`
    /// in its environment, as `SKEIN_TARGET`.
    Filled { template: Box<Self>, values: BTreeMap<String, String> },
}

/// Why a URL could not be come by. Never holds the URL.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    #[error("find the target's URL: the environment has no variable {name}; set it for the agent")]
    NoVariable { name: String },
    #[error("find the target's URL: the environment variable {name} is not UTF-8")]
    NotText { name: String },
    #[error("find the target's URL: {} cannot be read ({source})", path.display())]
    NoFile { path: PathBuf, source: std::io::Error },
    #[error("find the target's URL: its command cannot be run ({source})")]
    NotRun { source: std::io::Error },
    #[error("find the target's URL: its command ended with {status}; run it by hand to see why")]
    CommandFailed { status: std::process::ExitStatus },
    #[error(
        "find the target's URL: its command took longer than {} s and was ended",
        COMMAND_WAIT.as_secs()
    )]
    CommandSlow,
    #[error(
        "find the target's URL: nothing is known by the name {{{name}}} that stands in it; a brace that \
         means itself is written %7B or %7D"
    )]
    NoValue { name: String },
    #[error("find the target's URL: what stands {place} is empty")]
    Empty { place: String },
    #[error(
        "the target's URL {place} is for {found}, its engine is given as {expected}; \
         correct one of the two"
    )]
    OtherEngine { place: String, found: Engine, expected: Engine },
    #[error(transparent)]
    Location(#[from] crate::db::LocationError),
}

impl Url {
    /// The URL as it stands now. A relative SQLite file is below `directory`.
    pub async fn read(&self, directory: &Path) -> Result<Secret, UrlError> {
        match self {
            Self::Filled { template, values } => {
                let target = values.get("id").map(String::as_str);
                fill(template.text(directory, target).await?.expose(), values)
            }
            other => other.text(directory, None).await,
        }
    }

    /// The same, where it stands in the file itself.
    pub(super) fn known(&self, directory: &Path) -> Result<Option<Secret>, UrlError> {
        match self {
            Self::Plain(text) => Ok(Some(Secret::new(absolute(text.expose().trim(), directory)))),
            Self::Filled { template, values } => match template.as_ref() {
                Self::Plain(text) => {
                    fill(&absolute(text.expose().trim(), directory), values).map(Some)
                }
                _ => Ok(None),
            },
            Self::Env(_) | Self::File(_) | Self::Command(_) => Ok(None),
        }
    }

    async fn text(&self, directory: &Path, target: Option<&str>) -> Result<Secret, UrlError> {
        let text = match self {
            Self::Plain(url) => url.expose().to_owned(),
            Self::Env(name) => std::env::var(name).map_err(|error| match error {
                std::env::VarError::NotPresent => UrlError::NoVariable { name: name.clone() },
                std::env::VarError::NotUnicode(_) => UrlError::NotText { name: name.clone() },
            })?,
            Self::File(path) => tokio::fs::read_to_string(path)
                .await
                .map_err(|source| UrlError::NoFile { path: path.clone(), source })?,
            Self::Command(line) => run(line, directory, target).await?,
            // One is not made of another.
            Self::Filled { .. } => String::new(),
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(UrlError::Empty { place: self.to_string() });
        }
        Ok(Secret::new(absolute(text, directory)))
    }

    pub(super) fn relative_to(self, directory: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(directory.join(path)),
            other @ (Self::Plain(_) | Self::Env(_) | Self::Command(_) | Self::Filled { .. }) => {
                other
            }
        }
    }
}

/// Where the URL is kept, never what it is.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(_) => f.write_str("in the configuration"),
            Self::Env(name) => write!(f, "in the environment variable {name}"),
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Command(_) => f.write_str("printed by its command"),
            Self::Filled { template, .. } => template.fmt(f),
        }
    }
}

/// `{name}` replaced by its value, escaped for whatever part of a URL it stands in.
fn fill(template: &str, values: &BTreeMap<String, String>) -> Result<Secret, UrlError> {
    let mut filled = String::with_capacity(template.len());
    let mut parts = template.split('{');
    filled.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap_or((part, ""));
        let Some(value) = values.get(name) else {
            // What stands there may be a password with a brace in it.
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            let shown = name.len() <= 40 && name.chars().all(plain) && part.contains('}');
            let name = if shown { name.to_owned() } else { "…".to_owned() };
            return Err(UrlError::NoValue { name });
        };
        filled.extend(utf8_percent_encode(value, VALUE));
        filled.push_str(rest);
    }
    Ok(Secret::new(filled))
}

async fn run(line: &str, directory: &Path, target: Option<&str>) -> Result<String, UrlError> {
    let mut command = tokio::process::Command::new("sh");
    if let Some(target) = target {
        command.env("SKEIN_TARGET", target);
    }
    command.arg("-c").arg(line).current_dir(directory).stdin(Stdio::null());
    let output = command.stderr(Stdio::null()).kill_on_drop(true).output();
    let output = match tokio::time::timeout(COMMAND_WAIT, output).await {
        Ok(output) => output.map_err(|source| UrlError::NotRun { source })?,
        Err(_) => return Err(UrlError::CommandSlow),
    };
    if !output.status.success() {
        return Err(UrlError::CommandFailed { status: output.status });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What has a meaning of its own somewhere in a URL.
const VALUE: &AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The same for the path alone.
const PATH: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

/// A relative SQLite file, made absolute; any other URL as it is.
fn absolute(url: &str, directory: &Path) -> String {
    let Some(rest) = url.strip_prefix("sqlite:") else { return url.to_owned() };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    if rest.starts_with('/') || rest.is_empty() || rest.contains(":memory:") {
        return url.to_owned();
    }
    let directory = directory.to_string_lossy();
    let directory = utf8_percent_encode(&directory, PATH);
    format!("sqlite://{directory}/{rest}")
}

/// A string, or one of `{ env = … }`, `{ file = … }` and `{ command = … }`.
impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Url;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a URL, { env = \"VARIABLE\" }, { file = \"path\" } or { command = \"line\" }",
                )
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Url, E> {
                Ok(Url::Plain(Secret::new(text)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Url, A::Error> {
                let place = Place::deserialize(MapAccessDeserializer::new(map))?;
                match (place.env, place.file, place.command) {
                    (Some(name), None, None) => Ok(Url::Env(name)),
                    (None, Some(path), None) => Ok(Url::File(path)),
                    (None, None, Some(line)) => Ok(Url::Command(line)),
                    _ => Err(A::Error::custom("give exactly one of env, file and command")),
                }
            }
        }
        from.deserialize_any(Either)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    env: Option<String>,
    file: Option<PathBuf>,
    command: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_file_is_below_the_directory() {
        let directory = Path::new("/srv/a b");
        for (url, expected) in [
            ("sqlite:shards/eu-1.db", "sqlite:///srv/a%20b/shards/eu-1.db"),
            ("sqlite://shards/eu-1.db?mode=rwc", "sqlite:///srv/a%20b/shards/eu-1.db?mode=rwc"),
            ("sqlite:///var/x.db", "sqlite:///var/x.db"),
            ("sqlite:/var/x.db", "sqlite:/var/x.db"),
            ("postgres://h/d", "postgres://h/d"),
        ] {
            assert_eq!(absolute(url, directory), expected, "{url}");
        }
    }

    #[tokio::test]
    async fn a_url_is_read_where_it_stands_now() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("url");
        let url = Url::File(path.clone());
        std::fs::write(&path, "postgres://a:old@h/d\n").unwrap();
        assert_eq!(url.read(directory.path()).await.unwrap().expose(), "postgres://a:old@h/d");
        std::fs::write(&path, "postgres://a:new@h/d\n").unwrap();
        assert_eq!(url.read(directory.path()).await.unwrap().expose(), "postgres://a:new@h/d");

        let printed = Url::Command("printf 'sqlite:x.db'".to_owned());
        let url = printed.read(Path::new("/srv/not/there")).await;
        // The command runs in the directory, which must exist.
        assert!(matches!(url, Err(UrlError::NotRun { .. })));
        let url = printed.read(directory.path()).await.unwrap();
        assert!(url.expose().ends_with("/x.db"), "{}", url.expose());

        let failed = Url::Command("echo postgres://a:canary@h/d; exit 3".to_owned());
        let error = failed.read(directory.path()).await.unwrap_err();
        assert!(
            error.to_string().contains('3') && !format!("{error} {error:?}").contains("canary")
        );
    }
}
