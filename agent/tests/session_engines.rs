//! Whole legs on PostgreSQL and MariaDB servers.

mod db_support;
mod session_support;

use std::collections::BTreeMap;

use session_support::{Fake, Fleet, Talk, bundle, forward, in_time, outcome, undo, words};
use skein_agent::config::{Secret, Target, TargetId, Url};
use skein_agent::db::{Engine, Location, observe};
use skein_agent::{Coordinators, Running, start};
use skein_bundle::Bundle;
use skein_proto::agent::v1::report::Outcome;
use skein_proto::v1::BackupScope;
use sqlx::{Connection as _, Executor as _};

fn is_last(step: u32) -> impl Fn(&Outcome) -> bool {
    move |outcome| match outcome {
        Outcome::Verified(verified) => verified.step == step,
        Outcome::Failed(_) | Outcome::Stuck(_) | Outcome::Released(_) => true,
        _ => false,
    }
}

fn two_tables() -> Bundle {
    bundle(&[
        ("CREATE TABLE one (a int primary key); INSERT INTO one VALUES (1), (2)", "DROP TABLE one"),
        (
            "ALTER TABLE one ADD COLUMN b int; CREATE INDEX by_b ON one (b)",
            "ALTER TABLE one DROP COLUMN b",
        ),
    ])
}

/// An agent for one target on a server.
async fn attach(
    fleet: &Fleet,
    fake: &mut Fake,
    (url, engine, schema): (&str, Engine, Option<&str>),
) -> (Running, Talk) {
    let mut config = fleet.config("agent-1", &[]);
    config.targets = vec![Target {
        id: TargetId::parse("a").expect("an id"),
        url: Url::Plain(Secret::new(url)),
        engine: Some(engine),
        labels: BTreeMap::new(),
        group: String::new(),
        schema: schema.map(str::to_owned),
        replicas: Vec::new(),
        directory: fleet.folder.path().to_owned(),
    }];
    let coordinators = Coordinators::Addresses(vec![fake.address.clone()]);
    let agent = start(config, coordinators).await.expect("the agent starts");
    let talk = fake.greet().await;
    (agent, talk)
}

async fn there_and_back(url: &str, engine: Engine, schema: Option<&str>) {
    let fleet = Fleet::new(&[]).await;
    let mut fake = Fake::start().await;
    let migrations = two_tables();
    let digest = fake.put(&migrations);
    let (agent, mut talk) = attach(&fleet, &mut fake, (url, engine, schema)).await;
    let seen = talk.observations(1).await;
    let seen = seen[0].observation.clone().unwrap_or_else(|| panic!("{seen:?}"));

    let mut leg = forward((10, "a"), &digest, &migrations, 0..2);
    leg.backup = BackupScope::BackupDatabase.into();
    leg.expected_identity = seen.identity;
    talk.hand_out(&leg).await;
    let reports = talk.reports_until(is_last(1)).await;
    assert_eq!(
        words(&reports),
        ["backup", "applied 0", "verified 0", "applied 1", "verified 1+"],
        "{reports:?}"
    );
    let Outcome::BackedUp(backup) = outcome(&reports[0]) else { panic!("{reports:?}") };
    assert!(fleet.backups().join(&backup.archive).exists() && backup.bytes > 0);
    assert_eq!(backup.fingerprint, seen.fingerprint);

    talk.hand_out(&undo(forward((11, "a"), &digest, &migrations, 0..2), &migrations)).await;
    let undone = |outcome: &Outcome| {
        matches!(outcome, Outcome::RolledBack(undone) if undone.step == 0) || is_last(9)(outcome)
    };
    let reports = talk.reports_until(undone).await;
    assert_eq!(words(&reports), ["undone 1", "undone 0+"], "{reports:?}");
    let Outcome::RolledBack(last) = outcome(&reports[1]) else { panic!("{reports:?}") };
    assert_eq!(last.fingerprint, seen.fingerprint, "the schema is what it was");
    in_time("the shutdown", agent.shutdown()).await;
}

#[tokio::test]
async fn a_leg_on_postgres_goes_there_and_back() {
    let Some(target) = db_support::postgres("a_leg_on_postgres_goes_there_and_back").await else {
        return;
    };
    there_and_back(&target.url, Engine::Postgres, None).await;
    target.remove().await;
}

#[tokio::test]
async fn a_leg_on_one_postgres_schema_leaves_the_others_alone() {
    let test = "a_leg_on_one_postgres_schema_leaves_the_others_alone";
    let Some(target) = db_support::postgres(test).await else { return };
    target
        .raw("CREATE SCHEMA tenant_1; CREATE SCHEMA tenant_2; CREATE TABLE tenant_2.one (x int)")
        .await;
    there_and_back(&target.url, Engine::Postgres, Some("tenant_1")).await;
    let other = Location::parse(&target.url, Some("tenant_2")).expect("a location");
    let seen = observe(&other).await.expect("the other schema can be seen");
    assert!(seen.ledger.is_empty() && seen.fence.is_none());
    target.remove().await;
}

#[tokio::test]
async fn a_leg_on_mariadb_goes_there_and_back() {
    let Some(target) = db_support::mariadb("a_leg_on_mariadb_goes_there_and_back").await else {
        return;
    };
    there_and_back(&target.url, Engine::Mysql, None).await;
    target.remove().await;
}

/// The session is killed within a step; another one reads how far it came and goes on.
#[tokio::test]
async fn a_broken_connection_does_not_end_the_leg() {
    let test = "a_broken_connection_does_not_end_the_leg";
    let Some(target) = db_support::postgres(test).await else { return };
    let fleet = Fleet::new(&[]).await;
    let mut fake = Fake::start().await;
    let migrations = bundle(&[
        ("CREATE TABLE one (a int)", ""),
        // Waits for a lock that the test holds.
        ("INSERT INTO gate VALUES (2); CREATE TABLE two (a int)", ""),
        ("CREATE TABLE three (a int)", ""),
    ]);
    let digest = fake.put(&migrations);
    target.raw("CREATE TABLE gate (a int primary key)").await;
    let (_agent, mut talk) = attach(&fleet, &mut fake, (&target.url, Engine::Postgres, None)).await;

    let mut gate = sqlx::PgConnection::connect(&target.url).await.expect("a connection");
    gate.execute("BEGIN; LOCK TABLE gate IN EXCLUSIVE MODE").await.expect("the lock");
    talk.hand_out(&forward((10, "a"), &digest, &migrations, 0..3)).await;
    let first = talk.reports().await;
    talk.acknowledge(&[first[0].id]).await;
    // Whoever waits for the gate is the agent, in the middle of its second step.
    let killed = async {
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_locks \
                    WHERE relation = 'gate'::regclass AND NOT granted";
        while gate.execute(kill).await.expect("the server answers").rows_affected() == 0 {}
    };
    in_time("the agent to wait for the lock", killed).await;
    gate.execute("ROLLBACK").await.expect("the lock is let go");

    let reports = talk.reports_until(is_last(2)).await;
    assert_eq!(
        words(&reports),
        ["applied 0", "verified 0", "applied 1", "verified 1", "applied 2", "verified 2+"],
        "{reports:?}"
    );
    assert_eq!(target.count("gate").await, 1);
    target.remove().await;
}
