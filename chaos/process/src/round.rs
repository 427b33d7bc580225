//! One round: work goes on, things go wrong, everything is healed, and what must hold is looked at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use skein_agent::db::Engine;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::check::{Checker, Promises, Seen, Span};
use crate::fault::{Fault, Kind, fallen, heal_all};
use crate::register::{Counts, Registers};
use crate::speaker::Speaker;
use crate::workload::{Tally, Work, fixture};
use crate::world::replica::Replica;
use crate::world::target::Target;
use crate::world::tenants::{BY, HAND, OLD, is_somebodys};
use crate::world::web::now_ms;
use crate::world::{Who, World};
use crate::{Planted, bringer, comer, condition, hand, weather};

/// After everything was healed: until all nodes know a leader, until all agents are back, and until
/// everything that was begun has ended.
const LEADER_LIMIT: Duration = Duration::from_secs(30);
const AGENTS_LIMIT: Duration = Duration::from_secs(30);
pub(crate) const ENDS_LIMIT: Duration = Duration::from_mins(2);
/// Users have so long at the least: rollouts of several waves have to come to something.
const WORK: Duration = Duration::from_secs(14);
/// What one half of the fleet owns, and the other; neither is migrated by hand.
const OWNED: [&str; 2] = ["eu/*", "us/*"];

/// What a round came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) faults: BTreeMap<Kind, usize>,
    pub(crate) seen: Seen,
    pub(crate) registers: Counts,
    pub(crate) leader: Duration,
    pub(crate) agents: Duration,
    pub(crate) ended: Duration,
    pub(crate) took: Duration,
}

/// What goes on from round to round.
#[derive(Debug)]
pub(crate) struct Campaign {
    pub(crate) world: World,
    pub(crate) checker: Checker,
    pub(crate) promises: Promises,
    pub(crate) tally: Arc<Tally>,
    pub(crate) seed: u64,
    planted: Option<Planted>,
    /// Came in the last round, and go in this one.
    leaving: Vec<String>,
    /// Of those that came, the ones that had their first step already.
    pub(crate) built: Vec<String>,
    kinds: Vec<Kind>,
    /// Of the migrations, as they are stored.
    bundle: Vec<u8>,
    /// Which kinds come next: each comes before any comes again.
    deck: Vec<Kind>,
}

impl Campaign {
    /// `only`: of the kinds of faults that this machine allows, those whose names contain it.
    pub(crate) fn new(world: World, seed: u64, only: &str) -> Result<Self> {
        let mut kinds = Kind::possible(&world);
        kinds.retain(|kind| kind.words().contains(only));
        ensure!(!kinds.is_empty(), "no fault that is possible here is called {only}");
        let checker = Checker::new(&world);
        let (promises, tally) = (Promises::default(), Arc::default());
        let (bundle, deck) = (Vec::new(), Vec::new());
        let (planted, leaving, built) = (None, Vec::new(), Vec::new());
        Ok(Self {
            world,
            checker,
            promises,
            tally,
            seed,
            planted,
            leaving,
            built,
            kinds,
            bundle,
            deck,
        })
    }

    /// With a bug that should be found.
    pub(crate) fn planted(mut self, planted: Option<Planted>) -> Self {
        self.planted = planted;
        match planted {
            Some(Planted::NoThrottle) => self.world.web.lie(),
            Some(Planted::NoLag) => self.world.replica.iter().for_each(Replica::lie),
            Some(Planted::HiddenErrors) => self.world.web.hide(),
            Some(Planted::UntoldEdit) => self.checker.go_deaf(),
            Some(Planted::ForgedRow) | None => {}
        }
        self
    }

    fn work(&self, over: &Arc<AtomicBool>) -> Work {
        let ids = self.world.targets.iter().map(|target| target.id.clone());
        Work {
            planted: self.planted,
            replicates: self.world.replica.is_some(),
            // Who repairs by hand does so without being talked to.
            targets: ids.filter(|id| !is_somebodys(id)).collect(),
            cli: self.world.cli.clone(),
            doors: self.world.doors(),
            promises: self.promises.clone(),
            tally: Arc::clone(&self.tally),
            over: Arc::clone(over),
        }
    }

    /// The first step everywhere, with nothing in the way.
    pub(crate) async fn found(&mut self) -> Result<()> {
        let fixture = fixture().display().to_string();
        let words = ["migrate", &fixture, "--version", "1", "-o", "json"];
        let words = [&words[..], &["--on", "eu/*,us/*,ap/*"]].concat();
        let ran = self.world.cli.run(&words, ENDS_LIMIT).await?;
        ensure!(ran.code == Some(0), "the first step failed: {}{}", ran.stdout, ran.stderr);
        let client = self.world.direct(self.world.leader(LEADER_LIMIT).await?.0)?;
        self.bundle = client.put_bundle(&crate::workload::fixture()).await?;
        self.checker.check(&self.world, &self.promises).await?;
        Ok(())
    }

