//! How scripts are run, and which are refused.

use skein_bundle::sql::{Class, Dialect, Mode, ScriptPlan, plan_script};
use skein_bundle::{Finding, Format, MarkedStatement, Script, Transaction};

fn script(format: Format, transaction: Transaction, text: &str) -> Script {
    Script {
        format,
        file: "7_x.sql".to_owned(),
        line: 1,
        text: text.to_owned(),
        transaction,
        raw_digest: [0; 32],
        normalised_digest: [0; 32],
        marked: Vec::new(),
    }
}

fn wrapped(format: Format, text: &str) -> Script {
    script(format, Transaction::Wrapped, text)
}

#[track_caller]
fn ok(dialect: Dialect, script: &Script) -> ScriptPlan {
    match plan_script(dialect, script) {
        Ok(plan) => plan,
        Err(finding) => panic!("{finding}"),
    }
}

#[track_caller]
fn refused(dialect: Dialect, script: &Script, place: (u32, u32), message: &str, help: &str) {
    match plan_script(dialect, script) {
        Ok(plan) => panic!("must be refused: {plan:#?}"),
        Err(finding) => {
            let Finding { file, line, column, .. } = &finding;
            assert_eq!((file.as_str(), *line, *column), ("7_x.sql", place.0, place.1), "{finding}");
            assert!(finding.message.contains(message), "{finding}");
            assert!(finding.help.contains(help), "{finding}");
        }
    }
}

fn texts(plan: &ScriptPlan) -> Vec<&str> {
    match &plan.mode {
        Mode::StatementByStatement(statements) => {
            statements.iter().map(|one| one.text.as_str()).collect()
        }
        other => panic!("statement by statement was expected: {other:?}"),
    }
}

const BOTH: [Dialect; 2] = [Dialect::Postgres, Dialect::Sqlite];

#[test]
fn transactional_files_run_in_one() {
    for dialect in BOTH {
        let plan = ok(dialect, &wrapped(Format::Sqlx, "CREATE TABLE t (a INT);\nDROP TABLE t;"));
        assert_eq!(plan.mode, Mode::InTransaction);
        let judged: Vec<_> =
            plan.judged.iter().map(|one| (one.line, one.facts.destructive)).collect();
        assert_eq!(judged, [(1, false), (2, true)]);
        assert_eq!(ok(dialect, &wrapped(Format::Sqlx, "-- nothing")).mode, Mode::InTransaction);
        // Savepoints live inside the transaction.
        let inner = "SAVEPOINT a; SELECT 1; ROLLBACK TO a; RELEASE a;";
        assert_eq!(ok(dialect, &wrapped(Format::Sqlx, inner)).mode, Mode::InTransaction);
    }
}

#[test]
fn transaction_control_in_a_wrapped_file_is_refused_in_the_words_of_its_format() {
    for (format, help) in [
        (Format::Sqlx, "-- no-transaction"),
        (Format::Dbmate, "transaction:false"),
        (Format::Diesel, "run_in_transaction = false"),
        (Format::Goose, "-- +goose NO TRANSACTION"),
        (Format::GolangMigrate, "migration of its own"),
    ] {
        for dialect in BOTH {
            for statement in ["BEGIN", "COMMIT", "ROLLBACK", "END"] {
                let script = wrapped(format, &format!("SELECT 1;\n SELECT 2; {statement};"));
                refused(dialect, &script, (2, 12), &format!("`{statement}`"), help);
            }
        }
    }
    let outside = script(Format::Sqlx, Transaction::Outside, "BEGIN;\nSELECT 1;\nCOMMIT;");
    let plan = ok(Dialect::Postgres, &outside);
    assert_eq!(texts(&plan), ["BEGIN", "SELECT 1", "COMMIT"]);
    assert_eq!(plan.judged[0].facts.class, Class::TransactionControl);
}

