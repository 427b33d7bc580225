//! The servers that other tests stand on: private, reachable by URL, and after a kill as they were.

use std::path::Path;

use skein_tests::servers::{Options, mariadb, postgres};
use sqlx::{Connection as _, Executor as _, MySqlConnection, PgConnection};

/// Whether a process of this id is there.
fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn postgres_keeps_every_acknowledged_commit_through_kill9() {
    let mut server = postgres::Instance::start(Options::default()).unwrap();
    let first = server.pid().unwrap();
    let mut db = PgConnection::connect(&server.url()).await.unwrap();
    db.execute("CREATE TABLE kept (n int PRIMARY KEY)").await.unwrap();
    for n in 0..100 {
        sqlx::query("INSERT INTO kept VALUES ($1)").bind(n).execute(&mut db).await.unwrap();
    }
    server.kill9().unwrap();
    assert_eq!(server.pid(), None);
    assert!(!alive(first));
    assert!(db.execute("SELECT 1").await.is_err(), "a killed server still answers");

    server.restart().unwrap();
    assert_ne!(server.pid().unwrap(), first);
    let mut db = PgConnection::connect(&server.url()).await.unwrap();
    let kept: i64 =
        sqlx::query_scalar("SELECT count(*) FROM kept").fetch_one(&mut db).await.unwrap();
    assert_eq!(kept, 100);
    db.execute("CREATE DATABASE other").await.unwrap();
    PgConnection::connect(&server.url_of("other")).await.unwrap();

    let last = server.pid().unwrap();
    drop(server);
    assert!(!alive(last), "a dropped server runs on");
}

#[tokio::test]
async fn mariadb_keeps_every_acknowledged_commit_through_kill9() {
    let mut server = mariadb::Instance::start(Options::default()).unwrap();
    let first = server.pid().unwrap();
    let mut db = MySqlConnection::connect(&server.url()).await.unwrap();
    db.execute("CREATE DATABASE other").await.unwrap();
    let mut db = MySqlConnection::connect(&server.url_of("other")).await.unwrap();
    db.execute("CREATE TABLE kept (n int PRIMARY KEY) ENGINE=InnoDB").await.unwrap();
    for n in 0..100 {
        sqlx::query("INSERT INTO kept VALUES (?)").bind(n).execute(&mut db).await.unwrap();
    }
    server.kill9().unwrap();
    assert_eq!(server.pid(), None);
    assert!(!alive(first));
    assert!(db.execute("SELECT 1").await.is_err(), "a killed server still answers");

    server.restart().unwrap();
    assert_ne!(server.pid().unwrap(), first);
    let mut db = MySqlConnection::connect(&server.url_of("other")).await.unwrap();
    let kept: i64 =
        sqlx::query_scalar("SELECT count(*) FROM kept").fetch_one(&mut db).await.unwrap();
    assert_eq!(kept, 100);

    let last = server.pid().unwrap();
    drop(server);
    assert!(!alive(last), "a dropped server runs on");
}

#[tokio::test]
async fn two_servers_of_a_kind_know_nothing_of_each_other() {
    let one = postgres::Instance::start(Options::default()).unwrap();
    let two = postgres::Instance::start(Options { fsync: true, ..Options::default() }).unwrap();
    let mut db = PgConnection::connect(&one.url()).await.unwrap();
    db.execute("CREATE DATABASE mine").await.unwrap();
    let error = PgConnection::connect(&two.url_of("mine")).await.unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");

    for (server, expected) in [(&one, "off"), (&two, "on")] {
        let mut db = PgConnection::connect(&server.url()).await.unwrap();
        let fsync: String = sqlx::query_scalar("SHOW fsync").fetch_one(&mut db).await.unwrap();
        assert_eq!(fsync, expected);
        let listens: String =
            sqlx::query_scalar("SHOW listen_addresses").fetch_one(&mut db).await.unwrap();
        assert_eq!(listens, "", "a test server listens on the network");
    }
}
