//! Statements in batches: each row once, whatever breaks off.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod db_support;

use std::time::Duration;

use db_support::{Target, every, impatient, is_applied, mariadb, postgres};
use skein_agent::db::{
    Cause, Engine, Order, Outcome, Phase, Recovery, Session, StepError, Token, Verdict,
};

/// `t` with 1000 rows, whose keys have gaps, begin below zero and come to more digits.
async fn fill(target: &Target) {
    let numbers = match target.engine {
        Engine::Postgres => "SELECT g * 3 - 50 FROM generate_series(1, 1000) AS g",
        Engine::Mysql => "SELECT CAST(seq AS SIGNED) * 3 - 50 FROM seq_1_to_1000",
        Engine::Sqlite => {
            "WITH RECURSIVE g (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < 1000) \
             SELECT i * 3 - 50 FROM g"
        }
    };
    target.raw("CREATE TABLE t (id int NOT NULL PRIMARY KEY, n int NOT NULL DEFAULT 0)").await;
    target.raw(&format!("INSERT INTO t (id) {numbers}")).await;
}

/// The least and the most that `n` is in `t`.
async fn told(target: &Target) -> String {
    let cast = if target.engine == Engine::Mysql { "CHAR" } else { "text" };
    let sql = |what: &str| format!("SELECT CAST({what} AS {cast}) FROM t");
    let (least, most) = (target.scalar(&sql("MIN(n)")).await, target.scalar(&sql("MAX(n)")).await);
    format!("{least}..{most}")
}

/// Of `_skein_batches`; 0 where there is none yet.
async fn batches_done(target: &Target) -> u64 {
    let made = match target.engine {
        Engine::Postgres => "SELECT CAST(to_regclass('_skein_batches') IS NOT NULL AS text)",
        Engine::Mysql => {
            "SELECT CAST(COUNT(*) AS CHAR) FROM information_schema.tables \
             WHERE table_schema = DATABASE() AND table_name = '_skein_batches'"
        }
        Engine::Sqlite => {
            "SELECT CAST(COUNT(*) AS text) FROM sqlite_schema WHERE name = '_skein_batches'"
        }
    };
    if !["true", "1"].contains(&target.scalar(made).await.as_str()) {
        return 0;
    }
    let cast = if target.engine == Engine::Mysql { "CHAR" } else { "text" };
    let sql = format!("SELECT CAST(COALESCE(MAX(batches), 0) AS {cast}) FROM _skein_batches");
    target.scalar(&sql).await.parse().unwrap()
}

const ADD: &str = "-- skein:batch table=t key=id size=7\n\
                   UPDATE t SET n = n + 1 WHERE id BETWEEN {from} AND {to};\n";

#[tokio::test]
async fn every_row_is_changed_once() {
    for target in every("every_row_is_changed_once").await {
        fill(&target).await;
        let mut session = target.session().await;
        let text = format!("CREATE TABLE u (a int);\n{ADD}INSERT INTO u VALUES (1);\n{ADD}");
        let order = target.up("1", &text);
        match session.apply(&order).await.unwrap() {
            Outcome::Applied { rows, resumed_at, .. } => {
                assert_eq!((rows, resumed_at), (2_001, None), "{:?}", target.engine);
            }
            already @ Outcome::Already(_) => panic!("{already:?}"),
        }
        assert_eq!(told(&target).await, "2..2");
        assert_eq!(target.count("_skein_batches").await, 0);
        assert!(!is_applied(&session.apply(&order).await.unwrap()));
        assert!(!session.schema().await.unwrap().text().contains("_skein"));
        // The way back goes in batches, too.
        let back = "-- skein:batch table=t key=id size=1000000\n\
                    UPDATE t SET n = n - 2 WHERE id BETWEEN {from} AND {to};\nDROP TABLE u;";
        assert!(is_applied(&session.apply(&target.down("1", back)).await.unwrap()));
        assert_eq!(told(&target).await, "0..0");
        session.close().await;
        target.remove().await;
    }
}

