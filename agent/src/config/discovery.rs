//! `[[discovery]]`: targets that a command or a table names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::coordinator::Wrong;
use super::id::TargetId;
use super::secret::Secret;
use super::target::Target;
use super::url::Url;
use crate::db::{Engine, Location};

/// Read again so often, where the file does not say.
const EVERY: Duration = Duration::from_mins(5);
const EVERY_LEAST: Duration = Duration::from_secs(1);
/// How long one reading may take, where the file does not say.
const TIMEOUT: Duration = Duration::from_secs(10);
const EVERY_MOST: Duration = Duration::from_hours(24);
const TIMEOUT_MOST: Duration = Duration::from_mins(5);

/// Where targets are found, and what each row leaves to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// For people.
    pub name: String,
    pub source: Source,
    pub every: Duration,
    /// For one reading.
    pub timeout: Duration,
    /// For rows without a URL of their own: `{column}` stands for a value of the row.
    pub url: Option<Url>,
    /// Before each id.
    pub prefix: String,
    /// Of rows that do not say otherwise.
    pub labels: BTreeMap<String, String>,
    pub group: String,
    pub engine: Option<Engine>,
    /// Where the replicas of each target are: `{column}` stands for a value of its row.
    pub replicas: Vec<Url>,
    /// What relative paths are relative to.
    pub directory: PathBuf,
}

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The standard output of a program, in JSON. No shell stands between.
    Command(Vec<String>),
    /// The rows of a query.
    Query { sql: String, database: Url },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    name: Spanned<String>,
    command: Option<Spanned<Vec<String>>>,
    query: Option<Spanned<String>>,
    database: Option<Spanned<Url>>,
    every: Option<Spanned<String>>,
    timeout: Option<Spanned<String>>,
    url: Option<Spanned<Url>>,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    group: String,
    #[serde(default, deserialize_with = "super::engine::optional")]
    engine: Option<Engine>,
    #[serde(default)]
    replicas: Vec<Url>,
}

impl Raw {
    /// Where its name stands.
    pub(super) fn span(&self) -> std::ops::Range<usize> {
        self.name.span()
    }

    pub(super) fn read(self, directory: &Path) -> Result<Discovery, Wrong> {
        let at = self.name.span();
        let name = self.name.into_inner();
        if TargetId::parse(&name).is_err() {
            return Err((
                at,
                "a name is made of letters, digits, '.', '_', '/' and '-'".to_owned(),
            ));
        }
        let source = match (self.command, self.query, self.database) {
            (Some(command), None, None) => {
                let span = command.span();
                let command = command.into_inner();
                if command.first().is_none_or(String::is_empty) {
                    return Err((span, "name the program, then its arguments".to_owned()));
                }
                Source::Command(command)
            }
            (None, Some(query), Some(database)) => {
                let span = database.span();
                let database = database.into_inner();
                if let Url::Plain(text) = &database {
                    Location::parse(text.expose(), None)
                        .map_err(|error| (span, error.to_string()))?;
                }
                let sql = query.into_inner();
                Source::Query { sql, database: database.relative_to(directory) }
            }
            _ => {
                let why = "give a command, or a query and the database that it is asked of";
                return Err((at, why.to_owned()));
            }
        };
        let every = length(self.every, EVERY, (EVERY_LEAST, EVERY_MOST))?;
        let timeout = length(self.timeout, TIMEOUT, (EVERY_LEAST, TIMEOUT_MOST))?;
        let url = match self.url {
            None => None,
            Some(url) => {
                let span = url.span();
                let url = url.into_inner();
                if !matches!(url, Url::Plain(_)) && self.engine.is_none() {
                    let why = "say which `engine` these targets are on: their URL is not here";
                    return Err((span, why.to_owned()));
                }
                Some(url.relative_to(directory))
            }
        };
        Ok(Discovery {
            name,
            source,
            every,
            timeout,
            url,
            prefix: self.prefix,
            labels: self.labels,
            group: self.group,
            engine: self.engine,
            replicas: self.replicas.into_iter().map(|url| url.relative_to(directory)).collect(),
            directory: directory.to_owned(),
        })
    }
}

fn length(
    text: Option<Spanned<String>>,
    otherwise: Duration,
    (least, most): (Duration, Duration),
) -> Result<Duration, Wrong> {
    let Some(text) = text else { return Ok(otherwise) };
    let span = text.span();
    let length = super::duration(text.get_ref()).map_err(|why| (span.clone(), why))?;
    if length < least {
        return Err((span, format!("at least {} s", least.as_secs())));
    }
    if length > most {
        return Err((span, format!("at most {} s", most.as_secs())));
    }
    Ok(length)
}

/// What one row says of a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    pub id: String,
    pub url: Option<Secret>,
    pub group: Option<String>,
    pub engine: Option<String>,
    pub labels: BTreeMap<String, String>,
}

impl Discovery {
    /// The id that a row's target has.
    pub fn id(&self, row: &Row) -> Result<TargetId, String> {
        TargetId::parse(&format!("{}{}", self.prefix, row.id)).map_err(|error| error.to_string())
    }

