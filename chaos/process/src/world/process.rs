//! One `skein` that runs until it is ended, on a machine of its own, with shims of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use skein_tests::servers::wait;
use tokio::time::Instant;

use super::space::Space;

/// Lines of a log that a failure shows.
const TAIL: usize = 12;

/// How long a process may take to end in order.
const ORDER: Duration = Duration::from_secs(20);

/// The program under test: what `SKEIN_BIN` names, else the one that lies beside this one.
pub(crate) fn binary() -> Result<PathBuf> {
    let beside = std::env::current_exe().context("failed to find this program")?;
    let beside = beside.with_file_name("skein");
    let path = std::env::var_os("SKEIN_BIN").map_or(beside, PathBuf::from);
    if !path.is_file() {
        bail!(
            "there is no program to test at {}: `cargo build -p skein-cli` makes it, or SKEIN_BIN \
             names another",
            path.display()
        );
    }
    Ok(path)
}

/// How a `skein` is started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Launch {
    pub(crate) words: Vec<String>,
    pub(crate) dir: PathBuf,
    /// On this machine; `None`: where this program is.
    pub(crate) space: Option<Space>,
    /// Its hosts file; `None`: the host's own.
    pub(crate) hosts: Option<PathBuf>,
    pub(crate) variables: Vec<(String, String)>,
}

impl Launch {
    /// The whole command. Every program on the way becomes the next one: the process that is started
    /// is the one that is signalled.
    pub(crate) fn command(&self) -> Result<Command> {
        let mut words: Vec<String> = Vec::new();
        if let Some(space) = &self.space {
            words.extend(["nsenter".to_owned(), format!("--net={}", space.path().display())]);
            words.push("--".to_owned());
        }
        if let Some(hosts) = &self.hosts {
            let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
            words.extend(
                ["unshare", "--mount", "--propagation", "slave", "sh", "-c"].map(str::to_owned),
            );
            words.extend([script.to_owned(), hosts.display().to_string()]);
        }
        if self.hosts.is_none() {
            // No namespace of processes takes it along when this program is gone: the kernel is asked to.
            words.extend(["setpriv", "--pdeathsig", "KILL", "--"].map(str::to_owned));
        }
        words.push("env".to_owned());
        words.extend(self.variables.iter().map(|(name, value)| format!("{name}={value}")));
        words.push(binary()?.display().to_string());
        words.extend(self.words.iter().cloned());
        let (program, rest) = words.split_first().context("a command has a program")?;
        let mut command = Command::new(program);
        command.args(rest).current_dir(&self.dir).env("NO_COLOR", "1").stdin(Stdio::null());
        Ok(command)
    }
}

/// A child of this program. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    launch: Launch,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// Not started yet; what it will say is added to `log`.
    pub(crate) fn new(launch: Launch, log: &Path) -> Self {
        Self { launch, log: log.to_owned(), child: None }
    }

    /// Starts it, where it does not run.
    pub(crate) fn start(&mut self) -> Result<()> {
        if self.runs() {
            return Ok(());
        }
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("failed to open {}", self.log.display()))?;
        let mut command = self.launch.command()?;
        command.env(
            "SKEIN_LOG",
            std::env::var("SKEIN_LOG").unwrap_or("info,openraft=warn".to_owned()),
        );
        command.stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().context("failed to start the program under test")?);
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        // It was not waited for yet, so its id is still its own.
        kill_process(id.context("a process has an id")?, signal).context("failed to signal a child")
    }

    /// SIGKILL; gone when this returns.
    pub(crate) fn kill9(&mut self) -> Result<()> {
        if self.runs() {
            self.signal(Signal::KILL)?;
        }
        if let Some(mut child) = self.child.take() {
            child.wait().context("failed to wait for a killed child")?;
        }
        Ok(())
    }

    /// SIGSTOP: it neither runs nor goes.
    pub(crate) fn stop(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub(crate) fn cont(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// SIGTERM, as a service manager would: how long it took to end. Fails when that was too long, or when it ended
    /// with an error and its disk was not `ailing`.
    pub(crate) fn end_in_order(&mut self, ailing: bool) -> Result<Duration> {
        let begun = Instant::now();
        self.signal(Signal::TERM)?;
        let log = self.log.display().to_string();
        wait::until(&format!("what logs to {log} has ended in order"), ORDER, || Ok(!self.runs()))?;
        if let Some(mut child) = self.child.take() {
            let status = child.wait().context("failed to wait for a child")?;
            ensure!(
                ailing || status.success(),
                "asked to end, what logs to {log} ended with {status}"
            );
        }
        Ok(begun.elapsed())
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(None)) => true,
            Some(Ok(Some(_)) | Err(_)) | None => false,
        }
    }

    /// Whether it was stopped and not continued.
    pub(crate) fn stands_still(&self) -> bool {
        let Some(child) = &self.child else { return false };
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// Whether it was started and has ended by itself.
    pub(crate) fn fell(&mut self) -> bool {
        self.child.is_some() && !self.runs()
    }

    /// The end of what it has said.
    pub(crate) fn tail(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // On the way out there is nobody to tell.
        drop(self.kill9());
    }
}
