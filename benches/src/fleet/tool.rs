//! Who migrates the fleet, and the commands by which it does.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::time::Instant;

use crate::machine;

/// Reads the tracking table, then feeds all missing files to one client.
const PLAIN: &str = r#"
db=$1
have=$(sqlite3 "$db" "CREATE TABLE IF NOT EXISTS schema_migrations (version TEXT PRIMARY KEY, at TEXT DEFAULT CURRENT_TIMESTAMP); SELECT version FROM schema_migrations") || exit 255
set --
for file in wrapped/*.sql; do
  version=${file#wrapped/}; version=${version%.sql}
  case $have in *"$version"*) ;; *) set -- "$@" "$file" ;; esac
done
[ $# = 0 ] && exit 0
cat "$@" | sqlite3 -bail "$db" || exit 255
"#;

/// One client process for each migration.
const NAIVE: &str = r#"
sqlite3 "$1" "CREATE TABLE IF NOT EXISTS schema_migrations (version TEXT PRIMARY KEY, at TEXT DEFAULT CURRENT_TIMESTAMP)" || exit 255
for file in wrapped/*.sql; do sqlite3 -bail "$1" < "$file" || exit 255; done
"#;

/// So many shards at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    /// The whole of Skein in one process: plan, log, agent. The flag: with a backup of each shard.
    Skein(u32, bool),
    /// What cannot be beaten.
    Floor(u32),
    /// The shell, one client a shard.
    Plain(u32),
    /// The shell, one client a migration.
    Naive(u32),
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skein(at_once, false) => write!(f, "skein, no backup, P {at_once}"),
            Self::Skein(at_once, true) => write!(f, "skein, backups, P {at_once}"),
            Self::Floor(at_once) => write!(f, "floor, P {at_once}"),
            Self::Plain(at_once) => write!(f, "sqlite3 a shard, P {at_once}"),
            Self::Naive(at_once) => write!(f, "sqlite3 a migration, P {at_once}"),
        }
    }
}

/// What is asked of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    /// Everything that is missing.
    Apply,
    /// How the fleet stands.
    Status,
}

/// What it took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Took {
    pub(super) wall: Duration,
    /// Of the tool and everything that it started.
    pub(super) cpu: Duration,
    /// Most memory of the tool's own process, MiB; none: it starts others, which were not looked at.
    pub(super) peak: Option<f64>,
}

impl Tool {
    /// Shards at one time.
    pub(super) fn at_once(self) -> u32 {
        match self {
            Self::Skein(at_once, _)
            | Self::Floor(at_once)
            | Self::Plain(at_once)
            | Self::Naive(at_once) => at_once,
        }
    }

    fn needs_shell(self) -> bool {
        matches!(self, Self::Plain(_) | Self::Naive(_))
    }

    /// Whether it can be run on this machine.
    pub(super) fn present(self) -> bool {
        let asked = || {
            let version = Command::new("sqlite3").arg("--version").stdout(Stdio::null()).status();
            version.is_ok_and(|status| status.success())
        };
        !self.needs_shell() || asked()
    }

    fn command(self, task: Task, directory: &Path, shards: u32) -> Result<Command> {
        let this = std::env::current_exe().context("failed to find this program")?;
        let at_once = self.at_once().to_string();
        let mut command = match self {
            Self::Skein(_, backup) => {
                // The agent's slots say how many shards are worked on at one time. As many legs again may
                // wait for a slot, so that none is idle while the log is forced to the disk.
                let handed_out = (2 * self.at_once()).to_string();
                let mut command = Command::new(this);
                command.arg("role-skein");
                let scope = if backup { "database" } else { "none" };
                match task {
                    Task::Apply => command.args([
                        "apply",
                        "--yes",
                        "--backup",
                        scope,
                        "--parallelism",
                        &handed_out,
                    ]),
                    Task::Status => command.arg("status"),
                };
                command
            }
            Self::Floor(_) => {
                let mut command = Command::new(this);
                let what = if task == Task::Apply { "apply" } else { "status" };
                command.args(["role-floor", what]).arg(directory);
                command.args([shards.to_string(), at_once]);
                command
            }
            Self::Plain(_) | Self::Naive(_) => {
                let script = match (self, task) {
                    (Self::Naive(_), Task::Apply) => NAIVE,
                    (_, Task::Apply) => PLAIN,
                    (_, Task::Status) => {
                        r#"exec sqlite3 "$1" "SELECT count(*), max(version) FROM schema_migrations""#
                    }
                };
                let mut command = Command::new("sh");
                let each = r#"printf '%s\n' shards/*.db | xargs -P "$1" -n 1 sh -c "$2" plain"#;
                command.args(["-c", each, "plain", &at_once, script]);
                command
            }
        };
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SKEIN_")) {
            command.env_remove(name);
        }
        command.current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null());
        Ok(command)
    }

    /// Does it, in a directory that the fixture made.
    pub(super) fn run(self, task: Task, directory: &Path, shards: u32) -> Result<Took> {
        let log = directory.join("log");
        let errors = std::fs::File::create(&log).context("failed to make a log")?;
        let mut command = self.command(task, directory, shards)?;
        command.stderr(errors);
        let (started, cpu) = (Instant::now(), machine::ours());
        let mut child = command.spawn().with_context(|| format!("failed to start {self}"))?;
        let peak = (!self.needs_shell()).then(|| Peak::watch(child.id())).transpose()?;
        let status = child.wait().with_context(|| format!("failed to wait for {self}"))?;
        let wall = started.elapsed();
        if !status.success() {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            bail!("{self} ended with {status} at {task:?}:\n{said}");
        }
        let peak = peak.and_then(Peak::end);
        Ok(Took { wall, cpu: machine::ours().saturating_sub(cpu), peak })
    }
}

/// Looks at a process's highest memory until it ends.
struct Peak {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Option<f64>>,
}

impl Peak {
    fn watch(pid: u32) -> Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let watch = move || {
            let mut most: Option<f64> = None;
            while !seen.load(Ordering::Relaxed) {
                if let Some((_, peak)) = machine::memory(&pid.to_string()) {
                    most = Some(most.map_or(peak, |most| most.max(peak)));
                }
                std::thread::park_timeout(Duration::from_millis(5));
            }
            most
        };
        let thread = std::thread::Builder::new()
            .name("peak".to_owned())
            .spawn(watch)
            .context("failed to start a thread")?;
        Ok(Self { over, thread })
    }

    fn end(self) -> Option<f64> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        self.thread.join().ok().flatten()
    }
}
