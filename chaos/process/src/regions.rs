//! Three regions far apart, with a coordinator, an agent and targets in each; and rollouts while one of them is
//! cut off.
//!
//! ```text
//!   eu n1, agent eu ──60 ms── us n2, agent us ──90 ms── ap n3, agent ap       one way; eu to ap 120 ms
//!   in each region: a PostgreSQL, a MariaDB and a SQLite
//! ```
//!
//! Every play takes the fleet one step further, and ends with what a play without a fault ends with: each
//! step in force everywhere, each effect once, and a log in which no invariant is broken.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use skein_coordinator::audit;
use skein_coordinator::config::Raft;
use skein_core::event::Body;
use skein_core::ids::RolloutId;
use skein_proto::v1::{self, LaneState, RolloutState as State};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use crate::provide::filters;
use crate::round::Campaign;
use crate::say;
use crate::workload::fixture;
use crate::world::client::Client;
use crate::world::make::{NODES, REGIONS, USER};
use crate::world::space::Space;
use crate::world::target::Target;
use crate::world::tenants::HAND;
use crate::world::wait::until_some;
use crate::world::{Ground, Timing, Who, World};

/// One way between two regions, milliseconds.
const WAYS: [(&str, &str, u64); 3] = [("eu", "us", 60), ("us", "ap", 90), ("eu", "ap", 120)];
/// Up to so much more, so that what is provided for is needed.
const JITTER: Duration = Duration::from_millis(2);
/// The longest way and back, jitter included.
const ROUND_TRIP_MS: u64 = 250;
const LEASE_MS: u32 = 4_200;
/// A leader is there again after 2.2 longest election timeouts, as a rule (`docs/reliability.md`). Where two
/// candidates meet half-way, which so far apart is not rare, it takes a second round.
const FAILOVER: f64 = 2.0 * 2.2;
/// Everything that is waited for comes within this.
const LIMIT: Duration = Duration::from_secs(40);
/// The region that is cut off, whether its node follows or leads.
const CUT: usize = 1;
/// How long a node may take to answer before another one is asked.
const ANSWER: Duration = Duration::from_secs(2);
/// The selection of all plays.
const ALL: &str = "eu/*,us/*,ap/*";
/// A wave with targets of every region, in front of the regions.
const MIXED: &str = "mixed=eu/lite,us/my,us/pg,ap/lite";

/// Whether everything held.
pub(crate) async fn play(dir: TempDir, seed: u64) -> Result<bool> {
    let timing = Timing::Far { round_trip_ms: ROUND_TRIP_MS, lease_ms: LEASE_MS };
    let world = World::make(dir.path(), Ground::Spaces, timing).await?;
    world.wires.iter().for_each(|wire| {
        if let Some(ms) = way(region(&wire.from), region(&wire.to)) {
            wire.delay(Duration::from_millis(ms), JITTER);
        }
    });
    let mut regions = Regions { campaign: Campaign::new(world, seed, "")? };
    let held = regions.all().await;
    if let Err(error) = &held {
        say(&format!("{error:#}"));
        for who in regions.campaign.world.everybody().collect::<Vec<_>>() {
            let member = regions.campaign.world.member(who)?;
            say(&format!("--- {who}\n{}", member.process.tail()));
        }
    }
    drop(regions);
    if held.is_err() || std::env::var_os("SKEIN_KEEP").is_some() {
        say(&format!("what the run left behind: {}", dir.keep().display()));
    }
    Ok(held.is_ok())
}

/// Where a machine, or what it reaches, stands. Databases are beside whoever asks them.
fn region(name: &str) -> &str {
    match NODES.iter().position(|node| *node == name) {
        Some(place) => REGIONS.get(place).unwrap_or(&""),
        None if name == USER || name == "still" => "eu",
        None => name,
    }
}

fn way(from: &str, to: &str) -> Option<u64> {
    let between = |(one, other, _): &&(&str, &str, u64)| {
        (*one, *other) == (from, to) || (*other, *one) == (from, to)
    };
    WAYS.iter().find(between).map(|(_, _, ms)| *ms)
}

struct Regions {
    campaign: Campaign,
}

