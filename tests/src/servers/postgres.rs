//! A private PostgreSQL: `initdb`, a unix socket, trust for whoever can enter its directory.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use super::home::Home;
use super::process::{self, Process};
use super::provision::Tools;
use super::record::Record;
use super::{Options, wait};

/// The signal that makes the postmaster end its sessions and shut down cleanly.
pub(super) const STOP: Signal = Signal::INT;

/// One PostgreSQL server with a data directory of its own.
///
/// Stops, and its data vanish, when this is dropped.
#[derive(Debug)]
pub struct Instance {
    tools: Tools,
    options: Options,
    /// `None` after [`Instance::detach`] alone.
    home: Option<Home>,
    process: Option<Process>,
}

impl Instance {
    /// Makes a data directory and starts a server on it, with the programs already installed.
    ///
    /// Returns once connections are accepted: about 2 s on two cores.
    pub fn start(options: Options) -> Result<Self> {
        Self::start_with(&Tools::find(), options)
    }

    /// As [`Instance::start`], with the given programs.
    pub fn start_with(tools: &Tools, options: Options) -> Result<Self> {
        let home = Home::create("pg", "postgres")?;
        let mut initdb = tools.command("initdb")?;
        initdb
            .arg("--pgdata")
            .arg(home.join("data"))
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"])
            .args(["--no-sync", "--no-instructions"]);
        home.run(initdb).context("failed to make a PostgreSQL data directory")?;
        let mut instance = Self { tools: tools.clone(), options, home: Some(home), process: None };
        instance.serve()?;
        Ok(instance)
    }

    /// Starts a second server that follows this one, by the programs that made it: a hot standby that streams.
    pub fn replica(&self) -> Result<Self> {
        let primary = self.home.as_ref().context("this server was detached")?;
        let home = Home::create("pg", "postgres")?;
        let mut copy = self.tools.command("pg_basebackup")?;
        copy.arg("--pgdata").arg(home.join("data")).arg("--host").arg(primary.path());
        copy.args(["--username=postgres", "--checkpoint=fast", "--wal-method=stream"]);
        copy.args(["--write-recovery-conf", "--no-sync"]);
        home.run(copy).context("failed to copy a PostgreSQL data directory")?;
        let (tools, options) = (self.tools.clone(), self.options);
        let mut instance = Self { tools, options, home: Some(home), process: None };
        instance.serve()?;
        Ok(instance)
    }

    /// The URL of the database `postgres`, as its superuser.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The URL of another database, which need not exist yet.
    pub fn url_of(&self, database: &str) -> String {
        let dir = self.home.as_ref().map(|home| home.path().display().to_string());
        format!("postgres://postgres@localhost/{database}?host={}", dir.unwrap_or_default())
    }

    /// The postmaster's process id; `None` after [`Instance::kill9`] or [`Instance::stop`].
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Kills the postmaster and all its sessions with SIGKILL, as a crash of the machine would.
    ///
    /// Returns once all of them are gone. What the kernel was given survives; what the server
    /// still held does not.
    pub fn kill9(&mut self) -> Result<()> {
        let Some(mut postmaster) = self.process.take() else { return Ok(()) };
        let sessions = process::children(postmaster.pid());
        postmaster.end(Signal::KILL)?;
        for session in &sessions {
            // One that has seen its postmaster die may be gone already.
            drop(process::send(*session, Signal::KILL));
        }
        wait::until("the killed sessions are gone", Duration::from_secs(30), || {
            Ok(!sessions.iter().any(|pid| process::is_alive(*pid)))
        })
    }

    /// Stops the server if it runs, then starts it on the same data and the same URL.
    ///
    /// Returns once connections are accepted, recovery included.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.serve()
    }

    /// Stops the server cleanly; its data stay until this is dropped.
    pub fn stop(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.end(STOP))
    }

    /// Leaves the server running, to be ended by [`Record::end`].
    pub fn detach(mut self) -> Option<Record> {
        let pid = self.process.take()?.pid();
        let home = self.home.take()?.keep();
        Some(Record::new(pid, home))
    }

    fn serve(&mut self) -> Result<()> {
        let home = self.home.as_ref().context("this server was detached")?;
        let mut postgres = self.tools.command("postgres")?;
        postgres.arg("-D").arg(home.join("data")).arg("-k").arg(home.path());
        let mut settings = vec!["listen_addresses=", "max_connections=400", "jit=off"];
        if !self.options.fsync {
            // A commit is still handed to the kernel before it is answered: with
            // synchronous_commit off, a killed server would lose what it has acknowledged.
            settings.extend(["fsync=off", "full_page_writes=off"]);
        }
        for setting in settings {
            postgres.args(["-c", setting]);
        }
        home.dress(&mut postgres);
        let mut process = Process::spawn(postgres, &home.join("log"), self.options.lifetime)?;
        let ready = process.until_ready(|| {
            self.tools
                .command("pg_isready")
                .and_then(|mut probe| {
                    probe.arg("--quiet").arg("--host").arg(home.path());
                    Ok(probe.stdin(Stdio::null()).status()?)
                })
                .is_ok_and(|status| status.success())
        });
        if ready.is_err() {
            // The failure to start is what is worth telling.
            drop(process.end(Signal::KILL));
        }
        ready?;
        self.process = Some(process);
        Ok(())
    }

    /// Frees the shared memory segment that a killed postmaster leaves behind.
    fn free_segment(&self) {
        let Some(home) = &self.home else { return };
        let lock = fs::read_to_string(home.join("data/postmaster.pid")).unwrap_or_default();
        // The seventh line: the segment's key and its id.
        let id = lock.lines().nth(6).and_then(|line| line.split_whitespace().nth(1));
        if let Some(id) = id {
            let mut ipcrm = std::process::Command::new("ipcrm");
            ipcrm.args(["-m", id]).stdout(Stdio::null()).stderr(Stdio::null());
            drop(ipcrm.status());
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        match self.process.take() {
            // Quit at once, but freeing shared memory: the data are about to vanish anyway.
            Some(mut process) => drop(process.end(Signal::QUIT)),
            None => self.free_segment(),
        }
    }
}
