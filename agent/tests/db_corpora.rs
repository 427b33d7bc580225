//! Real migration histories end in the schema that the server itself makes of the same files.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod db_support;

use std::path::PathBuf;

use db_support::{Target, is_applied, mariadb, of_script, postgres, sqlite};
use skein_agent::db::{Direction, Order, Outcome};
use skein_bundle::{Bundle, Format};

/// The folder of one history, or nothing, said aloud.
fn bundle(test: &str, corpus: &str, format: Format) -> Option<Bundle> {
    let Some(corpora) = std::env::var_os("SKEIN_CORPORA") else {
        skein_tests::skip(test, "SKEIN_CORPORA is not set");
        return None;
    };
    let folder = PathBuf::from(corpora).join(corpus).join("migrations");
    Some(skein_bundle::read(&folder, Some(format)).unwrap())
}

fn ups(target: &Target, bundle: &Bundle) -> Vec<Order> {
    bundle
        .migrations
        .iter()
        .map(|migration| {
            of_script(target.engine, &migration.version, Direction::Up, migration.up.clone())
        })
        .collect()
}

/// Applies every up of `bundle` to `ours` through Skein and to `theirs` raw, and compares.
async fn compare(ours: Target, theirs: Target, bundle: &Bundle) {
    let orders = ups(&ours, bundle);
    let mut session = ours.session().await;
    for order in &orders {
        let outcome = session.apply(order).await.unwrap_or_else(|error| panic!("{error}"));
        assert!(is_applied(&outcome), "{order}");
    }
    for order in &orders {
        assert!(matches!(session.apply(order).await.unwrap(), Outcome::Already(_)), "{order}");
    }
    let seen = session.observe().await.unwrap();
    assert_eq!(seen.applied().len(), orders.len());
    assert_eq!(seen.intent, None);
    let schema = session.schema().await.unwrap().text();
    session.close().await;
    // MariaDB calls a file of comments an empty query.
    for order in orders.iter().filter(|order| !order.plan.judged.is_empty()) {
        theirs.raw(&order.script.text).await;
    }
    let raw = theirs.schema_text().await;
    for (line, (ours, theirs)) in schema.lines().zip(raw.lines()).enumerate() {
        assert_eq!(ours, theirs, "line {line}");
    }
    assert_eq!(schema, raw);
    assert!(schema.lines().count() > 20, "{schema}");
    ours.remove().await;
    theirs.remove().await;
}

#[tokio::test]
async fn atuin_on_sqlite() {
    let (ours, theirs) = (sqlite(), sqlite());
    let found = bundle("atuin_on_sqlite", "atuin-client-sqlite-sqlx", Format::Sqlx);
    if let Some(bundle) = found {
        compare(ours, theirs, &bundle).await;
    }
}

#[tokio::test]
async fn taproot_on_sqlite() {
    let (ours, theirs) = (sqlite(), sqlite());
    let format = Format::GolangMigrate;
    let found = bundle("taproot_on_sqlite", "taproot-sqlite-gomigrate", format);
    if let Some(bundle) = found {
        compare(ours, theirs, &bundle).await;
    }
}

#[tokio::test]
async fn svix_on_postgres() {
    let test = "svix_on_postgres";
    let (Some(ours), Some(theirs)) = (postgres(test).await, postgres(test).await) else { return };
    if let Some(bundle) = bundle(test, "svix-pg-sqlx", Format::Sqlx) {
        compare(ours, theirs, &bundle).await;
    }
}

#[tokio::test]
async fn authelia_on_mariadb() {
    let test = "authelia_on_mariadb";
    let (Some(ours), Some(theirs)) = (mariadb(test).await, mariadb(test).await) else { return };
    if let Some(bundle) = bundle(test, "authelia-mysql-gomigrate", Format::GolangMigrate) {
        compare(ours, theirs, &bundle).await;
    }
}
