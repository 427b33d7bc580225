//! What stands after a run was cut short, and how it is taken up again.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod db_support;

use db_support::{Target, impatient, is_applied, mariadb, postgres, script, verify};
use skein_agent::db::{
    Cause, Engine, Order, Outcome, Recovery, Session, Settlement, Token, Verdict, observe,
};
use skein_bundle::Transaction;

/// The server's numbers of the sessions that work in this target, ours that ask not among them.
async fn end_sessions(target: &Target) {
    match target.engine {
        Engine::Postgres => {
            target
                .raw(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid()",
                )
                .await;
        }
        Engine::Mysql => {
            let ids = target
                .scalar(
                    "SELECT COALESCE(GROUP_CONCAT(id SEPARATOR ','), '') \
                     FROM information_schema.processlist \
                     WHERE db = DATABASE() AND id <> CONNECTION_ID()",
                )
                .await;
            for id in ids.split(',').filter(|id| !id.is_empty()) {
                // One of them may have gone by itself.
                target.try_raw(&format!("KILL {id}")).await;
            }
        }
        Engine::Sqlite => {}
    }
}

/// Whether a session of the target runs a statement with `mark` in it.
async fn is_running(target: &Target, mark: &str) -> bool {
    let sql = match target.engine {
        Engine::Postgres => format!(
            "SELECT CAST(COUNT(*) AS text) FROM pg_stat_activity WHERE datname = current_database() \
             AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE '%{mark}%' \
             AND query NOT LIKE '%pg_stat_activity%'"
        ),
        Engine::Mysql => format!(
            "SELECT CAST(COUNT(*) AS CHAR) FROM information_schema.processlist \
             WHERE db = DATABASE() AND id <> CONNECTION_ID() AND info LIKE '%{mark}%' \
             AND info NOT LIKE '%processlist%'"
        ),
        Engine::Sqlite => return false,
    };
    target.scalar(&sql).await != "0"
}

/// Starts `order`, waits until the server is at `mark`, and cuts the connection there.
async fn cut_at(target: &Target, order: &Order, mark: &str) -> skein_agent::db::StepError {
    cut_in((target, target), order, mark).await
}

/// The same, where the session has gone to another database.
async fn cut_in(
    (target, gone_to): (&Target, &Target),
    order: &Order,
    mark: &str,
) -> skein_agent::db::StepError {
    let mut session = target.session().await;
    let order = order.clone();
    let run = tokio::spawn(async move { session.apply(&order).await });
    while !is_running(gone_to, mark).await {
        assert!(!run.is_finished(), "{:?}", run.await);
        tokio::task::yield_now().await;
    }
    end_sessions(gone_to).await;
    run.await.unwrap().unwrap_err()
}

#[tokio::test]
async fn a_transaction_that_was_cut_leaves_nothing() {
    let Some(target) = postgres("a_transaction_that_was_cut_leaves_nothing").await else { return };
    let mut order = target.up("1", "CREATE TABLE t (a int); SELECT pg_sleep(30);");
    let error = cut_at(&target, &order, "pg_sleep").await;
    assert_eq!(
        (&error.verdict, error.session_lost, error.retryable),
        (&Verdict::Never, true, true)
    );
    order = target.up("1", "CREATE TABLE t (a int);");
    let mut session = target.session().await;
    assert_eq!(session.recover(&order).await.unwrap(), Recovery::Never);
    assert!(is_applied(&session.apply(&order).await.unwrap()));
    session.close().await;
    target.remove().await;
}

#[tokio::test]
async fn manipulation_that_was_cut_is_done_once() {
    let Some(target) = mariadb("manipulation_that_was_cut_is_done_once").await else { return };
    let text = "CREATE TABLE t (a int);\nINSERT INTO t VALUES (1);\n\
                INSERT INTO t SELECT 2 FROM (SELECT SLEEP(0.3)) AS s;\nINSERT INTO t VALUES (3);";
    let order = target.up("1", text);
    let error = cut_at(&target, &order, "SLEEP").await;
    assert!(error.session_lost, "{error}");
    assert_eq!(
        (error.line, &error.verdict),
        (Some(3), &Verdict::Partly { statements_done: 2, of: 4 })
    );
    let mut session = target.session().await;
    let seen = session.observe().await.unwrap();
    assert_eq!(seen.intent.unwrap().statement, 3);
    assert_eq!(session.recover(&order).await.unwrap(), Recovery::Resume { at: 3, of: 4 });
    match session.apply(&order).await.unwrap() {
        Outcome::Applied { resumed_at, rows, .. } => assert_eq!((resumed_at, rows), (Some(3), 2)),
        already @ Outcome::Already(_) => panic!("{already:?}"),
    }
    assert_eq!(target.count("t").await, 3);
    assert_eq!(session.observe().await.unwrap().intent, None);
    session.close().await;
    target.remove().await;
}

