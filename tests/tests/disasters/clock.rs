//! The leader's wall clock is two hours ahead, and then another node leads whose clock is right.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::fleet::{Fleet, LIMIT};
use crate::support::{Runbook, Start, binary, until};

/// Where distributions put the library that shifts a program's wall clock and leaves the other one alone.
const PLACES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
];
const TWO_HOURS: u64 = 2 * 60 * 60 * 1_000;

/// The library; where it is missing, installed as `cargo xtask test` installs the database servers.
fn library() -> Option<PathBuf> {
    let find = || PLACES.iter().map(PathBuf::from).find(|path| path.is_file());
    find().or_else(|| {
        let mut install = Command::new("apt-get");
        install.args(["install", "-y", "-qq", "--no-install-recommends", "libfaketime"]);
        install.env("DEBIAN_FRONTEND", "noninteractive");
        install.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        install.status().ok()?;
        find()
    })
}

fn shifted(library: &Path, by: &str) -> Start {
    let mut start = Start::of(&binary());
    let preload = library.display().to_string();
    for (name, value) in
        [("LD_PRELOAD", preload.as_str()), ("FAKETIME", by), ("DONT_FAKE_MONOTONIC", "1")]
    {
        start.variables.push((name.to_owned(), value.to_owned()));
    }
    start
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_two_hours_ahead_holds_nothing_up() {
    let Some(library) = library() else {
        let test = "a_clock_two_hours_ahead_holds_nothing_up";
        skein_tests::skip(test, "libfaketime is not installed, and apt-get does not bring it");
        return;
    };
    let mut fleet = Fleet::start("clock", 2).await;
    let right = fleet.cluster.leader().await;
    let wrong = fleet.cluster.numbers().into_iter().find(|node| *node != right);
    let wrong = wrong.expect("there are three");
    fleet.cluster.kill9(wrong);
    fleet.cluster.starts(wrong, &shifted(&library, "+2h"));
    fleet.cluster.start_node(wrong);
    fleet.cluster.leader().await;
    fleet.cli.run(&format!("cluster transfer {wrong}")).await.exits(0);

    // Work under the wrong clock: leases and heartbeats do not look at it.
    fleet.table(1);
    let done = fleet.json("migrate migrations").await;
    assert_eq!(done["state"], "completed", "{done}");
    let ahead = times(&fleet).await;
    let (first, last) = (ahead[0], ahead[ahead.len() - 1]);
    assert!(last >= first + TWO_HOURS - 60_000, "the clock was not ahead: {ahead:?}");

    // The lead passes to a right clock: time in the log does not go back, and what is waited for comes.
    let mut book = Runbook::open("clock");
    book.place("NODE", right.to_string());
    let led = fleet.follow(&mut book, "skein cluster transfer").await.exits(0).json();
    assert_eq!(led["leader"], right, "{led}");
    fleet.table(2);
    let held = fleet.hold(0).await;
    let id = fleet.begin("--retries 3").await;
    fleet.until_done(&id, 1).await;
    // Its holder dies: the lease runs out by the other clock, and the next one takes over.
    fleet.agent.kill9();
    fleet.agent.restart();
    held.close().await;
    let done = fleet.json(&format!("watch {id}")).await;
    assert_eq!(done["state"], "completed", "{done}");
    fleet.each_once(&["1", "2"]).await;

    // A pause before a retry is as long as it should be, although the log's time is hours ahead.
    fleet
        .project
        .write("migrations/0003_step.up.sql", "CREATE TABLE t3 (id integer primary key);\n");
    fleet.project.write("migrations/0003_step.down.sql", "DROP TABLE t3;\n");
    fleet.follow(&mut book, "skein history").await.exits(0);
    // So is what a wave is watched for, and people are told by the same time that it is over.
    fleet.project.write(
        "strategy.toml",
        "[[wave]]\nname = \"one\"\ncount = 1\nsoak = \"1s\"\n\n[[wave]]\nname = \"rest\"\napproval = true\n",
    );
    let id = fleet.begin("--strategy strategy.toml").await;
    until("it waits for approval", LIMIT, || async {
        fleet.json(&format!("status {id}")).await["waits_for_word"].as_u64() > Some(0)
    })
    .await;
    fleet.cli.run(&format!("approve {id}")).await.exits(0);
    let done = fleet.json(&format!("watch {id}")).await;
    assert_eq!(done["state"], "completed", "{done}");
    let times = times(&fleet).await;
    assert!(times.is_sorted(), "time goes back in {times:?}");
    book.done_by_hand("systemctl restart systemd-timesyncd");
    book.ends();
    fleet.cluster.kill9(wrong);
    fleet.cluster.starts(wrong, &Start::of(&binary()));
    fleet.cluster.start_node(wrong);
    fleet.cluster.leader().await;
    fleet.cluster.settled().await;
    fleet.cli.run("history verify").await.exits(0);
}

/// The time of every event, in the order of the log.
async fn times(fleet: &Fleet) -> Vec<u64> {
    let events = fleet.leader().await.events(0).await.expect("the leader answers");
    events.iter().map(|event| event.at_ms).collect()
}
