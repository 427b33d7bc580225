//! Somebody who asks over gRPC until the outcome is known, through one node after the other, with the same id.

use std::time::Duration;

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use skein_chaos::people::Person;
use skein_chaos::people::answer::is_unknown;
use skein_chaos::people::words::{Hindrance, Scope, Word};
use skein_proto::v1::{self, RolloutState as State};
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::check::Promise;
use crate::strategy;
use crate::workload::Work;
use crate::world::client::{Client, asker};

/// How long one node may take to answer.
const ANSWER: Duration = Duration::from_secs(3);
/// How long anybody asks: longer than everything takes to heal.
const PERSIST: Duration = Duration::from_secs(40);

/// Under which names rollouts are begun that come to their end in a round.
pub(crate) const WHO: [&str; 2] = ["chaos", "owner"];

/// One of them.
pub(crate) struct Speaker {
    pub(crate) work: Work,
    pub(crate) dice: StdRng,
    actor: &'static str,
    doors: Vec<Client>,
    scope: Scope,
}

impl Person for Speaker {
    fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.dice.random_range(0..bound) }
    }

    fn asker(&mut self) -> v1::Asker {
        asker(self.actor)
    }
}

/// What came of asking.
pub(crate) enum Told<T> {
    /// By which node, counted from 1.
    Done(u64, T),
    Refused(Status),
    /// Patience was lost: nobody knows.
    Unknown,
}

impl Speaker {
    pub(crate) fn new(work: Work, actor: &'static str, seed: u64) -> Result<Self> {
        let doors =
            work.doors.iter().map(|door| Client::new(door, ANSWER)).collect::<Result<_>>()?;
        let scope = strategy::scope(&work.targets);
        Ok(Self { work, dice: StdRng::seed_from_u64(seed), actor, doors, scope })
    }

    fn anyone(&mut self) -> Result<(u64, Client)> {
        let place = self.dice.random_range(0..self.doors.len());
        let Some(door) = self.doors.get(place) else { bail!("there is no way to any node") };
        Ok((place as u64 + 1, door.clone()))
    }

