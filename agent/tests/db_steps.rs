//! A step runs once, in order, under the highest fence, on every engine.

mod db_support;

use db_support::{every, impatient, is_applied, sqlite, transactional, verify};
use skein_agent::db::{
    Cause, DbError, Direction, Engine, Location, Outcome, Recovery, Session, Settlement, Timeouts,
    Token, Trial, Verdict, observe, observe_behind,
};

const TABLE: &str = "CREATE TABLE accounts (id int PRIMARY KEY, name varchar(40));";
const ROWS: &str = "INSERT INTO accounts (id, name) VALUES (1, 'a'), (2, 'b'), (3, 'c');";

#[tokio::test]
async fn run_undo_run_verify() {
    for target in every("run_undo_run_verify").await {
        let empty = target.schema_text().await;
        let mut session = target.session().await;
        let table = target.up("1", TABLE);
        let rows = target.up("2", ROWS);
        assert!(is_applied(&session.apply(&table).await.unwrap()));
        match session.apply(&rows).await.unwrap() {
            Outcome::Applied { rows, .. } => assert_eq!(rows, 3, "{}", target.engine),
            Outcome::Already(row) => panic!("{row:?}"),
        }
        let full = session.schema().await.unwrap();
        let undo_rows = target.down("2", "DELETE FROM accounts;");
        let undo_table = target.down("1", "DROP TABLE accounts;");
        assert!(is_applied(&session.apply(&undo_rows).await.unwrap()));
        assert!(is_applied(&session.apply(&undo_table).await.unwrap()));
        assert_eq!(session.schema().await.unwrap().text(), empty);
        assert!(is_applied(&session.apply(&table).await.unwrap()));
        let mut checked = rows.clone();
        checked.verify = Some(verify("SELECT COUNT(*) = 3 FROM accounts;\nSELECT 1;"));
        assert!(is_applied(&session.apply(&checked).await.unwrap()));
        assert_eq!(session.fingerprint().await.unwrap(), full.fingerprint());
        assert_eq!(target.count("accounts").await, 3);

        let seen = session.observe().await.unwrap();
        let applied: Vec<_> = seen.applied().iter().map(|row| row.step.clone()).collect();
        assert_eq!(applied, ["1", "2"]);
        let history: Vec<_> = seen.ledger.iter().map(|row| (row.seq, row.direction)).collect();
        let (up, down) = (Direction::Up, Direction::Down);
        assert_eq!(history, [(1, up), (2, up), (3, down), (4, down), (5, up), (6, up)]);
        assert_eq!(seen.head().unwrap().step, "2");
        assert!(seen.head().unwrap().at_ms > 1_700_000_000_000);
        assert_eq!(seen.fence, Some(Token(1)));
        assert_eq!(seen.intent, None);
        session.close().await;
        target.remove().await;
    }
}

#[tokio::test]
async fn a_repeat_runs_nothing_and_an_edited_file_is_drift() {
    for target in every("a_repeat_runs_nothing_and_an_edited_file_is_drift").await {
        let mut session = target.session().await;
        session.apply(&target.up("1", TABLE)).await.unwrap();
        session.apply(&target.up("2", ROWS)).await.unwrap();
        match session.apply(&target.up("2", ROWS)).await.unwrap() {
            Outcome::Already(row) => {
                assert_eq!((row.seq, row.step.as_str(), row.token), (2, "2", Token(1)));
            }
            applied @ Outcome::Applied { .. } => panic!("{applied:?}"),
        }
        assert_eq!(target.count("accounts").await, 3);
        let edited = target.up("2", "DELETE FROM accounts;");
        let error = session.apply(&edited).await.unwrap_err();
        assert_eq!((error.cause, error.retryable), (Cause::Drift, false));
        assert_eq!(target.count("accounts").await, 3);
        let error = session.apply(&target.down("9", "SELECT 1;")).await.unwrap_err();
        assert_eq!((error.cause, error.verdict), (Cause::NotApplied, Verdict::Never));
        // The session is none the worse.
        session.apply(&target.down("2", "DELETE FROM accounts;")).await.unwrap();
        assert_eq!(target.count("accounts").await, 0);
        session.close().await;
        target.remove().await;
    }
}