#[tokio::test]
async fn definition_that_was_cut_is_judged_by_the_schema() {
    let Some(target) = mariadb("definition_that_was_cut_is_judged_by_the_schema").await else {
        return;
    };
    target.raw("CREATE TABLE big (a int); INSERT INTO big SELECT seq FROM seq_1_to_300000;").await;
    let text = "CREATE TABLE t (a int);\nALTER TABLE big ADD COLUMN b int, ALGORITHM=COPY;\n\
                ALTER TABLE t ADD COLUMN c int;";
    let order = target.up("1", text);
    let error = cut_at(&target, &order, "ADD COLUMN b").await;
    assert_eq!(error.verdict, Verdict::Unknown, "{error}");
    // The lock is free only when the killed statement has ended.
    let mut session = target.session().await;
    assert_eq!(session.recover(&order).await.unwrap(), Recovery::Resume { at: 2, of: 3 });
    // What others do elsewhere is no sign of the statement.
    target.raw("CREATE TABLE stranger (a int)").await;
    match session.recover(&order).await.unwrap() {
        Recovery::Stuck { why } => assert!(why.contains("stranger"), "{why}"),
        other => panic!("{other:?}"),
    }
    let error = session.apply(&order).await.unwrap_err();
    assert_eq!((error.cause, &error.verdict), (Cause::Stuck, &Verdict::Unknown));
    // Nor what they do to the same table.
    target.raw("ALTER TABLE big ADD COLUMN d int").await;
    match session.recover(&order).await.unwrap() {
        Recovery::Stuck { why } => assert!(why.contains("`d`"), "{why}"),
        other => panic!("{other:?}"),
    }
    target.raw("ALTER TABLE big DROP COLUMN d").await;
    // It came through after all, as far as anybody can tell: the same statement by another hand.
    target.raw("ALTER TABLE big ADD COLUMN b int").await;
    assert_eq!(session.recover(&order).await.unwrap(), Recovery::Resume { at: 3, of: 3 });
    assert!(is_applied(&session.apply(&order).await.unwrap()));
    let text = session.schema().await.unwrap().text();
    assert!(text.contains("`b`") && text.contains("`c`"), "{text}");
    session.close().await;
    target.remove().await;
}

#[tokio::test]
async fn a_call_that_was_cut_needs_a_probe() {
    let Some(target) = mariadb("a_call_that_was_cut_needs_a_probe").await else { return };
    target
        .raw(
            "CREATE TABLE t (a int); CREATE PROCEDURE fill() BEGIN \
             INSERT INTO t VALUES (1); DO SLEEP(20); END",
        )
        .await;
    let mut order = target.up("1", "CALL fill();");
    let error = cut_at(&target, &order, "SLEEP").await;
    assert_eq!(error.verdict, Verdict::Unknown, "{error}");
    let mut session = target.session().await;
    assert!(matches!(session.recover(&order).await.unwrap(), Recovery::Stuck { .. }));
    let error = session.apply(&order).await.unwrap_err();
    assert_eq!(error.cause, Cause::Stuck);
    // Another step may not run over it, nor the undo of the half.
    let other = session.apply(&target.up("2", "CREATE TABLE u (a int);")).await.unwrap_err();
    assert_eq!(other.cause, Cause::Stuck, "{other}");
    let undo = session.apply(&target.down("1", "DELETE FROM t;")).await.unwrap_err();
    assert_eq!((undo.cause, &undo.verdict), (Cause::Stuck, &Verdict::Never), "{undo}");
    let probe = |sql| Some(script("1.probe.sql", sql, Transaction::Wrapped));
    order.probe = probe("SELECT missing FROM t");
    assert!(matches!(session.recover(&order).await.unwrap(), Recovery::Stuck { .. }));
    order.probe = probe("SELECT COUNT(*) > 5 FROM t");
    assert_eq!(session.recover(&order).await.unwrap(), Recovery::Never);
    order.probe = probe("SELECT COUNT(*) = 1 FROM t");
    assert_eq!(session.recover(&order).await.unwrap(), Recovery::Fully);
    assert!(is_applied(&session.apply(&order).await.unwrap()));
    assert_eq!(target.count("t").await, 1);
    session.close().await;
    target.remove().await;
}

