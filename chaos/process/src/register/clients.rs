//! Those who ask: each repeats a question, with its id, through one node after the other, until it has
//! an answer that says what happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use skein_proto::v1;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

use super::history::History;
use super::spec::{Answer, Ask, State};
use crate::check::{Promise, Promises};
use crate::world::World;
use crate::world::client::{Client, asker};
use crate::world::wait::until_some;

/// How many ask at a time.
const CLIENTS: usize = 4;
/// How long one node may take to answer.
const ANSWER: Duration = Duration::from_millis(1_500);
/// How long anybody asks: longer than everything takes to heal.
const PERSIST: Duration = Duration::from_secs(40);
const LIMIT: Duration = Duration::from_secs(30);

/// One rollout that stands still.
#[derive(Debug)]
pub(super) struct Register {
    id: String,
    history: History,
}

/// All of a round.
#[derive(Debug)]
pub(crate) struct Registers {
    all: Vec<Arc<Register>>,
    clients: JoinSet<Result<()>>,
    over: Arc<AtomicBool>,
}

/// What was seen.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) histories: usize,
    pub(crate) questions: usize,
    pub(crate) unanswered: usize,
}

impl Registers {
    /// A new rollout on each target whose agent stays away, and clients who begin to ask.
    pub(crate) async fn begin(
        world: &World,
        bundle: &[u8],
        promises: &Promises,
        seed: u64,
    ) -> Result<Self> {
        let client = world.direct(world.leader(LIMIT).await?.0)?;
        let mut registers = Vec::new();
        for target in &world.still {
            let selector = v1::Selector { targets: vec![target.id.clone()], ..Default::default() };
            let spec = v1::PlanSpec {
                bundle: bundle.to_vec().into(),
                selector: Some(selector),
                direction: v1::Direction::Up.into(),
                goal: Some(v1::Goal { goal: Some(v1::goal::Goal::Latest(true)) }),
                strategy: Some(v1::Strategy {
                    parallelism: 1,
                    on_breach: v1::OnBreach::Halt.into(),
                    backup: v1::BackupScope::BackupDatabase.into(),
                    ..Default::default()
                }),
                ..Default::default()
            };
            let request =
                v1::PlanRequest { asker: Some(asker("register")), spec: Some(spec), dry: false };
            let plan = client.planner().plan(request).await.context("failed to plan a register")?;
            let rollout = plan.into_inner().rollout;
            ensure!(!rollout.is_empty(), "{} has nothing to do", target.id);
            registers.push(Arc::new(Register { id: rollout, history: History::default() }));
        }
        let over = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let mut doors = Vec::new();
            for door in world.doors() {
                doors.push(Client::new(&door, ANSWER)?);
            }
            let client = Asker {
                doors,
                at: number,
                registers: registers.clone(),
                promises: promises.clone(),
                over: Arc::clone(&over),
                dice: StdRng::seed_from_u64(seed.wrapping_add(number as u64)),
            };
            clients.spawn(client.run(number));
        }
        Ok(Self { all: registers, clients, over })
    }

    /// Everybody has their last answer; the histories are looked at; the rollouts are taken away.
    pub(crate) async fn end(mut self, world: &World) -> Result<Counts> {
        self.over.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.context("a client's task")??;
        }
        let mut counts = Counts::default();
        for register in &self.all {
            let (questions, unanswered) = register.history.counts();
            counts.histories += 1;
            counts.questions += questions;
            counts.unanswered += unanswered;
            let checked = Arc::clone(register);
            let checked = tokio::task::spawn_blocking(move || checked.history.check()).await?;
            if let Err(history) = checked {
                bail!("the history of {} is not linearizable:\n{history}", register.id);
            }
        }
        let client = world.direct(world.leader(LIMIT).await?.0)?;
        for register in &self.all {
            until_some("a register is taken away", LIMIT, async || {
                let status = client.status(&register.id).await.ok()?;
                let state = status.rollouts.first()?.state();
                if state == v1::RolloutState::RolledBack || state == v1::RolloutState::Planned {
                    return Some(());
                }
                let request = v1::RollBackRequest {
                    asker: Some(asker("register")),
                    rollout: register.id.clone(),
                    ..Default::default()
                };
                // Asked again until it is so.
                drop(client.rollouts().roll_back(request).await);
                None
            })
            .await?;
        }
        Ok(counts)
    }
}

