//! The way back to the first step everywhere, by ordinary verbs.

use anyhow::{Result, ensure};

use crate::round::{Campaign, ENDS_LIMIT};
use crate::workload::fixture;
use crate::world::tenants::is_somebodys;

const ALL: &str = "eu/*,us/*,ap/*";
/// How often it is tried where something stands in it.
const TRIES: usize = 4;

impl Campaign {
    /// Back to the first step everywhere, for the next round. Where words have left halves and doubts, somebody
    /// has a look and goes on.
    pub(crate) async fn restore(&mut self) -> Result<()> {
        let mut last = String::new();
        for _ in 0..TRIES {
            let left = self.left().await?;
            if left.is_empty() {
                return Ok(());
            }
            for (target, first) in left {
                if first.as_deref() == Some("1") && self.built.contains(&target) {
                    // No rollout had it while it was under way.
                    last += &self.adopt(&target).await?;
                } else if let Some(step) = first {
                    let words = ["--version", &step, "--on", &target, "--accept-drift"];
                    last += &self.migrate(&words).await?;
                }
            }
            last += &self.migrate(&["--direction", "down", "--version", "1", "--on", ALL]).await?;
            if self.left().await?.is_empty() {
                return Ok(());
            }
            let observe = ["targets", "observe", "--on", ALL, "--timeout", "20s"];
            let looked = self.world.cli.run(&observe, ENDS_LIMIT).await?;
            for said in ["\nskein ", &looked.line, ": ", &looked.stdout, &looked.stderr] {
                last.push_str(said);
            }
            last += &self
                .migrate(&["--direction", "down", "--version", "1", "--on", ALL, "--accept-drift"])
                .await?;
        }
        let left = self.left().await?;
        ensure!(left.is_empty(), "with everything healed, the way back left {left:?}:\n{last}");
        Ok(())
    }

    /// What it said, where it did not end well.
    async fn adopt(&self, target: &str) -> Result<String> {
        let fixture = fixture().display().to_string();
        let words = ["repair", "adopt", "1", "--migrations", &fixture, "--on", target];
        let words = [&words[..], &["--waive", "it was there before", "--yes"]].concat();
        Ok(self.world.cli.run(&words, ENDS_LIMIT).await?.told())
    }

    /// What is not at the first step, and up to which one it has to go before it can go back: a half that goes
    /// forward is carried to its end, and who came and was given nothing gets the first step.
    async fn left(&self) -> Result<Vec<(String, Option<String>)>> {
        let mut left = Vec::new();
        for target in &self.world.targets {
            let counts = !is_somebodys(&target.id) && self.world.tenants.serves(&target.id);
            if !counts {
                continue;
            }
            let seen = target.observe().await?;
            let applied = seen.applied();
            let is_at_first = matches!(applied.as_slice(), [row] if row.step == "1");
            let up = |direction| direction == skein_agent::db::Direction::Up;
            let half = seen.intent.as_ref().filter(|half| up(half.direction));
            let nothing = applied.is_empty().then(|| "1".to_owned());
            let first = half.map(|half| half.step.clone()).or(nothing);
            if !is_at_first || first.is_some() {
                left.push((target.id.clone(), first));
            }
        }
        Ok(left)
    }

    /// What it said, where it did not end well.
    async fn migrate(&self, words: &[&str]) -> Result<String> {
        let fixture = fixture().display().to_string();
        let words = [&["migrate", &fixture][..], words, &["--retries", "8", "-o", "json"]].concat();
        let ran = self.world.cli.run(&words, ENDS_LIMIT).await?;
        Ok(ran.told())
    }
}
