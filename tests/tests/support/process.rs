//! One `skein` that runs until it is ended.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::project::binary;

/// Lines of a log that a failed test shows.
const TAIL: usize = 40;

/// Which program is started, and with what in its surroundings.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) program: PathBuf,
    pub(crate) variables: Vec<(String, String)>,
}

impl Start {
    pub(crate) fn of(program: &Path) -> Self {
        Self { program: program.to_owned(), variables: Vec::new() }
    }
}

/// A child of this test. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    gone: bool,
}

impl Process {
    /// Starts `skein ARGS`; what it says is added to `log`.
    pub(crate) fn start(args: &[&str], dir: &Path, log: &Path) -> Self {
        Self::start_with(&Start::of(&binary()), args, dir, log)
    }

    /// The same for another program, or with another clock.
    pub(crate) fn start_with(start: &Start, args: &[&str], dir: &Path, log: &Path) -> Self {
        let log_file = File::options().create(true).append(true).open(log);
        let log_file = log_file.expect("a log can be written");
        let child = Command::new(&start.program)
            .args(args)
            .envs(start.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(dir)
            .env("NO_COLOR", "1")
            .env("SKEIN_LOG", std::env::var("SKEIN_LOG").unwrap_or("info,openraft=warn".to_owned()))
            .stdin(Stdio::null())
            .stdout(log_file.try_clone().expect("a log can be opened twice"))
            .stderr(log_file)
            .spawn()
            .expect("the program under test starts");
        Self { child, log: log.to_owned(), gone: false }
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // It was not waited for yet, so its id is still its own, and a signal to it cannot fail.
        kill_process(id.expect("a process has an id"), signal).expect("a child can be signalled");
    }

    /// SIGKILL; gone when this returns.
    pub(crate) fn kill9(&mut self) {
        if !self.gone {
            self.signal(Signal::KILL);
            self.child.wait().expect("a child can be waited for");
            self.gone = true;
        }
    }

    /// SIGSTOP: it neither runs nor goes.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub(crate) fn cont(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM, as a service manager would: the exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.ends_by(Signal::TERM)
    }

    /// SIGINT, as Ctrl-C would: the exit code.
    pub(crate) fn interrupt(&mut self) -> Option<i32> {
        self.ends_by(Signal::INT)
    }

    fn ends_by(&mut self, signal: Signal) -> Option<i32> {
        self.signal(signal);
        let status = self.child.wait().expect("a child can be waited for");
        self.gone = true;
        status.code()
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.gone = self.gone || !matches!(self.child.try_wait(), Ok(None));
        !self.gone
    }

    /// The whole log, of earlier starts as well.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "a failed test shows what its programs said")]
    fn drop(&mut self) {
        let ran = self.runs();
        self.kill9();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default();
            let state = if ran { "was running" } else { "had ended" };
            eprintln!("--- {} ({state})\n{}", self.log.display(), tail.join("\n"));
        }
    }
}
