//! The programs of the database servers: found where they are, or else installed or unpacked.
//!
//! ```text
//! find     PATH, the places distributions use, target/dbs
//!   │ something is missing
//!   ├─ root ───── install   apt-get install, starting nothing and making no cluster
//!   └─ not root ─ unpack    apt-get download and dpkg -x into target/dbs
//! ```

mod apt;
mod find;
mod install;
mod unpack;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

pub use find::Tools;

use super::account;

/// What a run needs beyond the two servers and their client programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// etcd, which only the benchmarks compare with.
    pub etcd: bool,
}

/// One program, and the package that brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Program {
    name: &'static str,
    package: &'static str,
    /// Whether the tests cannot do without it.
    need: Need,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Without it there is no test of this server.
    Tests,
    /// Fetched along with the others; its absence stops nothing.
    Benches,
    /// Fetched when asked for.
    Etcd,
}

const PROGRAMS: [Program; 12] = [
    Program { name: "postgres", package: "postgresql", need: Need::Tests },
    Program { name: "initdb", package: "postgresql", need: Need::Tests },
    Program { name: "pg_isready", package: "postgresql-client", need: Need::Tests },
    Program { name: "pg_basebackup", package: "postgresql-client", need: Need::Tests },
    Program { name: "pg_dump", package: "postgresql-client", need: Need::Tests },
    Program { name: "pg_restore", package: "postgresql-client", need: Need::Tests },
    Program { name: "mariadbd", package: "mariadb-server", need: Need::Tests },
    Program { name: "mariadb-install-db", package: "mariadb-server", need: Need::Tests },
    Program { name: "mariadb", package: "mariadb-client", need: Need::Tests },
    Program { name: "mariadb-dump", package: "mariadb-client", need: Need::Tests },
    Program { name: "sqlite3", package: "sqlite3", need: Need::Benches },
    Program { name: "etcd", package: "etcd-server", need: Need::Etcd },
];

/// Finds the programs; fetches what is missing. `say` is told what happens, line by line.
///
/// # Errors
///
/// When a program that the tests need is missing and cannot be fetched, naming its package.
pub fn provide(wanted: Wanted, say: &mut dyn FnMut(&str)) -> Result<Tools> {
    let tools = Tools::find();
    if tools.missing(wanted, true).is_empty() {
        return Ok(tools);
    }
    let missing = tools.missing(wanted, false);
    let packages = packages(&missing);
    let names: Vec<&str> = missing.iter().map(|program| program.name).collect();
    say(&format!("not found: {}", names.join(", ")));
    if !apt::present() {
        bail!(
            "{} not found, and this is no machine with apt; install PostgreSQL and MariaDB with \
             their client programs, by the names of Debian's packages: {}",
            names.join(", "),
            packages.join(" "),
        );
    }
    if account::is_root() {
        say(&format!("installing {}", packages.join(" ")));
        install::install(&packages)?;
    } else {
        say(&format!("unpacking {} into {}", packages.join(" "), root().display()));
        unpack::unpack(&packages, &root())?;
    }
    let tools = Tools::find();
    let still: Vec<&str> = tools.missing(wanted, true).iter().map(|program| program.name).collect();
    if !still.is_empty() {
        bail!("{} still not found after fetching {}", still.join(", "), packages.join(" "));
    }
    Ok(tools)
}

/// Where packages are unpacked: `target/dbs` of this workspace.
fn root() -> PathBuf {
    target().join("dbs")
}

/// The target directory of this workspace.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// The root of this workspace, as cargo says at run time, or as it said when this was built.
pub fn workspace() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

fn packages(programs: &[Program]) -> Vec<&'static str> {
    let mut packages: Vec<&'static str> = programs.iter().map(|program| program.package).collect();
    packages.dedup();
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_is_asked_for_once() {
        assert_eq!(
            packages(&PROGRAMS),
            [
                "postgresql",
                "postgresql-client",
                "mariadb-server",
                "mariadb-client",
                "sqlite3",
                "etcd-server"
            ]
        );
    }
}