    /// `number` counts from 1. What it drew is a function of the seed and the number, as far as the
    /// programs under test let it be: who leads is theirs to say.
    pub(crate) async fn round(
        &mut self,
        number: u64,
        faults: usize,
        say: &mut dyn FnMut(&str),
    ) -> Result<Outcome> {
        let begun = Instant::now();
        let mut dice =
            StdRng::seed_from_u64(self.seed.wrapping_mul(1_000_003).wrapping_add(number));
        let over = Arc::new(AtomicBool::new(false));
        let registers =
            Registers::begin(&self.world, &self.bundle, &self.promises, dice.random()).await?;
        let users = self.users(number, &over, &mut dice).await?;
        let mut outcome = Outcome::default();
        let excused = self.nemesis(faults, &mut dice, &mut outcome, say).await?;
        over.store(true, Ordering::Relaxed);

        let healed = Instant::now();
        self.supervise(&excused).await?;
        outcome.leader = healed.elapsed();
        outcome.agents = self.world.agents_here(AGENTS_LIMIT).await.context("liveness")?;
        timeout(ENDS_LIMIT, self.ends(users, &over, dice.random()))
            .await
            .map_err(|_elapsed| anyhow::anyhow!("what users began has not ended"))
            .context("liveness")??;
        outcome.registers = registers.end(&self.world).await?;
        outcome.ended = healed.elapsed();
        outcome.seen = self.checker.check(&self.world, &self.promises).await?;
        self.restore().await?;
        outcome.took = begun.elapsed();
        Ok(outcome)
    }

    /// All who do something in a round. What each draws does not move what the others draw.
    async fn users(
        &mut self,
        number: u64,
        over: &Arc<AtomicBool>,
        dice: &mut StdRng,
    ) -> Result<JoinSet<Result<()>>> {
        let mut users = JoinSet::new();
        let coming = self.late(number, dice).await?;
        let old = self.old(number, dice).await?;
        let work = self.work(over);
        let canary = vec!["canary=ap/lite".to_owned()];
        // One half is owned by somebody with a strategy; the other is as well, or a pipeline goes up and down.
        let (pipeline, seed) = (dice.random(), dice.random());
        if pipeline {
            let by_name = ["--on", "ap/*"];
            let chosen = if dice.random() { by_name } else { ["--where", condition::REGION] };
            users.spawn(self.work(over).submit(chosen, canary, seed));
        } else {
            let owner = Speaker::new(work.clone(), "owner", seed)?;
            users.spawn(owner.own(vec!["ap/*".to_owned()], self.bundle.clone()));
        }
        // It gets in the way of both.
        let both = ["--on", "us/my,ap/my"];
        users.spawn(self.work(over).submit(both, Vec::new(), dice.random()));
        let owned = OWNED.map(str::to_owned).to_vec();
        let owner = Speaker::new(work.clone(), "owner", dice.random())?;
        users.spawn(owner.own(owned, self.bundle.clone()));
        let operator = Speaker::new(work.clone(), "operator", dice.random())?;
        if self.planted.is_none() {
            users.spawn(operator.operate());
        }
        let by_hand = |target: &&Target| target.id.starts_with(HAND);
        let by_hand: Vec<Target> = self.world.targets.iter().filter(by_hand).cloned().collect();
        users.spawn(hand::mend(work.clone(), by_hand, dice.random()));
        let (comes, goes) = (dice.random_range(500..6_000), dice.random_range(500..9_000));
        let (comes, goes) = (Duration::from_millis(comes), Duration::from_millis(goes));
        let tenants = &self.world.tenants;
        let staying = vec![coming.id.clone(), old.0.id.clone()];
        let going = std::mem::replace(&mut self.leaving, staying);
        users.spawn(comer::come(tenants.clone(), coming, comes));
        let named = Duration::from_millis(dice.random_range(0..4_000));
        users.spawn(bringer::bring(work.clone(), tenants.clone(), old, named));
        for id in going {
            let owner = Speaker::new(work.clone(), "operator", dice.random())?;
            users.spawn(comer::go(owner, tenants.clone(), id, goes));
        }
        if let Some(replica) = &self.world.replica {
            users.spawn(weather::tide(work.clone(), replica.clone(), dice.random()));
        }
        users.spawn(weather::weather(work, self.world.web.clone(), dice.random()));
        Ok(users)
    }

