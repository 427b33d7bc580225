//! Real migration histories end in the schema that the server itself makes of the same files.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod db_support;

use std::path::PathBuf;

use db_support::{Target, is_applied, mariadb, of_script, postgres, sqlite};
use skein_agent::db::{Cause, Direction, Order, Outcome, StepError, Verdict};
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

/// Undoes a whole history; gives the error at which that ended, if it did.
async fn undo_all(target: &Target, bundle: &Bundle) -> Option<(String, StepError)> {
    let mut session = target.session().await;
    for order in ups(target, bundle) {
        session.apply(&order).await.unwrap_or_else(|error| panic!("{error}"));
    }
    for migration in bundle.migrations.iter().rev() {
        let Some(down) = &migration.down else { continue };
        let order = of_script(target.engine, &migration.version, Direction::Down, down.clone());
        if let Err(error) = session.apply(&order).await {
            return Some((migration.version.clone(), error));
        }
    }
    session.close().await;
    None
}

#[tokio::test]
async fn a_down_of_taproot_that_no_sqlite_takes_leaves_nothing() {
    let test = "a_down_of_taproot_that_no_sqlite_takes_leaves_nothing";
    let target = sqlite();
    let Some(bundle) = bundle(test, "taproot-sqlite-gomigrate", Format::GolangMigrate) else {
        return;
    };
    // It says DROP COLUMN IF EXISTS. Eighteen others were undone before it.
    let (version, error) = undo_all(&target, &bundle).await.unwrap();
    assert_eq!((version.as_str(), &error.verdict, error.line), ("41", &Verdict::Never, Some(2)));
    let session = &mut target.session().await;
    let seen = session.observe().await.unwrap();
    assert_eq!(seen.applied().last().map(|row| row.step.as_str()), Some("51"));
    assert_eq!(seen.head().unwrap().step, "42");
}

#[tokio::test]
async fn a_down_of_svix_that_fails_by_itself_leaves_nothing() {
    let test = "a_down_of_svix_that_fails_by_itself_leaves_nothing";
    let Some(target) = postgres(test).await else { return };
    let Some(bundle) = bundle(test, "svix-pg-sqlx", Format::Sqlx) else { return };
    let (version, error) = undo_all(&target, &bundle).await.unwrap();
    assert_eq!(version, "20220428190104", "{error}");
    assert_eq!(error.verdict, Verdict::Never, "{error}");
    assert!(error.line.is_some() && !error.retryable);
    target.remove().await;
}

#[tokio::test]
async fn a_down_of_authelia_that_fails_half_way_says_where() {
    let test = "a_down_of_authelia_that_fails_half_way_says_where";
    let Some(target) = mariadb(test).await else { return };
    let Some(bundle) = bundle(test, "authelia-mysql-gomigrate", Format::GolangMigrate) else {
        return;
    };
    let (version, error) = undo_all(&target, &bundle).await.unwrap();
    assert!(version.trim_start_matches('0') == "7", "{version}: {error}");
    assert!(matches!(error.verdict, Verdict::Partly { statements_done: 1.., .. }), "{error}");
    assert!(error.line.is_some(), "{error}");
    // The half is known, and no other step runs over it.
    let session = &mut target.session().await;
    let open = session.observe().await.unwrap().intent.unwrap();
    assert_eq!((open.step.as_str(), open.direction), (version.as_str(), Direction::Down));
    let other = session.apply(&target.up("x", "CREATE TABLE x (a int);")).await.unwrap_err();
    assert_eq!(other.cause, Cause::Stuck);
    target.remove().await;
}
