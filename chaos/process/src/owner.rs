//! Somebody who owns a part of the fleet: rollouts with strategies of every kind, forward and back, and a word now
//! and then to what has ended.

use std::time::Duration;

use anyhow::Result;
use rand::RngExt as _;
use skein_chaos::people::Person as _;
use skein_chaos::people::strategy::draw;
use skein_proto::v1::planner_client::PlannerClient;
use skein_proto::v1::rollouts_client::RolloutsClient;
use skein_proto::v1::{self, goal::Goal};
use tokio::time::{Instant, sleep};

use crate::check::Promise;
use crate::condition::CONDITIONS;
use crate::speaker::{Speaker, Told, is_open};
use crate::strategy;

/// So long one rollout is played with, at the most; whoever holds it back lets it go then.
const PLAY: Duration = Duration::from_secs(5);

impl Speaker {
    /// Until it is over. `on` is the selection; `bundle` what is rolled out.
    pub(crate) async fn own(mut self, on: Vec<String>, bundle: Vec<u8>) -> Result<()> {
        while !self.work.over() {
            if let Some(rollout) = self.begin(&on, &bundle).await? {
                self.play(&rollout).await?;
            }
            let ms = self.dice.random_range(10..200);
            sleep(Duration::from_millis(ms)).await;
        }
        Ok(())
    }

    /// A rollout that is under way. `None`: there was nothing to do, or it was refused.
    async fn begin(&mut self, on: &[String], bundle: &[u8]) -> Result<Option<String>> {
        let steps = |steps| Goal::Steps(steps);
        let (direction, goal) = match self.below(8) {
            0..=3 => (v1::Direction::Up, Goal::Latest(true)),
            4 => (v1::Direction::Up, steps(self.number(1, 5))),
            5 => (v1::Direction::Up, Goal::Version(self.number(2, 7).to_string())),
            // The first step stays: what the others leave is written down in its table.
            6 => (v1::Direction::Down, Goal::Version(self.number(1, 5).to_string())),
            _ => (v1::Direction::Down, Goal::Version("1".to_owned())),
        };
        let number = self.dice.random();
        let mut strategy = draw(self, &strategy::means(&self.work, number));
        strategy::plant(&mut strategy, self.work.planted, number);
        let mut selector = v1::Selector { targets: on.to_vec(), ..Default::default() };
        if self.percent(30)
            && let Some(condition) = self.one_of(&CONDITIONS)
        {
            condition.words.clone_into(&mut selector.r#where);
            // No coordinator that knows nothing of conditions may take the rest for the whole.
            selector.labels.push(v1::LabelMatch::default());
        }
        let spec = v1::PlanSpec {
            bundle: bundle.to_vec().into(),
            selector: Some(selector),
            direction: direction.into(),
            goal: Some(v1::Goal { goal: Some(goal) }),
            strategy: Some(strategy),
            accept_drift: self.percent(80),
            ..Default::default()
        };
        let request = v1::PlanRequest { asker: Some(self.asker()), spec: Some(spec), dry: false };
        let plan = |channel| {
            let request = request.clone();
            async move { PlannerClient::new(channel).plan(request).await }
        };
        let told = self.ask(plan).await?;
        self.work.tally.planned(&told);
        let Told::Done(_, reply) = told else { return Ok(None) };
        if reply.rollout.is_empty() {
            return Ok(None);
        }
        let request = v1::StartRequest {
            asker: Some(self.asker()),
            plan: reply.rollout.clone(),
            waivers: Vec::new(),
        };
        let start = |channel| {
            let request = request.clone();
            async move { RolloutsClient::new(channel).start(request).await }
        };
        match self.ask(start).await? {
            Told::Done(node, done) => {
                self.work.promises.add(Promise::Acked { node, before: done.seq });
                Ok(Some(done.rollout))
            }
            Told::Refused(_) | Told::Unknown => Ok(None),
        }
    }

    /// Says this and that to it until it has ended, and then perhaps more.
    async fn play(&mut self, rollout: &str) -> Result<()> {
        let begun = Instant::now();
        let planted = self.work.planted.is_some();
        while !self.work.over() {
            let status = self.rollouts().await?.unwrap_or_default();
            let mine = status.into_iter().find(|one| one.id == rollout);
            match mine {
                Some(one) if is_open(&one) => {
                    if begun.elapsed() > PLAY {
                        self.let_go(&one).await?;
                    } else if !planted && self.percent(25) {
                        self.say_something(rollout).await?;
                    } else if !planted && self.percent(20) {
                        self.limit(&one).await?;
                    }
                }
                Some(one) => {
                    let well = one.state() == v1::RolloutState::Completed;
                    let late = planted || begun.elapsed() > 2 * PLAY;
                    if late || !self.percent(if well { 30 } else { 80 }) {
                        return Ok(());
                    }
                    self.answer(&one).await?;
                }
                // Nobody answers just now.
                None => {}
            }
            let ms = self.dice.random_range(100..500);
            sleep(Duration::from_millis(ms)).await;
        }
        Ok(())
    }

    /// What is done is undone, or some of it; what was undone goes forward again; what failed is tried again.
    async fn answer(&mut self, ended: &v1::RolloutStatus) -> Result<()> {
        match ended.state() {
            v1::RolloutState::Completed => self.undo(&ended.id).await,
            v1::RolloutState::Halted if self.percent(40) => self.retry(&ended.id).await,
            _ => {
                let rolled_back = self.percent(70);
                self.resume(&ended.id, rolled_back).await
            }
        }
    }
}
