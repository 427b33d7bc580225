//! Two of three disks are gone. What is left is more than any backup: also what its node had in its log and
//! had not heard to be committed.

use crate::fleet::{Fleet, members};
use crate::support::Runbook;
use crate::support::Timing;

#[tokio::test(flavor = "multi_thread")]
async fn one_disk_of_three_is_enough_to_begin_again() {
    let mut fleet = Fleet::start("majority", 3).await;
    fleet.table(1);
    fleet.table(2);
    let held = fleet.hold(2).await;
    let id = fleet.begin("--parallelism 3").await;
    fleet.until_done(&id, 2).await;
    let (size, _) = fleet.cluster.settled().await;

    // Two nodes are gone with their disks. The third says so, and does nothing by itself.
    let left = 2;
    for node in fleet.cluster.numbers().into_iter().filter(|node| *node != left) {
        fleet.cluster.kill9(node);
        std::fs::remove_dir_all(fleet.cluster.data(node)).expect("a directory can be removed");
    }
    fleet.cli.run("status --connect-timeout 1").await.exits(50);
    let mut book = Runbook::open("majority");
    let backup = fleet.project.join("backup");
    book.place("/var/backups/skein-cluster", backup.display().to_string());
    book.place("/var/lib/skein", fleet.cluster.data(left).display().to_string());
    let aside = fleet.project.join("node-2.before");
    let words = ["cluster", "backup", backup.to_str().expect("words"), "--data"];
    let data = fleet.cluster.data(left);
    let early: Vec<&str> = words.into_iter().chain([data.to_str().expect("words")]).collect();
    // Not while the node runs on it.
    fleet.cli.run_words(&early).await.exits(1);
    book.done_by_hand("systemctl disable --now skein-coordinator");
    fleet.cluster.kill9(left);

    let taken = fleet.follow(&mut book, "skein cluster backup").await.exits(0).json();
    assert!(taken["events"].as_u64() >= Some(size), "acknowledged events are gone: {taken}");
    book.done_by_hand("mv /var/lib/skein /var/lib/skein.before");
    std::fs::rename(fleet.cluster.data(left), &aside).expect("a directory can be moved");
    for node in fleet.cluster.numbers() {
        fleet.cluster.forget(node);
    }
    fleet.cluster.newcomer(4, Timing::default());
    book.place("/etc/skein/coordinator.toml", fleet.cluster.config(4).display().to_string());
    let words = book.next("skein cluster restore");
    let words: Vec<&str> = words.iter().map(String::as_str).chain(["-o", "json"]).collect();
    let ran = fleet.cli.run_alone(&words).await.exits(0).json();
    assert_eq!(ran["halted"][0], id.as_str(), "{ran}");
    book.done_by_hand("systemctl enable --now skein-coordinator");
    fleet.cluster.start_node(4);
    fleet.cluster.leader().await;
    fleet.turn_to_the_cluster().await;
    let reply = fleet.follow(&mut book, "skein cluster members").await.exits(0).json();
    assert_eq!(members(&reply), [(4, true)], "{reply}");
    held.close().await;
    fleet.follow(&mut book, "skein targets observe").await.exits(0);
    fleet.follow(&mut book, "skein status").await.exits(0);
    book.ends();

    // Nothing had moved on: the rollout is resumed, and what an executor of before did is found.
    fleet.until_observed().await;
    fleet.cli.run(&format!("resume {id}")).await.exits(0);
    let done = fleet.json(&format!("watch {id}")).await;
    assert_eq!(done["state"], "completed", "{done}");
    fleet.each_once(&["1", "2"]).await;
    fleet.cli.run("history verify").await.exits(0);
}
