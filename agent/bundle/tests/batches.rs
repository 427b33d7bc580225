//! The directive in front of a statement that runs in batches.

mod fixture;

use skein_bundle::sql::batch::Part;
use skein_bundle::sql::normalise::digest;
use skein_bundle::sql::{Batch, Class, Dialect, Mode, ScriptPlan, Statement, plan_script};
use skein_bundle::{Finding, Format, Script, Transaction, read};

const ALL: [Dialect; 3] = [Dialect::Postgres, Dialect::Mysql, Dialect::Sqlite];
const MARK: &str = "-- skein:batch table=users key=id size=500\n";
const UPDATE: &str = "UPDATE users SET n = n + 1 WHERE id BETWEEN {from} AND {to};\n";

fn script(text: &str) -> Script {
    Script {
        format: Format::Sqlx,
        file: "7_x.sql".to_owned(),
        line: 1,
        text: text.to_owned(),
        transaction: Transaction::Wrapped,
        raw_digest: [0; 32],
        normalised_digest: [0; 32],
        marked: Vec::new(),
    }
}

#[track_caller]
fn statements(plan: &ScriptPlan) -> &[Statement] {
    match &plan.mode {
        Mode::StatementByStatement(statements) => statements,
        other => panic!("statement by statement was expected: {other:?}"),
    }
}

#[track_caller]
fn batch(dialect: Dialect, text: &str) -> Batch {
    match plan_script(dialect, &script(text)) {
        Ok(plan) => statements(&plan).last().and_then(|one| one.batch.clone()).expect("a batch"),
        Err(finding) => panic!("{finding}"),
    }
}

#[track_caller]
fn refused(dialect: Dialect, text: &str, place: (u32, u32), message: &str) {
    match plan_script(dialect, &script(text)) {
        Ok(plan) => panic!("must be refused: {plan:#?}"),
        Err(finding) => {
            let Finding { line, column, .. } = finding;
            assert_eq!((line, column), place, "{finding}");
            assert!(finding.message.contains(message), "{finding}");
        }
    }
}

#[test]
fn a_directive_makes_a_batch_of_the_statement_below_it() {
    for dialect in ALL {
        let text = format!("ALTER TABLE users ADD COLUMN n int;\n\n{MARK}-- as before\n{UPDATE}");
        let plan = plan_script(dialect, &script(&text)).unwrap();
        let [alter, update] = statements(&plan) else { panic!("{plan:?}") };
        assert_eq!((alter.class, &alter.batch), (Class::Ddl, &None));
        let batch = update.batch.as_ref().expect("a batch");
        assert_eq!((batch.table.as_slice(), batch.key.as_str()), (&["users".to_owned()][..], "id"));
        assert_eq!((batch.size, update.line, plan.judged[1].batch.as_ref()), (500, 5, Some(batch)));
        assert_eq!(
            batch.statement("'a'", "7"),
            "UPDATE users SET n = n + 1 WHERE id BETWEEN 'a' AND 7"
        );
        assert_eq!(batch.summary(), "users by id, 500 at a time");
    }
}

#[test]
fn names_may_be_quoted_and_stand_in_a_schema() {
    let text = "-- skein:batch size=10 key=\"Order Id\" table=shop.\"Big Sales\"\n\
                DELETE FROM shop.\"Big Sales\" WHERE \"Order Id\" >= {from} AND \"Order Id\" <= {to}";
    let batch = batch(Dialect::Postgres, text);
    assert_eq!(batch.table, ["shop", "Big Sales"]);
    assert_eq!((batch.key.as_str(), batch.size), ("Order Id", 10));
}

#[test]
fn places_for_keys_are_code_and_nothing_else() {
    let text = "-- skein:batch table=t key=id size=1\n\
                UPDATE t SET a = '{from}' /* {to} */, b = x::int WHERE id BETWEEN {from} AND {to} OR id = {to}";
    let parts = batch(Dialect::Postgres, text).parts;
    let holes: Vec<_> = parts.iter().filter(|part| !matches!(part, Part::Text(_))).collect();
    assert_eq!(holes, [&Part::From, &Part::To, &Part::To]);
    let only = "-- skein:batch table=t key=id size=1\nUPDATE t SET a = '{from}' WHERE id <= {to}";
    refused(Dialect::Sqlite, only, (2, 1), "no place for {from}");
}

