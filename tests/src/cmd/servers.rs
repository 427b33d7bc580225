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
use skein_tests::servers::{Lifetime, Options, mariadb, postgres};

use crate::interrupt;

/// The servers that a record may be kept of, by the name of its file.
const KINDS: [&str; 2] = ["postgres", "mariadb"];

/// Both servers of one run.
#[derive(Debug)]
pub(crate) struct Pair {
    postgres: postgres::Instance,
    mariadb: mariadb::Instance,
}

impl Pair {
    /// Starts both at the same time.
    pub(crate) fn start(tools: &Tools, options: Options) -> Result<Self> {
        thread::scope(|scope| {
            let postgres = scope.spawn(|| postgres::Instance::start_with(tools, options));
            let mariadb = mariadb::Instance::start_with(tools, options);
            let postgres = postgres.join().map_err(|_panic| {
                anyhow::anyhow!("the thread that starts PostgreSQL has panicked")
            })?;
            Ok(Self { postgres: postgres?, mariadb: mariadb? })
        })
    }

    /// The variables by which tests find the servers.
    pub(crate) fn variables(&self) -> [(&'static str, String); 2] {
        [("SKEIN_TEST_POSTGRES", self.postgres.url()), ("SKEIN_TEST_MARIADB", self.mariadb.url())]
    }

    /// Leaves both running, with a record of each in `dir`.
    pub(crate) fn detach(self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("failed to make {}", dir.display()))?;
        let records = [self.postgres.detach(), self.mariadb.detach()];
        for (kind, record) in KINDS.into_iter().zip(records) {
            record.context("a server that was started is not there")?.write(dir, kind)?;
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
        let pair = Pair::start(&tools, Options { fsync, lifetime: Lifetime::Attached })?;
        export(&tools, &pair)?;
        eprintln!("both servers run until Ctrl-C, or until standard input is closed");
        thread::spawn(move || {
            // Whatever is typed is nothing to us: only its end is.
            io::copy(&mut io::stdin().lock(), &mut io::sink()).map(|_typed| tell.send(()))
        });
        told.recv().context("nothing is left that could end this")?;
        return Ok(ExitCode::SUCCESS);
    };
    for kind in KINDS {
        if Record::read(&dir, kind)?.is_some() {
            bail!(
                "{} already has servers; end them with `cargo xtask servers --stop {}`",
                dir.display(),
                dir.display()
            );
        }
    }
    let pair = Pair::start(&tools, Options { fsync, lifetime: Lifetime::Detached })?;
    export(&tools, &pair)?;
    pair.detach(&dir)?;
    eprintln!("both servers stay; end them with `cargo xtask servers --stop {}`", dir.display());
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
pub(crate) fn export(tools: &Tools, pair: &Pair) -> Result<()> {
    let mut out = io::stdout().lock();
    for (name, value) in tools.environment() {
        writeln!(out, "export {name}='{}'", value.display())?;
    }
    for (name, value) in pair.variables() {
        writeln!(out, "export {name}='{value}'")?;
    }
    out.flush().context("failed to print what to export")
}

fn stop(dir: &Path) -> Result<ExitCode> {
    let mut ended = 0;
    for kind in KINDS {
        if let Some(record) = Record::read(dir, kind)? {
            record.end(dir, kind).with_context(|| format!("failed to stop {kind}"))?;
            ended += 1;
        }
    }
    if ended == 0 {
        bail!("{} has no record of a server", dir.display());
    }
    eprintln!("{ended} servers stopped");
    Ok(ExitCode::SUCCESS)
}

fn directory(option: &str, value: Option<&String>) -> Result<PathBuf> {
    value.map(PathBuf::from).with_context(|| format!("{option} needs a directory"))
}
