//! What the gate costs beside the dump tool: run with `--ignored --nocapture` on a quiet machine,
//! best with optimisation.

use std::process::{Command, Stdio};
use std::time::Duration;

use skein_agent::backup::{Progress, Request, Scope, check, take};
use tokio::time::Instant;

use crate::support::{Database, directory};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, not a judgement"]
async fn a_backup_costs_little_more_than_the_dump() {
    let test = "a_backup_costs_little_more_than_the_dump";
    let Some(live) = Database::postgres(test).await else { return };
    live.run("CREATE TABLE rows AS SELECT i AS id, md5(i::text) AS a, md5((i * 7)::text) AS b, now() + i * interval '1 second' AS at, i % 97 AS n, 'a customer of some length, ' || (i % 1000) AS what FROM generate_series(1, 3000000) i").await;
    let (dir, destination) = directory();
    let mut ratios = Vec::new();
    for round in 0..5 {
        let tool = |to: Stdio| {
            let mut command = Command::new("/usr/lib/postgresql/15/bin/pg_dump");
            command.args(["--format=custom", "--compress=0", "--dbname", &live.url()]).stdout(to);
            command
        };
        let alone = Instant::now();
        assert!(tool(Stdio::null()).status().unwrap().success());
        let alone = alone.elapsed();
        let to_file = Instant::now();
        let file = std::fs::File::create(dir.path().join("plain")).unwrap();
        assert!(tool(Stdio::from(file.try_clone().unwrap())).status().unwrap().success());
        file.sync_all().unwrap();
        let to_file = to_file.elapsed();
        let name = format!("{round}.zst");
        let request = Request {
            source: &live.source(),
            scope: &Scope::Database,
            destination: &destination,
            name: &name,
            fingerprint: [0; 32],
        };
        let taking = Instant::now();
        let archive = take(&request, &Progress::none()).await.unwrap();
        let taking = taking.elapsed();
        let checking = Instant::now();
        check(&archive, &destination).await.unwrap();
        let checking = checking.elapsed();
        println!(
            "pg_dump alone {alone:?}, to a durable file {to_file:?}; take {taking:?}, check {checking:?}; {} MiB → {} MiB",
            archive.bytes_dumped >> 20,
            archive.bytes >> 20
        );
        ratios.push(percent(taking, to_file));
    }
    ratios.sort_unstable();
    println!("take is {} % of pg_dump into a durable file (median)", ratios[ratios.len() / 2]);
}

fn percent(of: Duration, base: Duration) -> u128 {
    of.as_micros() * 100 / base.as_micros()
}
