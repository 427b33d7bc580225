//! Files that run piece by piece: routines, manipulation between definitions, sessions, one unit.

mod db_support;

use db_support::{is_applied, mariadb, postgres, script, sqlite};
use skein_agent::db::{Cause, Outcome, Recovery, Verdict};
use skein_bundle::Transaction;
use skein_bundle::sql::Mode;

#[tokio::test]
async fn routines_and_manipulation_between_definitions() {
    let Some(target) = mariadb("routines_and_manipulation_between_definitions").await else {
        return;
    };
    let text = "CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, a int);\n\
        INSERT INTO t (a) VALUES (1), (2);\n\
        ALTER TABLE t ADD COLUMN b int;\n\
        UPDATE t SET b = a * 10;\n\
        CREATE PROCEDURE add_one(IN n int)\nBEGIN\n  DECLARE x int DEFAULT 0;\n\
          IF n > 0 THEN\n    INSERT INTO t (a, b) VALUES (n, x);\n  END IF;\nEND;\n\
        CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW BEGIN SET NEW.b = NEW.a; END;\n\
        CALL add_one(7);\n\
        ALTER TABLE t MODIFY b int NOT NULL;";
    let order = target.up("1", text);
    assert!(matches!(&order.plan.mode, Mode::StatementByStatement(all) if all.len() == 8));
    let mut session = target.session().await;
    match session.apply(&order).await.unwrap() {
        Outcome::Applied { rows, .. } => assert_eq!(rows, 5),
        already @ Outcome::Already(_) => panic!("{already:?}"),
    }
    assert_eq!(target.scalar("SELECT GROUP_CONCAT(b ORDER BY id) FROM t").await, "10,20,7");
    let text = session.schema().await.unwrap().text();
    assert!(text.contains("procedure add_one") && text.contains("trigger r on t"), "{text}");
    let down = target.down("1", "DROP PROCEDURE add_one; DROP TABLE t;");
    assert!(is_applied(&session.apply(&down).await.unwrap()));
    assert!(is_applied(&session.apply(&order).await.unwrap()));
    session.close().await;
    target.remove().await;
}

#[tokio::test]
async fn a_transaction_of_the_authors_own_is_one_unit() {
    let Some(target) = mariadb("a_transaction_of_the_authors_own_is_one_unit").await else {
        return;
    };
    target.raw("CREATE TABLE t (a int PRIMARY KEY)").await;
    let text = "START TRANSACTION;\nINSERT INTO t VALUES (1);\nSAVEPOINT s;\n\
                INSERT INTO t VALUES (9);\nROLLBACK TO s;\nINSERT INTO t VALUES (2);\nCOMMIT;\n\
                CREATE TABLE u (a int);";
    let mut session = target.session().await;
    assert!(is_applied(&session.apply(&target.up("1", text)).await.unwrap()));
    assert_eq!(target.count("t").await, 2);
    let again = target.up("2", "CREATE TABLE v (a int);\nBEGIN;\nINSERT INTO t VALUES (3);\nINSERT INTO t VALUES (1);\nCOMMIT;");
    let error = session.apply(&again).await.unwrap_err();
    assert_eq!((error.cause, error.line), (Cause::Statement, Some(4)), "{error}");
    assert_eq!(error.verdict, Verdict::Partly { statements_done: 1, of: 2 });
    assert_eq!(target.count("t").await, 2);
    target.raw("DELETE FROM t WHERE a = 1").await;
    assert!(is_applied(&session.apply(&again).await.unwrap()));
    session.close().await;
    target.remove().await;
}

#[tokio::test]
async fn a_file_in_one_piece_is_only_judged_by_its_probe() {
    let Some(target) = mariadb("a_file_in_one_piece_is_only_judged_by_its_probe").await else {
        return;
    };
    target.raw("CREATE TABLE t (a int PRIMARY KEY)").await;
    let text = "LOCK TABLES t WRITE;\nINSERT INTO t VALUES (1);\nUNLOCK TABLES;";
    let mut session = target.session().await;
    let order = target.up("1", text);
    assert!(matches!(order.plan.mode, Mode::WholeUnit { .. }), "{:?}", order.plan.mode);
    assert!(is_applied(&session.apply(&order).await.unwrap()));
    let mut again = target.up("2", text);
    let error = session.apply(&again).await.unwrap_err();
    assert_eq!((error.cause, error.line), (Cause::Statement, Some(2)), "{error}");
    assert_eq!(error.verdict, Verdict::Unknown);
    assert!(matches!(session.recover(&again).await.unwrap(), Recovery::Stuck { .. }));
    target.raw("DELETE FROM t").await;
    let probe = "SELECT COUNT(*) > 0 FROM t";
    again.probe = Some(script("2.probe.sql", probe, Transaction::Wrapped));
    assert_eq!(session.recover(&again).await.unwrap(), Recovery::Never);
    assert!(is_applied(&session.apply(&again).await.unwrap()));
    let misspelt = target.up("3", "LOCK TABLE t WRIT; UPDATE t SET a = 1;");
    let error = session.apply(&misspelt).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Never, "{error}");
    assert_eq!(session.observe().await.unwrap().intent, None);
    session.close().await;
    target.remove().await;
}

