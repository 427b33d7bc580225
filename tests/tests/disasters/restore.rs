//! All coordinators are lost, and a backup is left that is older than what happened.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::fleet::{Fleet, LIMIT, members};
use crate::support::Runbook;
use crate::support::{Project, Timing, until};

/// The words of a runbook for this test: where its backup and its configuration are.
fn open(name: &str, fleet: &Fleet, node: u64) -> (Runbook, PathBuf) {
    let mut book = Runbook::open(name);
    let backup = fleet.project.join("backup");
    book.place("/var/backups/skein-cluster", backup.display().to_string());
    let config = fleet.project.join(&format!("node-{node}.toml"));
    book.place("/etc/skein/coordinator.toml", config.display().to_string());
    book.place("migrations", "migrations");
    (book, backup)
}

/// Ends everything that is left of the old cluster; its data is gone.
fn lose(fleet: &mut Fleet) {
    for node in fleet.cluster.numbers() {
        fleet.cluster.kill9(node);
        std::fs::remove_dir_all(fleet.cluster.data(node)).expect("a directory can be removed");
        fleet.cluster.forget(node);
    }
}

async fn restored(fleet: &mut Fleet, book: &mut Runbook, node: u64) {
    let words = book.next("skein cluster restore");
    let words: Vec<&str> = words.iter().map(String::as_str).chain(["-o", "json"]).collect();
    let ran = fleet.cli.run_alone(&words).await.exits(0).json();
    assert_eq!(ran["node"], node, "{ran}");
    book.done_by_hand("systemctl enable --now skein-coordinator");
    fleet.cluster.start_node(node);
    fleet.cluster.leader().await;
    fleet.turn_to_the_cluster().await;
    let reply = fleet.follow(book, "skein cluster members").await.exits(0).json();
    assert_eq!((members(&reply), &reply["leader"]), (vec![(node, true)], &node.into()), "{reply}");
    assert_ne!(reply["incarnation"], "", "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_cluster_begins_again_from_a_backup() {
    let mut fleet = Fleet::start("restore", 4).await;
    fleet.table(1);
    fleet.cli.run("migrate migrations").await.exits(0);
    // Under way when the backup is taken: two of four targets have the second step.
    fleet.table(2);
    let (third, fourth) = (fleet.hold(2).await, fleet.hold(3).await);
    let id = fleet.begin("--parallelism 4").await;
    fleet.until_done(&id, 2).await;
    let (mut book, backup) = open("restore", &fleet, 4);
    let taken = fleet.cli.run(&format!("cluster backup {} -o json", backup.display())).await;
    let taken = taken.exits(0).json();
    fleet.cli.run(&format!("history verify --data {}", backup.display())).await.exits(0);
    fleet.cli.run(&format!("cluster backup {}", backup.display())).await.exits(21);

    // Time goes on, and nothing of it is in the backup: the rollout ends, and one target moves on.
    third.close().await;
    fourth.close().await;
    fleet.json(&format!("watch {id}")).await;
    fleet.table(3);
    fleet.cli.run("migrate migrations --on t/1").await.exits(0);
    let (size, _) = fleet.cluster.settled().await;
    assert!(size > taken["events"].as_u64().expect("a number"), "nothing happened after it");
    // One of the old nodes is kept aside, and comes back later.
    let kept = fleet.project.join("kept");
    fleet.cluster.kill9(3);
    copy(&fleet.cluster.data(3), &kept);
    let old = std::fs::read_to_string(fleet.cluster.config(3)).expect("it was written");
    lose(&mut fleet);
    book.done_by_hand("systemctl disable --now skein-coordinator");

    fleet.cluster.newcomer(4, Timing::default());
    restored(&mut fleet, &mut book, 4).await;
    let seen = fleet.follow(&mut book, "skein targets observe").await.exits(0).json();
    let status = fleet.follow(&mut book, "skein status").await.exits(0).json();
    let halted = status["rollouts"].as_array().expect("rollouts are listed").iter();
    let halted: Vec<&Value> = halted.filter(|one| one["id"] == id.as_str()).collect();
    assert_eq!(halted[0]["state"], "halted", "{status}");

    // What moved on is found, and held; nothing is done twice.
    let targets = seen["targets"].as_array().expect("targets are listed").clone();
    let problem = |id: &str| {
        let target = targets.iter().find(|target| target["id"] == id).expect("it is listed");
        target["problem"].as_str().unwrap_or_default().to_owned()
    };
    assert!(problem("t/1").contains("ahead of the log by 3"), "{targets:?}");
    assert_eq!(problem("t/2"), "", "{targets:?}");
    assert!(problem("t/3").contains("ahead of the log by 2"), "{targets:?}");
    let refused = fleet.cli.run("plan migrations").await.exits(41);
    assert!(refused.stderr.contains("ahead of the log"), "{refused:?}");
    let refused = fleet.cli.run(&format!("resume {id}")).await;
    assert_ne!(refused.code, Some(0), "{refused:?}");
    let plan = fleet.follow(&mut book, "skein plan").await.exits(0).json();
    book.place("PLAN", plan["id"].as_str().expect("a plan has an id"));
    let done = fleet.follow(&mut book, "skein apply").await.exits(0).json();
    assert_eq!(done["state"], "completed", "{done}");
    fleet.each_once(&["1", "2", "3"]).await;

    // Back to three; the old node is refused, and refuses.
    fleet.add(5, &mut book.clone()).await;
    fleet.add(6, &mut book).await;
    let node_3 = fleet.project.write("old.toml", &old.replace("\"node-3\"", "\"kept\""));
    let log = fleet.project.join("old.log");
    let words = ["coordinator", "--config", node_3.to_str().expect("a path in words")];
    let old = crate::support::Process::start(&words, fleet.project.path(), &log);
    fleet.follow(&mut book, "skein history verify").await.exits(0);
    fleet.cluster.settled().await;
    let members_now = fleet.json("cluster members").await;
    assert_eq!(members(&members_now), [(4, true), (5, true), (6, true)], "{members_now}");
    drop(old);
    book.ends();
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("a directory can be made");
    for entry in std::fs::read_dir(from).expect("it can be listed") {
        let entry = entry.expect("it can be listed");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).expect("a file can be copied");
        }
    }
}