#[tokio::test]
async fn keys_are_numbers_texts_or_uuids() {
    for target in every("keys_are_numbers_texts_or_uuids").await {
        // MariaDB takes two texts for one key that differ in the spaces behind them.
        let keys = ["", "'", "\\", "a", "B", "b'c", "ß", "日本", "\u{1F9A2}", "z z"];
        let values: Vec<_> =
            keys.iter().map(|key| format!("('{}')", escaped(&target, key))).collect();
        target.raw("CREATE TABLE \"Odd Names\" (\"the key\" varchar(40) NOT NULL PRIMARY KEY, n int NOT NULL DEFAULT 0)".replace('"', quote(&target)).as_str()).await;
        target
            .raw(
                &format!("INSERT INTO \"Odd Names\" (\"the key\") VALUES {}", values.join(", "))
                    .replace('"', quote(&target)),
            )
            .await;
        let q = quote(&target);
        let text = format!(
            "-- skein:batch table=\"Odd Names\" key=\"the key\" size=3\n\
             UPDATE {q}Odd Names{q} SET n = n + 1 WHERE {q}the key{q} BETWEEN {{from}} AND {{to}};"
        );
        let mut session = target.session().await;
        match session.apply(&target.up("1", &text)).await.unwrap() {
            Outcome::Applied { rows, .. } => assert_eq!(rows, 10, "{:?}", target.engine),
            already @ Outcome::Already(_) => panic!("{already:?}"),
        }
        if target.engine != Engine::Sqlite {
            let uuid =
                if target.engine == Engine::Postgres { "gen_random_uuid()" } else { "UUID()" };
            target
                .raw(&format!(
                    "CREATE TABLE v (id uuid NOT NULL DEFAULT {uuid} PRIMARY KEY, n int NOT NULL)"
                ))
                .await;
            for _ in 0..5 {
                target.raw("INSERT INTO v (n) VALUES (0), (0), (0)").await;
            }
            let text = "-- skein:batch table=v key=id size=4\n\
                        UPDATE v SET n = n + 1 WHERE id BETWEEN {from} AND {to};";
            match session.apply(&target.up("2", text)).await.unwrap() {
                Outcome::Applied { rows, .. } => assert_eq!(rows, 15, "{:?}", target.engine),
                already @ Outcome::Already(_) => panic!("{already:?}"),
            }
        }
        session.close().await;
        target.remove().await;
    }
}

fn quote(target: &Target) -> &'static str {
    if target.engine == Engine::Mysql { "`" } else { "\"" }
}

fn escaped(target: &Target, key: &str) -> String {
    let key = key.replace('\'', "''");
    if target.engine == Engine::Mysql { key.replace('\\', "\\\\") } else { key }
}

/// Ends a run without a word when so many batches are done, as a kill of its process would. It goes on for a moment
/// at a time: while somebody looks, it stands.
async fn cut_after(target: &Target, order: &Order, batches: u64) {
    let mut session = target.session().await;
    let mut run = Box::pin(session.apply(order));
    while batches_done(target).await < batches {
        let ended = tokio::time::timeout(Duration::from_millis(5), &mut run).await;
        assert!(ended.is_err(), "{ended:?}");
    }
}

#[tokio::test]
async fn a_run_that_is_cut_again_and_again_goes_on_at_its_cursor() {
    for target in every("a_run_that_is_cut_again_and_again_goes_on_at_its_cursor").await {
        fill(&target).await;
        let text = ADD.replace("size=7", "size=1");
        let order = target.up("1", &text);
        let mut before = 0;
        for batches in [1, 40, 41, 300] {
            cut_after(&target, &order, batches).await;
            let mut session = target.session().await;
            let open = session.observe().await.unwrap().intent.unwrap();
            assert_eq!((open.phase, open.statement), (Phase::Batches, 1));
            assert_eq!(session.recover(&order).await.unwrap(), Recovery::Resume { at: 1, of: 1 });
            session.close().await;
            let done = batches_done(&target).await;
            assert!(done >= batches && done >= before, "{done} after {before}");
            assert_eq!(told(&target).await, "0..1");
            let cast = if target.engine == Engine::Mysql { "CHAR" } else { "text" };
            let changed = format!("SELECT CAST(SUM(n) AS {cast}) FROM t");
            assert_eq!(target.scalar(&changed).await.parse::<u64>().unwrap(), done);
            before = done;
        }
        let mut session = target.session().await;
        match session.apply(&order).await.unwrap() {
            Outcome::Applied { rows, resumed_at, .. } => {
                assert_eq!((rows, resumed_at), (1_000, Some(1)), "{:?}", target.engine);
            }
            already @ Outcome::Already(_) => panic!("{already:?}"),
        }
        assert_eq!(told(&target).await, "1..1");
        session.close().await;
        target.remove().await;
    }
}

