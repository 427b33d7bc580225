//! The database that a backup is taken from or restored into: what it takes to reach it.
//!
//! URLs are those of sqlx, and sqlx reads them; what sqlx has no getter for (the password, the
//! TLS files) is read beside it, because the dump tools need it too. No `Debug` or `Display`
//! shows a password.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::sqlite::SqliteConnectOptions;
use url::Url;

use super::error::BackupError;

/// The engines that are backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    /// PostgreSQL.
    Postgres,
    /// MariaDB or MySQL.
    Mariadb,
    /// SQLite.
    Sqlite,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Mariadb => "MariaDB",
            Self::Sqlite => "SQLite",
        })
    }
}

/// A password. It is shown as `***` wherever it is shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A database and the way to it.
#[derive(Clone)]
pub struct Source(pub(super) Place);

#[derive(Clone)]
pub(super) enum Place {
    Postgres(Postgres),
    Mariadb(Mariadb),
    Sqlite(PathBuf),
}

#[derive(Clone)]
pub(super) struct Postgres {
    pub(super) options: PgConnectOptions,
    pub(super) database: String,
    pub(super) schema: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) tls: Tls,
}

#[derive(Clone)]
pub(super) struct Mariadb {
    pub(super) options: MySqlConnectOptions,
    pub(super) database: String,
    pub(super) password: Option<Secret>,
    pub(super) tls: Tls,
}

/// TLS files named in the URL.
#[derive(Clone, Debug, Default)]
pub(super) struct Tls {
    pub(super) ca: Option<String>,
    pub(super) cert: Option<String>,
    pub(super) key: Option<String>,
}

impl Source {
    /// Reads a URL in sqlx's form: `postgres://user:password@host:port/database?host=/socket/dir`,
    /// `mysql://user:password@host/database?socket=/path` (`mariadb:` too), `sqlite:///file.db`.
    /// `schema` confines a PostgreSQL target to one schema.
    ///
    /// # Errors
    ///
    /// [`BackupError::Source`] where the URL cannot be read, names no database, or names a schema
    /// on an engine that has none. The URL is not in the error.
    pub fn from_url(url: &str, schema: Option<&str>) -> Result<Self, BackupError> {
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        let place = match scheme {
            "postgres" | "postgresql" => {
                Place::Postgres(Postgres::from_url(url, schema.map(str::to_owned))?)
            }
            "mysql" | "mariadb" => {
                none_such(schema, "MariaDB")?;
                Place::Mariadb(Mariadb::from_url(url)?)
            }
            "sqlite" => {
                none_such(schema, "SQLite")?;
                Place::Sqlite(sqlite_path(url)?)
            }
            _ => return Err(refused("its scheme is none of postgres, mysql, mariadb, sqlite")),
        };
        Ok(Self(place))
    }

    /// The engine behind it.
    pub fn engine(&self) -> Engine {
        match &self.0 {
            Place::Postgres(_) => Engine::Postgres,
            Place::Mariadb(_) => Engine::Mariadb,
            Place::Sqlite(_) => Engine::Sqlite,
        }
    }

    /// The PostgreSQL schema that it is confined to.
    pub fn schema(&self) -> Option<&str> {
        match &self.0 {
            Place::Postgres(place) => place.schema.as_deref(),
            Place::Mariadb(_) | Place::Sqlite(_) => None,
        }
    }
}

/// The database without its credentials: `host:port/database`, or the file.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Postgres(place) => place.fmt(f),
            Place::Mariadb(place) => place.fmt(f),
            Place::Sqlite(path) => path.display().fmt(f),
        }
    }
}

/// The same, with the engine: sqlx's own options would print the password.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({} {self})", self.engine())
    }
}

impl fmt::Display for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.options.get_socket() {
            Some(socket) => write!(f, "{}", socket.display())?,
            None => write!(f, "{}", self.options.get_host())?,
        }
        write!(f, ":{}/{}", self.options.get_port(), self.database)?;
        self.schema.as_ref().map_or(Ok(()), |schema| write!(f, " schema {schema}"))
    }
}

impl fmt::Display for Mariadb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.options.get_socket() {
            Some(socket) => write!(f, "{}/{}", socket.display(), self.database),
            None => write!(
                f,
                "{}:{}/{}",
                self.options.get_host(),
                self.options.get_port(),
                self.database
            ),
        }
    }
}

impl Postgres {
    fn from_url(text: &str, schema: Option<String>) -> Result<Self, BackupError> {
        let url = read(text)?;
        let options = PgConnectOptions::from_str(text).map_err(|error| unread(&error))?;
        let database = options.get_database().unwrap_or(options.get_username()).to_owned();
        Ok(Self {
            database: plain(database, "the database's name")?,
            schema: schema.map(|schema| plain(schema, "the schema's name")).transpose()?,
            // The query wins over the authority, as in sqlx.
            password: secret(query(&url, &["password"]).or(authority_password(&url)?))?,
            tls: Tls {
                ca: query(&url, &["sslrootcert", "ssl-root-cert", "ssl-ca"]),
                cert: query(&url, &["sslcert", "ssl-cert"]),
                key: query(&url, &["sslkey", "ssl-key"]),
            },
            options,
        })
    }