#[test]
fn statements_that_no_transaction_takes() {
    let index = "CREATE INDEX CONCURRENTLY i ON t (a)";
    let pg = Dialect::Postgres;
    refused(
        pg,
        &wrapped(Format::Sqlx, &format!("\n{index};")),
        (2, 1),
        "CONCURRENTLY cannot run",
        "-- no-transaction",
    );
    refused(
        pg,
        &wrapped(Format::Diesel, &format!("x;{index};")),
        (1, 3),
        "cannot run",
        "metadata.toml",
    );
    let outside = script(Format::Sqlx, Transaction::Outside, &format!("{index};\nSELECT 1;"));
    assert_eq!(texts(&ok(pg, &outside)), [index, "SELECT 1"]);
    refused(
        Dialect::Sqlite,
        &wrapped(Format::Goose, "VACUUM;"),
        (1, 1),
        "VACUUM",
        "NO TRANSACTION",
    );
    refused(
        Dialect::Sqlite,
        &wrapped(Format::Dbmate, "PRAGMA journal_mode=WAL;"),
        (1, 1),
        "PRAGMA",
        "transaction:false",
    );
}

#[test]
fn golang_migrate_has_no_mark_so_that_one_statement_alone_is_enough() {
    let index = "CREATE INDEX CONCURRENTLY i ON t (a)";
    let alone = wrapped(Format::GolangMigrate, &format!("-- why\n{index};\n"));
    assert_eq!(texts(&ok(Dialect::Postgres, &alone)), [index]);
    let two = wrapped(Format::GolangMigrate, &format!("SELECT 1;\n{index};\n"));
    refused(Dialect::Postgres, &two, (2, 1), "cannot run", "alone in a migration of its own");
}

#[test]
fn a_new_enum_value_must_not_be_used_at_once() {
    let pg = Dialect::Postgres;
    let add = "ALTER TYPE y ADD VALUE IF NOT EXISTS 'z';\n";
    let free =
        wrapped(Format::Sqlx, &format!("{add}ALTER TYPE y ADD VALUE 'w' AFTER 'z';\nSELECT 'q';"));
    assert_eq!(ok(pg, &free).mode, Mode::InTransaction);
    let used = wrapped(Format::Sqlx, &format!("SELECT 1;\n{add}UPDATE t SET a = 'z';"));
    refused(pg, &used, (2, 1), "line 3 uses the value 'z'", "its own migration");
}

#[test]
fn foreign_keys_of_sqlite_are_set_before_the_transaction() {
    let lite = Dialect::Sqlite;
    let plan = |text: &str| ok(lite, &wrapped(Format::GolangMigrate, text));
    assert_eq!(plan("DROP TABLE t;").sqlite_foreign_keys, None);
    let idiom = "PRAGMA foreign_keys = OFF;\nDROP TABLE t;\nPRAGMA foreign_keys=ON;";
    let found = plan(idiom);
    assert_eq!((found.mode, found.sqlite_foreign_keys), (Mode::InTransaction, Some(false)));
    assert_eq!(plan("pragma foreign_keys(1); DROP TABLE t;").sqlite_foreign_keys, Some(true));
    let late = wrapped(Format::Sqlx, "DROP TABLE t;\nPRAGMA foreign_keys=0;\nDROP TABLE u;");
    refused(lite, &late, (2, 1), "ignores PRAGMA foreign_keys", "top of the file");
    let on: Vec<Format> =
        Format::ALL.into_iter().filter(|format| format.sqlite_foreign_keys()).collect();
    assert_eq!(on, [Format::Sqlx]);
}