struct Asker {
    doors: Vec<Client>,
    /// The door that was used last.
    at: usize,
    registers: Vec<Arc<Register>>,
    promises: Promises,
    over: Arc<AtomicBool>,
    dice: StdRng,
}

impl Asker {
    async fn run(mut self, number: usize) -> Result<()> {
        let mut count = 0;
        while !self.over.load(Ordering::Relaxed) {
            let register = self.registers.get(self.dice.random_range(0..self.registers.len()));
            let register = Arc::clone(register.context("there are registers")?);
            count += 1;
            let ask = match self.dice.random_range(0..10) {
                0 | 1 => Ask::Start,
                2 | 3 => Ask::Pause(format!("{number}-{count}")),
                4 | 5 => Ask::Resume,
                _ => Ask::Look,
            };
            let place = register.history.ask(ask.clone());
            if let Some(answer) = self.ask(&register.id, &ask).await? {
                register.history.answer(place, answer);
            }
            sleep(Duration::from_millis(self.dice.random_range(20..160))).await;
        }
        Ok(())
    }

    /// Until there is an answer; `None`: this one has lost patience.
    async fn ask(&mut self, rollout: &str, ask: &Ask) -> Result<Option<Answer>> {
        let asker = asker("register");
        // One in fifty asks once only.
        let once = self.dice.random_ratio(1, 50);
        let until = Instant::now() + PERSIST;
        loop {
            self.at = (self.at + usize::from(self.dice.random_ratio(1, 4))) % self.doors.len();
            let door = self.doors.get(self.at).context("there are ways to the nodes")?;
            match put(door, rollout, ask, &asker).await {
                Ok(answer) => {
                    if (ask, &answer) == (&Ask::Start, &Answer::Done) {
                        let (id, what) = (asker.request_id.to_vec(), format!("start of {rollout}"));
                        self.promises.add(Promise::Accepted { id, what });
                    }
                    return Ok(Some(answer));
                }
                Err(status) if refused(&status) => return Ok(Some(Answer::Refused)),
                Err(status) if passes(&status) => {}
                Err(status) => bail!("{ask:?} of {rollout}: {status}"),
            }
            if once || Instant::now() > until {
                return Ok(None);
            }
            self.at = (self.at + 1) % self.doors.len();
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// One try at one node.
async fn put(
    client: &Client,
    rollout: &str,
    ask: &Ask,
    asker: &v1::Asker,
) -> Result<Answer, Status> {
    let (asker, rollout) = (Some(asker.clone()), rollout.to_owned());
    let mut rollouts = client.rollouts();
    match ask {
        Ask::Start => {
            let request = v1::StartRequest { asker, plan: rollout, waivers: Vec::new() };
            rollouts.start(request).await.map(|_| Answer::Done)
        }
        Ask::Pause(reason) => {
            let request =
                v1::PauseRequest { asker, rollout, reason: reason.clone(), ..Default::default() };
            rollouts.pause(request).await.map(|_| Answer::Done)
        }
        Ask::Resume => rollouts
            .resume(v1::ResumeRequest { asker, rollout, part: None, rolled_back: false })
            .await
            .map(|_| Answer::Done),
        Ask::Look => {
            let status = client.status(&rollout).await?;
            let found = status.rollouts.first();
            let found = found.ok_or_else(|| Status::not_found(rollout.clone()))?;
            match found.state() {
                v1::RolloutState::Planned => Ok(Answer::Is(State::Planned)),
                v1::RolloutState::Running => Ok(Answer::Is(State::Running)),
                v1::RolloutState::Paused => {
                    let why = found.reason.strip_prefix("paused: ").unwrap_or_default();
                    Ok(Answer::Is(State::Paused(why.to_owned())))
                }
                state => Err(Status::internal(format!("{rollout} is {state:?}"))),
            }
        }
    }
}

fn refused(status: &Status) -> bool {
    status.code() == Code::FailedPrecondition
}

/// Whether another try may get another answer: the node said so, or the connection was cut.
fn passes(status: &Status) -> bool {
    let ours = std::error::Error::source(status).is_some();
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled)
        || (matches!(status.code(), Code::Unknown | Code::Internal) && ours)
}
