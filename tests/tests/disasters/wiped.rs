//! A node whose disk was wiped is started again under its old number. It must not vote or acknowledge as if
//! it remembered.

use crate::fleet::{Fleet, LIMIT, members};
use crate::support::Runbook;
use crate::support::{Cluster, Timing, until};

/// Starts a node on an empty disk, and waits until it has ended and said why.
async fn ends_by_itself(cluster: &mut Cluster, number: u64) {
    std::fs::remove_dir_all(cluster.data(number)).expect("a directory can be removed");
    cluster.start_node(number);
    let process = cluster.process(number).expect("it was started");
    until("the wiped node ends", LIMIT, || std::future::ready(!process.runs())).await;
    let log = process.log();
    let said = format!("this is not the data of node {number}");
    assert!(log.contains(&said) && log.contains("new number"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_node_takes_no_part_and_is_replaced() {
    let mut fleet = Fleet::start("wiped", 2).await;
    fleet.table(1);
    fleet.cli.run("migrate migrations").await.exits(0);
    fleet.cluster.settled().await;
    // Whichever number it has: the one that formed the cluster, a member, and below one that was added.
    let leader = fleet.cluster.leader().await;
    for wiped in fleet.cluster.numbers().into_iter().filter(|node| *node != leader) {
        fleet.cluster.kill9(wiped);
        let kept = fleet.project.join("kept");
        std::fs::rename(fleet.cluster.data(wiped), &kept).expect("a directory can be moved");
        std::fs::create_dir(fleet.cluster.data(wiped)).expect("a directory can be made");
        ends_by_itself(&mut fleet.cluster, wiped).await;
        std::fs::remove_dir_all(fleet.cluster.data(wiped)).expect("a directory can be removed");
        std::fs::rename(&kept, fleet.cluster.data(wiped)).expect("a directory can be moved");
        fleet.cluster.start_node(wiped);
        fleet.cluster.leader().await;
        fleet.cluster.settled().await;
    }
    let wiped = fleet.cluster.numbers().into_iter().find(|node| *node != leader);
    let wiped = wiped.expect("there are three");
    fleet.cluster.kill9(wiped);
    ends_by_itself(&mut fleet.cluster, wiped).await;
    fleet.cluster.kill9(wiped);

    let mut book = Runbook::open("wiped");
    book.place("OLD", wiped.to_string());
    book.done_by_hand("systemctl restart skein-coordinator");
    fleet.add(4, &mut book).await;
    let removed = fleet.follow(&mut book, "skein cluster remove").await.exits(0).json();
    assert!(!members(&removed).iter().any(|(node, _)| *node == wiped), "{removed}");
    fleet.cluster.forget(wiped);
    let now = fleet.follow(&mut book, "skein cluster members").await.exits(0).json();
    assert_eq!(members(&now).len(), 3, "{now}");
    fleet.cluster.settled().await;
    fleet.follow(&mut book, "skein history verify").await.exits(0);
    book.ends();

    // One that was added is found out as well: its file names no members, but the membership names it.
    fleet.cluster.kill9(4);
    ends_by_itself(&mut fleet.cluster, 4).await;
    fleet.cluster.kill9(4);
    fleet.cli.run("cluster remove 4").await.exits(0);
    fleet.cluster.forget(4);
    // The highest number that was ever given, with its node gone, is not given again.
    fleet.cluster.newcomer(4, Timing::default());
    std::fs::remove_dir_all(fleet.cluster.data(4)).expect("a directory can be removed");
    fleet.cluster.start_node(4);
    let again = format!("cluster add 4 {}", fleet.cluster.address(4));
    let again = fleet.cli.run(&again).await.exits(21);
    for words in ["no number is ever used twice", "number 5"] {
        assert!(again.stderr.contains(words), "{words:?} is missing: {again:?}");
    }
}

/// Two of three disks are wiped at once, while the third node is down: the two are no new cluster, however
/// much they agree that there is none.
#[tokio::test(flavor = "multi_thread")]
async fn two_wiped_nodes_form_no_cluster_behind_the_third() {
    let mut fleet = Fleet::start("two-wiped", 1).await;
    fleet.table(1);
    fleet.cli.run("migrate migrations").await.exits(0);
    let (size, root) = fleet.cluster.settled().await;
    for node in fleet.cluster.numbers() {
        fleet.cluster.kill9(node);
    }
    for node in [1, 2] {
        std::fs::remove_dir_all(fleet.cluster.data(node)).expect("a directory can be removed");
        fleet.cluster.start_node(node);
    }
    let pause = std::time::Duration::from_secs(3);
    let formed = || async {
        let members = fleet.cluster.client(1).members().await;
        members.is_ok_and(|members| members.leader != 0)
    };
    assert!(!crate::support::within(pause, formed).await, "a second cluster was formed");
    // The third comes back, and both end.
    fleet.cluster.start_node(3);
    for node in [1, 2] {
        let process = fleet.cluster.process(node).expect("it was started");
        until("a wiped node ends", LIMIT, || std::future::ready(!process.runs())).await;
    }
    let head = fleet.cluster.client(3).head(0).await.expect("the third node answers");
    assert_eq!((head.size, head.root.to_vec()), (size, root));
}