#[tokio::test]
async fn an_older_lease_cannot_write() {
    for target in every("an_older_lease_cannot_write").await {
        let mut session = target.session().await;
        session.raise_fence(Token(7)).await.unwrap();
        let mut order = target.up("1", TABLE);
        order.token = Token(6);
        let error = session.apply(&order).await.unwrap_err();
        assert_eq!((error.cause, error.fence_lost), (Cause::Fence, true), "{error}");
        assert_eq!(error.verdict, Verdict::Never);
        let refused = session.raise_fence(Token(6)).await.unwrap_err();
        assert!(matches!(refused, DbError::Fence(stale) if stale.held == Token(7)));
        order.token = Token(8);
        assert!(is_applied(&session.apply(&order).await.unwrap()));
        assert_eq!(session.observe().await.unwrap().fence, Some(Token(8)));
        // Never lowered.
        assert!(session.raise_fence(Token(7)).await.is_err());
        assert_eq!(session.observe().await.unwrap().fence, Some(Token(8)));
        let too_large = session.raise_fence(Token(u64::MAX)).await.unwrap_err();
        assert!(matches!(too_large, DbError::TokenTooLarge { .. }));
        session.close().await;
        target.remove().await;
    }
}

/// An executor that stood still, and goes on after somebody has looked, changes nothing any more.
#[tokio::test]
async fn a_look_behind_a_fence_waits_for_the_session_and_shuts_it_out() {
    for target in every("a_look_behind_a_fence_waits_for_the_session_and_shuts_it_out").await {
        let mut earlier = target.session().await;
        let mut order = target.up("1", TABLE);
        order.token = Token(3);
        assert!(is_applied(&earlier.apply(&order).await.unwrap()));
        let location = target.location.clone();
        let look = tokio::spawn(async move { observe_behind(&location, Token(5)).await });
        // It works while it has the lock, and the look sees what it did last.
        let mut order = target.up("2", ROWS);
        order.token = Token(3);
        assert!(is_applied(&earlier.apply(&order).await.unwrap()));
        assert!(!look.is_finished(), "{}: looked beside a session", target.engine);
        earlier.close().await;
        let seen = look.await.unwrap().unwrap();
        assert_eq!((seen.fence, seen.applied().len()), (Some(Token(5)), 2), "{}", target.engine);

        let mut later = target.session().await;
        let mut order = target.down("2", "DELETE FROM accounts;");
        order.token = Token(3);
        let error = later.apply(&order).await.unwrap_err();
        assert_eq!((error.cause, error.fence_lost), (Cause::Fence, true), "{error}");
        later.raise_fence(Token(9)).await.unwrap();
        later.close().await;
        // Whoever looks behind an older one is behind the newer one.
        let seen = observe_behind(&target.location, Token(6)).await.unwrap();
        assert_eq!(seen.fence, Some(Token(9)), "{}", target.engine);
        target.remove().await;
    }
}

#[tokio::test]
async fn two_sessions_exclude_each_other() {
    for target in every("two_sessions_exclude_each_other").await {
        let first = target.session().await;
        let brief = Timeouts { session_lock_wait_ms: 60, ..impatient() };
        let error = Session::open(&target.location, &brief).await.unwrap_err();
        let holder = match target.engine {
            Engine::Postgres => "backend ",
            Engine::Mysql => "connection ",
            Engine::Sqlite => "another process",
        };
        assert!(
            matches!(&error, DbError::LockHeld { holder: by, .. } if by.starts_with(holder)),
            "{error}"
        );
        assert!(error.is_retryable());
        // Whoever only looks is not kept out.
        assert!(observe(&target.location).await.is_ok() || target.engine == Engine::Sqlite);
        let waiting = tokio::spawn({
            let location = target.location.clone();
            async move { Session::open(&location, &impatient()).await }
        });
        first.close().await;
        let mut second = waiting.await.unwrap().unwrap();
        assert!(is_applied(&second.apply(&target.up("1", TABLE)).await.unwrap()));
        // A session that is dropped, not closed, lets go too.
        drop(second);
        target.session().await.close().await;
        target.remove().await;
    }
}

