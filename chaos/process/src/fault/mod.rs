//! What goes wrong, and how it is put right again.

mod kind;

pub(crate) use kind::Kind;

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rand::RngExt as _;
use rand::rngs::StdRng;
use rustix::process::Signal;
use skein_agent::db::Engine;
use skein_chaos_disk::{Directories, Faults, SyncFault};

use crate::world::space::Space;
use crate::world::wire::Wire;
use crate::world::{Member, Who, World};

/// One fault, with whom it strikes.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    who: Vec<Who>,
    engine: Engine,
    /// Places of wires.
    wires: Vec<usize>,
    /// For how long.
    pub(crate) span: Duration,
    /// Milliseconds, percent or seconds, whatever the kind counts in.
    amount: i64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind.words())?;
        self.who.iter().try_for_each(|who| write!(f, " {who}"))?;
        if matches!(self.kind, Kind::KillDatabase | Kind::StopDatabase) {
            write!(f, " {}", self.engine)?;
        }
        if self.amount != 0 {
            write!(f, " ({})", self.amount)?;
        }
        write!(f, " for {} ms", self.span.as_millis())
    }
}

impl Fault {
    /// Draws the particulars.
    pub(crate) async fn draw(kind: Kind, world: &World, dice: &mut StdRng) -> Self {
        let node = Who::Node(dice.random_range(0..world.nodes.len()));
        let agent = Who::Agent(dice.random_range(0..world.agents.len()));
        let (chief, among_nodes) = (dice.random(), dice.random_ratio(2, 3));
        let engine = if dice.random() { Engine::Postgres } else { Engine::Mysql };
        // The same draws for every kind: what one needs does not move the rest of the seed.
        let (long, share, amount) = (dice.random(), dice.random_range(0..3_usize), dice.random());
        let ways = dice.random_range(0..world.wires.len().max(1));
        let layer = |who: &Who| world.member(*who).is_ok_and(|member| member.layer.is_some());
        let layered = world.everybody().find(layer).unwrap_or(node);
        let leader = world.leader_now().await.map_or(node, Who::Node);
        // Half of what strikes a coordinator strikes the one that leads.
        let node = if chief { leader } else { node };
        let any = if among_nodes { node } else { agent };
        let who = match kind {
            Kind::KillLeader => vec![leader],
            Kind::KillNode | Kind::StopNode | Kind::Isolate | Kind::Restart => vec![node],
            Kind::SyncFails | Kind::SyncSlow | Kind::PowerCut => vec![layered],
            // The layer needs room to write down what it sees.
            Kind::DiskFull if any == layered => vec![agent],
            Kind::KillAllNodes => (0..world.nodes.len()).map(Who::Node).collect(),
            Kind::KillAgent | Kind::StopAgent => vec![agent],
            Kind::LinkDown | Kind::Loss | Kind::DiskFull | Kind::ClockJump => vec![any],
            // Who does not hear whom.
            Kind::OneWay => {
                let other = (0..world.nodes.len()).map(Who::Node).find(|other| *other != any);
                vec![any, if leader == any { other.unwrap_or(leader) } else { leader }]
            }
            Kind::KillDatabase | Kind::StopDatabase => Vec::new(),
            Kind::Delay | Kind::Stall | Kind::Reset | Kind::UsersCut => Vec::new(),
        };
        // Of the wires a third, from a place on; or all those that users go by.
        let wires = match kind {
            Kind::Delay | Kind::Stall | Kind::Reset => {
                let count = world.wires.len().div_ceil(3 - share.min(1));
                (0..count).map(|place| (ways + place) % world.wires.len().max(1)).collect()
            }
            Kind::UsersCut => {
                let user = |(_, wire): &(usize, &Wire)| wire.from == "user";
                world.wires.iter().enumerate().filter(user).map(|(place, _)| place).collect()
            }
            _ => Vec::new(),
        };
        let amount: u32 = amount;
        let amount = match kind {
            Kind::Loss => i64::from(amount % 40) + 10,
            Kind::Delay => i64::from(amount % 120) + 10,
            Kind::SyncSlow => i64::from(amount % 300) + 20,
            Kind::ClockJump => i64::from(amount % 14_400) - 7_200,
            Kind::PowerCut => i64::from(amount),
            _ => 0,
        };
        let span = Duration::from_millis(match kind {
            Kind::Reset | Kind::UsersCut => 300,
            _ if long => dice.random_range(1_200..2_800),
            _ => dice.random_range(200..1_200),
        });
        Self { kind, who, engine, wires, span, amount }
    }