    /// Asks until the outcome is known.
    pub(crate) async fn ask<T, F>(&mut self, ask: impl Fn(Channel) -> F) -> Result<Told<T>>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let begun = Instant::now();
        while begun.elapsed() < PERSIST {
            let (node, door) = self.anyone()?;
            match ask(door.channel()).await {
                Ok(done) => return Ok(Told::Done(node, done.into_inner())),
                Err(status) if is_unknown(&status) => {
                    let ms = self.dice.random_range(50..500);
                    sleep(Duration::from_millis(ms)).await;
                }
                Err(status) => return Ok(Told::Refused(status)),
            }
        }
        Ok(Told::Unknown)
    }

    /// Says it; whether it was accepted.
    pub(crate) async fn say(&mut self, word: Word) -> Result<bool> {
        let told = self.ask(|channel| word.clone().put(channel)).await?;
        self.work.tally.said(&told);
        if let Told::Done(node, Some(seq)) = told {
            self.work.promises.add(Promise::Acked { node, before: seq });
        }
        Ok(matches!(told, Told::Done(..)))
    }

    /// The rollouts of [`WHO`], the newest last. `None`: nobody answers just now.
    pub(crate) async fn rollouts(&mut self) -> Result<Option<Vec<v1::RolloutStatus>>> {
        let (_, door) = self.anyone()?;
        let Ok(status) = door.status("").await else { return Ok(None) };
        let mut rollouts = status.rollouts;
        rollouts.retain(|rollout| WHO.contains(&rollout.started_by.as_str()));
        Ok(Some(rollouts))
    }

    /// Gets in the way of a rollout.
    pub(crate) async fn say_something(&mut self, rollout: &str) -> Result<()> {
        let scope = self.scope.clone();
        let word = Word::draw(self, &scope, rollout);
        self.say(word).await.map(drop)
    }

    /// One of its throttles gets another limit, if it has any.
    pub(crate) async fn limit(&mut self, rollout: &v1::RolloutStatus) -> Result<()> {
        let names = strategy::with_limits(rollout);
        let Some(name) = self.one_of(&names).cloned() else { return Ok(()) };
        let scope = self.scope.clone();
        let word = Word::limit(self, &scope, &rollout.id, &name);
        self.say(word).await.map(drop)
    }

    /// Some of it is undone, or all.
    pub(crate) async fn undo(&mut self, rollout: &str) -> Result<()> {
        let scope = self.scope.clone();
        let word = Word::roll_back(self, &scope, rollout);
        self.say(word).await.map(drop)
    }

    /// What failed is tried again, and nothing else.
    pub(crate) async fn retry(&mut self, rollout: &str) -> Result<()> {
        let scope = self.scope.clone();
        let word = Word::retry(self, &scope, rollout);
        self.say(word).await.map(drop)
    }

    /// It goes on as a whole, if it is paused.
    pub(crate) async fn resume(&mut self, rollout: &str, rolled_back: bool) -> Result<()> {
        let (asker, rollout) = (Some(self.asker()), rollout.to_owned());
        let request = v1::ResumeRequest { asker, rollout, part: None, rolled_back };
        self.say(Word::Resume(request)).await.map(drop)
    }

    /// Whatever holds a rollout back is taken away.
    pub(crate) async fn let_go(&mut self, rollout: &v1::RolloutStatus) -> Result<()> {
        if rollout.state() == State::Paused {
            self.resume(&rollout.id, false).await?;
        }
        let scope = self.scope.clone();
        for hindrance in Hindrance::all(rollout) {
            let word = hindrance.word(self, &scope, &rollout.id);
            self.say(word).await?;
        }
        Ok(())
    }

    /// Whether a target is one of the fleet's.
    pub(crate) async fn knows(&mut self, id: &str) -> Result<bool> {
        let (_, door) = self.anyone()?;
        let known = door.targets().await?;
        let there = known.iter().filter(|target| !target.retired);
        let mut named = there.filter_map(|target| target.description.as_ref());
        Ok(named.any(|described| described.id == id))
    }

    /// The rollout that has a target, if one has it, goes on without it.
    pub(crate) async fn go_on_without(&mut self, id: &str) -> Result<()> {
        let (_, door) = self.anyone()?;
        let Ok(known) = door.targets().await else { return Ok(()) };
        let named = |target: &v1::Target| {
            target.description.as_ref().is_some_and(|described| described.id == id)
        };
        let Some(target) = known.into_iter().find(named) else { return Ok(()) };
        if target.rollout.is_empty() {
            return Ok(());
        }
        let request = v1::ChosenTargetsRequest {
            asker: Some(self.asker()),
            rollout: target.rollout,
            selector: Some(v1::Selector { targets: vec![id.to_owned()], ..Default::default() }),
            reason: "its host was sold".to_owned(),
            ..Default::default()
        };
        self.say(Word::Skip(request)).await.map(drop)
    }

    /// Nothing is frozen.
    pub(crate) async fn thaw(&mut self) -> Result<()> {
        let scope = self.scope.clone();
        let word = Hindrance::Frozen.word(self, &scope, "");
        self.say(word).await.map(drop)
    }

    /// What is open is let go; whether there was nothing.
    pub(crate) async fn let_all_go(&mut self) -> Result<bool> {
        let Some(rollouts) = self.rollouts().await? else { return Ok(false) };
        let open: Vec<_> = rollouts.into_iter().filter(is_open).collect();
        for rollout in &open {
            self.let_go(rollout).await?;
        }
        Ok(open.is_empty())
    }

    /// Looks at what runs and gets in its way, until it is over.
    pub(crate) async fn operate(mut self) -> Result<()> {
        while !self.work.over() {
            for rollout in self.rollouts().await?.unwrap_or_default() {
                if self.work.over() {
                    break;
                }
                if !is_open(&rollout) {
                    // One that has ended may have to go on, or to be undone.
                    if self.percent(2) {
                        self.say_something(&rollout.id).await?;
                    }
                } else if rollout.state() == State::Paused && self.percent(50) {
                    self.resume(&rollout.id, false).await?;
                } else if self.percent(8) {
                    self.let_go(&rollout).await?;
                } else if self.percent(45) {
                    self.say_something(&rollout.id).await?;
                }
            }
            let ms = self.dice.random_range(150..600);
            sleep(Duration::from_millis(ms)).await;
        }
        Ok(())
    }
}

pub(crate) fn is_open(rollout: &v1::RolloutStatus) -> bool {
    matches!(rollout.state(), State::Running | State::Paused | State::Unwinding)
}