#[tokio::test]
async fn a_failing_statement_is_named_by_its_line_and_leaves_nothing() {
    for target in transactional("a_failing_statement_is_named_by_its_line").await {
        let mut session = target.session().await;
        let broken = format!(
            "{TABLE}\n\n-- three rows\n{ROWS}\nINSERT INTO accounts\n  VALUES (1, 'again');\n"
        );
        let error = session.apply(&target.up("1", &broken)).await.unwrap_err();
        assert_eq!(error.cause, Cause::Statement);
        assert_eq!(error.verdict, Verdict::Never);
        assert_eq!(error.line, Some(5), "{error}");
        assert_eq!((error.retryable, error.session_lost), (false, false));
        assert_eq!(error.file, "1.up.sql");
        assert!(error.code.is_some());
        let misspelt = format!("{TABLE}\nINSERT INTO acounts\nVALUES (1);");
        let error = session.apply(&target.up("1", &misspelt)).await.unwrap_err();
        assert_eq!(error.line, Some(2), "{error}");
        let seen = session.observe().await.unwrap();
        assert_eq!(seen.ledger, []);
        assert!(!session.schema().await.unwrap().text().contains("accounts"));
        session.close().await;
        target.remove().await;
    }
}

#[tokio::test]
async fn a_verify_that_is_not_true_takes_the_step_back() {
    for target in transactional("a_verify_that_is_not_true_takes_the_step_back").await {
        let mut session = target.session().await;
        let mut order = target.up("1", &format!("{TABLE}{ROWS}"));
        for bad in
            ["SELECT 1 = 1;\nSELECT COUNT(*) = 4\n  FROM accounts;", "SELECT 1;\nSELECT NULL;"]
        {
            order.verify = Some(verify(bad));
            let error = session.apply(&order).await.unwrap_err();
            assert_eq!((error.cause, &error.verdict), (Cause::Verify, &Verdict::Never), "{error}");
            assert_eq!((error.file.as_str(), error.line), ("step.verify.sql", Some(2)));
        }
        order.verify = Some(verify("SELECT nothing FROM accounts;"));
        let error = session.apply(&order).await.unwrap_err();
        assert_eq!((error.cause, error.line), (Cause::Verify, Some(1)));
        assert_eq!(session.observe().await.unwrap().ledger, []);
        order.verify = Some(verify("SELECT id > 0, name FROM accounts;"));
        assert!(is_applied(&session.apply(&order).await.unwrap()));
        let checks = session.checks(&verify("SELECT id < 3 FROM accounts;")).await.unwrap();
        assert!(!checks.passed());
        session.close().await;
        target.remove().await;
    }
}

#[tokio::test]
async fn a_trial_leaves_nothing_behind() {
    for target in transactional("a_trial_leaves_nothing_behind").await {
        let mut session = target.session().await;
        let before = session.schema().await.unwrap().text();
        let orders = [
            target.up("1", TABLE),
            target.up("2", ROWS),
            target.up("3", "INSERT INTO nowhere VALUES (1);"),
            target.up("4", "SELECT 1;"),
        ];
        let trials = session.validate(&orders).await.unwrap();
        assert!(matches!(trials[0], Trial::Passed { .. }), "{trials:?}");
        assert!(matches!(trials[1], Trial::Passed { .. }), "{trials:?}");
        assert!(matches!(&trials[2], Trial::Failed(error) if error.line == Some(1)), "{trials:?}");
        assert!(matches!(trials[3], Trial::NotTried { .. }), "{trials:?}");
        assert_eq!(session.schema().await.unwrap().text(), before);
        assert_eq!(session.observe().await.unwrap().ledger, []);
        assert!(is_applied(&session.apply(&orders[0]).await.unwrap()));
        session.close().await;
        target.remove().await;
    }
}