    /// It goes wrong.
    pub(crate) fn strike(&self, world: &mut World) -> Result<()> {
        match self.kind {
            Kind::KillLeader | Kind::KillNode | Kind::KillAllNodes | Kind::KillAgent => {
                self.each(world, |member, _| member.process.kill9())
            }
            Kind::StopNode | Kind::StopAgent => self.each(world, |member, _| member.process.stop()),
            Kind::KillDatabase => world.servers.kill9(self.engine),
            // It may have been killed, and not be back yet.
            Kind::StopDatabase => world.servers.signal(self.engine, Signal::STOP).or(Ok(())),
            Kind::LinkDown => self.each(world, |member, _| space(member)?.connect(false)),
            Kind::Loss => self.each(world, |member, amount| {
                space(member)?.lose(u32::try_from(amount).unwrap_or_default())
            }),
            Kind::OneWay => {
                let [deaf, mute] = self.who.as_slice() else { return Ok(()) };
                space(world.member(*deaf)?)?.deafen(space(world.member(*mute)?)?)
            }
            Kind::Isolate => {
                let [alone] = self.who.as_slice() else { return Ok(()) };
                for other in (0..world.nodes.len()).map(Who::Node).filter(|other| other != alone) {
                    let (here, there) =
                        (space(world.member(*alone)?)?, space(world.member(other)?)?);
                    here.deafen(there)?;
                    there.deafen(here)?;
                }
                Ok(())
            }
            Kind::Delay => {
                let ms = u64::try_from(self.amount).unwrap_or_default();
                let (delay, jitter) = (Duration::from_millis(ms), Duration::from_millis(ms / 2));
                self.ways(world, |wire| wire.delay(delay, jitter));
                Ok(())
            }
            Kind::Stall => {
                self.ways(world, |wire| wire.hold(true));
                Ok(())
            }
            Kind::Reset | Kind::UsersCut => {
                self.ways(world, Wire::cut);
                Ok(())
            }
            Kind::DiskFull => self.each(world, |member, _| {
                member.ailing = true;
                fill(member)
            }),
            Kind::SyncFails => self.each(world, |member, _| {
                member.ailing = true;
                layer(member, &Faults { sync: SyncFault::FailAlways, ..Faults::default() })
            }),
            Kind::SyncSlow => self.each(world, |member, amount| {
                let sync_delay_ms = u64::try_from(amount).unwrap_or_default();
                layer(member, &Faults { sync_delay_ms, ..Faults::default() })
            }),
            Kind::PowerCut => self.each(world, |member, amount| {
                member.process.kill9()?;
                let (root, side) = member.layer.as_ref().context("it has a layer")?;
                let seed = u64::try_from(amount).unwrap_or_default();
                skein_chaos_disk::pull(root, side, seed, Directories::Strict)?;
                Ok(())
            }),
            Kind::ClockJump => self.each(world, set_clock),
            Kind::Restart => self.each(world, |member, _| {
                // One that was killed or stands still cannot be asked.
                if member.process.runs() && !member.process.stands_still() {
                    member.process.end_in_order(member.ailing)?;
                }
                Ok(())
            }),
        }
    }

