//! One round: work goes on, things go wrong, everything is healed, and what must hold is looked at.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use skein_proto::v1::{self, RolloutState as State};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::check::{Checker, Promises, Seen};
use crate::fault::{Fault, Kind, fallen, heal_all};
use crate::register::{Counts, Registers};
use crate::workload::{Tally, Work, fixture};
use crate::world::client::asker;
use crate::world::wait::until_some;
use crate::world::{Who, World};

/// After everything was healed: until all nodes know a leader, until all agents are back, and until
/// everything that was begun has ended.
const LEADER_LIMIT: Duration = Duration::from_secs(30);
const AGENTS_LIMIT: Duration = Duration::from_secs(30);
const ENDS_LIMIT: Duration = Duration::from_mins(2);

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
        Ok(Self { world, checker, promises, tally, seed, kinds, bundle, deck })
    }

    fn work(&self, over: &Arc<AtomicBool>) -> Work {
        Work {
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
        let mut users = JoinSet::new();
        let wave = |name: &str, on: &str| format!("{name}={on}");
        let halves = [
            ("eu/*,us/*", vec![wave("canary", "eu/pg"), wave("eu", "eu/*")]),
            ("ap/*", vec![wave("canary", "ap/lite")]),
            // It gets in the way of both.
            ("us/my,ap/my", Vec::new()),
        ];
        for (on, waves) in halves {
            users.spawn(self.work(&over).submit(on.to_owned(), waves, dice.random()));
        }
        users.spawn(self.work(&over).operate(dice.random()));

        let mut outcome = Outcome::default();
        let excused = self.nemesis(faults, &mut dice, &mut outcome, say).await?;
        over.store(true, Ordering::Relaxed);

        let healed = Instant::now();
        self.supervise(&excused).await?;
        outcome.leader = healed.elapsed();
        outcome.agents = self.world.agents_here(AGENTS_LIMIT).await.context("liveness")?;
        let ends = async {
            while let Some(user) = users.join_next().await {
                user.context("a user's task")??;
            }
            Ok::<_, anyhow::Error>(())
        };
        timeout(ENDS_LIMIT, ends)
            .await
            .map_err(|_elapsed| anyhow::anyhow!("what users began has not ended"))
            .context("liveness")??;
        outcome.registers = registers.end(&self.world).await?;
        self.quiet().await.context("liveness")?;
        outcome.ended = healed.elapsed();
        outcome.seen = self.checker.check(&self.world, &self.promises).await?;
        self.restore().await?;
        outcome.took = begun.elapsed();
        Ok(outcome)
    }

    async fn nemesis(
        &mut self,
        faults: usize,
        dice: &mut StdRng,
        outcome: &mut Outcome,
        say: &mut dyn FnMut(&str),
    ) -> Result<Vec<Who>> {
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
            open.push((until, fault));
            // One in three goes on while the next begins.
            if dice.random_ratio(2, 3) {
                for (until, fault) in open.drain(..) {
                    tokio::time::sleep_until(until).await;
                    fault.heal(&mut self.world).with_context(|| format!("healing {fault}"))?;
                }
            }
        }
        for (until, _) in &open {
            tokio::time::sleep_until(*until).await;
        }
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

    /// Waits until no rollout is under way.
    async fn quiet(&self) -> Result<()> {
        let client = self.world.direct(self.world.leader(LEADER_LIMIT).await?.0)?;
        let mut last = String::new();
        let quiet = until_some("every rollout has ended", ENDS_LIMIT, async || {
            let status = client.status("").await.ok()?;
            let open = status.rollouts.iter().find(|rollout| {
                rollout.started_by == "chaos"
                    && matches!(rollout.state(), State::Running | State::Paused | State::Unwinding)
            });
            let Some(open) = open else { return Some(()) };
            // A pause that nobody waits for any more may still come, also after the operator's last look.
            if open.state() == State::Paused {
                let (asker, rollout) = (Some(asker("operator")), open.id.clone());
                drop(
                    client
                        .rollouts()
                        .resume(v1::ResumeRequest {
                            asker,
                            rollout,
                            part: None,
                            rolled_back: false,
                        })
                        .await,
                );
            }
            None
        })
        .await;
        if quiet.is_err()
            && let Ok(status) = client.status("").await
        {
            last = format!("{:?}", status.rollouts);
        }
        quiet.with_context(|| last)?;
        Ok(())
    }

    /// Back to the first step everywhere, for the next round.
    async fn restore(&mut self) -> Result<()> {
        let fixture = fixture().display().to_string();
        let words = ["migrate", &fixture, "--direction", "down", "--version", "1"];
        let words =
            [&words[..], &["--on", "eu/*,us/*,ap/*", "--retries", "8", "-o", "json"]].concat();
        let ran = self.world.cli.run(&words, ENDS_LIMIT).await?;
        ensure!(
            ran.code == Some(0),
            "with everything healed, the way back to the first step ended with {:?}:\n{}{}",
            ran.code,
            ran.stdout,
            ran.stderr
        );
        Ok(())
    }
}
