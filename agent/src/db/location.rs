//! Where a target is: engine and URL, the one place that knows the password.

use std::fmt;
use std::str::FromStr;

use skein_bundle::sql::model::Dialect;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::sqlite::SqliteConnectOptions;

/// The database engines that a target can be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Engine {
    Postgres,
    /// MariaDB and MySQL.
    Mysql,
    Sqlite,
}

impl Engine {
    pub fn dialect(self) -> Dialect {
        match self {
            Self::Postgres => Dialect::Postgres,
            Self::Mysql => Dialect::Mysql,
            Self::Sqlite => Dialect::Sqlite,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Sqlite => "sqlite",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A database (or, on PostgreSQL, one schema in it). Holds the password; neither `Debug` nor
/// [`Location::redacted`] shows it.
#[derive(Clone)]
pub struct Location {
    pub(crate) options: Options,
    schema: Option<String>,
}

#[derive(Clone)]
pub(crate) enum Options {
    Postgres(Box<PgConnectOptions>),
    Mysql(Box<MySqlConnectOptions>),
    Sqlite(Box<SqliteConnectOptions>),
}

/// A URL that does not say where a target is. Never repeats the URL: it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    #[error(
        "read the target's URL: its scheme is none of postgres, mysql, mariadb or sqlite; \
         write for example postgres://user@host/database"
    )]
    Scheme,
    #[error("read the target's {engine} URL: it cannot be parsed; check its escapes and its port")]
    Malformed { engine: Engine },
    #[error("read the target's {engine} URL: it names no database; add one after the host")]
    NoDatabase { engine: Engine },
    #[error("read the target's sqlite URL: an in-memory database cannot be a target; name a file")]
    InMemory,
    #[error("a schema was given for a {engine} target; only PostgreSQL targets can be one schema")]
    SchemaNotSupported { engine: Engine },
    #[error("a target's schema is empty, longer than 63 bytes or holds a NUL")]
    BadSchema,
}

impl Location {
    /// Reads `postgres://`, `postgresql://`, `mysql://`, `mariadb://` or `sqlite:` URLs. On a unix
    /// socket TLS stays off unless the URL asks for it (`sslmode`, `ssl-mode`).
    pub fn parse(url: &str, schema: Option<&str>) -> Result<Self, LocationError> {
        let scheme = url.split(':').next().unwrap_or_default();
        let options = match scheme {
            "postgres" | "postgresql" => postgres(url)?,
            "mysql" | "mariadb" => mysql(url)?,
            "sqlite" => sqlite(url)?,
            _ => return Err(LocationError::Scheme),
        };
        let location = Self { options, schema: schema.map(str::to_owned) };
        if let Some(schema) = schema {
            if location.engine() != Engine::Postgres {
                return Err(LocationError::SchemaNotSupported { engine: location.engine() });
            }
            if schema.is_empty() || schema.len() > 63 || schema.contains('\0') {
                return Err(LocationError::BadSchema);
            }
        }
        Ok(location)
    }

    pub fn engine(&self) -> Engine {
        match &self.options {
            Options::Postgres(_) => Engine::Postgres,
            Options::Mysql(_) => Engine::Mysql,
            Options::Sqlite(_) => Engine::Sqlite,
        }
    }

    /// The schema that is the target, where it is not the whole database.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// Where the target is, without the password: fit for logs and errors.
    /// The server alone.
    pub(crate) fn server(&self) -> String {
        match &self.options {
            Options::Postgres(options) => options.get_socket().map_or_else(
                || format!("{}:{}", options.get_host(), options.get_port()),
                |socket| socket.display().to_string(),
            ),
            Options::Mysql(options) => options.get_socket().map_or_else(
                || format!("{}:{}", options.get_host(), options.get_port()),
                |socket| socket.display().to_string(),
            ),
            Options::Sqlite(options) => options.get_filename().display().to_string(),
        }
    }