    /// And right again.
    pub(crate) fn heal(&self, world: &mut World) -> Result<()> {
        match self.kind {
            Kind::KillLeader | Kind::KillNode | Kind::KillAllNodes | Kind::KillAgent => {
                self.each(world, |member, _| member.process.start())
            }
            Kind::StopNode | Kind::StopAgent => self.each(world, |member, _| member.process.cont()),
            Kind::KillDatabase => world.servers.restart(self.engine),
            Kind::StopDatabase => world.servers.signal(self.engine, Signal::CONT).or(Ok(())),
            Kind::LinkDown => self.each(world, |member, _| space(member)?.connect(true)),
            Kind::OneWay | Kind::Loss => self.each(world, |member, _| space(member)?.hear()),
            Kind::Isolate => world.nodes.iter().try_for_each(|node| space(node)?.hear()),
            Kind::Delay | Kind::Stall | Kind::Reset | Kind::UsersCut => {
                self.ways(world, Wire::heal);
                Ok(())
            }
            Kind::DiskFull => self.each(world, |member, _| {
                empty(member)?;
                member.ailing = false;
                // As a service manager does with a node that gave up.
                member.process.start()
            }),
            Kind::SyncFails | Kind::SyncSlow => self.each(world, |member, _| {
                layer(member, &Faults::default())?;
                member.ailing = false;
                member.process.start()
            }),
            Kind::PowerCut | Kind::Restart => self.each(world, |member, _| member.process.start()),
            Kind::ClockJump => self.each(world, |member, _| set_clock(member, 0)),
        }
    }

    /// Whether a member may end by itself because of it.
    pub(crate) fn may_end(&self, who: Who) -> bool {
        matches!(self.kind, Kind::DiskFull | Kind::SyncFails) && self.who.contains(&who)
    }

    /// Whether work on targets may stand still because of it.
    pub(crate) fn slows_work(&self) -> bool {
        let databases = matches!(self.kind, Kind::KillDatabase | Kind::StopDatabase);
        databases
            || !self.wires.is_empty()
            || self.who.iter().any(|who| matches!(who, Who::Agent(_)))
    }

    fn each(
        &self,
        world: &mut World,
        mut act: impl FnMut(&mut Member, i64) -> Result<()>,
    ) -> Result<()> {
        for who in &self.who {
            act(world.member_mut(*who)?, self.amount)?;
        }
        Ok(())
    }

    fn ways(&self, world: &World, act: impl Fn(&Wire)) {
        self.wires.iter().filter_map(|place| world.wires.get(*place)).for_each(act);
    }
}

/// Everything is right again, whatever was wrong; what was killed is started.
pub(crate) fn heal_all(world: &mut World) -> Result<()> {
    for engine in [Engine::Postgres, Engine::Mysql] {
        if world.servers.signal(engine, Signal::CONT).is_err() {
            world.servers.restart(engine)?;
        }
    }
    world.wires.iter().for_each(Wire::heal);
    for member in world.members() {
        if let Some(space) = &member.space {
            space.connect(true)?;
            space.hear()?;
            empty(member)?;
        }
        set_clock(member, 0)?;
        layer(member, &Faults::default())?;
        member.ailing = false;
        if !member.process.fell() {
            member.process.cont()?;
            member.process.start()?;
        }
    }
    Ok(())
}

/// Those that have ended by themselves.
pub(crate) fn fallen(world: &mut World) -> Vec<Who> {
    let everybody: Vec<Who> = world.everybody().collect();
    let fell = |who: &Who| world.member_mut(*who).is_ok_and(|member| member.process.fell());
    everybody.into_iter().filter(fell).collect()
}

fn space(member: &Member) -> Result<&Space> {
    member.space.as_ref().context("this fault needs machines")
}

/// Sets what is wrong with a member's disk; nothing can be, where it has no layer.
fn layer(member: &Member, faults: &Faults) -> Result<()> {
    match &member.layer {
        Some((_, side)) => Ok(faults.store(side)?),
        None => Ok(()),
    }
}

fn fill(member: &Member) -> Result<()> {
    let mut ballast = fs::File::create(member.disk.join("ballast"))?;
    let block = vec![0_u8; 64 * 1024];
    let mut size = block.len();
    // Down to the last byte.
    while size > 0 {
        let block = block.get(..size).unwrap_or_default();
        if ballast.write_all(block).is_err() {
            size /= 2;
        }
    }
    Ok(())
}

fn empty(member: &Member) -> Result<()> {
    match fs::remove_file(member.disk.join("ballast")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn set_clock(member: &mut Member, seconds: i64) -> Result<()> {
    match &member.clock {
        Some(clock) => Ok(fs::write(clock, format!("{seconds:+}s\n"))?),
        None => Ok(()),
    }
}
