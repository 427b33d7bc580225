//! A fleet of three engines, three regions and four classes, whose targets stand in a table: a canary, shares,
//! soaks, gates and a budget; two failures that the budget allows, a third that breaks it, and a leader that is
//! killed on the way. What is taken back is proved row by row; after the fix everything is in force everywhere,
//! and nothing ran twice.
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
const ALL: [&str; 4] = ["10", "20", "25", "30"];

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

    it.write_fix();
    let began = Instant::now();
    it.cli.run("apply migrations --strategy strategy.toml --out-of-order --yes").await.exits(0);
    say(&format!(
        "the fix is added, and {:.0} s later everything is done",
        began.elapsed().as_secs_f64()
    ));
    whole(&it, &before, &broken).await;
    it.cli.run("history verify").await.exits(0);
    say("each step in force has had its effect once, and three nodes have the same log");
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

/// Everything is in force everywhere; every effect that was not taken back was had once.
async fn whole(it: &Fleet, before: &BTreeMap<String, Rows>, broken: &[String]) {
    let after = proof::rows(&it.databases).await;
    for (id, rows) in &after {
        let mut versions = rows.in_force.clone();
        versions.sort_unstable();
        assert_eq!(versions, ALL, "{id}");
        // The second migration adds one to each count: twice would show.
        let counts: Vec<i64> = before[id].visits.iter().map(|visits| visits + 1).collect();
        assert_eq!(rows.visits, counts, "{id}");
        let twins = usize::from(broken.contains(id));
        assert_eq!(rows.emails.len(), before[id].visits.len() - twins, "{id}");
    }
    let mut net: BTreeMap<(String, String), i32> = BTreeMap::new();
    let mut gates = 0;
    for event in it.client.events(0).await.expect("the log can be read") {
        match event.body {
            Some(Body::StepApplied(step)) => {
                *net.entry((step.target, step.version)).or_default() += 1;
            }
            Some(Body::GatePassed(_)) => gates += 1,
            Some(Body::StepRolledBack(step)) => {
                *net.entry((step.target, step.version)).or_default() -= 1;
            }
            _ => {}
        }
    }
    assert_eq!(net.len(), it.databases.len() * ALL.len());
    assert!(net.values().all(|count| *count == 1), "{net:?}");
    // One in each target of each wave that was done, and again in those of waves that were watched.
    assert!(gates > it.databases.len(), "{gates} gates passed");
    say(&format!("{gates} gates were asked and passed"));
}

impl Fleet {
    async fn until_wave(&self, wave: u32) {
        let there = || async {
            let status = self.client.rollout("mig-0002").await;
            status.is_ok_and(|status| status.wave + 1 >= wave)
        };
        until("the wave is open", LIMIT, there).await;
    }
}
