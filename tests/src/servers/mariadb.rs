//! A private MariaDB: `mariadb-install-db`, a unix socket, root without a password for whoever can
//! enter its directory.

use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use super::Options;
use super::home::Home;
use super::process::Process;
use super::provision::Tools;
use super::record::Record;

/// The signal that makes MariaDB shut down cleanly.
pub(super) const STOP: Signal = Signal::TERM;

/// A server's place among those that replicate from each other.
#[derive(Debug, Clone, Copy)]
struct Member {
    port: u16,
    number: u32,
}

/// One MariaDB server with a data directory of its own.
///
/// Stops, and its data vanish, when this is dropped.
#[derive(Debug)]
pub struct Instance {
    tools: Tools,
    options: Options,
    /// Where it listens, and by which number others know it; `None`: it replicates nothing.
    member: Option<Member>,
    /// `None` after [`Instance::detach`] alone.
    home: Option<Home>,
    process: Option<Process>,
}

impl Instance {
    /// Makes a data directory and starts a server on it, with the programs already installed.
    ///
    /// Returns once connections are accepted: about 3 s on two cores.
    pub fn start(options: Options) -> Result<Self> {
        Self::start_with(&Tools::find(), options)
    }

    /// The same, for one that others may follow, or that follows another: it writes a binary log, and listens on
    /// loopback, since replication knows no other way. `number` is its own among them.
    pub fn start_member(number: u32, options: Options) -> Result<Self> {
        let free = TcpListener::bind(("127.0.0.1", 0)).context("failed to find a free port")?;
        let port = free.local_addr().context("failed to find a free port")?.port();
        drop(free);
        Self::make(&Tools::find(), options, Some(Member { port, number }))
    }

    /// The port on loopback on which others follow it.
    pub fn port(&self) -> Option<u16> {
        self.member.map(|member| member.port)
    }

    /// As [`Instance::start`], with the given programs.
    pub fn start_with(tools: &Tools, options: Options) -> Result<Self> {
        Self::make(tools, options, None)
    }

    fn make(tools: &Tools, options: Options, member: Option<Member>) -> Result<Self> {
        let home = Home::create("my", "mysql")?;
        let mut install = tools.command("mariadb-install-db")?;
        install
            .arg("--no-defaults")
            .arg(option("--datadir", &home.join("data")))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
            .args(["--skip-name-resolve", "--cross-bootstrap"]);
        if let Some(base) = base(tools) {
            install.arg(option("--basedir", &base));
        }
        home.run(install).context("failed to make a MariaDB data directory")?;
        let (tools, home) = (tools.clone(), Some(home));
        let mut instance = Self { tools, options, member, home, process: None };
        instance.serve()?;
        Ok(instance)
    }

    /// The URL of the server, with no database chosen, as root.
    pub fn url(&self) -> String {
        self.url_of("")
    }

    /// The URL of one database, which need not exist yet.
    pub fn url_of(&self, database: &str) -> String {
        let socket = self.home.as_ref().map(|home| socket(home).display().to_string());
        format!("mysql://root@localhost/{database}?socket={}", socket.unwrap_or_default())
    }

    /// The server's process id; `None` after [`Instance::kill9`] or [`Instance::stop`].
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Kills the server with SIGKILL and returns once it is gone.
    pub fn kill9(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.end(Signal::KILL))
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
        let mut server = self.command(home)?;
        home.dress(&mut server);
        let mut process = Process::spawn(server, &home.join("log"), self.options.lifetime)?;
        let ready = process.until_ready(|| greets(&socket(home)));
        if ready.is_err() {
            // The failure to start is what is worth telling.
            drop(process.end(Signal::KILL));
        }
        ready?;
        self.process = Some(process);
        Ok(())
    }

    fn command(&self, home: &Home) -> Result<Command> {
        let mut server = self.tools.command("mariadbd")?;
        server
            .arg("--no-defaults")
            .arg(option("--datadir", &home.join("data")))
            .arg(option("--socket", &socket(home)))
            .arg(option("--pid-file", &home.join("pid")))
            .arg(option("--tmpdir", home.path()))
            .args(["--skip-name-resolve", "--max-connections=400"])
            .args(["--character-set-server=utf8mb4", "--innodb-buffer-pool-size=128M"]);
        match self.member {
            None => server.arg("--skip-networking"),
            Some(Member { port, number }) => server
                .args(["--bind-address=127.0.0.1", "--log-bin=log"])
                .args([format!("--port={port}"), format!("--server-id={number}")]),
        };
        if let Some(base) = base(&self.tools) {
            server.arg(option("--basedir", &base));
            server.arg(option("--lc-messages-dir", &base.join("share/mysql")));
        }
        if !self.options.fsync {
            // 2 hands a commit to the kernel before it is answered, where 0 would let a killed
            // server lose a second of what it has acknowledged.
            server.args(["--innodb-flush-log-at-trx-commit=2", "--skip-innodb-doublewrite"]);
            server.args(["--sync-binlog=0", "--innodb-flush-method=nosync"]);
        }
        Ok(server)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Its data are about to vanish: nothing is left to be written in order.
        drop(self.kill9());
    }
}

fn socket(home: &Home) -> PathBuf {
    home.join("sock")
}

fn option(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

/// The directory above the unpacked programs, which look for their messages in `/usr` otherwise.
fn base(tools: &Tools) -> Option<PathBuf> {
    tools.unpacked().map(|root| root.join("usr"))
}

/// Whether the server greets whoever connects: the first packet it sends is protocol version 10,
/// or an error (0xff), for instance while it has too many connections.
fn greets(socket: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket) else { return false };
    let mut packet = [0; 5];
    stream.set_read_timeout(Some(Duration::from_secs(5))).is_ok()
        && stream.read_exact(&mut packet).is_ok()
        && packet.last() == Some(&10)
}
