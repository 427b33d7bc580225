//! Puts a fleet together: machines, wires, configurations, processes.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use skein_agent::db::Engine;

use super::cli::Cli;
use super::process::{Launch, Process};
use super::space::{self, Space};
use super::target::{Servers, Target};
use super::tenants::{self, Reach, Tenants};
use super::wait::until_some;
use super::web::Web;
use super::wire::{self, End, Wire};
use super::{Ground, Member, Timing, World};
use crate::enclose::run;
use crate::provide::{FAKETIME, filters};

/// Where users are: in this program's own namespace.
pub(crate) const USER: &str = "user";
pub(crate) const NODES: [&str; 3] = ["n1", "n2", "n3"];
pub(crate) const REGIONS: [&str; 3] = ["eu", "us", "ap"];
/// In each region, one of each engine.
const ENGINES: [(&str, Engine); 3] =
    [("pg", Engine::Postgres), ("my", Engine::Mysql), ("lite", Engine::Sqlite)];
/// The agent that stays away.
const STILL: &str = "still";
/// What lies beside every region, as wires name it.
const POSTGRES: &str = "pg";
const MYSQL: &str = "my";
const WEB: &str = "web";
const PORT: u16 = 7000;
/// Of a machine, where it may have one of its own.
const DISK_BYTES: &str = "size=96m";
/// The same with a layer, whose journal grows by more than a megabyte a round, and lies there, too.
const LAYERED_BYTES: &str = "size=1g";
/// How long a fleet may take to come up.
const LIMIT: Duration = Duration::from_mins(1);

/// The node whose disk is a layer that can fail, be slow, and forget what was not forced to it.
const LAYERED: &str = "n1";

impl World {
    /// Starts everything below `dir`; returns when all agents are connected.
    pub(crate) async fn make(dir: &Path, ground: Ground, timing: Timing) -> Result<Self> {
        let mut left_out = Vec::new();
        let faketime = Path::new(FAKETIME).is_file();
        if !faketime {
            left_out.push("clocks that are set wrong: libfaketime is not installed".to_owned());
        }
        if ground == Ground::Spaces && !filters() {
            left_out.push("packets that are dropped: nft is not installed".to_owned());
        }
        let servers = Servers::start()?;
        let mut targets = Vec::new();
        for region in REGIONS {
            for (engine, which) in ENGINES {
                targets.push(servers.target(dir, &format!("{region}/{engine}"), which).await?);
            }
        }
        let mut by_hand = Vec::new();
        for (engine, which) in ENGINES {
            let id = format!("{}{engine}", tenants::HAND);
            by_hand.push(servers.target(dir, &id, which).await?);
        }
        let mut still = Vec::new();
        for number in 1..=2 {
            still.push(servers.target(dir, &format!("still/{number}"), Engine::Sqlite).await?);
        }

        let web = Web::open(dir)?;
        let replica = match timing {
            Timing::Near => servers.replica().await.map_err(|why| {
                left_out.push(format!("a replica of the PostgreSQL server: {why:#}"));
            }),
            Timing::Far { .. } => Err(()),
        };
        let mut plan = Plan::new(dir, ground, faketime)?;
        plan.draw(&servers, &web)?;
        let tenants = Tenants::new(dir, plan.reach(tenants::BY)?);
        by_hand.iter().try_for_each(|target| tenants.name(target))?;
        let nodes = plan.nodes(timing)?;
        let mut agents = Vec::new();
        for region in REGIONS {
            let served: Vec<&Target> =
                targets.iter().filter(|target| target.region == region).collect();
            let found = (region == tenants::BY).then_some(&tenants);
            agents.push(plan.agent(region, &served, found)?);
        }
        targets.extend(by_hand);
        let mut away = plan.agent(STILL, &still.iter().collect::<Vec<_>>(), None)?;
        let cli = plan.cli()?;
        let mut world = Self {
            ground,
            dir: dir.to_owned(),
            nodes,
            agents,
            wires: plan.wires,
            servers,
            web,
            replica: replica.ok(),
            tenants,
            targets,
            still,
            cli,
            left_out,
        };
        for member in world.members() {
            member.process.start()?;
        }
        world.leader(LIMIT).await?;
        away.process.start()?;
        world.agents_here(LIMIT).await?;
        let client = world.direct(world.leader(LIMIT).await?.0)?;
        until_some("the quiet targets were looked at", LIMIT, async || {
            let known = client.targets().await.ok()?;
            let seen = known.iter().filter(|target| target.observation.is_some()).count();
            (seen == world.targets.len() + world.still.len()).then_some(())
        })
        .await?;
        Ok(world)
    }
}