impl Regions {
    async fn all(&mut self) -> Result<()> {
        self.campaign.found().await.context("the first step everywhere")?;
        self.far_apart().await.context("what is measured")?;
        self.step("2", "the leader killed", &[], Self::leader_killed).await?;
        self.lead(0).await?;
        self.step("3", "a follower's region cut off", &[MIXED], Self::follower_cut).await?;
        self.lead(CUT).await?;
        self.step("4", "the leader's region cut off", &[MIXED], Self::leader_cut).await?;
        self.lead(CUT).await?;
        self.step("5", "the leader apart from the nodes alone", &[MIXED], Self::nodes_apart)
            .await?;
        Ok(())
    }

    fn world(&self) -> &World {
        &self.campaign.world
    }

    /// One step forward, region after region; `disturb` plays its part while it goes on.
    async fn step(
        &mut self,
        version: &str,
        what: &str,
        waves: &[&str],
        disturb: impl AsyncFnOnce(&mut Self, &str) -> Result<()>,
    ) -> Result<()> {
        let begun = Instant::now();
        let rollout = self.start(version, waves).await.with_context(|| what.to_owned())?;
        disturb(self, &rollout).await.with_context(|| format!("{what}, {rollout}"))?;
        let ended = self.ends(&rollout).await.with_context(|| what.to_owned())?;
        ensure!(ended.state() == State::Completed, "{what}: {:?}: {}", ended.state(), ended.reason);
        self.region_after_region(&rollout).await.with_context(|| what.to_owned())?;
        let Campaign { world, checker, promises, .. } = &mut self.campaign;
        let seen = checker.check(world, promises).await.with_context(|| what.to_owned())?;
        let by_hand = |target: &&Target| target.id.starts_with(HAND);
        for target in self.campaign.world.targets.iter().filter(|target| !by_hand(target)) {
            let seen = target.observe().await?;
            let applied: Vec<&str> = seen.applied().iter().map(|row| row.step.as_str()).collect();
            let due: Vec<String> =
                (1..=version.parse::<u32>()?).map(|step| step.to_string()).collect();
            ensure!(applied == due, "{what}: {} has {applied:?} in force", target.id);
        }
        say(&format!(
            "REGIONS: {what}: completed in {:.1} s; {} effects, {} leases ran out, {} found done, {} elections",
            begun.elapsed().as_secs_f32(),
            seen.effects,
            seen.expired,
            seen.already,
            seen.elections
        ));
        Ok(())
    }

    async fn start(&self, version: &str, waves: &[&str]) -> Result<String> {
        let (fixture, target) = (fixture().display().to_string(), format!("version={version}"));
        let mut words = vec!["apply", &fixture, "--target", &target, "--on", ALL];
        for wave in waves.iter().copied().chain(["each=all;per=region"]) {
            words.extend(["--wave", wave]);
        }
        words.extend(["--order", "region=eu,us,ap", "--soak", "300ms", "--retries", "8"]);
        words.extend(["--yes", "--detach", "-o", "json"]);
        let ran = self.world().cli.run(&words, LIMIT).await?;
        ensure!(ran.code == Some(0), "skein {}: {}{}", ran.line, ran.stdout, ran.stderr);
        ran.rollout().with_context(|| format!("no rollout was begun: {}", ran.stdout))
    }

    /// Asks a node that is not cut off until it has an answer that will do.
    async fn until<T>(
        &self,
        (what, rollout, apart): (&str, &str, Option<usize>),
        answer: impl Fn(&v1::StatusReply, &v1::RolloutStatus) -> Option<T>,
    ) -> Result<T> {
        let nodes = (0..NODES.len()).filter(|node| Some(*node) != apart);
        let clients: Vec<Client> =
            nodes.map(|node| self.world().direct(node)).collect::<Result<_>>()?;
        let last = RefCell::new(String::new());
        let found = until_some(what, LIMIT, async || {
            for client in &clients {
                let request = v1::StatusRequest {
                    rollout: rollout.to_owned(),
                    lanes: true,
                    ..Default::default()
                };
                let mut rollouts = client.rollouts();
                let asked = timeout(ANSWER, rollouts.status(request)).await;
                let Ok(Ok(reply)) = asked else { continue };
                let reply = reply.into_inner();
                let state = reply.rollouts.first()?;
                let said = format!("{}: {:?}, {:?}", state.reason, state.silent, reply.concerns);
                last.replace(said);
                return answer(&reply, state);
            }
            None
        })
        .await;
        Ok(found.with_context(|| last.into_inner())?.0)
    }