#[tokio::test]
async fn a_decision_frees_a_stuck_step() {
    let Some(target) = mariadb("a_decision_frees_a_stuck_step").await else { return };
    target.raw("CREATE TABLE t (a int); CREATE PROCEDURE p() BEGIN DO SLEEP(20); END").await;
    let order = target.up("1", "CALL p();");
    cut_at(&target, &order, "SLEEP").await;
    let mut session = target.session().await;
    session.settle(&order, Settlement::DidNotRun).await.unwrap();
    assert_eq!(session.recover(&order).await.unwrap(), Recovery::Never);
    assert!(is_applied(&session.apply(&target.up("2", "CREATE TABLE u (a int);")).await.unwrap()));
    session.close().await;
    target.remove().await;
}

#[tokio::test]
async fn a_failing_statement_says_how_far_the_file_came() {
    let Some(target) = mariadb("a_failing_statement_says_how_far_the_file_came").await else {
        return;
    };
    let mut session = target.session().await;
    let text = "CREATE TABLE t (a int PRIMARY KEY);\nINSERT INTO t VALUES (1);\n\
                ALTER TABLE u ADD COLUMN a int;\nINSERT INTO t VALUES (2);";
    let order = target.up("1", text);
    let error = session.apply(&order).await.unwrap_err();
    assert_eq!((error.cause, error.line), (Cause::Statement, Some(3)), "{error}");
    assert_eq!(error.verdict, Verdict::Partly { statements_done: 2, of: 4 });
    assert_eq!(session.recover(&order).await.unwrap(), Recovery::Resume { at: 3, of: 4 });
    // The reason is taken away by hand; the file goes on where it stopped.
    target.raw("CREATE TABLE u (b int)").await;
    assert!(is_applied(&session.apply(&order).await.unwrap()));
    assert_eq!(target.count("t").await, 2);
    let first = target.up("2", "ALTER TABLE nowhere ADD COLUMN a int;");
    let error = session.apply(&first).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Never, "{error}");
    assert_eq!(session.observe().await.unwrap().intent, None);
    let misspelt = target.up("3", "INSERT INTO t (nothing) VALUES (1);");
    assert_eq!(session.apply(&misspelt).await.unwrap_err().verdict, Verdict::Never);
    session.close().await;
    target.remove().await;
}

#[tokio::test]
async fn a_verify_that_is_not_true_leaves_the_step_open_on_mariadb() {
    let Some(target) = mariadb("a_verify_that_is_not_true_leaves_the_step_open").await else {
        return;
    };
    let mut session = target.session().await;
    let mut order = target.up("1", "CREATE TABLE t (a int);\nINSERT INTO t VALUES (1);");
    order.verify = Some(verify("SELECT COUNT(*) = 2 FROM t;"));
    let error = session.apply(&order).await.unwrap_err();
    assert_eq!((error.cause, &error.verdict), (Cause::Verify, &Verdict::Fully), "{error}");
    assert_eq!(session.observe().await.unwrap().ledger, []);
    target.raw("INSERT INTO t VALUES (2)").await;
    assert_eq!(session.recover(&order).await.unwrap(), Recovery::Fully);
    assert!(is_applied(&session.apply(&order).await.unwrap()));
    assert_eq!(target.count("t").await, 2);
    session.close().await;
    target.remove().await;
}