/// What is known before anything runs.
struct Plan {
    dir: PathBuf,
    ground: Ground,
    faketime: bool,
    hosts: Option<PathBuf>,
    spaces: Vec<Space>,
    wires: Vec<Wire>,
    /// Where each node really listens.
    listen: Vec<SocketAddr>,
    /// What others call it.
    named: Vec<String>,
}

impl Plan {
    fn new(dir: &Path, ground: Ground, faketime: bool) -> Result<Self> {
        let mut plan = Self {
            dir: dir.to_owned(),
            ground,
            faketime,
            hosts: None,
            spaces: Vec::new(),
            wires: Vec::new(),
            listen: Vec::new(),
            named: Vec::new(),
        };
        if ground == Ground::Spaces {
            space::bridge()?;
            let mut text = "127.0.0.1 localhost\n".to_owned();
            for (place, name) in (1..).zip(NODES) {
                plan.spaces.push(Space::make(name, place)?);
                plan.named.push(format!("{name}:{PORT}"));
                writeln!(text, "127.0.1.{place} {name}")?;
            }
            for (place, region) in (11..).zip(REGIONS.into_iter().chain([STILL])) {
                plan.spaces.push(Space::make(region, place)?);
            }
            let hosts = dir.join("hosts");
            std::fs::write(&hosts, text)?;
            plan.hosts = Some(hosts);
            for space in plan.spaces.iter().take(NODES.len()) {
                plan.listen.push(SocketAddr::new(space.address.parse()?, PORT));
            }
        } else {
            plan.listen = free(NODES.len())?;
        }
        Ok(plan)
    }

    /// Opens every wire.
    fn draw(&mut self, servers: &Servers, web: &Web) -> Result<()> {
        let beside = [
            (POSTGRES, 5432, servers.socket(Engine::Postgres)?),
            (MYSQL, 3306, servers.socket(Engine::Mysql)?),
            (WEB, 8080, web.socket.clone()),
        ];
        if self.ground == Ground::Loopback {
            // One way to each place, whoever goes.
            let ports = free(NODES.len() + beside.len())?;
            let mut ports = ports.into_iter();
            for ((node, at), end) in NODES.iter().zip(ports.by_ref()).zip(&self.listen) {
                self.wires.push(Wire::new(USER, node, at, End::Tcp(*end)));
                self.named.push(at.to_string());
            }
            for ((name, _, socket), at) in beside.into_iter().zip(ports) {
                self.wires.push(Wire::new("any", name, at, End::Unix(socket)));
            }
            return wire::open(None, self.wires.clone());
        }
        let users = std::iter::once((USER.to_owned(), None));
        let machines = self.spaces.iter().map(|space| (space.name.clone(), Some(space.path())));
        for (from, space) in users.chain(machines).collect::<Vec<_>>() {
            let mut wires = Vec::new();
            for ((place, to), end) in (1..).zip(NODES).zip(&self.listen) {
                let at = SocketAddr::new(Ipv4Addr::new(127, 0, 1, place).into(), PORT);
                wires.push(Wire::new(&from, to, at, End::Tcp(*end)));
            }
            if REGIONS.contains(&from.as_str()) {
                for (place, (name, port, socket)) in (1..).zip(&beside) {
                    let at = SocketAddr::new(Ipv4Addr::new(127, 0, 2, place).into(), *port);
                    wires.push(Wire::new(&from, name, at, End::Unix(socket.clone())));
                }
            }
            wire::open(space, wires.clone())?;
            self.wires.extend(wires);
        }
        Ok(())
    }