    pub fn redacted(&self) -> String {
        let text = match &self.options {
            Options::Postgres(options) => {
                let host = options.get_socket().map_or_else(
                    || options.get_host().to_owned(),
                    |socket| socket.display().to_string(),
                );
                let database = options.get_database().unwrap_or_default();
                let (user, port) = (options.get_username(), options.get_port());
                format!("postgres://{user}@{host}:{port}/{database}")
            }
            Options::Mysql(options) => {
                let host = options.get_socket().map_or_else(
                    || format!("{}:{}", options.get_host(), options.get_port()),
                    |socket| socket.display().to_string(),
                );
                let database = options.get_database().unwrap_or_default();
                format!("mysql://{}@{host}/{database}", options.get_username())
            }
            Options::Sqlite(options) => format!("sqlite:{}", options.get_filename().display()),
        };
        match &self.schema {
            Some(schema) => format!("{text} (schema {schema})"),
            None => text,
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Location").field(&self.redacted()).finish()
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

fn postgres(url: &str) -> Result<Options, LocationError> {
    let engine = Engine::Postgres;
    // The driver's own message would quote parts of the URL.
    let mut options =
        PgConnectOptions::from_str(url).ok().ok_or(LocationError::Malformed { engine })?;
    if options.get_database().is_none_or(str::is_empty) {
        return Err(LocationError::NoDatabase { engine });
    }
    if options.get_socket().is_some() && !url.contains("sslmode") && !url.contains("ssl-mode") {
        options = options.ssl_mode(PgSslMode::Disable);
    }
    if options.get_application_name().is_none() {
        options = options.application_name("skein");
    }
    Ok(Options::Postgres(Box::new(options)))
}

fn mysql(url: &str) -> Result<Options, LocationError> {
    let engine = Engine::Mysql;
    let mut options =
        MySqlConnectOptions::from_str(url).ok().ok_or(LocationError::Malformed { engine })?;
    if options.get_database().is_none_or(str::is_empty) {
        return Err(LocationError::NoDatabase { engine });
    }
    if options.get_socket().is_some() && !url.contains("ssl-mode") && !url.contains("sslmode") {
        options = options.ssl_mode(MySqlSslMode::Disabled);
    }
    // A script must meet the server's own settings, as it would in the native client.
    let options = options.pipes_as_concat(false).no_engine_substitution(false).timezone(None);
    Ok(Options::Mysql(Box::new(options)))
}

fn sqlite(url: &str) -> Result<Options, LocationError> {
    let engine = Engine::Sqlite;
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Err(LocationError::InMemory);
    }
    let options =
        SqliteConnectOptions::from_str(url).ok().ok_or(LocationError::Malformed { engine })?;
    if options.get_filename().as_os_str().is_empty() {
        return Err(LocationError::NoDatabase { engine });
    }
    Ok(Options::Sqlite(Box::new(options)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for url in [
            "postgres://app:hunter2@db.example:5433/orders",
            "postgres:///orders?host=/run/pg&user=app&password=hunter2",
            "mysql://app:hunter2@db.example/orders",
            "mariadb://app:hunter2@db.example/orders?socket=/run/my.sock",
        ] {
            let location = Location::parse(url, None).unwrap();
            let shown = format!("{location} {location:?} {}", location.redacted());
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains("orders"), "{shown}");
        }
    }

    #[test]
    fn what_is_no_target_is_refused_without_repeating_it() {
        for (url, schema) in [
            ("oracle://app:hunter2@db/orders", None),
            ("postgres://app:hunter2@db:notaport/orders", None),
            ("postgres://app:hunter2@db", None),
            ("mysql://app:hunter2@db", None),
            ("sqlite::memory:", None),
            ("sqlite:orders.db?mode=hunter2", None),
            ("sqlite:orders.db", Some("tenant")),
            ("postgres://db/orders", Some("")),
        ] {
            let error = Location::parse(url, schema).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}");
        }
    }
}
