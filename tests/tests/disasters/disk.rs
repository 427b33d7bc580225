//! A disk is full, and is freed again: a coordinator's, and the one that an agent keeps its backups on.

use std::sync::Arc;

use crate::fleet::{Fleet, LIMIT};
use crate::support::Runbook;
use crate::support::{Cluster, Project, Timing, Tmpfs, until, until_some};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_a_coordinator_is_freed() {
    let test = "a_full_disk_of_a_coordinator_is_freed";
    let project = Arc::new(Project::new("full-node"));
    let Some(disk) = Tmpfs::mount(&project.join("node-3"), "16m", test) else { return };
    let cluster = Cluster::start_with(&project, 3, Timing::default(), "").await;
    let mut fleet = Fleet::beside(project, cluster, 1).await;
    if fleet.cluster.leader().await == 3 {
        fleet.cli.run("cluster transfer 1").await.exits(0);
    }
    let ballast = disk.fill();
    let client = fleet.leader().await;
    let mut number = 0;
    until_some("the node with the full disk has ended", LIMIT, || {
        number += 1;
        let ended = !fleet.cluster.process(3).expect("it was started").runs();
        let (project, client) = (Arc::clone(&fleet.project), client.clone());
        async move {
            if ended {
                return Some(());
            }
            let dir = format!("filler-{number}");
            let up = format!("CREATE TABLE f{number} (id int);\n-- {}\n", "x".repeat(50_000));
            project.write(&format!("{dir}/0001_f.up.sql"), &up);
            // The lead may pass to another node meanwhile.
            drop(client.put_bundle(&project.join(&dir)).await);
            None
        }
    })
    .await;
    let log = fleet.cluster.process(3).expect("it was started").log();
    assert!(log.contains("No space left") || log.contains("StorageFull"), "{log}");
    fleet.table(1);
    let done = fleet.json("migrate migrations").await;
    assert_eq!(done["state"], "completed", "{done}");

    let mut book = Runbook::open("disk");
    std::fs::remove_file(&ballast).expect("the ballast can be removed");
    book.done_by_hand("systemctl restart skein-coordinator");
    fleet.cluster.kill9(3);
    fleet.cluster.start_node(3);
    fleet.cluster.leader().await;
    fleet.cluster.settled().await;
    fleet.follow(&mut book, "skein cluster members").await.exits(0);
    fleet.follow(&mut book, "skein history verify").await.exits(0);
    fleet.each_once(&["1"]).await;
    for node in fleet.cluster.numbers() {
        fleet.cluster.kill9(node);
    }
    drop(disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_an_agent_is_freed() {
    let test = "a_full_disk_of_an_agent_is_freed";
    let project = Arc::new(Project::new("full-agent"));
    let Some(disk) = Tmpfs::mount(&project.join("a1-backups"), "4m", test) else { return };
    let cluster = Cluster::start_with(&project, 3, Timing::default(), "").await;
    let mut fleet = Fleet::beside(project, cluster, 2).await;
    fleet.table(1);
    let done = fleet.json("migrate migrations").await;
    assert_eq!(done["state"], "completed", "{done}");

    // No step runs without its backup.
    let ballast = disk.fill();
    fleet.table(2);
    let ran = fleet.cli.run("migrate migrations").await;
    assert!(matches!(ran.code, Some(30 | 31)), "{ran:?}");
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("No space left") || said.contains("space"), "{said}");
    fleet.each_once(&["1"]).await;

    std::fs::remove_file(&ballast).expect("the ballast can be removed");
    let mut book = Runbook::open("disk");
    for line in
        ["systemctl restart skein-coordinator", "skein cluster members", "skein history verify"]
    {
        book.done_by_hand(line);
    }
    let done = fleet.follow(&mut book, "skein migrate").await.exits(0).json();
    assert_eq!(done["state"], "completed", "{done}");
    fleet.each_once(&["1", "2"]).await;
    book.ends();
    fleet.agent.kill9();
    let gone = || std::future::ready(true);
    until("the agent is gone", LIMIT, gone).await;
    drop(disk);
}