/// Backups are taken while events stream in: each is a whole, and holds all that was acknowledged before it
/// was begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_is_consistent() {
    let fleet = Fleet::start("load", 3).await;
    let stop = Arc::new(AtomicBool::new(false));
    let load = {
        let (client, stop) = (fleet.leader().await, Arc::clone(&stop));
        let project = Arc::clone(&fleet.project);
        tokio::spawn(async move {
            let (mut number, mut acknowledged) = (0_u64, 0);
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                // Whoever leads may change on a busy machine: what was not acknowledged is not claimed.
                acknowledged += u64::from(put(&project, &client, number).await);
            }
            acknowledged
        })
    };
    fleet.table(1);
    fleet.table(2);
    let id = fleet.begin("--parallelism 1").await;
    for round in 1..=4 {
        let before = fleet.leader().await.head(0).await.expect("the leader answers");
        let dir = fleet.project.join(&format!("backup-{round}"));
        let taken = fleet.json(&format!("cluster backup {}", dir.display())).await;
        let events = taken["events"].as_u64().expect("a number");
        assert!(events >= before.size, "what was acknowledged is missing: {taken}");
        let verified = fleet.json(&format!("history verify --data {}", dir.display())).await;
        assert_eq!(verified["nodes"][0]["root"], taken["root"], "{verified}");
        // It is a part of the one history, not another one.
        let head = fleet.leader().await.head(events).await.expect("the leader answers");
        assert_eq!(taken["root"], skein_tests::hex(&head.root), "{taken}");
    }
    stop.store(true, Ordering::Relaxed);
    assert!(load.await.expect("the load ends") > 4, "there was no load");
    fleet.json(&format!("watch {id}")).await;
    fleet.each_once(&["1", "2"]).await;
}