    fn nodes(&self, timing: Timing) -> Result<Vec<Member>> {
        let mut members = String::new();
        for (number, address) in (1..).zip(&self.named) {
            writeln!(members, "[[member]]\nnode = {number}\naddress = \"{address}\"")?;
        }
        let mut nodes = Vec::new();
        for (((number, name), listen), named) in (1..).zip(NODES).zip(&self.listen).zip(&self.named)
        {
            let disk = self.disk(name)?;
            let text = format!(
                "node = {number}\ncluster = \"chaos\"\ndata = \"{}\"\nlisten = \"{listen}\"\n\
                 advertise = \"{named}\"\nplaintext_beyond_loopback = true\n{}\nsnapshot_after = 400\n\
                 keep_entries = 100\n\n{members}",
                disk.join("data").display(),
                timing.lines()
            );
            nodes.push(self.member(name, "coordinator", &text, (disk, listen.to_string()))?);
        }
        Ok(nodes)
    }

    fn agent(
        &self,
        region: &str,
        targets: &[&Target],
        tenants: Option<&Tenants>,
    ) -> Result<Member> {
        let disk = self.disk(region)?;
        let mut text = format!(
            "[coordinator]\naddresses = {:?}\n\n[agent]\nid = \"{region}\"\nslots = 4\nbackups = \"{}\"\n\
             cache = \"{}\"\n",
            self.nearest_first(region),
            disk.join("backups").display(),
            disk.join("cache").display()
        );
        if region != STILL {
            text += &self.asked(region)?;
        }
        for target in targets {
            let url =
                if region == STILL { target.url.clone() } else { self.reach(region)?.url(target) };
            write!(
                text,
                "\n[[target]]\nid = {:?}\nurl = {url:?}\ngroup = \"{}\"\nlabels = {{ region = {region:?} }}\n",
                target.id, target.engine
            )?;
        }
        if let Some(tenants) = tenants {
            write!(
                text,
                "\n[[discovery]]\nname = \"tenants\"\ncommand = [\"cat\", {:?}]\nevery = \"1s\"\n",
                tenants.file().display().to_string()
            )?;
        }
        self.member(region, "agent", &text, (disk, String::new()))
    }

    /// What gates and throttles may ask: the shop, a signal, Prometheus, programs.
    fn asked(&self, region: &str) -> Result<String> {
        let at = self.way(region, WEB)?;
        Ok(format!(
            "\n[agent.gate.shop]\nhttp = \"http://{at}/shop\"\n\n[agent.gate.signal]\n\
             http = \"http://{at}/signal\"\n\n[agent.gate.prom]\nprometheus = \"http://{at}\"\n\n\
             [agent.gate.fine]\ncommand = [\"true\"]\n\n\
             [agent.gate.moody]\ncommand = [\"sh\", \"-c\", \"test $(($(date +%s) % 4)) -gt 0\"]\n"
        ))
    }

    /// Where what lies beside a region is found from there.
    fn way(&self, region: &str, to: &str) -> Result<SocketAddr> {
        let from = |wire: &&Wire| wire.from == region || wire.from == "any";
        let found = self.wires.iter().filter(from).find(|wire| wire.to == to);
        Ok(found.with_context(|| format!("there is no way from {region} to {to}"))?.at)
    }

    /// How an agent reaches the database servers.
    fn reach(&self, region: &str) -> Result<Reach> {
        Ok(Reach { postgres: self.way(region, POSTGRES)?, mysql: self.way(region, MYSQL)? })
    }

    fn cli(&self) -> Result<Cli> {
        let text = format!(
            "[coordinator]\naddresses = {:?}\n\n[project]\nactor = \"chaos\"\nformat = \"sqlx\"\n",
            self.addresses()
        );
        let config = self.dir.join("cli.toml");
        std::fs::write(&config, text)?;
        let launch =
            Launch { dir: self.dir.clone(), hosts: self.hosts.clone(), ..Launch::default() };
        Ok(Cli { config, launch })
    }

