//! What users of the command line do while things go wrong: rollouts forward and back by several submitters at a
//! time. Who owns a part of the fleet (`owner`), who gets in the way of rollouts (`speaker`) and who repairs by hand
//! (`hand`) share what is here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::sleep;

use crate::Planted;
use crate::check::{Promise, Promises};
use crate::speaker::Told;
use crate::world::cli::{Cli, Ran};

/// A verb that has not ended after so long has lost its user's patience.
const PATIENCE: Duration = Duration::from_mins(1);

/// The migrations that everybody brings.
pub(crate) fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/fleet")
}

/// How many verbs were run, and how they ended.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) verbs: AtomicUsize,
    /// What was said over gRPC, and refused.
    pub(crate) words: AtomicUsize,
    pub(crate) refused: AtomicUsize,
    /// Strategies that were planned, and refused.
    pub(crate) plans: AtomicUsize,
    pub(crate) no_plans: AtomicUsize,
    /// By people who lost patience, or who found nobody.
    pub(crate) unknown: AtomicUsize,
}

impl Tally {
    pub(crate) fn said<T>(&self, told: &Told<T>) {
        self.words.fetch_add(1, Ordering::Relaxed);
        self.came(told, &self.refused);
    }

    pub(crate) fn planned<T>(&self, told: &Told<T>) {
        self.plans.fetch_add(1, Ordering::Relaxed);
        self.came(told, &self.no_plans);
    }

    fn came<T>(&self, told: &Told<T>, refused: &AtomicUsize) {
        match told {
            Told::Done(..) => {}
            Told::Refused(status) => {
                refused.fetch_add(1, Ordering::Relaxed);
                if std::env::var_os("SKEIN_KEEP").is_some() {
                    crate::say(&format!("        refused: {}", status.message()));
                }
            }
            Told::Unknown => {
                self.unknown.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
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
    /// Targets that words may be about.
    pub(crate) targets: Vec<String>,
    /// There is a replica that may fall behind.
    pub(crate) replicates: bool,
    /// A bug that should be found.
    pub(crate) planted: Option<Planted>,
}

impl Work {
    pub(crate) fn over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(crate) async fn verb(&self, words: &[&str]) -> Result<Ran> {
        self.verb_or(words, &[]).await
    }

    /// The same, where these ends are answers, too.
    pub(crate) async fn verb_or(&self, words: &[&str], answers: &[i32]) -> Result<Ran> {
        self.tally.verbs.fetch_add(1, Ordering::Relaxed);
        let ran = self.cli.run(words, PATIENCE).await?;
        match ran.code {
            // Something that should not be possible; a usage that was understood yesterday; a history
            // that does not verify.
            Some(code @ (1 | 2 | 60 | 61)) if !answers.contains(&code) => {
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
    /// `chosen` is the words that choose the targets.
    pub(crate) async fn submit(
        self,
        chosen: [&str; 2],
        waves: Vec<String>,
        seed: u64,
    ) -> Result<()> {
        let mut dice = StdRng::seed_from_u64(seed);
        let fixture = fixture().display().to_string();
        while !self.over() {
            let mut up = vec!["migrate", &fixture, "--retries", "8", "-o", "json"];
            up.extend(chosen);
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
            self.down(&fixture, chosen).await?;
            sleep(Duration::from_millis(dice.random_range(10..200))).await;
        }
        Ok(())
    }

    async fn down(&self, fixture: &str, chosen: [&str; 2]) -> Result<()> {
        let down = ["migrate", fixture, "--direction", "down", "--version", "1"];
        let more = ["--retries", "8", "-o", "json"];
        let words = down.into_iter().chain(chosen).chain(more).collect::<Vec<_>>();
        let ran = self.verb(&words).await?;
        if ran.code == Some(0)
            && let Some(rollout) = ran.rollout()
        {
            self.promises.add(Promise::Completed(rollout));
        }
        Ok(())
    }
}