#[tokio::test]
async fn a_session_is_built_again_before_a_file_goes_on() {
    let Some(target) = mariadb("a_session_is_built_again_before_a_file_goes_on").await else {
        return;
    };
    target.raw("CREATE TABLE t (a int PRIMARY KEY)").await;
    let text = "SET @n = 41;\nINSERT INTO t VALUES (1);\nINSERT INTO u VALUES (@n + 1);";
    let order = target.up("1", text);
    let mut session = target.session().await;
    let error = session.apply(&order).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Partly { statements_done: 2, of: 3 }, "{error}");
    assert_eq!(error.line, Some(3));
    drop(session);
    target.raw("CREATE TABLE u (a int)").await;
    let mut session = target.session().await;
    match session.apply(&order).await.unwrap() {
        Outcome::Applied { resumed_at, rows, .. } => assert_eq!((resumed_at, rows), (Some(3), 1)),
        already @ Outcome::Already(_) => panic!("{already:?}"),
    }
    assert_eq!(target.scalar("SELECT CAST(a AS CHAR) FROM u").await, "42");
    // What depends on data that may have changed is not built again.
    let text = "SET @n = (SELECT MAX(a) FROM t);\nINSERT INTO t VALUES (5);\n\
                INSERT INTO v VALUES (@n);";
    let order = target.up("2", text);
    session.apply(&order).await.unwrap_err();
    target.raw("CREATE TABLE v (a int)").await;
    let error = session.apply(&order).await.unwrap_err();
    assert_eq!(error.cause, Cause::Stuck, "{error}");
    assert!(error.message.contains("depends on data"), "{error}");
    session.close().await;
    target.remove().await;
}

#[tokio::test]
async fn tables_without_transactions_are_not_trusted() {
    let Some(target) = mariadb("tables_without_transactions_are_not_trusted").await else { return };
    target.raw("CREATE TABLE t (a int PRIMARY KEY) ENGINE = Aria").await;
    let mut session = target.session().await;
    let order = target.up("1", "INSERT INTO t VALUES (1), (2), (1);");
    let error = session.apply(&order).await.unwrap_err();
    // The first rows of the failed statement stay in such a table.
    assert_eq!(error.verdict, Verdict::Unknown, "{error}");
    assert!(matches!(session.recover(&order).await.unwrap(), Recovery::Stuck { .. }));
    session.close().await;
    target.remove().await;
}

#[tokio::test]
async fn a_drop_that_was_done_for_one_of_two_is_not_called_done() {
    let test = "a_drop_that_was_done_for_one_of_two_is_not_called_done";
    let Some(target) = mariadb(test).await else { return };
    target.raw("CREATE TABLE a (x int); CREATE TABLE b (x int)").await;
    let mut session = target.session().await;
    let order = target.up("1", "DROP TABLE a, missing, b;");
    let error = session.apply(&order).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Unknown, "{error}");
    assert!(error.message.contains("changed the schema"), "{error}");
    session.close().await;

    // Nor where another database has them, which the schema does not tell of.
    let Some(here) = mariadb(test).await else { return };
    let mut session = here.session().await;
    let there = &target.name;
    let order = here.up("1", &format!("DROP TABLE {there}.b, {there}.missing;"));
    let error = session.apply(&order).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Unknown, "{error}");
    session.close().await;
    here.remove().await;
    target.remove().await;
}

#[tokio::test]
async fn upkeep_outside_of_transactions_may_be_repeated() {
    let target = sqlite();
    let mut session = target.session().await;
    let order = target.outside("1", "CREATE TABLE t (a int);\nVACUUM;\nINSERT INTO t VALUES (1);");
    assert!(is_applied(&session.apply(&order).await.unwrap()));
    assert_eq!(target.count("t").await, 1);
    session.close().await;

    let Some(target) = postgres("upkeep_outside_of_transactions_may_be_repeated").await else {
        return;
    };
    let mut session = target.session().await;
    let text = "CREATE TABLE t (id serial PRIMARY KEY, a int);\nVACUUM t;\n\
                BEGIN;\nINSERT INTO t (a) VALUES (1);\nINSERT INTO t (a) VALUES (2);\nCOMMIT;\n\
                CREATE INDEX CONCURRENTLY i ON t (a);\nVACUUM nowhere;";
    let order = target.outside("1", text);
    let error = session.apply(&order).await.unwrap_err();
    assert_eq!(error.line, Some(8), "{error}");
    assert_eq!(error.verdict, Verdict::Partly { statements_done: 4, of: 5 });
    target.raw("CREATE TABLE nowhere (a int)").await;
    assert!(is_applied(&session.apply(&order).await.unwrap()));
    assert_eq!(target.count("t").await, 2);
    session.close().await;
    target.remove().await;
}
