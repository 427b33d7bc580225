//! What users do while things go wrong: rollouts forward and back by several submitters at a time, and
//! an operator who pauses and resumes them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use skein_proto::v1;
use tokio::time::sleep;

use crate::check::{Promise, Promises};
use crate::world::cli::{Cli, Ran};
use crate::world::client::{Client, asker};

/// A verb that has not ended after so long has lost its user's patience.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long an answer to the operator may take.
const ANSWER: Duration = Duration::from_secs(3);

/// The migrations that everybody brings.
pub(crate) fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/fleet")
}

/// How many verbs were run, and how they ended.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) verbs: AtomicUsize,
    pub(crate) pauses: AtomicUsize,
    /// By people who lost patience, or who found nobody.
    pub(crate) unknown: AtomicUsize,
}

/// What all of them share.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) cli: Cli,
    pub(crate) doors: Vec<String>,
    pub(crate) promises: Promises,
    pub(crate) tally: Arc<Tally>,
    /// Nobody begins anything new.
    pub(crate) over: Arc<AtomicBool>,
}

impl Work {
    fn over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    async fn verb(&self, words: &[&str]) -> Result<Ran> {
        self.tally.verbs.fetch_add(1, Ordering::Relaxed);
        let ran = self.cli.run(words, PATIENCE).await?;
        match ran.code {
            // Something that should not be possible; a usage that was understood yesterday; a history
            // that does not verify.
            Some(code @ (1 | 2 | 60 | 61)) => {
                bail!("skein {} ended with {code}:\n{}{}", ran.line, ran.stdout, ran.stderr)
            }
            Some(50) | None => {
                self.tally.unknown.fetch_add(1, Ordering::Relaxed);
            }
            Some(_) => {}
        }
        Ok(ran)
    }

    /// Up and down again, until it is over: at the end nothing of it is in force, unless somebody came
    /// in between.
    pub(crate) async fn submit(self, on: String, waves: Vec<String>, seed: u64) -> Result<()> {
        let mut dice = StdRng::seed_from_u64(seed);
        let fixture = fixture().display().to_string();
        while !self.over() {
            let mut up = vec!["migrate", &fixture, "--on", &on, "--retries", "8", "-o", "json"];
            for wave in &waves {
                up.extend(["--wave", wave]);
            }
            let ran = self.verb(&up).await?;
            if ran.code == Some(0)
                && let Some(rollout) = ran.rollout()
            {
                self.promises.add(Promise::Completed(rollout.clone()));
                if dice.random() {
                    let ran = self.verb(&["rollback", &rollout, "--yes", "-o", "json"]).await?;
                    if ran.code == Some(0) {
                        self.promises.add(Promise::RolledBack(rollout));
                        continue;
                    }
                }
            }
            self.down(&fixture, &on).await?;
            sleep(Duration::from_millis(dice.random_range(10..200))).await;
        }
        Ok(())
    }

    async fn down(&self, fixture: &str, on: &str) -> Result<()> {
        let down = ["migrate", fixture, "--direction", "down", "--version", "1"];
        let more = ["--on", on, "--retries", "8", "-o", "json"];
        let ran = self.verb(&down.into_iter().chain(more).collect::<Vec<_>>()).await?;
        if ran.code == Some(0)
            && let Some(rollout) = ran.rollout()
        {
            self.promises.add(Promise::Completed(rollout));
        }
        Ok(())
    }

    /// Looks at what runs, pauses some of it for a moment, and resumes whatever is paused.
    pub(crate) async fn operate(self, seed: u64) -> Result<()> {
        let mut dice = StdRng::seed_from_u64(seed);
        loop {
            let over = self.over();
            let door = self.doors.get(dice.random_range(0..self.doors.len()));
            let Some(door) = door else { bail!("there is no way to any node") };
            let client = Client::new(door, ANSWER)?;
            let Ok(status) = client.status("").await else {
                if over {
                    return Ok(());
                }
                sleep(Duration::from_millis(200)).await;
                continue;
            };
            for rollout in status.rollouts.iter().filter(|rollout| rollout.started_by == "chaos") {
                match rollout.state() {
                    v1::RolloutState::Paused => self.resume(&client, &rollout.id).await,
                    v1::RolloutState::Running | v1::RolloutState::Unwinding
                        if !over && dice.random_ratio(1, 3) =>
                    {
                        self.pause(&client, &rollout.id).await;
                    }
                    _ => {}
                }
            }
            if over {
                return Ok(());
            }
            sleep(Duration::from_millis(dice.random_range(150..600))).await;
        }
    }

    async fn pause(&self, client: &Client, rollout: &str) {
        let reason = "to look at it".to_owned();
        let asker = Some(asker("operator"));
        let request =
            v1::PauseRequest { asker, rollout: rollout.to_owned(), reason, ..Default::default() };
        if client.rollouts().pause(request).await.is_ok() {
            self.tally.pauses.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn resume(&self, client: &Client, rollout: &str) {
        let request = v1::ResumeRequest {
            asker: Some(asker("operator")),
            rollout: rollout.to_owned(),
            part: None,
            rolled_back: false,
        };
        // Refused where it has been resumed meanwhile; asked again where nobody answered.
        drop(client.rollouts().resume(request).await);
    }
}