    async fn ends(&self, rollout: &str) -> Result<v1::RolloutStatus> {
        self.until(("the rollout has ended", rollout, None), |_, state| {
            let over =
                matches!(state.state(), State::Completed | State::RolledBack | State::Halted);
            over.then(|| state.clone())
        })
        .await
    }

    /// Legs of the regions' waves are given out in one region after another.
    async fn region_after_region(&self, rollout: &str) -> Result<()> {
        let id = RolloutId::parse(rollout).context("a rollout's id")?;
        let (mut wave, mut parts) = (None, BTreeMap::new());
        let mut seen: Vec<String> = Vec::new();
        for bytes in self.world().direct(0)?.events(0).await? {
            match audit::event(&bytes)?.body {
                Body::RolloutPlanned { rollout, plan, .. } if rollout == id => {
                    parts =
                        (0..).zip(&plan.waves).map(|(ix, wave)| (ix, wave.part.clone())).collect();
                }
                Body::WaveStarted { rollout, wave: started } if rollout == id => {
                    wave = parts.get(&started.0).filter(|part| !part.is_empty()).cloned();
                    seen.extend(wave.clone());
                }
                Body::LegAssigned { rollout, target, .. } if rollout == id => {
                    let of = target.as_str().split('/').next().unwrap_or_default();
                    let fits = wave.as_ref().is_none_or(|part| part == of);
                    ensure!(fits, "{target} was worked on in the wave of {wave:?}");
                }
                _ => {}
            }
        }
        ensure!(seen == REGIONS, "waves were opened for {seen:?}");
        Ok(())
    }

    /// Each node knows how far the others are, and whether that was provided for.
    async fn far_apart(&self) -> Result<()> {
        let client = self.world().direct(0)?;
        let measured = until_some("the nodes have measured each other", LIMIT, async || {
            let members = client.members().await.ok()?;
            let others = || members.members.iter().filter(|member| member.node != members.node);
            let known = others().all(|member| member.round_trip_us > 0);
            let ways: Vec<(u64, u64)> =
                others().map(|member| (member.node, member.round_trip_us / 1_000)).collect();
            known.then_some((ways, members.concerns, members.round_trip_ms))
        })
        .await?;
        let ((ways, concerns, provided), _) = measured;
        ensure!(provided == ROUND_TRIP_MS, "{provided} ms are provided for");
        for (node, ms) in &ways {
            let place = usize::try_from(*node)?.checked_sub(1).context("nodes count from 1")?;
            let one_way =
                way("eu", region(NODES.get(place).unwrap_or(&""))).context("it is far")?;
            ensure!(*ms >= 2 * one_way, "node {node} is {ms} ms away, and {one_way} ms one way");
        }
        ensure!(
            concerns
                .iter()
                .any(|concern| concern.contains("node 3") && concern.contains("round_trip_ms")),
            "node 3 is nearly as far as was provided for, and nobody says so: {ways:?} {concerns:?}"
        );
        say(&format!("REGIONS: n1 measures {ways:?} ms; {}", concerns.join("; ")));
        Ok(())
    }

    async fn leader(&self) -> Result<usize> {
        Ok(self.world().leader(LIMIT).await?.0)
    }

    /// Nothing goes in or out of a region, and nobody is told. Users stay where they are.
    fn cut_off(&self, place: usize) -> Result<()> {
        let name = REGIONS.get(place).context("a region has a place")?;
        if filters() {
            let (inside, outside): (Vec<&Space>, Vec<&Space>) =
                self.spaces().partition(|space| region(&space.name) == *name);
            for here in &inside {
                for there in &outside {
                    here.deafen(there)?;
                    there.deafen(here)?;
                }
            }
            return Ok(());
        }
        // No filter: the cables of its machines are pulled.
        self.spaces()
            .filter(|space| region(&space.name) == *name)
            .try_for_each(|space| space.connect(false))
    }