/// A bundle that nobody had before.
async fn put(project: &Project, client: &crate::support::Client, number: u64) -> bool {
    let dir = format!("filler-{number}");
    let up =
        format!("CREATE TABLE f{number} (id integer primary key);\n-- {}\n", "x".repeat(9_000));
    project.write(&format!("{dir}/0001_f.up.sql"), &up);
    client.put_bundle(&project.join(&dir)).await.is_ok()
}

/// What a restore does not do, and that nothing is there then.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_refuses_what_it_must() {
    let mut fleet = Fleet::start("refuse", 1).await;
    fleet.table(1);
    fleet.cli.run("migrate migrations").await.exits(0);
    let backup = fleet.project.join("backup");
    fleet.cli.run(&format!("cluster backup {}", backup.display())).await.exits(0);
    fleet.cluster.newcomer(4, Timing::default());
    let config = fleet.cluster.config(4);
    let good = std::fs::read_to_string(&config).expect("it was written");
    let restore = |text: &str| {
        std::fs::write(&config, text).expect("a configuration can be written");
        let words = [
            "cluster",
            "restore",
            backup.to_str().expect("words"),
            "--reason",
            "a test",
            "--config",
            config.to_str().expect("words"),
        ];
        let words = words.map(str::to_owned);
        let cli = fleet.cli.clone();
        async move { cli.run_alone(&words.each_ref().map(String::as_str)).await }
    };
    let data = fleet.cluster.data(4);
    for (from, to, code, word) in [
        ("node = 4", "node = 3", 21, "never"),
        ("cluster = \"test\"", "cluster = \"other\"", 21, "another cluster"),
        ("data = \"node-4\"", "data = \"node-1\"", 21, "exists already"),
        ("node = 4", "charter = \"c.toml\"\nnode = 4", 21, "charter"),
    ] {
        fleet.project.write("c.toml", "[undo]\nirreversible = \"refuse\"\n");
        let ran = restore(&good.replacen(from, to, 1)).await.exits(code);
        assert!(ran.stderr.contains(word) || ran.stderr.contains("none is ever"), "{to}: {ran:?}");
        assert!(!data.exists(), "{to} left something");
    }
    // One flipped byte anywhere in the history or a bundle.
    let history = backup.join("history");
    let segment = std::fs::read_dir(&history).expect("it can be listed").find_map(|entry| {
        let path = entry.expect("it can be listed").path();
        path.extension().is_some_and(|extension| extension == "seg").then_some(path)
    });
    let blob = std::fs::read_dir(backup.join("blobs")).expect("it can be listed").next();
    let blob = blob.expect("there is a bundle").expect("it can be listed").path();
    for path in [segment.expect("there is a segment"), blob] {
        let whole = std::fs::read(&path).expect("it can be read");
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        std::fs::write(&path, &flipped).expect("it can be written");
        let ran = restore(&good).await.exits(60);
        assert!(!data.exists(), "{}: {ran:?}", path.display());
        let aside = path.with_extension("damaged");
        if aside.exists() {
            std::fs::remove_file(aside).expect("it can be removed");
        }
        std::fs::write(&path, &whole).expect("it can be written");
    }
    restore(&good).await.exits(0);
    restore(&good).await.exits(21);
    // The old cluster was only copied: it goes on, and the restored node takes no part in it.
    fleet.cluster.start_node(4);
    let alone = fleet.cluster.client(4);
    let leads = || async { alone.members().await.is_ok_and(|members| members.leader == 4) };
    until("the restored node leads alone", LIMIT, leads).await;
    fleet.cluster.forget(4);
    assert_ne!(fleet.cluster.leader().await, 4);
}
