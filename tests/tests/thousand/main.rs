//! A fleet of three engines, three regions and four classes, whose targets stand in a table: a canary, shares,
//! soaks, gates and a budget; two failures that the budget allows, a third that breaks it, and a leader that is
//! killed on the way. What is taken back is proved row by row. The cause is mended, and the same rollout goes on with the
//! wave that was taken back, under another leader that is killed; everything is in force everywhere, and nothing ran twice.
//!
//! `cargo xtask fleet` plays it with 1 120 targets; `cargo xtask test` with fewer.

#[path = "../support/mod.rs"]
mod support;

mod fleet;
mod proof;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fleet::Fleet;
use proof::Rows;
use serde_json::Value;
use skein_proto::log::v1::event::Body;
use skein_proto::v1::RolloutState;
use support::until;
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_mins(5);
/// In force everywhere in the end, in the order of their numbers.
const ALL: [&str; 3] = ["10", "20", "30"];

/// Tells whoever looks on what happens.
#[expect(clippy::print_stdout, reason = "the command that plays this shows it")]
fn say(text: &str) {
    println!("{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_of_a_thousand_goes_through_failures_and_ends_whole() {
    let began = Instant::now();
    let Some(mut it) = Fleet::start("a_fleet_of_a_thousand").await else { return };
    say(&format!(
        "{} targets in three regions, named by a table, looked at after {:.0} s",
        it.databases.len(),
        began.elapsed().as_secs_f64()
    ));

    // Some shards are ahead of the others: with three engines that makes four classes.
    it.cli.run("apply migrations --target version=0010 --label cohort=early --yes").await.exits(0);
    let plan = it.cli.run("plan migrations --strategy strategy.toml -o json").await.exits(0).json();
    let waves = waves(&plan);
    assert_eq!(classes(&plan), 4, "{plan}");
    say(&format!("four classes; waves of {:?} targets", sizes(&waves)));
    assert_eq!((waves.len(), waves[0].len()), (4, 4), "one of each class comes first");

    // One target of each later wave has what the last migration cannot take.
    let broken: Vec<String> = waves[1..].iter().map(|wave| wave[wave.len() / 2].clone()).collect();
    for id in &broken {
        it.spoil(id).await;
    }
    let before = proof::rows(&it.databases).await;

    let plan_id = plan["id"].as_str().expect("a plan has an id").to_owned();
    let apply = tokio::spawn({
        let (cli, began) = (it.cli.clone(), Instant::now());
        async move { (cli.run(&format!("apply --plan {plan_id} --yes")).await, began.elapsed()) }
    });
    it.until_wave(3).await;
    let killed = it.behead().await;
    say(&format!(
        "the leader, node {killed}, was killed in the third wave; node {} leads",
        it.lead
    ));
    let (ended, took) = apply.await.expect("nobody ends it");
    // Not all is where it was: two failed before, and the budget let them stand.
    ended.exits(31);
    let status = it.client.rollout("mig-0002").await.expect("it is there");
    say(&format!("{:.0} s: {}", took.as_secs_f64(), status.reason));
    assert_eq!(status.state(), RolloutState::Halted, "{}", status.reason);
    assert!(status.reason.contains("3 targets failed"), "{}", status.reason);

    // The wave that broke the budget is where it was, row by row; the others are done, but for two.
    let after = proof::rows(&it.databases).await;
    let last: BTreeSet<&String> = waves[3].iter().collect();
    let (mut back, mut done) = (0, 0);
    for (id, rows) in &after {
        if last.contains(id) {
            assert_eq!(rows, &before[id], "{id} is where it was");
            back += 1;
        } else if broken.contains(id) {
            assert_eq!(rows.in_force, ["10", "20"], "{id}");
        } else {
            assert_eq!(rows.in_force, ["10", "20", "30"], "{id}");
            done += 1;
        }
    }
    say(&format!(
        "{back} targets of the last wave have the schema and the rows that they had; {done} of the \
         waves before are done, 2 stand before the step that failed"
    ));

    let had = effects(&it).await;
    for id in &broken {
        it.mend(id).await;
    }
    let plan = it.cli.run("resume mig-0002 --plan -o json").await.exits(0).json();
    let named = |list: &Value| -> BTreeSet<String> {
        let list = list.as_array().into_iter().flatten();
        list.filter_map(|id| id.as_str().map(str::to_owned)).collect()
    };
    assert_eq!((&plan["way"], &plan["from_wave"]), (&"forward".into(), &4.into()), "{plan}");
    let again: BTreeSet<String> = broken[..2].iter().cloned().collect();
    assert_eq!(named(&plan["again"]), again, "{plan}");
    assert!(named(&plan["waves"][0]["targets"]).iter().eq(last), "{plan}");
    let resumed = tokio::spawn({
        let (cli, began) = (it.cli.clone(), Instant::now());
        async move { (cli.run("resume mig-0002").await, began.elapsed()) }
    });
    it.until_again(4).await;
    let killed = it.behead().await;
    say(&format!("the leader, node {killed}, was killed in the wave that goes forward again"));
    let (ended, took) = resumed.await.expect("nobody ends it");
    ended.exits(0);
    say(&format!(
        "the cause is mended in three targets, and {:.0} s later the same rollout is completed",
        took.as_secs_f64()
    ));
    whole(&it, &before).await;
    once(&effects(&it).await, &had, (&waves, &broken));
    it.cli.run("history verify").await.exits(0);
    say("nothing that was in force ran again, and three nodes have the same log");
    it.end().await;
}

/// The targets of each wave of a plan.
fn waves(plan: &Value) -> Vec<Vec<String>> {
    let waves = plan["waves"].as_array().expect("a plan has waves");
    let ids = |wave: &Value| -> Vec<String> {
        let targets = wave["targets"].as_array().expect("a wave has targets");
        let id = |one: &Value| one["id"].as_str().or(one.as_str()).map(str::to_owned);
        targets.iter().filter_map(id).collect()
    };
    waves.iter().map(ids).collect()
}

fn sizes(waves: &[Vec<String>]) -> Vec<usize> {
    waves.iter().map(Vec::len).collect()
}

fn classes(plan: &Value) -> usize {
    plan["classes"].as_array().map_or(0, Vec::len)
}

/// Everything is in force everywhere.
async fn whole(it: &Fleet, before: &BTreeMap<String, Rows>) {
    let after = proof::rows(&it.databases).await;
    for (id, rows) in &after {
        let mut versions = rows.in_force.clone();
        versions.sort_unstable();
        assert_eq!(versions, ALL, "{id}");
        // The second migration adds one to each count: twice would show.
        let counts: Vec<i64> = before[id].visits.iter().map(|visits| visits + 1).collect();
        assert_eq!(rows.visits, counts, "{id}");
        assert_eq!(rows.emails.len(), before[id].visits.len(), "{id}");
    }
    let events = it.client.events(0).await.expect("the log can be read");
    let gates = events.iter().filter(|it| matches!(it.body, Some(Body::GatePassed(_)))).count();
    // One in each target of each wave that was done, and again in those of waves that were watched.
    assert!(gates > it.databases.len(), "{gates} gates passed");
    say(&format!("{gates} gates were asked and passed"));
}

/// How often each step of each target took effect, how often it was taken back, and how often the target was
/// backed up for the rollout.
#[derive(Debug, Default)]
struct Effects {
    steps: BTreeMap<(String, String), (u32, u32)>,
    backups: BTreeMap<String, u32>,
}

async fn effects(it: &Fleet) -> Effects {
    let mut found = Effects::default();
    for event in it.client.events(0).await.expect("the log can be read") {
        match event.body {
            Some(Body::StepApplied(step)) => {
                found.steps.entry((step.target, step.version)).or_default().0 += 1;
            }
            Some(Body::StepRolledBack(step)) => {
                found.steps.entry((step.target, step.version)).or_default().1 += 1;
            }
            Some(Body::StepBackedUp(step)) if step.rollout == 2 => {
                *found.backups.entry(step.target).or_default() += 1;
            }
            _ => {}
        }
    }
    found
}

/// Nothing ran twice: of what was in force when the rollout went on no step has had another effect, and what was
/// taken back has had one more, behind a backup of its own.
fn once(now: &Effects, had: &Effects, (waves, broken): (&[Vec<String>], &[String])) {
    let last: BTreeSet<&String> = waves[3].iter().collect();
    for (step, (applied, undone)) in &now.steps {
        assert_eq!(applied - undone, 1, "{step:?}");
        let before = had.steps.get(step).copied().unwrap_or_default();
        if before.0 > before.1 {
            assert_eq!((*applied, *undone), before, "{step:?} was in force, and did not run again");
        } else {
            assert_eq!((*applied, *undone), (before.0 + 1, before.1), "{step:?} ran once more");
            let failed = broken.contains(&step.0) && step.1 == "30";
            assert!(last.contains(&step.0) || failed, "{step:?}");
        }
    }
    for (target, backups) in &now.backups {
        let begun = had.backups.get(target).copied().unwrap_or_default();
        let again = u32::from(last.contains(target));
        assert_eq!(*backups, begun + again, "{target}: a backup older than an undo is none");
    }
    let twice = now.steps.values().filter(|(applied, _)| *applied > 1).count();
    say(&format!(
        "{} steps in force on {} targets; {twice} of them had been taken back and ran once more",
        now.steps.len(),
        now.backups.len()
    ));
}

impl Fleet {
    async fn until_wave(&self, wave: u32) {
        let there = || async {
            let status = self.client.rollout("mig-0002").await;
            status.is_ok_and(|status| status.wave + 1 >= wave)
        };
        until("the wave is open", LIMIT, there).await;
    }

    /// The rollout had halted behind that wave, and the wave is open anew.
    async fn until_again(&self, wave: u32) {
        let there = || async {
            let status = self.client.rollout("mig-0002").await;
            status.is_ok_and(|it| it.state() == RolloutState::Running && it.wave + 1 >= wave)
        };
        until("the wave is open anew", LIMIT, there).await;
    }
}