#[tokio::test]
async fn a_batch_that_fails_leaves_those_before_it() {
    for target in every("a_batch_that_fails_leaves_those_before_it").await {
        fill(&target).await;
        target.raw("CREATE TABLE taken (id int NOT NULL PRIMARY KEY)").await;
        target.raw("INSERT INTO taken SELECT id FROM t WHERE id = 1000").await;
        let text = "CREATE TABLE u (a int);\n-- skein:batch table=t key=id size=100\n\
                    INSERT INTO taken SELECT id FROM t WHERE id BETWEEN {from} AND {to};\n\
                    CREATE TABLE w (a int);";
        let order = target.up("1", text);
        let mut session = target.session().await;
        let error = session.apply(&order).await.unwrap_err();
        assert_eq!((error.cause, error.line), (Cause::Statement, Some(3)), "{error}");
        assert_eq!(error.verdict, Verdict::Partly { statements_done: 1, of: 3 }, "{error}");
        for said in
            ["batch 4 of `INSERT INTO taken SELECT id FROM`", "3 batches done, 300 rows, 29 % of"]
        {
            assert!(error.message.contains(said), "{error}");
        }
        assert_eq!(target.count("taken").await, 301);
        target.raw("DELETE FROM taken WHERE id = 1000").await;
        match session.apply(&order).await.unwrap() {
            Outcome::Applied { rows, resumed_at, .. } => {
                assert_eq!((rows, resumed_at), (1_000, Some(2)));
            }
            already @ Outcome::Already(_) => panic!("{already:?}"),
        }
        assert_eq!(target.count("taken").await, 1_000);
        session.close().await;
        target.remove().await;
    }
}

/// Raises the fence with the batch that changes the row of key 100, so that a later lease comes between that batch
/// and the next one whatever the machine does.
async fn raise_with_a_batch(target: &Target) {
    let raise = "UPDATE _skein_fence SET token = 9 WHERE id = 1";
    match target.engine {
        Engine::Postgres => {
            let body = format!("BEGIN {raise}; RETURN NULL; END");
            let function = "FUNCTION raise_fence() RETURNS trigger LANGUAGE plpgsql";
            target.raw(&format!("CREATE {function} AS '{body}'")).await;
            let when = "AFTER UPDATE ON t FOR EACH ROW WHEN (NEW.id = 100)";
            target
                .raw(&format!("CREATE TRIGGER later {when} EXECUTE FUNCTION raise_fence()"))
                .await;
        }
        Engine::Mysql => {
            let body = format!("IF NEW.id = 100 THEN {raise}; END IF");
            target
                .raw(&format!("CREATE TRIGGER later AFTER UPDATE ON t FOR EACH ROW {body}"))
                .await;
        }
        Engine::Sqlite => {
            let when = "AFTER UPDATE ON t WHEN NEW.id = 100";
            target.raw(&format!("CREATE TRIGGER later {when} BEGIN {raise}; END")).await;
        }
    }
}

#[tokio::test]
async fn a_later_lease_ends_a_run_between_two_batches() {
    for target in every("a_later_lease_ends_a_run_between_two_batches").await {
        fill(&target).await;
        raise_with_a_batch(&target).await;
        let order = target.up("1", &ADD.replace("size=7", "size=1"));
        let mut session = target.session().await;
        let error: StepError = session.apply(&order).await.unwrap_err();
        assert_eq!((error.cause, error.fence_lost), (Cause::Fence, true), "{error}");
        assert!(matches!(error.verdict, Verdict::Partly { .. }), "{error}");
        // Keys begin at -47 and go in threes: 100 is the fiftieth. Nothing came after it; where the fence is looked at
        // behind a batch, too, neither did it.
        let done = batches_done(&target).await;
        assert!([49, 50].contains(&done), "{done}");
        session.close().await;
        let mut session = Session::open(&target.location, &impatient()).await.unwrap();
        let later = Order { token: Token(9), ..order };
        assert!(is_applied(&session.apply(&later).await.unwrap()));
        assert_eq!(told(&target).await, "1..1");
        session.close().await;
        target.remove().await;
    }
}