    fn heal(&self) -> Result<()> {
        self.spaces().try_for_each(|space| space.connect(true))?;
        if filters() { self.spaces().try_for_each(Space::hear) } else { Ok(()) }
    }

    fn spaces(&self) -> impl Iterator<Item = &Space> {
        let world = self.world();
        world.nodes.iter().chain(&world.agents).filter_map(|member| member.space.as_ref())
    }

    /// Waits until a leg is under way in a region.
    async fn at_work(&self, rollout: &str, name: &str) -> Result<()> {
        self.until((&format!("{name} is at work"), rollout, None), |_, state| {
            let leased = |lane: &&v1::Lane| lane.state() == LaneState::Leased;
            let mut lanes = state.lanes.iter().filter(leased);
            lanes.any(|lane| lane.target.starts_with(name)).then_some(())
        })
        .await
    }

    /// All that is not of the region is done, and of the region it is said that nobody hears of it.
    async fn others_go_on(&self, rollout: &str, place: usize) -> Result<v1::Silence> {
        let name = *REGIONS.get(place).context("a region has a place")?;
        let of_it = |lane: &&v1::Lane| lane.target.starts_with(name);
        self.until((&format!("all but {name} is done"), rollout, Some(place)), |_, state| {
            let open: Vec<&v1::Lane> =
                state.lanes.iter().filter(|lane| lane.wave == 0 && !of_it(lane)).collect();
            let done = !open.is_empty() && open.iter().all(|lane| lane.state() == LaneState::Done);
            let leased =
                state.lanes.iter().filter(of_it).any(|lane| lane.state() == LaneState::Leased);
            let silent = state.silent.first().filter(|_| done && !leased)?;
            Some(silent.clone())
        })
        .await
    }

    async fn follower_cut(&mut self, rollout: &str) -> Result<()> {
        self.at_work(rollout, "us").await?;
        let leader = self.leader().await?;
        let cut = Instant::now();
        self.cut_off(CUT)?;
        let silent = self.others_go_on(rollout, CUT).await?;
        let took = cut.elapsed();
        ensure!(
            silent.region == "us" && silent.agents == ["us"] && silent.targets > 0,
            "what is said of the region: {silent:?}"
        );
        let ran = self.world().cli.run(&["explain", rollout], LIMIT).await?;
        let line = "region us: agent us has not been heard of for";
        ensure!(ran.stdout.contains(line), "skein explain says {}{}", ran.stdout, ran.stderr);
        let ran = self.world().cli.run(&["status", rollout], LIMIT).await?;
        ensure!(
            ran.stdout.contains("region us: last heard of"),
            "skein status says {}",
            ran.stdout
        );
        ensure!(self.leads(Some(CUT)).await? == leader, "another node leads");
        let concern = format!("node {} has not answered", CUT + 1);
        self.until((&concern, rollout, Some(CUT)), |reply, _| {
            reply.concerns.iter().any(|it| it.contains(&concern)).then_some(())
        })
        .await?;
        say(&format!(
            "REGIONS: us cut off: everything else done and the region named after {:.1} s: {} targets wait",
            took.as_secs_f32(),
            silent.targets
        ));
        self.back(rollout).await
    }

    async fn leader_cut(&mut self, rollout: &str) -> Result<()> {
        self.at_work(rollout, "us").await?;
        let cut = Instant::now();
        self.cut_off(CUT)?;
        let next = self.next_leader(CUT, cut).await?;
        let silent = self.others_go_on(rollout, CUT).await?;
        ensure!(silent.region == "us", "what is said of the region: {silent:?}");
        say(&format!(
            "REGIONS: the leader's region cut off: {next}; everything else done after {:.1} s",
            cut.elapsed().as_secs_f32()
        ));
        self.back(rollout).await
    }

    async fn leader_killed(&mut self, rollout: &str) -> Result<()> {
        let leader = self.leader().await?;
        self.at_work(rollout, "us").await?;
        let killed = Instant::now();
        self.campaign.world.member_mut(Who::Node(leader))?.process.kill9()?;
        let next = self.next_leader(leader, killed).await?;
        say(&format!("REGIONS: the leader killed with kill -9: {next}"));
        self.campaign.world.member_mut(Who::Node(leader))?.process.start()
    }