#[tokio::test]
async fn a_call_that_was_dropped_spoils_the_session() {
    let target = sqlite();
    let mut session = target.session().await;
    // Polled once, then dropped.
    let order = target.up("1", TABLE);
    let dropped = tokio::time::timeout(std::time::Duration::ZERO, session.apply(&order)).await;
    if dropped.is_err() {
        let error = session.apply(&order).await.unwrap_err();
        assert!(error.session_lost, "{error}");
        drop(session);
        session = target.session().await;
    }
    session.apply(&order).await.unwrap();
    assert_eq!(target.count("accounts").await, 0);
}

#[tokio::test]
async fn a_decision_closes_a_step_without_running_it() {
    for target in every("a_decision_closes_a_step_without_running_it").await {
        let mut session = target.session().await;
        let order = target.up("1", TABLE);
        assert_eq!(session.recover(&order).await.unwrap(), Recovery::Never);
        session.settle(&order, Settlement::Ran).await.unwrap();
        assert_eq!(session.recover(&order).await.unwrap(), Recovery::Fully);
        assert!(matches!(session.apply(&order).await.unwrap(), Outcome::Already(_)));
        assert!(!session.schema().await.unwrap().text().contains("accounts"));
        session.close().await;
        target.remove().await;
    }
}

#[tokio::test]
async fn settings_of_a_script_end_with_it() {
    for target in every("settings_of_a_script_end_with_it").await {
        let mut session = target.session().await;
        let (set, check) = match target.engine {
            Engine::Postgres => (
                "SET search_path TO ''; SET statement_timeout = 7;",
                "SELECT current_setting('statement_timeout') = '0' AND current_schema() = 'public';",
            ),
            Engine::Mysql => (
                "SET foreign_key_checks = 0; CREATE TEMPORARY TABLE t (a int);",
                "SELECT @@foreign_key_checks;",
            ),
            Engine::Sqlite => (
                "PRAGMA recursive_triggers = 1; CREATE TEMP TABLE t (a int);",
                "SELECT (SELECT recursive_triggers FROM pragma_recursive_triggers) = 0 \
                 AND (SELECT COUNT(*) FROM temp.sqlite_master) = 0;",
            ),
        };
        session.apply(&target.up("1", set)).await.unwrap();
        let checks = session.checks(&verify(check)).await.unwrap();
        assert!(checks.passed(), "{}: {checks:?}", target.engine);
        // The lock outlived it.
        session.apply(&target.up("2", TABLE)).await.unwrap();
        session.close().await;
        target.remove().await;
    }
}

#[tokio::test]
async fn a_busy_target_is_tried_again_and_then_reported_as_retryable() {
    let target = sqlite();
    let mut first = target.session().await;
    first.apply(&target.up("1", TABLE)).await.unwrap();
    let mut other =
        <sqlx::SqliteConnection as sqlx::Connection>::connect(&target.url).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    first.close().await;
    let hasty = Timeouts { lock_ms: 20, retries_max: 1, ..impatient() };
    let mut session = Session::open(&target.location, &hasty).await.unwrap();
    let error = session.apply(&target.up("2", ROWS)).await.unwrap_err();
    assert!(error.retryable && error.verdict == Verdict::Never, "{error:?}");
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    assert!(is_applied(&session.apply(&target.up("2", ROWS)).await.unwrap()));
}

#[tokio::test]
async fn foreign_keys_are_as_the_format_has_them() {
    let target = sqlite();
    let mut session = target.session().await;
    let parent = "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (p int REFERENCES p (id));";
    session.apply(&target.up("1", parent)).await.unwrap();
    let orphan = "INSERT INTO c VALUES (1);";
    // sqlx enforces them, golang-migrate does not.
    let error = session.apply(&target.up("2", orphan)).await.unwrap_err();
    assert!(error.message.contains("FOREIGN KEY"), "{error}");
    let mut order = target.up("2", orphan);
    order.script.format = skein_bundle::Format::GolangMigrate;
    assert!(is_applied(&session.apply(&order).await.unwrap()));
}

