//! `cargo xtask servers`: the two databases, for as long as a person works with them.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use anyhow::{Context as _, Result, bail};
use skein_tests::servers::provision::{self, Tools, Wanted};
use skein_tests::servers::record::Record;
use skein_tests::servers::{Lifetime, Options, etcd, mariadb, postgres};

use crate::interrupt;

/// Members of the etcd that the benchmarks compare with.
const ETCD_SIZE: usize = 3;

/// The servers of one run.
#[derive(Debug)]
pub(crate) struct Servers {
    postgres: postgres::Instance,
    mariadb: mariadb::Instance,
    etcd: Option<etcd::Cluster>,
}

impl Servers {
    /// Starts what is wanted, all at the same time.
    pub(crate) fn start(tools: &Tools, wanted: Wanted, options: Options) -> Result<Self> {
        thread::scope(|scope| {
            let postgres = scope.spawn(|| postgres::Instance::start_with(tools, options));
            let etcd = scope.spawn(|| {
                wanted
                    .etcd
                    .then(|| etcd::Cluster::start_with(tools, ETCD_SIZE, options))
                    .transpose()
            });
            let mariadb = mariadb::Instance::start_with(tools, options);
            let panicked = |_panic| anyhow::anyhow!("a thread that starts a server has panicked");
            let postgres = postgres.join().map_err(panicked)?;
            let etcd = etcd.join().map_err(panicked)?;
            Ok(Self { postgres: postgres?, mariadb: mariadb?, etcd: etcd? })
        })
    }

    /// The variables by which tests find the servers.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("SKEIN_TEST_POSTGRES", self.postgres.url()),
            ("SKEIN_TEST_MARIADB", self.mariadb.url()),
        ];
        variables.extend(self.etcd.iter().map(|etcd| ("SKEIN_TEST_ETCD", etcd.endpoints())));
        variables
    }

    /// Leaves all of them running, with a record of each in `dir`.
    pub(crate) fn detach(self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("failed to make {}", dir.display()))?;
        let mut records = vec![
            ("postgres".to_owned(), self.postgres.detach()),
            ("mariadb".to_owned(), self.mariadb.detach()),
        ];
        let members = self.etcd.map(etcd::Cluster::detach).unwrap_or_default();
        records.extend(
            members.into_iter().enumerate().map(|(n, member)| (format!("etcd-{n}"), Some(member))),
        );
        for (kind, record) in records {
            record.context("a server that was started is not there")?.write(dir, &kind)?;
        }
        Ok(())
    }
}

pub(super) fn run(words: &[String]) -> Result<ExitCode> {
    let mut fsync = false;
    let mut wanted = Wanted::default();
    let mut background = None;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "--fsync" => fsync = true,
            "--etcd" => wanted.etcd = true,
            "--background" => background = Some(directory(word, rest.next())?),
            "--stop" => return stop(&directory(word, rest.next())?),
            other => {
                bail!("`servers` does not know {other:?}; `cargo xtask help` lists what it does")
            }
        }
    }
    let (tell, told) = mpsc::channel();
    interrupt::watch(Some(tell.clone()))?;
    let tools = provide(wanted)?;
    let Some(dir) = background else {
        let servers =
            Servers::start(&tools, wanted, Options { fsync, lifetime: Lifetime::Attached })?;
        export(&tools, &servers)?;
        eprintln!("the servers run until Ctrl-C, or until standard input is closed");
        thread::spawn(move || {
            // Whatever is typed is nothing to us: only its end is.
            io::copy(&mut io::stdin().lock(), &mut io::sink()).map(|_typed| tell.send(()))
        });
        told.recv().context("nothing is left that could end this")?;
        return Ok(ExitCode::SUCCESS);
    };
    if !Record::read_all(&dir)?.is_empty() {
        let dir = dir.display();
        bail!("{dir} already has servers; end them with `cargo xtask servers --stop {dir}`");
    }
    let servers = Servers::start(&tools, wanted, Options { fsync, lifetime: Lifetime::Detached })?;
    export(&tools, &servers)?;
    servers.detach(&dir)?;
    eprintln!("the servers stay; end them with `cargo xtask servers --stop {}`", dir.display());
    Ok(ExitCode::SUCCESS)
}

/// Finds or fetches the programs, and says where each was found.
pub(crate) fn provide(wanted: Wanted) -> Result<Tools> {
    let tools = provision::provide(wanted, &mut |line| eprintln!("servers: {line}"))?;
    for (name, path) in tools.found() {
        eprintln!("servers: {name:<19} {}", path.display());
    }
    Ok(tools)
}

/// Prints what a shell must evaluate to find the servers and their programs.
pub(crate) fn export(tools: &Tools, servers: &Servers) -> Result<()> {
    let mut out = io::stdout().lock();
    for (name, value) in tools.environment() {
        writeln!(out, "export {name}='{}'", value.display())?;
    }
    for (name, value) in servers.variables() {
        writeln!(out, "export {name}='{value}'")?;
    }
    out.flush().context("failed to print what to export")
}

fn stop(dir: &Path) -> Result<ExitCode> {
    let records = Record::read_all(dir)?;
    if records.is_empty() {
        bail!("{} has no record of a server", dir.display());
    }
    let ended = records.len();
    for (kind, record) in records {
        record.end(dir, &kind).with_context(|| format!("failed to stop {kind}"))?;
    }
    eprintln!("{ended} servers stopped");
    Ok(ExitCode::SUCCESS)
}

fn directory(option: &str, value: Option<&String>) -> Result<PathBuf> {
    value.map(PathBuf::from).with_context(|| format!("{option} needs a directory"))
}