    /// All nodes, the one of the same place first.
    fn nearest_first(&self, region: &str) -> Vec<String> {
        let mut addresses = self.addresses();
        let place = REGIONS.iter().position(|name| *name == region).unwrap_or_default();
        let place = place.min(addresses.len());
        addresses.rotate_left(place);
        addresses
    }

    fn addresses(&self) -> Vec<String> {
        self.named.iter().map(|address| format!("http://{address}")).collect()
    }

    /// A directory, with a small file system of its own where there may be mounts.
    fn disk(&self, name: &str) -> Result<PathBuf> {
        let disk = self.dir.join(name);
        std::fs::create_dir_all(&disk)?;
        if self.ground == Ground::Spaces {
            let at = disk.display().to_string();
            let size = if name == LAYERED { LAYERED_BYTES } else { DISK_BYTES };
            run("mount", &["-t", "tmpfs", "-o", size, "tmpfs", &at])?;
        }
        Ok(disk)
    }

    fn member(
        &self,
        name: &str,
        role: &str,
        text: &str,
        (disk, listen): (PathBuf, String),
    ) -> Result<Member> {
        let config = self.dir.join(format!("{name}.toml"));
        std::fs::write(&config, text)?;
        let mut variables = Vec::new();
        let mut preloads = Vec::new();
        let clock = self.dir.join(format!("{name}.clock"));
        let layer = (name == LAYERED).then(|| (disk.join("data"), disk.join("side")));
        if let Some((root, side)) = &layer {
            preloads.push(preload()?.display().to_string());
            let disk = format!("{}={}", root.display(), side.display());
            variables.push(("SKEIN_DISK".to_owned(), disk));
        }
        if self.faketime {
            std::fs::write(&clock, "+0s\n")?;
            preloads.push(FAKETIME.to_owned());
            variables.extend([
                ("FAKETIME_TIMESTAMP_FILE".to_owned(), clock.display().to_string()),
                ("FAKETIME_CACHE_DURATION".to_owned(), "1".to_owned()),
                // Time-outs are counted by the monotonic clock, which no one sets.
                ("DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
            ]);
        }
        if !preloads.is_empty() {
            variables.push(("LD_PRELOAD".to_owned(), preloads.join(":")));
        }
        let space = self.spaces.iter().find(|space| space.name == name).cloned();
        let words = [role, "--config", &config.display().to_string()].map(str::to_owned);
        let launch = Launch {
            words: words.to_vec(),
            dir: self.dir.clone(),
            space: space.clone(),
            hosts: self.hosts.clone(),
            variables,
        };
        Ok(Member {
            ailing: false,
            space,
            process: Process::new(launch, &self.dir.join(format!("{name}.log"))),
            disk,
            clock: self.faketime.then_some(clock),
            layer,
            listen,
        })
    }
}

/// Loopback addresses that nobody listens at, from below the range out of which outgoing connections get
/// their ports: what was killed finds its port free when it starts again. All are held until all are known.
fn free(count: usize) -> Result<Vec<SocketAddr>> {
    let mut held = Vec::new();
    for _ in 0..1_000 {
        if held.len() == count {
            break;
        }
        let port = rand::random_range(12_000..32_000_u16);
        held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    }
    anyhow::ensure!(held.len() == count, "no free ports were found on loopback");
    held.iter().map(|listener| Ok(listener.local_addr()?)).collect()
}

/// The layer's shared object, which cargo builds along with this program.
fn preload() -> Result<PathBuf> {
    let name = "libskein_chaos_preload.so";
    let program = std::env::current_exe().context("failed to find this program")?;
    let near = [program.with_file_name(name), program.with_file_name("deps").join(name)];
    let found = near.into_iter().find(|path| path.is_file());
    found.with_context(|| format!("{name} is not beside {}", program.display()))
}
