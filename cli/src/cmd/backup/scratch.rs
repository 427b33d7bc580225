//! A database of the target's engine that is there for a moment: a temporary file, or a database on
//! the target's own server.

use skein_agent::backup::Engine;
use skein_agent::config::Secret;
use sqlx::{AssertSqlSafe, Connection as _, MySqlConnection, PgConnection, Row as _};
use tempfile::TempDir;
use url::Url;

use crate::exit::ExitCode;
use crate::failure::{Failure, chain};

/// What was made and has to go again.
pub(super) enum Scratch {
    File { url: Secret, _dir: TempDir },
    Postgres { url: Secret, name: String, server: Secret },
    Mariadb { url: Secret, name: String, server: Secret },
}

impl Scratch {
    /// Empty, with the encoding of the target.
    pub(super) async fn make(engine: Engine, target: &Secret) -> Result<Self, Failure> {
        let name = format!("skein_verify_{:016x}", rand::random::<u64>());
        match engine {
            Engine::Sqlite => {
                let dir = TempDir::with_prefix("skein-verify-").map_err(|error| unmade(&error))?;
                let url = Secret::new(format!(
                    "sqlite://{}?mode=rwc",
                    dir.path().join("scratch.db").display()
                ));
                Ok(Self::File { url, _dir: dir })
            }
            Engine::Postgres => {
                let url = beside(target, &name)?;
                postgres(target, &name).await.map_err(|error| unmade(&error))?;
                Ok(Self::Postgres { url, name, server: target.clone() })
            }
            Engine::Mariadb => {
                let url = beside(target, &name)?;
                mariadb(target, &name).await.map_err(|error| unmade(&error))?;
                Ok(Self::Mariadb { url, name, server: target.clone() })
            }
        }
    }

    pub(super) fn url(&self) -> &Secret {
        match self {
            Self::File { url, .. } | Self::Postgres { url, .. } | Self::Mariadb { url, .. } => url,
        }
    }

    /// Says how to remove it by hand where it cannot be removed.
    pub(super) async fn remove(self) -> Result<(), Failure> {
        let (name, removed) = match self {
            // The directory goes with its guard.
            Self::File { .. } => return Ok(()),
            Self::Postgres { name, server, .. } => {
                let removed = drop_postgres(&server, &name).await;
                (name, removed)
            }
            Self::Mariadb { name, server, .. } => {
                let removed = drop_mariadb(&server, &name).await;
                (name, removed)
            }
        };
        removed.map_err(|error| {
            Failure::new(
                ExitCode::Internal,
                format!("the scratch database {name} could not be removed: {}", chain(&error)),
            )
            .next(format!("DROP DATABASE {name}; on the target's server"))
        })
    }
}

fn unmade(error: &dyn std::error::Error) -> Failure {
    Failure::new(
        ExitCode::Internal,
        format!("no scratch database could be made beside the target: {}", chain(error)),
    )
    .next("the target's account needs CREATEDB (PostgreSQL) or CREATE and DROP on `skein\\_verify\\_%` (MariaDB)")
}

/// The same server, another database.
fn beside(target: &Secret, name: &str) -> Result<Secret, Failure> {
    let unreadable =
        || Failure::usage("the target's URL cannot be read").next("repair it in skein.toml");
    let mut url = Url::parse(target.expose()).map_err(|_keeps_the_url_secret| unreadable())?;
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(key, _)| key != "dbname")
        .map(|(key, value)| (key.into_owned(), value.into_owned()))
        .collect();
    url.set_path(&format!("/{name}"));
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    Ok(Secret::new(url))
}

async fn postgres(target: &Secret, name: &str) -> Result<(), sqlx::Error> {
    let mut server = PgConnection::connect(target.expose()).await?;
    let like = sqlx::query(
        "SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database \
         WHERE datname = current_database()",
    )
    .fetch_one(&mut server)
    .await?;
    let quoted =
        |column: usize| like.try_get::<String, _>(column).map(|text| text.replace('\'', "''"));
    let (encoding, collate, ctype) = (quoted(0)?, quoted(1)?, quoted(2)?);
    let statement = format!(
        "CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE '{collate}' \
         LC_CTYPE '{ctype}'"
    );
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut server).await?;
    server.close().await
}

async fn drop_postgres(server: &Secret, name: &str) -> Result<(), sqlx::Error> {
    let mut server = PgConnection::connect(server.expose()).await?;
    let statement = format!("DROP DATABASE IF EXISTS {name}");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut server).await?;
    server.close().await
}

async fn mariadb(target: &Secret, name: &str) -> Result<(), sqlx::Error> {
    let mut server = MySqlConnection::connect(&mysql_scheme(target)).await?;
    let like = sqlx::query(
        "SELECT CONVERT(default_character_set_name USING utf8mb4), \
         CONVERT(default_collation_name USING utf8mb4) FROM information_schema.schemata \
         WHERE schema_name = DATABASE()",
    )
    .fetch_one(&mut server)
    .await?;
    let (set, collation): (String, String) = (like.try_get(0)?, like.try_get(1)?);
    let statement = format!("CREATE DATABASE `{name}` CHARACTER SET '{set}' COLLATE '{collation}'");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut server).await?;
    server.close().await
}

async fn drop_mariadb(server: &Secret, name: &str) -> Result<(), sqlx::Error> {
    let mut server = MySqlConnection::connect(&mysql_scheme(server)).await?;
    let statement = format!("DROP DATABASE IF EXISTS `{name}`");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut server).await?;
    server.close().await
}

/// The driver knows one of the two names.
fn mysql_scheme(url: &Secret) -> String {
    match url.expose().strip_prefix("mariadb:") {
        Some(rest) => format!("mysql:{rest}"),
        None => url.expose().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use skein_agent::config::Secret;

    use super::beside;

    #[test]
    fn only_the_database_changes() {
        for (url, expect) in [
            ("postgres://u:p%40@h:5433/orders", "postgres://u:p%40@h:5433/x"),
            ("postgres:///orders?host=/run/pg", "postgres:///x?host=%2Frun%2Fpg"),
            ("postgres://h?dbname=orders&sslmode=require", "postgres://h/x?sslmode=require"),
            (
                "mysql://u@localhost/orders?socket=/run/m.sock",
                "mysql://u@localhost/x?socket=%2Frun%2Fm.sock",
            ),
        ] {
            assert_eq!(beside(&Secret::new(url), "x").unwrap().expose(), expect);
        }
    }
}
