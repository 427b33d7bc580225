//! What goes wrong, and when: a function of the seed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use skein_chaos_interpose::disk::{Behaviour, Left};
use skein_chaos_interpose::{Chance, Simulation, disk};

use crate::damage::Damage;
use crate::world::{Node, killed, world};
use crate::{agent, node};

/// Kinds of faults, by which they are counted.
pub(crate) const KINDS: [&str; 15] = [
    "isolate",
    "one-way",
    "hold",
    "crash",
    "crash-all",
    "crash-agent",
    "isolate-agent",
    "power-node",
    "power-all",
    "power-targets",
    "latency",
    "clock",
    "slow-disk",
    "eio",
    "full",
];

/// How syncs behave where nothing is wrong.
const CALM: Behaviour = Behaviour {
    sync_least: 100_000,
    sync_most: 4_000_000,
    failing_syncs: 0,
    full: false,
    lying: disk::Lie::None,
};

/// A host's disk behaves so from now on.
fn behave(host: &str, behaviour: Behaviour) {
    let owner = world(|world| {
        world.disks.insert(host.to_owned(), behaviour);
        world.processes.get(host).map(|process| process.owner)
    });
    if let Some(owner) = owner {
        disk::behave(owner, behaviour);
    }
}

/// Does it.
pub(crate) struct Nemesis {
    chance: Chance,
    nodes: Node,
    agents: u64,
    /// Lies that the disks under all nodes tell: a planted bug.
    lie: disk::Lie,
    /// The same under the targets.
    target_lie: disk::Lie,
    /// What befalls bytes that are on the nodes' disks.
    damage: Option<Damage>,
    /// Hosts that are down, and when they come up again.
    down: BTreeMap<String, u64>,
    next: u64,
    /// When one more target comes.
    grows: u64,
    heal_net: u64,
    heal_disk: u64,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl Nemesis {
    pub(crate) fn new(chance: Chance, nodes: Node, agents: u64) -> Self {
        Self {
            chance,
            nodes,
            agents,
            lie: disk::Lie::None,
            target_lie: disk::Lie::None,
            damage: None,
            down: BTreeMap::new(),
            next: 2_500,
            grows: u64::MAX,
            heal_net: u64::MAX,
            heal_disk: u64::MAX,
            counts: BTreeMap::new(),
        }
    }

    pub(crate) fn lying(&mut self, lie: disk::Lie, targets: disk::Lie) {
        (self.lie, self.target_lie) = (lie, targets);
    }

    /// One more target comes at this time.
    pub(crate) fn growing(&mut self, at: u64) {
        self.grows = at;
    }

    /// Agents name one more target once they are started again: one of them is, at once.
    fn grow(&mut self, sim: &mut turmoil::Sim<'_>, os: &Simulation, now: u64) {
        self.grows = u64::MAX;
        os.note("one more target comes");
        world(|world| world.grown = true);
        self.kill(sim, os, &agent::host(1), now + 300);
    }

    /// Disks are damaged, too. Which and when has a source of its own: the other faults are the same without.
    pub(crate) fn damaging(&mut self, damage: Damage) {
        self.damage = Some(damage);
    }

    fn calm(&self, host: &str) -> Behaviour {
        let lying = if host.starts_with("node") { self.lie } else { self.target_lie };
        Behaviour { lying, ..CALM }
    }

    /// The behaviour of every disk, for processes that are about to start.
    pub(crate) fn prepare(&self) {
        for host in self.hosts() {
            let calm = self.calm(&host);
            world(|world| world.disks.insert(host, calm));
        }
    }

    fn hosts(&self) -> Vec<String> {
        (1..=self.nodes).map(node::host).chain((1..=self.agents).map(agent::host)).collect()
    }

    /// Kills the process of a host. Its supervisor starts it again at `until`.
    fn kill(&mut self, sim: &mut turmoil::Sim<'_>, os: &Simulation, host: &str, until: u64) {
        let Some(owner) = killed(host) else { return };
        os.note(&format!("kill {host}"));
        os.kill(owner);
        os.on_behalf(owner, || sim.crash(host));
        if !os.buried(owner) {
            world(|world| world.wrong.push(format!("threads of {host} have outlived it")));
        }
        self.down.insert(host.to_owned(), until);
    }

    fn cut(&mut self, directory: &str) {
        let left = match self.chance.below(5) {
            0 => Left::All,
            1 => Left::Nothing,
            _ => Left::Torn,
        };
        let mut chance = self.chance.fork();
        disk::power_cut(Path::new(directory), left, &mut chance);
    }

    /// Those whose processes have ended by themselves are started again by their supervisor, and those
    /// that are due.
    pub(crate) fn supervise(&mut self, sim: &mut turmoil::Sim<'_>, os: &Simulation, now: u64) {
        let ended: Vec<(String, String)> = world(|world| {
            let exits = world.processes.iter();
            exits
                .filter_map(|(host, process)| Some((host.clone(), process.exit.clone()?)))
                .collect()
        });
        for (host, why) in ended {
            os.note(&format!("exit {host}: {why}"));
            world(|world| {
                // A disk that is full, or fails, says so in the words of the operating system.
                let by_damage = why.contains(&format!("{host}/")) && !why.contains("os error");
                if by_damage && world.damaged.as_ref() == Some(&host) {
                    world.named += 1;
                }
                world.exits.push(format!("{host}: {why}"));
            });
            let until = now + self.chance.between(100, 1_000);
            self.kill(sim, os, &host, until);
        }
        let due: Vec<String> =
            self.down.iter().filter(|(_, at)| **at <= now).map(|(host, _)| host.clone()).collect();
        for host in due {
            self.down.remove(&host);
            os.note(&format!("start {host}"));
            sim.bounce(host.as_str());
        }
    }

    /// Damages a node's disk, and has its mirror restored when its time has come.
    fn damage(&mut self, sim: &mut turmoil::Sim<'_>, os: &Simulation, now: u64) {
        let Some(damage) = &mut self.damage else { return };
        if let Some(host) = damage.over(now) {
            self.mend(sim, os, &host, now);
        } else if let Some(host) = damage.kills(now) {
            let until = now + damage.pause();
            self.kill(sim, os, &host, until);
        } else if let Some(kind) = damage.begin(os, now) {
            *self.counts.entry(kind).or_default() += 1;
        }
    }

    /// The node is stopped, its disk is put right, and it is started again.
    fn mend(&mut self, sim: &mut turmoil::Sim<'_>, os: &Simulation, host: &str, now: u64) {
        let until = now + self.damage.as_mut().map_or(0, Damage::pause);
        if let Some(owner) = world(|world| world.processes.get(host).map(|it| it.owner)) {
            disk::lead_aright(owner);
        }
        self.kill(sim, os, host, until);
        disk::mend(Path::new(host));
        world(|world| world.damaged = None);
    }

    fn calm_net(&mut self, sim: &mut turmoil::Sim<'_>) {
        self.heal_net = u64::MAX;
        let mut all = self.hosts();
        all.extend((1..=3).map(|client| format!("client-{client}")));
        for (at, a) in all.iter().enumerate() {
            for b in all.iter().skip(at + 1) {
                sim.release(a.as_str(), b.as_str());
                sim.repair(a.as_str(), b.as_str());
            }
        }
        sim.set_max_message_latency(Duration::from_millis(8));
    }

    fn calm_disks(&mut self) {
        self.heal_disk = u64::MAX;
        for host in self.hosts() {
            let calm = self.calm(&host);
            behave(&host, calm);
        }
    }

    /// Everything is well from now on.
    pub(crate) fn heal(&mut self, sim: &mut turmoil::Sim<'_>, os: &Simulation, now: u64) {
        os.note("heal");
        if let Some(host) = self.damage.as_mut().and_then(Damage::end) {
            self.mend(sim, os, &host, now);
        }
        if self.grows < u64::MAX {
            self.grow(sim, os, now);
        }
        self.calm_net(sim);
        self.calm_disks();
        world(|world| world.set_clock = now);
        for host in self.hosts() {
            world(|world| world.skews.remove(&host));
            if let Some(owner) = world(|world| world.processes.get(&host).map(|it| it.owner)) {
                skein_chaos_interpose::skew(owner, 0);
            }
        }
        for at in self.down.values_mut() {
            *at = now;
        }
        world(|world| world.healed = true);
    }

    fn leader(&self) -> Option<Node> {
        world(|world| {
            (1..=self.nodes)
                .filter_map(|node| {
                    let process = world.processes.get(&node::host(node))?;
                    Some((process.running.as_ref()?.leads()?, node))
                })
                .max()
                .map(|(_, node)| node)
        })
    }

    fn victim(&mut self) -> Node {
        let leader = self.leader();
        match leader {
            Some(leader) if self.chance.percent(60) => leader,
            _ => self.chance.between(1, self.nodes + 1),
        }
    }

    fn node_or_agent(&mut self) -> String {
        if self.chance.percent(70) {
            node::host(self.victim())
        } else {
            agent::host(self.chance.between(1, self.agents + 1))
        }
    }

    /// One moment.
    pub(crate) fn act(&mut self, sim: &mut turmoil::Sim<'_>, os: &Simulation, now: u64) {
        if now >= self.heal_net {
            os.note("the network is well");
            self.calm_net(sim);
        }
        if now >= self.heal_disk {
            os.note("the disks are well");
            self.calm_disks();
        }
        self.damage(sim, os, now);
        if now >= self.grows {
            self.grow(sim, os, now);
        }
        if now < self.next {
            return;
        }
        self.next = now + self.chance.between(150, 1_800);
        let kind = KINDS[usize::try_from(self.chance.below(KINDS.len() as u64)).unwrap_or(0)];
        let of_all = matches!(kind, "crash-all" | "power-all");
        if of_all && self.damage.as_ref().is_some_and(Damage::is_under_way) {
            return;
        }
        os.note(kind);
        *self.counts.entry(kind).or_default() += 1;
        let lasts = self.chance.between(300, 5_000);
        match kind {
            "isolate" => {
                let victim = node::host(self.victim());
                for other in self.hosts().iter().filter(|host| **host != victim) {
                    sim.partition(victim.as_str(), other.as_str());
                }
                self.heal_net = now + lasts;
            }
            "isolate-agent" => {
                let victim = agent::host(self.chance.between(1, self.agents + 1));
                for other in (1..=self.nodes).map(node::host) {
                    sim.partition(victim.as_str(), other.as_str());
                }
                self.heal_net = now + lasts;
            }
            "one-way" => {
                let victim = self.victim();
                let away = self.chance.percent(50);
                for other in (1..=self.nodes).filter(|other| *other != victim) {
                    let (from, to) = if away { (victim, other) } else { (other, victim) };
                    sim.partition_oneway(node::host(from).as_str(), node::host(to).as_str());
                }
                self.heal_net = now + lasts;
            }
            "hold" => {
                let victim = node::host(self.victim());
                for other in self.hosts().iter().filter(|host| **host != victim) {
                    sim.hold(victim.as_str(), other.as_str());
                }
                self.heal_net = now + lasts.min(3_000);
            }
            "latency" => {
                let most = self.chance.between(30, 300);
                sim.set_max_message_latency(Duration::from_millis(most));
                self.heal_net = now + lasts;
            }
            "crash" => {
                let victim = node::host(self.victim());
                self.kill(sim, os, &victim, now + lasts);
            }
            "power-node" => {
                let victim = node::host(self.victim());
                self.kill(sim, os, &victim, now + lasts);
                if !world(|world| world.processes.contains_key(&victim)) {
                    self.cut(&victim);
                }
            }
            "crash-all" | "power-all" => {
                for victim in (1..=self.nodes).map(node::host) {
                    let until = now + self.chance.between(50, 2_500);
                    self.kill(sim, os, &victim, until);
                    if kind == "power-all" {
                        self.cut(&victim);
                    }
                }
            }
            "crash-agent" => {
                let victim = agent::host(self.chance.between(1, self.agents + 1));
                self.kill(sim, os, &victim, now + lasts);
            }
            "power-targets" => {
                for victim in (1..=self.agents).map(agent::host) {
                    self.kill(sim, os, &victim, now + lasts.min(2_000));
                }
                self.cut(agent::TARGETS);
            }
            "clock" => {
                let hosts = self.hosts();
                let at = usize::try_from(self.chance.below(hosts.len() as u64)).unwrap_or(0);
                let by = self.chance.between(0, 20_000_000_000).cast_signed() - 10_000_000_000;
                if let Some(host) = hosts.get(at) {
                    world(|world| {
                        world.set_clock = now;
                        world.skews.insert(host.clone(), by)
                    });
                    if let Some(owner) = world(|world| world.processes.get(host).map(|it| it.owner))
                    {
                        skein_chaos_interpose::skew(owner, by);
                    }
                }
            }
            "slow-disk" => {
                let victim = self.node_or_agent();
                let calm = self.calm(&victim);
                behave(&victim, Behaviour { sync_most: 400_000_000, ..calm });
                self.heal_disk = now + lasts;
            }
            "eio" => {
                let victim = self.node_or_agent();
                // Once: the process that is there meets it, and not the ones after it.
                if let Some(owner) = world(|world| Some(world.processes.get(&victim)?.owner)) {
                    let now = disk::behaviour(owner);
                    disk::behave(owner, Behaviour { failing_syncs: 1, ..now });
                }
            }
            _ => {
                let victim = self.node_or_agent();
                let calm = self.calm(&victim);
                behave(&victim, Behaviour { full: true, ..calm });
                self.heal_disk = now + lasts.min(2_000);
            }
        }
    }
}