    /// The leader hears no other node, and agents hear all of them: each finds the next leader, from next door
    /// to the old one, too, and the rollout ends without waiting for anything to be healed.
    async fn nodes_apart(&mut self, rollout: &str) -> Result<()> {
        self.at_work(rollout, "us").await?;
        let cut = Instant::now();
        self.part_nodes(true)?;
        let next = self.next_leader(CUT, cut).await?;
        self.until(("the rollout has ended", rollout, Some(CUT)), |_, state| {
            (state.state() == State::Completed).then_some(())
        })
        .await?;
        say(&format!(
            "REGIONS: the leader apart from the nodes alone: {next}; the rollout ended after {:.1} s",
            cut.elapsed().as_secs_f32()
        ));
        self.part_nodes(false)?;
        self.leader().await.map(drop)
    }

    /// Between the node of the region and the other nodes nothing goes through, or everything again.
    fn part_nodes(&self, apart: bool) -> Result<()> {
        let node = NODES.get(CUT).context("a node has a place")?;
        let between = |from: &str, to: &str| from == *node && to != *node && NODES.contains(&to);
        for wire in &self.world().wires {
            if between(&wire.from, &wire.to) || between(&wire.to, &wire.from) {
                if apart {
                    wire.hold(true);
                } else {
                    // What was said meanwhile is not heard of late.
                    wire.cut();
                    wire.hold(false);
                }
            }
        }
        Ok(())
    }

    /// The cut is over. All by itself everything is as before.
    async fn back(&self, rollout: &str) -> Result<()> {
        let healed = Instant::now();
        self.heal()?;
        self.until(("nobody is silent", rollout, None), |_, state| {
            state.silent.is_empty().then_some(())
        })
        .await?;
        let heard = healed.elapsed();
        self.world().agents_here(LIMIT).await?;
        say(&format!("REGIONS: back: the region is heard of after {:.1} s", heard.as_secs_f32()));
        Ok(())
    }

    /// A leader among the others, in time.
    async fn next_leader(&self, gone: usize, since: Instant) -> Result<String> {
        let leader = self.leads(Some(gone)).await?;
        let took = since.elapsed();
        let longest = Raft::for_round_trip(ROUND_TRIP_MS).election_max_ms;
        let times = took.as_secs_f64() * 1_000.0 / f64::from(u32::try_from(longest)?);
        ensure!(times <= FAILOVER, "n{} leads after {times:.2} election timeouts", leader + 1);
        Ok(format!(
            "n{} leads after {:.1} s, {times:.2} longest election timeouts",
            leader + 1,
            took.as_secs_f64()
        ))
    }

    /// Who leads, as all nodes but one say.
    async fn leads(&self, gone: Option<usize>) -> Result<usize> {
        let nodes = (0..NODES.len()).filter(|node| Some(*node) != gone);
        let clients: Vec<Client> =
            nodes.map(|node| self.world().direct(node)).collect::<Result<_>>()?;
        let (leader, _) = until_some("the others know a leader", LIMIT, async || {
            let mut leaders = BTreeSet::new();
            for client in &clients {
                leaders.insert(client.members().await.ok()?.leader);
            }
            let leader = leaders.pop_first().filter(|_| leaders.is_empty())?;
            let leader = usize::try_from(leader).ok()?.checked_sub(1)?;
            (Some(leader) != gone || gone.is_none()).then_some(leader)
        })
        .await?;
        Ok(leader)
    }

    /// Lets a node lead.
    async fn lead(&self, to: usize) -> Result<()> {
        if self.leader().await? == to {
            return Ok(());
        }
        let node = (to + 1).to_string();
        let ran = self.world().cli.run(&["cluster", "transfer", &node], LIMIT).await?;
        ensure!(ran.code == Some(0), "the lead was not handed over: {}{}", ran.stdout, ran.stderr);
        ensure!(self.leader().await? == to, "another node leads");
        Ok(())
    }
}