#[tokio::test]
async fn a_newer_lease_stops_a_run_between_statements() {
    let Some(target) = mariadb("a_newer_lease_stops_a_run_between_statements").await else {
        return;
    };
    let mut session = target.session().await;
    session.apply(&target.up("1", "CREATE TABLE t (a int);")).await.unwrap();
    // The fence rises in the middle of the file, as a takeover would raise it.
    let text = "INSERT INTO t VALUES (1);\nUPDATE _skein_fence SET token = 99;\n\
                CREATE TABLE u (a int);";
    let error = session.apply(&target.up("2", text)).await.unwrap_err();
    assert!(error.fence_lost, "{error:?}");
    assert!(!session.schema().await.unwrap().text().contains("table u"));
    session.close().await;
    target.remove().await;
}

#[tokio::test]
async fn an_index_left_invalid_is_dropped_before_the_next_try() {
    let Some(target) = postgres("an_index_left_invalid_is_dropped_before_the_next_try").await
    else {
        return;
    };
    target.raw("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1);").await;
    let mut session = target.session().await;
    let order = target.outside("1", "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a);");
    let error = session.apply(&order).await.unwrap_err();
    assert_eq!(
        (error.code.as_deref(), &error.verdict),
        (Some("23505"), &Verdict::Never),
        "{error}"
    );
    assert!(!session.schema().await.unwrap().text().contains("INVALID"));
    assert_eq!(session.observe().await.unwrap().intent, None);
    session.close().await;

    // The same, with the agent gone before it could tidy up.
    target.raw("ALTER TABLE t ADD COLUMN b int").await;
    let slow = target.outside(
        "2",
        "CREATE UNIQUE INDEX CONCURRENTLY j ON t (a);\nINSERT INTO t (b) VALUES (7);",
    );
    let mut blocker = <sqlx::PgConnection as sqlx::Connection>::connect(&target.url).await.unwrap();
    sqlx::raw_sql("BEGIN; UPDATE t SET b = 1").execute(&mut blocker).await.unwrap();
    let error = {
        let mut session = target.session().await;
        let order = slow.clone();
        let run = tokio::spawn(async move { session.apply(&order).await });
        while target
            .scalar("SELECT CAST(COUNT(*) AS text) FROM pg_index WHERE NOT indisvalid")
            .await
            == "0"
        {
            assert!(!run.is_finished(), "{:?}", run.await);
            tokio::task::yield_now().await;
        }
        end_sessions(&target).await;
        run.await.unwrap().unwrap_err()
    };
    assert_eq!(error.verdict, Verdict::Unknown, "{error}");
    drop(blocker);
    let mut session = target.session().await;
    assert!(session.schema().await.unwrap().text().contains("INVALID"));
    assert_eq!(session.recover(&slow).await.unwrap(), Recovery::Never);
    target.raw("DELETE FROM t WHERE ctid <> (SELECT MIN(ctid) FROM t)").await;
    assert!(is_applied(&session.apply(&slow).await.unwrap()));
    let text = session.schema().await.unwrap().text();
    assert!(text.contains("index public.j") && !text.contains("INVALID"), "{text}");
    session.close().await;
    target.remove().await;
}

#[tokio::test]
async fn an_index_that_was_built_before_the_cut_is_not_built_again() {
    let Some(target) = postgres("an_index_that_was_built_before_the_cut_is_not_built_again").await
    else {
        return;
    };
    target.raw("CREATE TABLE t (a int);").await;
    let order = target.outside(
        "1",
        "SET lock_timeout = '9s';\nCREATE INDEX CONCURRENTLY i ON t (a);\n\
         INSERT INTO t SELECT 1 FROM pg_sleep(30);",
    );
    let error = cut_at(&target, &order, "pg_sleep").await;
    assert_eq!((error.line, error.session_lost), (Some(3), true), "{error}");
    let mut session = target.session().await;
    // The intent still names the index: the insert takes its progress along when it goes.
    assert_eq!(session.observe().await.unwrap().intent.unwrap().statement, 2);
    assert_eq!(session.recover(&order).await.unwrap(), Recovery::Resume { at: 3, of: 3 });
    session.close().await;
    target.remove().await;
}