#[test]
fn mysql_goes_statement_by_statement_where_the_splitter_is_sure() {
    let my = Dialect::Mysql;
    let text =
        "CREATE TABLE t (a INT);\nDELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; END//\n";
    let plan = ok(my, &wrapped(Format::GolangMigrate, text));
    assert_eq!(
        texts(&plan),
        ["CREATE TABLE t (a INT)", "CREATE PROCEDURE p() BEGIN SELECT 1; END"]
    );
    assert_eq!(plan.judged[1].line, 3);
    let unsure = ok(my, &wrapped(Format::GolangMigrate, "SELECT 1;\nEND;"));
    let Mode::WholeUnit { why } = &unsure.mode else { panic!("{unsure:?}") };
    assert!(why.contains("(line 2)"), "{why}");
    // A transaction of the author's own is told by its class, and the executor keeps it together.
    for own in [
        "START TRANSACTION; DELETE FROM t; COMMIT; SELECT 1",
        "BEGIN; SAVEPOINT a; ROLLBACK TO a; COMMIT",
    ] {
        let plan = ok(my, &wrapped(Format::GolangMigrate, own));
        assert_eq!(texts(&plan).len(), 4);
        assert_eq!(plan.judged[0].facts.class, Class::TransactionControl);
    }
    // What cannot be kept together so would be ended by the first progress row.
    for text in [
        "START TRANSACTION; CREATE TABLE t (a INT); COMMIT;",
        "START TRANSACTION; DELETE FROM t;",
        "START TRANSACTION; DELETE FROM t; ROLLBACK;",
        "SELECT 1; COMMIT;",
        "SELECT 1; LOCK TABLES t WRITE;",
        "SET autocommit=0;",
        "XA START 'a'; XA END 'a';",
    ] {
        let plan = ok(my, &wrapped(Format::GolangMigrate, text));
        assert!(
            matches!(&plan.mode, Mode::WholeUnit { why } if why.contains("line 1")),
            "{plan:?}"
        );
    }
    let both = "START TRANSACTION;\nDELIMITER //\nSELECT 1//\n";
    refused(my, &wrapped(Format::Sqlx, both), (1, 1), "DELIMITER", "of its own");
    let lost = "SELECT 1;\nEND;\nDELIMITER //\n";
    refused(my, &wrapped(Format::Sqlx, lost), (2, 1), "DELIMITER", "between two delimiters");
}

#[test]
fn commands_of_clients_are_refused() {
    refused(
        Dialect::Postgres,
        &wrapped(Format::Sqlx, "SELECT 1 \\gset\n"),
        (1, 10),
        "psql",
        "as SQL",
    );
    refused(
        Dialect::Postgres,
        &wrapped(Format::Sqlx, "SELECT 1;\nCOPY t (a) FROM STDIN;"),
        (2, 1),
        "STDIN",
        "INSERT",
    );
    refused(Dialect::Mysql, &wrapped(Format::Sqlx, "x;\n\\. y.sql"), (2, 1), "mysql", "as SQL");
    refused(Dialect::Mysql, &wrapped(Format::Sqlx, "source y.sql"), (1, 1), "source", "as SQL");
    refused(Dialect::Sqlite, &wrapped(Format::Sqlx, ".mode csv\n"), (1, 1), "sqlite3", "as SQL");
    // NULL by another name.
    assert_eq!(texts(&ok(Dialect::Mysql, &wrapped(Format::Sqlx, "SELECT \\N;"))), ["SELECT \\N"]);
}

#[test]
fn what_is_never_closed_is_refused_where_it_opens() {
    for dialect in BOTH {
        refused(
            dialect,
            &wrapped(Format::Sqlx, "SELECT 1;\nSELECT 'a;"),
            (2, 8),
            "never closed",
            "close it",
        );
    }
    let open = "CREATE FUNCTION f() RETURNS int\nBEGIN ATOMIC SELECT 1;";
    let plan = ok(Dialect::Postgres, &wrapped(Format::Sqlx, open));
    assert!(matches!(&plan.mode, Mode::WholeUnit { why } if why.contains("(line 2)")), "{plan:?}");
}

#[test]
fn pieces_that_a_format_marks_are_kept_apart() {
    let mut goose = wrapped(Format::Goose, "");
    goose.marked = vec![
        MarkedStatement { line: 4, text: "CREATE PROCEDURE p() BEGIN SELECT end; END;".to_owned() },
        MarkedStatement { line: 9, text: "SELECT 1;\nSELECT 2;".to_owned() },
    ];
    let plan = ok(Dialect::Mysql, &goose);
    // The first is beyond the splitter, and the author has said where it ends.
    let lines: Vec<u32> = plan.judged.iter().map(|one| one.line).collect();
    assert_eq!(lines, [4, 9, 10]);
    assert_eq!(texts(&plan)[1..], ["SELECT 1", "SELECT 2"]);
    goose.marked =
        vec![MarkedStatement { line: 4, text: "CREATE FUNCTION f() AS $$ BEGIN;".to_owned() }];
    refused(Dialect::Postgres, &goose, (4, 24), "never closed", "close it");
}