    /// The mode in libpq's words.
    pub(super) fn sslmode(&self) -> &'static str {
        match self.options.get_ssl_mode() {
            PgSslMode::Disable => "disable",
            PgSslMode::Allow => "allow",
            PgSslMode::Prefer => "prefer",
            PgSslMode::Require => "require",
            PgSslMode::VerifyCa => "verify-ca",
            PgSslMode::VerifyFull => "verify-full",
        }
    }
}

impl Mariadb {
    fn from_url(text: &str) -> Result<Self, BackupError> {
        let url = read(text)?;
        let options = MySqlConnectOptions::from_str(text).map_err(|error| unread(&error))?;
        let Some(database) = options.get_database().map(str::to_owned) else {
            return Err(refused("it names no database"));
        };
        Ok(Self {
            database: plain(database, "the database's name")?,
            password: secret(authority_password(&url)?)?,
            tls: Tls {
                ca: query(&url, &["sslca", "ssl-ca"]),
                cert: query(&url, &["sslcert", "ssl-cert"]),
                key: query(&url, &["sslkey", "ssl-key"]),
            },
            options,
        })
    }

    /// Whether TLS is off, taken where offered, asked for, asked for with a known authority, or
    /// with a known authority and the right name.
    pub(super) fn ssl_mode(&self) -> MySqlSslMode {
        self.options.get_ssl_mode()
    }
}

fn sqlite_path(text: &str) -> Result<PathBuf, BackupError> {
    let options = SqliteConnectOptions::from_str(text).map_err(|error| unread(&error))?;
    let path = options.get_filename();
    let in_memory = path.as_os_str().is_empty()
        || path.to_string_lossy().starts_with("file:")
        || text.contains("mode=memory");
    if in_memory {
        return Err(refused("a database in memory cannot be backed up; name a file"));
    }
    Ok(Path::new(path).to_owned())
}

fn read(text: &str) -> Result<Url, BackupError> {
    Url::parse(text).map_err(|error| refused(&error.to_string()))
}

fn unread(error: &sqlx::Error) -> BackupError {
    // sqlx's message may quote the value of a parameter; only its kind is told on.
    match error {
        sqlx::Error::Configuration(_) => refused("a part of it is not what the driver expects"),
        _ => refused("the driver cannot read it"),
    }
}

fn refused(what: &str) -> BackupError {
    BackupError::Source { what: what.to_owned() }
}

fn none_such(schema: Option<&str>, engine: &str) -> Result<(), BackupError> {
    match schema {
        Some(_) => Err(refused(&format!("a schema is named, and {engine} has none"))),
        None => Ok(()),
    }
}

fn query(url: &Url, keys: &[&str]) -> Option<String> {
    url.query_pairs()
        .filter(|(key, _)| keys.contains(&key.as_ref()))
        .map(|(_, value)| value.into_owned())
        .last()
}

fn authority_password(url: &Url) -> Result<Option<String>, BackupError> {
    let Some(password) = url.password() else { return Ok(None) };
    match percent_decode_str(password).decode_utf8() {
        Ok(password) => Ok(Some(Cow::into_owned(password))),
        Err(_) => Err(refused("its password is not UTF-8")),
    }
}

/// A password goes into a file of one line.
fn secret(password: Option<String>) -> Result<Option<Secret>, BackupError> {
    match password {
        Some(password) if password.contains(['\n', '\r', '\0']) => {
            Err(refused("its password has a line break, which the dump tools cannot be given"))
        }
        other => Ok(other.map(Secret)),
    }
}

/// Names go into option files and listings line by line.
fn plain(name: String, what: &str) -> Result<String, BackupError> {
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(refused(&format!("{what} is empty or has control characters")));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_read_and_never_shown() {
        for (url, password) in [
            ("postgres://u:s%3Aecret@h:5433/db", "s:ecret"),
            ("postgres://u:old@h/db?password=can%20ary", "can ary"),
            ("mysql://u:c%40nary@h:3307/db?socket=/run/x.sock", "c@nary"),
        ] {
            let source = Source::from_url(url, None).unwrap();
            let found = match &source.0 {
                Place::Postgres(place) => place.password.clone(),
                Place::Mariadb(place) => place.password.clone(),
                Place::Sqlite(_) => None,
            };
            assert_eq!(found.map(|it| it.expose().to_owned()).as_deref(), Some(password));
            assert!(!format!("{source:?} {source}").contains(password), "{source:?}");
        }
    }

    #[test]
    fn a_bad_url_is_refused_without_being_repeated() {
        for url in [
            "postgres://u:canary@h:notaport/db",
            "mysql://u:canary@h/",
            "mysql://u:canary@h/db?ssl-mode=canary",
            "postgres://u:can%0Aary@h/db",
            "oracle://u:canary@h/db",
            "sqlite::memory:",
            "",
        ] {
            let error = Source::from_url(url, None).unwrap_err();
            let chain = format!("{error:?} {error}");
            assert!(!chain.contains("canary"), "{chain}");
        }
    }

    #[test]
    fn sockets_and_files_are_shown_as_places() {
        let shown = |url| Source::from_url(url, None).unwrap().to_string();
        assert_eq!(shown("postgres://u@localhost:5444/db?host=/run/pg"), "/run/pg:5444/db");
        assert_eq!(shown("mysql://u@localhost/db?socket=/run/m.sock"), "/run/m.sock/db");
        assert_eq!(shown("sqlite:///var/lib/a.db"), "/var/lib/a.db");
        assert_eq!(shown("sqlite:a.db"), "a.db");
    }
}