#[tokio::test]
async fn a_takeover_waits_and_finds_the_step_applied() {
    for target in db_support::every("a_takeover_waits_and_finds_the_step_applied").await {
        let order = target.up("1", "CREATE TABLE t (a int);");
        let mut first = target.session().await;
        let second = tokio::spawn({
            let location = target.location.clone();
            async move { Session::open(&location, &impatient()).await.unwrap() }
        });
        assert!(is_applied(&first.apply(&order).await.unwrap()));
        drop(first);
        let mut second = second.await.unwrap();
        let mut again = order.clone();
        again.token = Token(2);
        assert_eq!(second.recover(&again).await.unwrap(), Recovery::Fully);
        assert!(matches!(second.apply(&again).await.unwrap(), Outcome::Already(_)));
        second.close().await;
        target.remove().await;
    }
}

#[tokio::test]
async fn a_copy_carries_the_ledger_but_not_the_identity() {
    let target = db_support::sqlite();
    let mut session = target.session().await;
    session.apply(&target.up("1", "CREATE TABLE t (a int);")).await.unwrap();
    let original = session.observe().await.unwrap();
    session.close().await;
    let copy = db_support::sqlite();
    let path = |target: &Target| {
        let url = target.url.strip_prefix("sqlite:").unwrap();
        url.split('?').next().unwrap().to_owned()
    };
    std::fs::copy(path(&target), path(&copy)).unwrap();
    let seen = observe(&copy.location).await.unwrap();
    assert_eq!((&seen.ledger, &seen.lineage), (&original.ledger, &original.lineage));
    assert_ne!(seen.identity, original.identity);
    assert_eq!(observe(&target.location).await.unwrap().identity, original.identity);
}

/// Each table is committed as it is made: a server that dies before the fence has its row leaves both empty, and nothing
/// has run. A fence that lost its row later is looked at by a person.
#[tokio::test]
async fn tables_that_were_made_by_half_are_made_again() {
    let Some(target) = mariadb("tables_that_were_made_by_half_are_made_again").await else {
        return;
    };
    let mut session = target.session().await;
    session.raise_fence(Token(3)).await.unwrap();
    session.close().await;
    target.raw("DELETE FROM _skein_fence;").await;

    assert_eq!(observe(&target.location).await.unwrap().fence, None);
    let mut session = target.session().await;
    session.raise_fence(Token(4)).await.unwrap();
    session.close().await;
    assert_eq!(observe(&target.location).await.unwrap().fence, Some(Token(4)));

    target.raw("DELETE FROM _skein_fence;").await;
    let mut session = target.session().await;
    session.apply(&target.outside("1", "CREATE TABLE t (a int);")).await.unwrap();
    target.raw("DELETE FROM _skein_fence;").await;
    let damaged = session.raise_fence(Token(9)).await.unwrap_err();
    assert!(damaged.to_string().contains("lacks its one row"), "{damaged}");
    session.close().await;
    let mut session = target.session().await;
    let damaged = session.raise_fence(Token(9)).await.unwrap_err();
    assert!(damaged.to_string().contains("lacks its one row"), "{damaged}");
    session.close().await;
    target.remove().await;
}