    /// The target that a row describes. The error holds no URL.
    pub fn target(&self, row: Row) -> Result<Target, String> {
        let id = self.id(&row)?;
        let mut labels = self.labels.clone();
        labels.extend(row.labels.clone());
        let given = match row.engine.as_deref() {
            None => self.engine,
            Some("postgres") => Some(Engine::Postgres),
            Some("mysql" | "mariadb") => Some(Engine::Mysql),
            Some("sqlite") => Some(Engine::Sqlite),
            Some(other) => {
                let other: String = other.chars().take(40).collect();
                return Err(format!("there is no engine {other:?}"));
            }
        };
        let group = row.group.unwrap_or_else(|| self.group.clone());
        let mut values = labels.clone();
        values.insert("group".to_owned(), group.clone());
        values.insert("id".to_owned(), row.id);
        let filled = |template: &Url| {
            let (template, values) = (Box::new(template.clone()), values.clone());
            Url::Filled { template, values }
        };
        let replicas = self.replicas.iter().map(filled).collect();
        let url = match (row.url, &self.url) {
            (Some(url), _) => Url::Plain(url),
            (None, Some(template)) => filled(template),
            (None, None) => {
                return Err("it has no url, and the discovery gives none".to_owned());
            }
        };
        let engine = match url.known(&self.directory).map_err(|error| error.to_string())? {
            None => given,
            Some(text) => {
                let found = Location::parse(text.expose(), None)
                    .map_err(|error| error.to_string())?
                    .engine();
                if given.is_some_and(|given| given != found) {
                    return Err(format!("its URL is for {found}, its engine says otherwise"));
                }
                Some(found)
            }
        };
        if engine.is_none() {
            return Err("which engine it is on is said nowhere".to_owned());
        }
        let directory = self.directory.clone();
        Ok(Target { id, url, engine, labels, group, schema: None, replicas, directory })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discovery(more: &str) -> Discovery {
        let text = format!("name = \"tenants\"\ncommand = [\"./list\"]\n{more}");
        let raw: Raw = toml::from_str(&text).expect("TOML");
        raw.read(Path::new("/srv")).map_err(|(_, why)| why).expect("in order")
    }

    fn row(id: &str) -> Row {
        let labels = [("host".to_owned(), "db 1".to_owned())].into();
        Row { id: id.to_owned(), labels, ..Row::default() }
    }

    #[tokio::test]
    async fn a_template_is_filled_with_what_the_row_says() {
        let of = discovery(
            "url = \"postgres://app:pw@pg/{id}?application_name={host}\"\nprefix = \"eu/\"\n\
             labels = { host = \"none\", tier = \"gold\" }\ngroup = \"rack\"",
        );
        let target = of.target(row("a/b?c")).unwrap_err();
        assert!(target.contains("cannot be an id"), "{target}");
        let target = of.target(row("a/b")).expect("in order");
        assert_eq!(target.id.as_str(), "eu/a/b");
        assert_eq!(target.labels["host"], "db 1");
        assert_eq!((target.labels["tier"].as_str(), target.group.as_str()), ("gold", "rack"));
        let url = target.url.read(Path::new("/srv")).await.expect("a URL");
        assert_eq!(url.expose(), "postgres://app:pw@pg/a%2Fb?application_name=db%201");
        assert!(!format!("{target:?}").contains("app:pw"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_said_without_the_url() {
        let bare = discovery("");
        assert!(bare.target(row("a")).unwrap_err().contains("no url"));
        let secret = Row { url: Some(Secret::new("oracle://app:hunter2@db/x")), ..row("a") };
        let error = bare.target(secret).unwrap_err();
        assert!(!error.contains("hunter2") && error.contains("postgres://"), "{error}");
        let of = discovery("url = \"sqlite:{tenant}.db\"");
        assert!(of.target(row("a")).unwrap_err().contains("{tenant}"));
        let of = discovery("url = \"sqlite:{id}.db\"\nengine = \"postgres\"");
        assert!(of.target(row("a")).unwrap_err().contains("its URL is for"));
        let other = Row { engine: Some("db2".to_owned()), ..row("a") };
        assert!(bare.target(other).unwrap_err().contains("db2"));
    }

    #[test]
    fn a_section_says_where_and_how_often() {
        let of = discovery("every = \"2h\"\ntimeout = \"30s\"");
        assert_eq!((of.every.as_secs(), of.timeout.as_secs()), (7_200, 30));
        for (text, expect) in [
            ("name = \"x\"", "give a command"),
            ("name = \"x\"\nquery = \"SELECT 1\"", "give a command"),
            ("name = \"x\"\ncommand = []", "name the program"),
            ("name = \"x y\"\ncommand = [\"a\"]", "a name is made of"),
            ("name = \"x\"\ncommand = [\"a\"]\nevery = \"soon\"", "90s, 5m or 2h"),
            ("name = \"x\"\ncommand = [\"a\"]\nevery = \"0s\"", "at least"),
            ("name = \"x\"\ncommand = [\"a\"]\nevery = \"99h\"", "at most"),
            ("name = \"x\"\ncommand = [\"a\"]\ntimeout = \"2h\"", "at most"),
            ("name = \"x\"\ncommand = [\"a\"]\nurl = { env = \"URL\" }", "which `engine`"),
            ("name = \"x\"\nquery = \"SELECT 1\"\ndatabase = \"db2://x\"", "postgres://"),
        ] {
            let raw: Raw = toml::from_str(text).expect("TOML");
            let (_, why) = raw.read(Path::new("/srv")).unwrap_err();
            assert!(why.contains(expect), "{text}: {why}");
        }
    }
}