#[tokio::test]
async fn rows_above_the_last_key_are_of_the_time_after() {
    for target in every("rows_above_the_last_key_are_of_the_time_after").await {
        fill(&target).await;
        let text = "-- skein:batch table=t key=id size=50\n\
                    INSERT INTO t (id, n) SELECT id + 10000, 1 FROM t WHERE id BETWEEN {from} AND {to};";
        let mut session = target.session().await;
        match session.apply(&target.up("1", text)).await.unwrap() {
            Outcome::Applied { rows, .. } => assert_eq!(rows, 1_000),
            already @ Outcome::Already(_) => panic!("{already:?}"),
        }
        assert_eq!(target.count("t").await, 2_000);
        // A table without rows has no batches.
        let none = "CREATE TABLE e (id int NOT NULL PRIMARY KEY);\n-- skein:batch table=e key=id size=5\n\
                    DELETE FROM e WHERE id BETWEEN {from} AND {to};";
        assert!(is_applied(&session.apply(&target.up("2", none)).await.unwrap()));
        session.close().await;
        target.remove().await;
    }
}

#[tokio::test]
async fn what_cannot_be_gone_over_is_refused_before_the_first_batch() {
    for target in every("what_cannot_be_gone_over_is_refused_before_the_first_batch").await {
        target.raw("CREATE TABLE t (id int PRIMARY KEY, n int, f float, g varchar(9))").await;
        target
            .raw("INSERT INTO t (id, n, f, g) VALUES (1, 1, 1.5, 'a'), (2, NULL, 2.5, 'b')")
            .await;
        let mut session = target.session().await;
        for (key, why) in [
            ("n", "t has rows whose n is NULL"),
            ("f", "a key is a whole number, a text or a UUID, and this one is "),
            ("x", "x"),
        ] {
            let text = format!(
                "-- skein:batch table=t key={key} size=5\n\
                 UPDATE t SET g = 'c' WHERE {key} BETWEEN {{from}} AND {{to}};"
            );
            let error = session.apply(&target.up("1", &text)).await.unwrap_err();
            assert!(error.message.contains(why), "{error}");
            assert_eq!(
                (error.cause, &error.verdict),
                (Cause::Statement, &Verdict::Never),
                "{error}"
            );
            assert_eq!(session.observe().await.unwrap().intent, None, "{error}");
        }
        assert_eq!(target.scalar("SELECT g FROM t WHERE id = 1").await, "a");
        session.close().await;
        target.remove().await;
    }
}

#[tokio::test]
async fn a_table_that_no_transaction_protects_is_refused() {
    let test = "a_table_that_no_transaction_protects_is_refused";
    let Some(target) = mariadb(test).await else { return };
    target.raw("CREATE TABLE t (id int PRIMARY KEY, n int) ENGINE=MyISAM").await;
    target.raw("INSERT INTO t VALUES (1, 0), (2, 0)").await;
    let other = mariadb(test).await.unwrap();
    other.raw(&format!("CREATE VIEW v AS SELECT * FROM {}.t", target.name)).await;
    let mut session = other.session().await;
    for table in [format!("{}.t", target.name), "v".to_owned()] {
        let there = format!(
            "-- skein:batch table={table} key=id size=5\n\
             UPDATE {table} SET n = n + 1 WHERE id BETWEEN {{from}} AND {{to}};"
        );
        let error = session.apply(&other.up("1", &there)).await.unwrap_err();
        assert!(error.message.contains("not transactional (MyISAM"), "{error}");
        assert_eq!(error.verdict, Verdict::Never);
    }
    session.close().await;
    other.remove().await;
    let mut session = target.session().await;
    let error = session.apply(&target.up("1", ADD)).await.unwrap_err();
    assert!(error.message.contains("not transactional (MyISAM"), "{error}");
    assert_eq!(error.verdict, Verdict::Never);
    assert_eq!(session.observe().await.unwrap().intent, None);
    assert_eq!(told(&target).await, "0..0");
    session.close().await;
    target.remove().await;
}

#[tokio::test]
async fn bookkeeping_belongs_to_whoever_connected() {
    let test = "bookkeeping_belongs_to_whoever_connected";
    let Some(target) = postgres(test).await else { return };
    fill(&target).await;
    let role = format!("skein_r_{}", uuid::Uuid::now_v7().simple());
    target.raw(&format!("CREATE ROLE {role}; GRANT SELECT, UPDATE ON t TO {role};")).await;
    let mut session = target.session().await;
    let order = target.up("1", &format!("SET ROLE {role};\n{ADD}"));
    assert!(is_applied(&session.apply(&order).await.unwrap()));
    assert_eq!(told(&target).await, "1..1");
    session.close().await;
    target.raw(&format!("DROP OWNED BY {role}; DROP ROLE {role};")).await;
    target.remove().await;
}