/// The connection was cut while the statement waited for a lock; that it went through all the same is done here by
/// another hand, which leaves the same schema.
#[tokio::test]
async fn what_leaves_no_trace_in_the_schema_is_not_run_again() {
    let test = "what_leaves_no_trace_in_the_schema_is_not_run_again";
    let Some(target) = mariadb(test).await else { return };
    target.raw("CREATE TABLE hits (a int); INSERT INTO hits VALUES (1), (2)").await;
    let mut order = target.up("1", "TRUNCATE TABLE hits;");
    let mut reader =
        <sqlx::MySqlConnection as sqlx::Connection>::connect(&target.url).await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT * FROM hits").execute(&mut reader).await.unwrap();
    let error = cut_at(&target, &order, "TRUNCATE").await;
    assert_eq!(error.verdict, Verdict::Unknown, "{error}");
    drop(reader);
    target.raw("TRUNCATE TABLE hits; INSERT INTO hits VALUES (3)").await;
    let mut session = target.session().await;
    match session.recover(&order).await.unwrap() {
        Recovery::Stuck { why } => {
            assert!(why.contains("`TRUNCATE TABLE hits` on line 1"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    let error = session.apply(&order).await.unwrap_err();
    assert_eq!((error.cause, &error.verdict), (Cause::Stuck, &Verdict::Unknown), "{error}");
    assert_eq!(target.count("hits").await, 1);
    let probe = "SELECT COUNT(*) = 0 FROM hits WHERE a < 3";
    order.probe = Some(script("1.probe.sql", probe, Transaction::Wrapped));
    assert_eq!(session.recover(&order).await.unwrap(), Recovery::Fully);
    assert!(is_applied(&session.apply(&order).await.unwrap()));
    assert_eq!(target.count("hits").await, 1);
    session.close().await;
    target.remove().await;
}

#[tokio::test]
async fn a_file_that_begins_with_upkeep_is_not_upkeep() {
    let Some(target) = mariadb("a_file_that_begins_with_upkeep_is_not_upkeep").await else {
        return;
    };
    target.raw("CREATE TABLE acc (n int); INSERT INTO acc VALUES (0)").await;
    let text = |last: &str| {
        format!(
            "ANALYZE TABLE acc;\nLOCK TABLES acc WRITE;\nUPDATE acc SET n = n + 1;\n{last};\n\
             UNLOCK TABLES;"
        )
    };
    // The server refuses what comes after the change.
    let mut session = target.session().await;
    let failing = target.up("1", &text("UPDATE acc SET missing = 1"));
    let error = session.apply(&failing).await.unwrap_err();
    assert_eq!((error.line, &error.verdict), (Some(4), &Verdict::Unknown), "{error}");
    session.settle(&failing, Settlement::DidNotRun).await.unwrap();
    session.close().await;

    let order = target.up("1", &text("SELECT SLEEP(30)"));
    let error = cut_at(&target, &order, "SLEEP").await;
    assert_eq!(error.verdict, Verdict::Unknown, "{error}");
    let mut session = target.session().await;
    let found = session.recover(&order).await.unwrap();
    assert!(matches!(found, Recovery::Stuck { .. }), "{found:?}");
    assert_eq!(target.scalar("SELECT CAST(n AS CHAR) FROM acc").await, "2");
    session.close().await;
    target.remove().await;
}

/// A change that no transaction takes back, by whatever way a statement comes to it.
#[tokio::test]
async fn what_no_transaction_takes_back_is_not_run_again() {
    let test = "what_no_transaction_takes_back_is_not_run_again";
    let Some(target) = mariadb(test).await else { return };
    let other = mariadb(test).await.unwrap();
    other.raw("CREATE TABLE hits (n int) ENGINE=MyISAM; INSERT INTO hits VALUES (0)").await;
    let archive = &other.name;
    target
        .raw(&format!(
            "CREATE TABLE t (n int); INSERT INTO t VALUES (0); CREATE TABLE u (n int); \
             INSERT INTO u VALUES (0); CREATE VIEW v AS SELECT n FROM {archive}.hits; \
             CREATE TRIGGER g BEFORE UPDATE ON u FOR EACH ROW \
             UPDATE {archive}.hits SET n = n + 1"
        ))
        .await;
    for (step, (change, stuck)) in [
        (format!("UPDATE {archive}.hits SET n = n + 1 + SLEEP(30)"), true),
        (format!("USE {archive};\nUPDATE hits SET n = n + 1 + SLEEP(30)"), true),
        ("UPDATE v SET n = n + 1 + SLEEP(30)".to_owned(), true),
        ("UPDATE u SET n = n + 1 + SLEEP(30)".to_owned(), true),
        ("UPDATE t SET n = n + 1 + SLEEP(30)".to_owned(), false),
    ]
    .into_iter()
    .enumerate()
    {
        // A definition before it, so that the list of tables is not the one of the session's beginning.
        let text = format!("CREATE TABLE made_{step} (a int);\n{change};");
        let order = target.up(&step.to_string(), &text);
        let gone_to = if change.starts_with("USE") { &other } else { &target };
        cut_in((&target, gone_to), &order, "SLEEP").await;
        let mut session = target.session().await;
        let found = session.recover(&order).await.unwrap();
        assert_eq!(matches!(found, Recovery::Stuck { .. }), stuck, "{change}: {found:?}");
        session.settle(&order, Settlement::DidNotRun).await.unwrap();
        session.close().await;
    }
    other.remove().await;
    target.remove().await;
}
