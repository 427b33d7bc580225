//! A machine is replaced while rollouts go on: the leader's, the hardest one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use skein_proto::log::v1::event::Body;

use crate::fleet::{Fleet, members};
use crate::support::Client;
use crate::support::Runbook;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_replaced_under_load() {
    let mut fleet = Fleet::start("replace", 4).await;
    for version in 1..=3 {
        fleet.table(version);
    }
    let held = fleet.hold(3).await;
    let id = fleet.begin("--parallelism 2").await;
    fleet.until_done(&id, 3).await;
    let stop = Arc::new(AtomicBool::new(false));
    let load = {
        let (project, stop) = (Arc::clone(&fleet.project), Arc::clone(&stop));
        let clients: Vec<Client> =
            fleet.cluster.numbers().into_iter().map(|node| fleet.cluster.client(node)).collect();
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for number in 0_usize.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let dir = format!("load-{number}");
                let up = format!("CREATE TABLE l{number} (id integer primary key);\n");
                project.write(&format!("{dir}/0001_l.up.sql"), &up);
                let client = &clients[number % clients.len()];
                if let Ok(digest) = client.put_bundle(&project.join(&dir)).await {
                    acknowledged.push(digest);
                }
            }
            acknowledged
        })
    };
    let old = fleet.cluster.leader().await;
    let mut book = Runbook::open("replace");
    book.place("OLD", old.to_string());
    book.done_by_hand("systemctl enable --now skein-coordinator");
    fleet.add(4, &mut book).await;
    let led = fleet.follow(&mut book, "skein cluster transfer").await.exits(0).json();
    assert_eq!(led["leader"], 4, "{led}");
    let removed = fleet.follow(&mut book, "skein cluster remove").await.exits(0).json();
    assert!(!members(&removed).iter().any(|(node, _)| *node == old), "{removed}");
    fleet.cluster.kill9(old);
    fleet.cluster.forget(old);
    let now = fleet.follow(&mut book, "skein cluster members").await.exits(0).json();
    assert_eq!(members(&now).len(), 3, "{now}");
    held.close().await;
    let done = fleet.json(&format!("watch {id}")).await;
    assert_eq!(done["state"], "completed", "{done}");
    stop.store(true, Ordering::Relaxed);
    let acknowledged = load.await.expect("the load ends");
    assert!(!acknowledged.is_empty(), "there was no load");
    let events = fleet.leader().await.events(0).await.expect("the leader answers");
    for digest in &acknowledged {
        let here = events.iter().filter(|event| {
            matches!(&event.body, Some(Body::BundleStored(bundle)) if bundle.digest == digest)
        });
        assert_eq!(here.count(), 1, "an acknowledged bundle is gone, or there twice");
    }
    fleet.cluster.settled().await;
    fleet.follow(&mut book, "skein history verify").await.exits(0);
    book.ends();
    fleet.each_once(&["1", "2", "3"]).await;
}