    /// The database of a target that no agent knows yet. Every other one has its first step already, and no ledger: a
    /// rollout that it comes to sees by its schema where it stands.
    async fn late(&mut self, number: u64, dice: &mut StdRng) -> Result<Target> {
        let engines = [Engine::Postgres, Engine::Mysql, Engine::Sqlite];
        let engine = engines.get(dice.random_range(0..3)).copied().unwrap_or(Engine::Sqlite);
        let id = format!("{BY}/late-{number}");
        let target = self.world.servers.target(&self.world.dir, &id, engine).await?;
        if dice.random() {
            bringer::build(&target, 1).await?;
            self.built.push(id);
        }
        self.world.targets.push(target.clone());
        Ok(target)
    }

    /// A database that is at some step already, and has no ledger.
    async fn old(&mut self, number: u64, dice: &mut StdRng) -> Result<(Target, usize)> {
        let engines = [Engine::Postgres, Engine::Mysql, Engine::Sqlite];
        let engine = engines.get(dice.random_range(0..3)).copied().unwrap_or(Engine::Sqlite);
        let (id, steps) = (format!("{OLD}{number}"), dice.random_range(2..=5));
        let target = self.world.servers.target(&self.world.dir, &id, engine).await?;
        bringer::build(&target, steps).await?;
        self.world.targets.push(target.clone());
        Ok((target, steps))
    }

    /// Until everybody is done and nothing is under way; whatever is held is let go.
    async fn ends(
        &self,
        mut users: JoinSet<Result<()>>,
        over: &Arc<AtomicBool>,
        seed: u64,
    ) -> Result<()> {
        let mut someone = Speaker::new(self.work(over), "operator", seed)?;
        loop {
            while let Some(user) = users.try_join_next() {
                user.context("a user's task")??;
            }
            if someone.let_all_go().await? && users.is_empty() {
                return someone.thaw().await;
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn nemesis(
        &mut self,
        faults: usize,
        dice: &mut StdRng,
        outcome: &mut Outcome,
        say: &mut dyn FnMut(&str),
    ) -> Result<Vec<Who>> {
        let least = Instant::now() + WORK;
        let mut open: Vec<(Instant, Fault)> = Vec::new();
        let mut excused: Vec<Who> = Vec::new();
        for _ in 0..faults {
            sleep(Duration::from_millis(dice.random_range(100..700))).await;
            let fault = Fault::draw(self.next(dice), &self.world, dice).await;
            say(&format!("    {fault}"));
            fault.strike(&mut self.world).with_context(|| format!("{fault}"))?;
            *outcome.faults.entry(fault.kind).or_default() += 1;
            excused.extend(self.world.everybody().filter(|who| fault.may_end(*who)));
            let until = Instant::now() + fault.span;
            let from = now_ms();
            let span = u64::try_from(fault.span.as_millis()).unwrap_or_default();
            if fault.slows_work() {
                self.checker.disturbed(Span { from, to: from + span });
            }
            open.push((until, fault));
            // One in three goes on while the next begins.
            if dice.random_ratio(2, 3) {
                for (until, fault) in open.drain(..) {
                    sleep_until(until).await;
                    fault.heal(&mut self.world).with_context(|| format!("healing {fault}"))?;
                }
            }
        }
        for (until, _) in &open {
            sleep_until(*until).await;
        }
        sleep_until(least).await;
        heal_all(&mut self.world)?;
        Ok(excused)
    }

    /// As a service manager does: what has ended is started again, where it was allowed to end, until
    /// there is a leader.
    async fn supervise(&mut self, excused: &[Who]) -> Result<()> {
        let begun = Instant::now();
        loop {
            for who in fallen(&mut self.world) {
                if !excused.contains(&who) {
                    bail!("{who} ended by itself:\n{}", self.tail(who));
                }
                self.world.member_mut(who)?.process.start()?;
            }
            let known = self.world.leader(Duration::from_millis(500)).await;
            if known.is_ok() || begun.elapsed() > LEADER_LIMIT {
                return known.map(drop).context("liveness");
            }
        }
    }

    fn tail(&self, who: Who) -> String {
        self.world.member(who).map(|member| member.process.tail()).unwrap_or_default()
    }

    fn next(&mut self, dice: &mut StdRng) -> Kind {
        if self.deck.is_empty() {
            self.deck.clone_from(&self.kinds);
        }
        self.deck.swap_remove(dice.random_range(0..self.deck.len()))
    }
}