#[tokio::test]
async fn a_script_that_ends_its_transaction_is_found_out() {
    for target in transactional("a_script_that_ends_its_transaction_is_found_out").await {
        let mut session = target.session().await;
        let mut order = target.up("1", TABLE);
        // As if the planner had not seen it.
        order.script.text = format!("{TABLE} COMMIT;");
        let error = session.apply(&order).await.unwrap_err();
        assert_eq!(error.verdict, Verdict::Unknown, "{error}");
        assert_eq!(session.observe().await.unwrap().ledger, [], "{}", target.engine);
        session.close().await;
        target.remove().await;
    }
}

#[tokio::test]
async fn one_file_under_two_names_is_one_target() {
    let target = sqlite();
    let path = target.url.strip_prefix("sqlite:").unwrap().split('?').next().unwrap().to_owned();
    target.session().await.close().await;
    let link = format!("{path}.link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let other = Location::parse(&format!("sqlite:{link}"), None).unwrap();
    let held = target.session().await;
    let brief = Timeouts { session_lock_wait_ms: 40, ..impatient() };
    let error = Session::open(&other, &brief).await.unwrap_err();
    assert!(matches!(error, DbError::LockHeld { .. }), "{error}");
    drop(held);
    Session::open(&other, &impatient()).await.unwrap().close().await;
    assert_eq!(
        observe(&other).await.unwrap().identity,
        observe(&target.location).await.unwrap().identity
    );
}

#[tokio::test]
async fn what_cannot_be_reached_is_said_without_its_password() {
    let missing = Location::parse("sqlite:/nonexistent/folder/target.db", None).unwrap();
    let error = Session::open(&missing, &impatient()).await.unwrap_err();
    assert!(matches!(error, DbError::Connect { retryable: false, .. }), "{error}");
    let url = "postgres://app:hunter2@localhost/orders?host=/nonexistent/folder";
    let nowhere = Location::parse(url, None).unwrap();
    let error = observe(&nowhere).await.unwrap_err();
    assert!(matches!(error, DbError::Connect { retryable: false, .. }), "{error:?}");
    assert!(!format!("{error} {error:?} {nowhere:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_person_may_accept_a_file_that_was_edited_after_it_ran() {
    for target in every("a_person_may_accept_a_file_that_was_edited_after_it_ran").await {
        let mut session = target.session().await;
        session.apply(&target.up("1", TABLE)).await.unwrap();
        let edited =
            target.up("1", "CREATE TABLE accounts (id int PRIMARY KEY, name varchar(50));");
        assert_eq!(session.apply(&edited).await.unwrap_err().cause, Cause::Drift);
        session.settle(&edited, Settlement::Ran).await.unwrap();
        session.settle(&edited, Settlement::Ran).await.unwrap();
        assert!(matches!(session.apply(&edited).await.unwrap(), Outcome::Already(_)));
        let seen = session.observe().await.unwrap();
        assert_eq!((seen.ledger.len(), seen.applied().len()), (2, 1));
        session.close().await;
        target.remove().await;
    }
}

#[tokio::test]
async fn a_script_may_become_another_role() {
    let Some(target) = db_support::postgres("a_script_may_become_another_role").await else {
        return;
    };
    let role = format!("skein_role_{}", std::process::id());
    target
        .raw(&format!("CREATE ROLE {role}; GRANT CREATE, USAGE ON SCHEMA public TO {role}"))
        .await;
    let mut session = target.session().await;
    let text = format!("SET ROLE {role};\nCREATE TABLE t (a int);");
    assert!(is_applied(&session.apply(&target.up("1", &text)).await.unwrap()));
    let owner = "SELECT tableowner::text FROM pg_tables WHERE tablename = 't'";
    assert_eq!(target.scalar(owner).await, role);
    let text = format!(
        "SET ROLE {role};\nCREATE TABLE u (a int);\nINSERT INTO u VALUES (1);\n\
         CREATE INDEX CONCURRENTLY i ON u (a);"
    );
    assert!(is_applied(&session.apply(&target.outside("2", &text)).await.unwrap()));
    assert_eq!(target.scalar(&owner.replace("'t'", "'u'")).await, role);
    // And is nobody else afterwards.
    let checks = verify("SELECT current_user = session_user;");
    assert!(session.checks(&checks).await.unwrap().passed());
    session.close().await;
    target.raw(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    target.remove().await;
}

/// SQLite runs a step in one message where it can; whatever a script does to the text around it is found.
#[tokio::test]
async fn a_script_of_any_ending_is_committed_once_or_not_at_all() {
    let target = sqlite();
    let mut session = target.session().await;
    session.apply(&target.up("1", TABLE)).await.unwrap();
    for (step, script, rows) in [
        ("2", "INSERT INTO accounts (id) VALUES (1)", 1),
        ("3", "INSERT INTO accounts (id) VALUES (2) -- no semicolon", 1),
        ("4", "INSERT INTO accounts (id) VALUES (3), (4);\n-- the end", 2),
        ("5", "INSERT INTO accounts (id) VALUES (5); /* an open comment", 1),
        ("6", "-- nothing", 0),
        ("7", "SELECT id FROM accounts;;;", 0),
        ("8", "UPDATE accounts SET name = 'skein' WHERE id < 3;\nSELECT 1;", 2),
        ("9", "ALTER TABLE accounts ADD COLUMN tier int;", 0),
    ] {
        let order = target.up(step, script);
        match session.apply(&order).await.unwrap() {
            Outcome::Applied { rows: changed, .. } => assert_eq!(changed, rows, "{script}"),
            Outcome::Already(row) => panic!("{script}: {row:?}"),
        }
        assert!(!is_applied(&session.apply(&order).await.unwrap()), "{script}");
    }
    // Seen from outside: it was committed.
    assert_eq!(target.count("accounts").await, 5);
    assert_eq!(target.count("_skein_ledger").await, 9);
    let text =
        target.up("10", "INSERT INTO accounts (id) VALUES (9);\n\nINSERT INTO nowhere VALUES (1);");
    let error = session.apply(&text).await.unwrap_err();
    assert_eq!(
        (error.cause, error.verdict, error.line),
        (Cause::Statement, Verdict::Never, Some(3))
    );
    assert_eq!(target.count("accounts").await, 5);
    assert_eq!(target.count("_skein_ledger").await, 9);
    session.close().await;
}

/// What the one message does not find to be a step to be run, the longer way names.
#[tokio::test]
async fn a_fence_raised_past_a_session_stops_its_next_step() {
    let target = sqlite();
    let mut session = target.session().await;
    session.apply(&target.up("1", TABLE)).await.unwrap();
    target.raw("UPDATE _skein_fence SET token = 9;").await;
    let error = session.apply(&target.up("2", ROWS)).await.unwrap_err();
    assert_eq!((error.cause, error.fence_lost), (Cause::Fence, true), "{error}");
    assert_eq!(target.count("accounts").await, 0);
    target.raw("UPDATE _skein_fence SET token = 1, format = 99;").await;
    let error = session.apply(&target.up("2", ROWS)).await.unwrap_err();
    assert_eq!(error.cause, Cause::Stuck, "{error}");
    assert_eq!(target.count("accounts").await, 0);
    session.close().await;
}

/// A constraint that is only checked at the end of a transaction fails its COMMIT.
#[tokio::test]
async fn a_commit_that_is_refused_leaves_nothing() {
    let target = sqlite();
    let mut session = target.session().await;
    session.apply(&target.up("1", TABLE)).await.unwrap();
    let child =
        "CREATE TABLE child (a int REFERENCES accounts (id) DEFERRABLE INITIALLY DEFERRED);";
    session.apply(&target.up("2", child)).await.unwrap();
    let script = "PRAGMA foreign_keys = ON;\nINSERT INTO child VALUES (7);";
    let error = session.apply(&target.up("3", script)).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Never, "{error}");
    assert_eq!(target.count("child").await, 0);
    assert_eq!(target.count("_skein_ledger").await, 2);
    session.close().await;
}
