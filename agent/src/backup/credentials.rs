//! How a child process learns the password: from a file that only its user can read, removed when
//! the child has ended. Never on the command line, which everybody on the host can read; not in
//! the environment either, which core dumps and service managers show.

use std::io::Write;
use std::path::PathBuf;

use sqlx::mysql::MySqlSslMode;
use tempfile::NamedTempFile;
use tokio::process::Command;

use super::error::BackupError;
use super::source::{Mariadb, Postgres, Secret};

/// The file; it lives as long as the child may need it.
#[derive(Debug)]
pub(super) struct Lent {
    file: NamedTempFile,
}

impl Lent {
    fn new(text: &str) -> Result<Self, BackupError> {
        let dir = directory();
        // Mode 0600, from `tempfile`.
        let mut file = tempfile::Builder::new()
            .prefix(".skein-")
            .tempfile_in(&dir)
            .map_err(|error| BackupError::io("creating a password file", &dir, error))?;
        file.write_all(text.as_bytes())
            .map_err(|error| BackupError::io("writing a password file", &dir, error))?;
        Ok(Self { file })
    }

    /// `--defaults-file=…`, which has to be the first argument.
    pub(super) fn defaults_file(&self) -> std::ffi::OsString {
        let mut argument = std::ffi::OsString::from("--defaults-file=");
        argument.push(self.file.path());
        argument
    }
}

/// A service's own directory is memory and private; else the usual one.
fn directory() -> PathBuf {
    let own = std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from);
    own.filter(|dir| dir.is_dir()).unwrap_or_else(std::env::temp_dir)
}

/// Points a libpq program at the database. Nothing of it is on the command line.
pub(super) fn lend_postgres(
    command: &mut Command,
    place: &Postgres,
) -> Result<Option<Lent>, BackupError> {
    // Each of these would win over, or add to, what the target's URL says.
    for name in
        ["PGPASSWORD", "PGSERVICE", "PGSERVICEFILE", "PGHOSTADDR", "PGCLIENTENCODING", "PGOPTIONS"]
    {
        command.env_remove(name);
    }
    match place.options.get_socket() {
        Some(socket) => command.env("PGHOST", socket),
        None => command.env("PGHOST", place.options.get_host()),
    };
    command
        .env("PGPORT", place.options.get_port().to_string())
        .env("PGUSER", place.options.get_username())
        .env("PGDATABASE", &place.database)
        .env("PGSSLMODE", place.sslmode())
        .env("PGAPPNAME", "skein-backup")
        .env("PGCONNECT_TIMEOUT", "30");
    if let Some(options) = place.options.get_options() {
        command.env("PGOPTIONS", options);
    }
    for (name, file) in [
        ("PGSSLROOTCERT", &place.tls.ca),
        ("PGSSLCERT", &place.tls.cert),
        ("PGSSLKEY", &place.tls.key),
    ] {
        if let Some(file) = file {
            command.env(name, file);
        }
    }
    let Some(password) = &place.password else { return Ok(None) };
    let lent = Lent::new(&pgpass(password))?;
    command.env("PGPASSFILE", lent.file.path());
    Ok(Some(lent))
}

/// The option file of a MariaDB or MySQL client: everything that says where and who.
pub(super) fn lend_mariadb(place: &Mariadb, mysql_client: bool) -> Result<Lent, BackupError> {
    let options = &place.options;
    let mut lines = vec!["[client]".to_owned(), line("user", options.get_username())];
    if let Some(socket) = options.get_socket() {
        lines.push(line("socket", &socket.to_string_lossy()));
        lines.push(line("protocol", "SOCKET"));
    } else {
        lines.push(line("host", options.get_host()));
        lines.push(line("port", &options.get_port().to_string()));
        lines.push(line("protocol", "TCP"));
    }
    if let Some(password) = &place.password {
        lines.push(line("password", password.expose()));
    }
    for (key, file) in
        [("ssl-ca", &place.tls.ca), ("ssl-cert", &place.tls.cert), ("ssl-key", &place.tls.key)]
    {
        if let Some(file) = file {
            lines.push(line(key, file));
        }
    }
    lines.push(ssl(place.ssl_mode(), mysql_client).to_owned());
    lines.push(line("default-character-set", "utf8mb4"));
    // The client's bound on one row; the server has its own.
    lines.push(line("max-allowed-packet", "1G"));
    lines.push(String::new());
    Lent::new(&lines.join("\n"))
}

fn ssl(mode: MySqlSslMode, mysql_client: bool) -> &'static str {
    match (mode, mysql_client) {
        (MySqlSslMode::Disabled, true) => "ssl-mode=DISABLED",
        (MySqlSslMode::Preferred, true) => "ssl-mode=PREFERRED",
        (MySqlSslMode::Required, true) => "ssl-mode=REQUIRED",
        (MySqlSslMode::VerifyCa, true) => "ssl-mode=VERIFY_CA",
        (MySqlSslMode::VerifyIdentity, true) => "ssl-mode=VERIFY_IDENTITY",
        (MySqlSslMode::Disabled, false) => "skip-ssl",
        // TLS where the server has it, and no look at its certificate: what the driver does in
        // these modes. MariaDB's clients cannot insist on TLS without verifying; for the second,
        // the driver has just insisted on the same server.
        (MySqlSslMode::Preferred | MySqlSslMode::Required, false) => {
            "ssl\nssl-verify-server-cert=0"
        }
        // MariaDB's clients know no check of the authority alone; the stricter one is used.
        (MySqlSslMode::VerifyCa | MySqlSslMode::VerifyIdentity, false) => {
            "ssl\nssl-verify-server-cert"
        }
    }
}

/// One line for any host, port, database and user: the file is made for one connection.
fn pgpass(password: &Secret) -> String {
    let escaped = password.expose().replace('\\', "\\\\").replace(':', "\\:");
    format!("*:*:*:*:{escaped}\n")
}

/// An option in quotes: a `#` outside of them begins a comment.
fn line(key: &str, value: &str) -> String {
    format!("{key}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
