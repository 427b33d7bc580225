//! A private etcd cluster on loopback, for the benchmarks that compare with it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use super::Options;
use super::home::Home;
use super::process::Process;
use super::provision::Tools;
use super::record::Record;

/// How long one look at a member's health may take.
const LOOK: Duration = Duration::from_secs(2);

/// Members that elect a leader among themselves.
///
/// Stop, and their data vanish, when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    /// `None` after [`Cluster::detach`] alone.
    home: Option<Home>,
    process: Option<Process>,
    clients: u16,
}

impl Cluster {
    /// Starts `size` members, with the programs already installed; returns once each is healthy,
    /// which it is when there is a leader.
    pub fn start(size: usize, options: Options) -> Result<Self> {
        Self::start_with(&Tools::find(), size, options)
    }

    /// As [`Cluster::start`], with the given programs.
    pub fn start_with(tools: &Tools, size: usize, options: Options) -> Result<Self> {
        // All ports are held until all are known, so that none is given out twice.
        let held: Vec<(TcpListener, TcpListener)> =
            (0..size).map(|_| Ok((hold()?, hold()?))).collect::<Result<_>>()?;
        let ports: Vec<(u16, u16)> = held
            .iter()
            .map(|(clients, peers)| Ok((clients.local_addr()?.port(), peers.local_addr()?.port())))
            .collect::<Result<_>>()?;
        drop(held);
        let cluster: Vec<String> = ports
            .iter()
            .enumerate()
            .map(|(n, (_, peers))| format!("m{n}=http://127.0.0.1:{peers}"))
            .collect();
        let mut started = Self { members: Vec::new() };
        for (n, (clients, peers)) in ports.into_iter().enumerate() {
            let home = Home::create("etcd", "nobody")?;
            let clients_url = format!("http://127.0.0.1:{clients}");
            let peers_url = format!("http://127.0.0.1:{peers}");
            let mut etcd = tools.command("etcd")?;
            etcd.arg(format!("--name=m{n}"))
                .arg(format!("--data-dir={}", home.join("data").display()))
                .arg(format!("--listen-client-urls={clients_url}"))
                .arg(format!("--advertise-client-urls={clients_url}"))
                .arg(format!("--listen-peer-urls={peers_url}"))
                .arg(format!("--initial-advertise-peer-urls={peers_url}"))
                .arg(format!("--initial-cluster={}", cluster.join(",")))
                .args(["--initial-cluster-state=new", "--log-level=warn"]);
            if !options.fsync {
                etcd.arg("--unsafe-no-fsync");
            }
            home.dress(&mut etcd);
            let process = Process::spawn(etcd, &home.join("log"), options.lifetime)?;
            started.members.push(Member { home: Some(home), process: Some(process), clients });
        }
        for member in &mut started.members {
            let clients = member.clients;
            if let Some(process) = &mut member.process {
                process.until_ready(|| is_healthy(clients))?;
            }
        }
        Ok(started)
    }

    /// Where clients connect: `http://127.0.0.1:PORT` of each member, separated by commas.
    pub fn endpoints(&self) -> String {
        let urls = self.members.iter().map(|member| format!("http://127.0.0.1:{}", member.clients));
        urls.collect::<Vec<_>>().join(",")
    }

    /// The process id of each member.
    pub fn pids(&self) -> Vec<u32> {
        self.members.iter().filter_map(|member| Some(member.process.as_ref()?.pid())).collect()
    }

    /// Leaves the members running, to be ended by [`Record::end`].
    pub fn detach(mut self) -> Vec<Record> {
        self.members
            .iter_mut()
            .filter_map(|member| {
                let pid = member.process.take()?.pid();
                Some(Record::new(pid, member.home.take()?.keep()))
            })
            .collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in self.members.iter_mut().filter_map(|member| member.process.as_mut()) {
            // Its data are about to vanish: nothing is left to be written in order.
            drop(process.end(Signal::KILL));
        }
    }
}

/// A free port of loopback, ours as long as the listener lives.
fn hold() -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to find a free port")
}

/// Whether the member answers `GET /health` with health, which it has when there is a leader.
fn is_healthy(clients: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, clients));
        let mut stream = TcpStream::connect_timeout(&address, LOOK)?;
        stream.set_read_timeout(Some(LOOK))?;
        stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.contains(" 200 ") && answer.contains("\"true\""))
}
