//! The two moments at which nobody on this side knows what the server did, and the waits before.

mod db_support;

use db_support::{Target, impatient, is_applied, mariadb, postgres, sqlite};
use skein_agent::db::{Cause, DbError, Outcome, Recovery, Session, Timeouts, Verdict};

/// A table on which COMMIT itself takes `seconds`.
async fn slow_commit(target: &Target, seconds: &str) {
    target
        .raw(&format!(
            "CREATE TABLE t (a int); \
             CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$; \
             CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW EXECUTE FUNCTION slow();"
        ))
        .await;
}

/// Waits until the ledger row is written and the server is at work on the COMMIT behind it.
async fn until_committing(target: &Target) {
    let sql = "SELECT CAST(COUNT(*) AS text) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid() \
               AND wait_event = 'PgSleep' AND query LIKE '%COMMIT%'";
    while target.scalar(sql).await == "0" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_commit_that_was_cut_is_unknown_until_the_ledger_is_read() {
    let test = "a_commit_that_was_cut_is_unknown_until_the_ledger_is_read";
    let Some(target) = postgres(test).await else { return };
    slow_commit(&target, "30").await;
    let order = target.up("1", "INSERT INTO t VALUES (1);");
    let mut session = target.session().await;
    let run = tokio::spawn({
        let order = order.clone();
        async move { session.apply(&order).await }
    });
    until_committing(&target).await;
    target
        .raw(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await;
    let error = run.await.unwrap().unwrap_err();
    assert_eq!((error.cause, &error.verdict), (Cause::CommitUnknown, &Verdict::Unknown), "{error}");
    assert!(error.session_lost && !error.retryable);
    let mut session = target.session().await;
    assert_eq!(session.recover(&order).await.unwrap(), Recovery::Never);
    assert_eq!(target.count("t").await, 0);
    session.close().await;
    target.remove().await;
}

#[tokio::test]
async fn a_commit_that_went_through_unseen_is_found_in_the_ledger() {
    let test = "a_commit_that_went_through_unseen_is_found_in_the_ledger";
    let Some(target) = postgres(test).await else { return };
    slow_commit(&target, "0.5").await;
    let order = target.up("1", "INSERT INTO t VALUES (1);");
    let mut session = target.session().await;
    let run = tokio::spawn({
        let order = order.clone();
        async move { session.apply(&order).await }
    });
    until_committing(&target).await;
    // The agent dies; the server goes on, and holds the session lock until it has committed.
    run.abort();
    assert!(run.await.unwrap_err().is_cancelled());
    let mut session = target.session().await;
    assert_eq!(session.recover(&order).await.unwrap(), Recovery::Fully);
    assert!(matches!(session.apply(&order).await.unwrap(), Outcome::Already(_)));
    assert_eq!(target.count("t").await, 1);
    session.close().await;
    target.remove().await;
}

#[tokio::test]
async fn an_agent_that_dies_in_a_sqlite_step_leaves_nothing() {
    let target = sqlite();
    let order = target.up(
        "1",
        "CREATE TABLE t (a int); INSERT INTO t WITH RECURSIVE n(i) AS \
         (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000) SELECT i FROM n;",
    );
    let mut session = target.session().await;
    let cut =
        tokio::time::timeout(std::time::Duration::from_millis(20), session.apply(&order)).await;
    assert!(cut.is_err(), "the step was meant to be cut: {cut:?}");
    drop(session);
    let mut session = target.session().await;
    assert_eq!(session.recover(&order).await.unwrap(), Recovery::Never);
    assert!(is_applied(&session.apply(&order).await.unwrap()));
    assert_eq!(target.count("t").await, 400_000);
}

#[tokio::test]
async fn a_deferred_constraint_fails_the_step_at_its_commit() {
    let Some(target) = postgres("a_deferred_constraint_fails_the_step_at_its_commit").await else {
        return;
    };
    target
        .raw(
            "CREATE TABLE p (a int PRIMARY KEY); \
             CREATE TABLE c (a int REFERENCES p DEFERRABLE INITIALLY DEFERRED)",
        )
        .await;
    let mut session = target.session().await;
    let order = target.up("1", "INSERT INTO c VALUES (1);");
    let error = session.apply(&order).await.unwrap_err();
    assert_eq!(
        (error.code.as_deref(), &error.verdict),
        (Some("23503"), &Verdict::Never),
        "{error}"
    );
    assert!(!error.retryable && !error.session_lost);
    target.raw("INSERT INTO p VALUES (1)").await;
    assert!(is_applied(&session.apply(&order).await.unwrap()));
    session.close().await;
    target.remove().await;
}

#[tokio::test]
async fn a_lock_that_is_held_is_waited_for_and_then_reported_as_retryable() {
    let test = "a_lock_that_is_held_is_waited_for_and_then_reported_as_retryable";
    let hasty = Timeouts { lock_ms: 50, retries_max: 1, ..impatient() };
    if let Some(target) = postgres(test).await {
        target.raw("CREATE TABLE t (a int)").await;
        let mut other =
            <sqlx::PgConnection as sqlx::Connection>::connect(&target.url).await.unwrap();
        sqlx::raw_sql("BEGIN; SELECT * FROM t").execute(&mut other).await.unwrap();
        let mut session = Session::open(&target.location, &hasty).await.unwrap();
        let order = target.up("1", "ALTER TABLE t ADD b int;");
        let error = session.apply(&order).await.unwrap_err();
        assert!(error.retryable && error.verdict == Verdict::Never, "{error:?}");
        assert_eq!((error.code.as_deref(), error.line), (Some("55P03"), Some(1)));
        sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
        assert!(is_applied(&session.apply(&order).await.unwrap()));
        session.close().await;
        target.remove().await;
    }
    if let Some(target) = mariadb(test).await {
        target.raw("CREATE TABLE t (a int); INSERT INTO t VALUES (1)").await;
        let mut other =
            <sqlx::MySqlConnection as sqlx::Connection>::connect(&target.url).await.unwrap();
        sqlx::raw_sql("BEGIN; UPDATE t SET a = 2").execute(&mut other).await.unwrap();
        let hasty = Timeouts { retries_max: 0, ..hasty };
        let mut session = Session::open(&target.location, &hasty).await.unwrap();
        for sql in ["ALTER TABLE t ADD b int;", "UPDATE t SET a = 3;"] {
            let error = session.apply(&target.up("1", sql)).await.unwrap_err();
            assert!(error.retryable && error.verdict == Verdict::Never, "{error:?}");
            assert_eq!(error.code.as_deref(), Some("1205"));
        }
        sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
        assert!(is_applied(
            &session.apply(&target.up("1", "ALTER TABLE t ADD b int;")).await.unwrap()
        ));
        session.close().await;
        target.remove().await;
    }
}

#[tokio::test]
async fn a_script_that_gives_up_the_session_lock_is_found_out() {
    let test = "a_script_that_gives_up_the_session_lock_is_found_out";
    if let Some(target) = postgres(test).await {
        let mut session = target.session().await;
        session.apply(&target.up("1", "SELECT pg_advisory_unlock_all();")).await.unwrap();
        let order = target.up("2", "CREATE TABLE t (a int);");
        let error = session.apply(&order).await.unwrap_err();
        assert!(error.session_lost && error.verdict == Verdict::Never, "{error}");
        drop(session);
        let mut session = target.session().await;
        assert!(is_applied(&session.apply(&order).await.unwrap()));
        session.close().await;
        target.remove().await;
    }
    // Here a file that may have changed its session gets a new connection behind it, which takes
    // the lock again.
    if let Some(target) = mariadb(test).await {
        let mut session = target.session().await;
        session.apply(&target.up("1", "SELECT RELEASE_ALL_LOCKS();")).await.unwrap();
        let brief = Timeouts { session_lock_wait_ms: 50, ..impatient() };
        let other = Session::open(&target.location, &brief).await.unwrap_err();
        assert!(matches!(other, DbError::LockHeld { .. }), "{other}");
        let order = target.up("2", "CREATE TABLE t (a int);");
        assert!(is_applied(&session.apply(&order).await.unwrap()));
        session.close().await;
        target.remove().await;
    }
}