#[test]
fn what_cannot_run_in_batches_is_refused_with_its_place() {
    let directive = |text: &str| format!("{text}\n{UPDATE}");
    for (text, place, message) in [
        (directive("-- skein:bach table=users key=id size=5"), (1, 1), "no directive `skein:bach`"),
        (directive("-- skein:batch table=users key=id"), (1, 1), "does not say its size"),
        (directive("-- skein:batch table=users size=5"), (1, 1), "by which key"),
        (directive("-- skein:batch key=id size=5"), (1, 1), "which table"),
        (directive("-- skein:batch table=users key=id size=0"), (1, 1), "from 1 to 1000000"),
        (directive("-- skein:batch table=users key=id size=5k"), (1, 1), "from 1 to 1000000"),
        (directive("-- skein:batch table=users key=a.b size=5"), (1, 1), "too many parts"),
        (directive("-- skein:batch table=users key=id key=id size=5"), (1, 1), "said twice"),
        (
            directive("-- skein:batch table=users key=id size=5 pace=3"),
            (1, 1),
            "`pace` is no setting",
        ),
        (directive("-- skein:batch table=users key=id size=5;"), (1, 1), "the value of `size`"),
        (directive("-- skein:batch table=user key=id size=5"), (2, 1), "does not name both"),
        (format!("{MARK}{MARK}{UPDATE}"), (2, 1), "a second directive"),
        (format!("{UPDATE}{MARK}"), (2, 1), "no statement follows"),
        (format!("UPDATE users\n{MARK}SET n = 1;"), (2, 1), "in or behind a statement"),
        (format!("SELECT 1; {MARK}{UPDATE}"), (1, 11), "in or behind a statement"),
        (UPDATE.to_owned(), (1, 1), "no directive says of which table"),
        (format!("{MARK}UPDATE users SET n = 1;"), (2, 1), "every row"),
        (format!("{MARK}DROP TABLE users;"), (2, 1), "only a statement that changes rows"),
        (
            format!("{MARK}{UPDATE}BEGIN;\nSELECT 1;\nCOMMIT;"),
            (3, 1),
            "`BEGIN` in a file with a batched",
        ),
    ] {
        for dialect in ALL {
            refused(dialect, &text, place, message);
        }
    }
    let locked = format!("LOCK TABLES users WRITE;\n{MARK}{UPDATE}");
    refused(Dialect::Mysql, &locked, (1, 1), "`LOCK TABLES users WRITE` in a file with a batched");
    let unsure = format!("{MARK}{UPDATE}CREATE TRIGGER t BEFORE INSERT ON users BEGIN SELECT 1;");
    refused(Dialect::Sqlite, &unsure, (1, 1), "the file cannot be cut into statements");
}

#[test]
fn every_format_keeps_its_directives() {
    let sql = format!("{MARK}{UPDATE}");
    let down = format!("{MARK}UPDATE users SET n = n - 1 WHERE id BETWEEN {{from}} AND {{to}};\n");
    for files in [
        vec![("1_a.up.sql", sql.clone()), ("1_a.down.sql", down.clone())],
        vec![("20240101000000_a.sql", format!("-- migrate:up\n{sql}\n-- migrate:down\n{down}"))],
        vec![("00001_a.sql", format!("-- +goose Up\nSELECT 1;\n{sql}\n-- +goose Down\n{down}"))],
        vec![("2024-01-01-000000_a/up.sql", sql), ("2024-01-01-000000_a/down.sql", down)],
    ] {
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let bundle = read(fixture::dir(&files).path(), None).unwrap();
        let migration = bundle.migrations.first().expect("a migration");
        for script in [&migration.up, migration.down.as_ref().expect("a down script")] {
            for dialect in ALL {
                let plan = plan_script(dialect, script).unwrap();
                let last = statements(&plan).last().expect("a statement");
                assert!(last.batch.is_some(), "{:?} {dialect:?}: {plan:?}", bundle.format);
            }
        }
    }
}

#[test]
fn a_directive_is_no_comment_to_a_digest() {
    let other = "-- skein:batch table=users key=mail size=500\n";
    assert_ne!(digest(&format!("{MARK}{UPDATE}")), digest(&format!("{other}{UPDATE}")));
    assert_eq!(digest(&format!("{MARK}{UPDATE}")), digest(&format!("-- why\n{MARK}\n  {UPDATE}")));
}
