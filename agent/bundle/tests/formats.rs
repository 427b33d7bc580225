//! What each format reads into.

mod fixture;

use fixture::dir;
use skein_bundle::{Bundle, Digits, Format, Migration, Order, Script, Transaction, read};

#[track_caller]
fn ok(files: &[(&str, &str)], choice: Option<Format>) -> Bundle {
    let dir = dir(files);
    match read(dir.path(), choice) {
        Ok(bundle) => bundle,
        Err(error) => panic!("{error}"),
    }
}

fn versions(bundle: &Bundle) -> Vec<&str> {
    bundle.migrations.iter().map(|migration| migration.version.as_str()).collect()
}

fn only(bundle: &Bundle) -> &Migration {
    match bundle.migrations.as_slice() {
        [only] => only,
        other => panic!("one migration was expected: {other:#?}"),
    }
}

fn marked(script: &Script) -> Vec<(u32, &str)> {
    script.marked.iter().map(|piece| (piece.line, piece.text.as_str())).collect()
}

#[test]
fn golang_migrate() {
    let bundle = ok(
        &[
            ("10_ten.up.sql", "SELECT 10;"),
            ("0002_two.up.sql", "-- nothing\n"),
            ("0002_other.down.sql", "SELECT -2;"),
            ("99999999999999999999999_far.beyond.up.sql", "SELECT 3;"),
            ("README.md", "-- +goose Up"),
            ("embed.go", "package migrations"),
        ],
        None,
    );
    assert_eq!(bundle.format, Format::GolangMigrate);
    assert_eq!(versions(&bundle), ["2", "10", "99999999999999999999999"]);
    assert_eq!(bundle.warnings, []);
    let [two, ten, far] = bundle.migrations.as_slice() else { panic!() };
    assert_eq!((two.name.as_str(), far.name.as_str()), ("two", "far.beyond"));
    assert_eq!(two.down.as_ref().unwrap().text, "SELECT -2;");
    assert_eq!(two.down.as_ref().unwrap().file, "0002_other.down.sql");
    assert_eq!(ten.down, None);
    assert_eq!(ten.up.transaction, Transaction::Wrapped);
    assert_eq!(ten.order, Order::Number(Digits::parse("10").unwrap()));
    assert_eq!((ten.up.line, ten.up.format), (1, Format::GolangMigrate));
}

#[test]
fn golang_migrate_allows_a_down_alone_and_says_so() {
    let bundle = ok(&[("1_a.up.sql", "x"), ("2_b.down.sql", "y"), ("notes.sql", "z")], None);
    assert_eq!(versions(&bundle), ["1"]);
    let warned: Vec<&str> = bundle.warnings.iter().map(|warning| warning.file.as_str()).collect();
    assert_eq!(warned, ["2_b.down.sql", "notes.sql"]);
    assert!(bundle.warnings[0].message.contains("version 2"));
}

#[test]
fn sqlx() {
    let bundle = ok(
        &[
            ("20240102_plain_one.sql", "SELECT 1;"),
            ("3_pair.up.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON t (a);"),
            ("3_pair.down.sql", "DROP INDEX i;"),
            ("4_late.sql", "\n-- no-transaction\nSELECT 1;"),
        ],
        None,
    );
    assert_eq!(bundle.format, Format::Sqlx);
    assert_eq!(versions(&bundle), ["3", "4", "20240102"]);
    let [pair, late, plain] = bundle.migrations.as_slice() else { panic!() };
    assert_eq!(pair.up.transaction, Transaction::Outside);
    assert_eq!(pair.down.as_ref().unwrap().transaction, Transaction::Wrapped);
    assert_eq!(late.up.transaction, Transaction::Wrapped);
    assert_eq!((bundle.warnings[0].file.as_str(), bundle.warnings[0].line), ("4_late.sql", 2));
    assert_eq!((plain.name.as_str(), &plain.down), ("plain_one", &None));
}

#[test]
fn a_byte_order_mark_hides_no_transaction_from_sqlx() {
    let bundle = ok(&[("1_a.sql", "\u{feff}-- no-transaction\nSELECT 1;")], None);
    assert_eq!(only(&bundle).up.transaction, Transaction::Wrapped);
    assert!(only(&bundle).up.text.starts_with("--"));
    assert!(bundle.warnings.iter().any(|warning| warning.message.contains("byte order mark")));
}

#[test]
fn dbmate() {
    let text = "-- made by hand\n\n-- migrate:up transaction:false\nCREATE TABLE a (b INT);\n\
                -- migrate:down\nDROP TABLE a;\n";
    let bundle =
        ok(&[("20200101_a.sql", text), ("0100-b.sql", "-- migrate:up\n--migrate:down")], None);
    assert_eq!(bundle.format, Format::Dbmate);
    assert_eq!(versions(&bundle), ["0100", "20200101"]);
    let [empty, made] = bundle.migrations.as_slice() else { panic!() };
    assert_eq!((empty.name.as_str(), empty.up.text.as_str()), ("b", ""));
    assert_eq!((made.up.line, made.up.text.as_str()), (4, "CREATE TABLE a (b INT);\n"));
    let down = made.down.as_ref().unwrap();
    assert_eq!((down.line, down.text.as_str()), (6, "DROP TABLE a;\n"));
    assert_eq!(
        (made.up.transaction, down.transaction),
        (Transaction::Outside, Transaction::Wrapped)
    );
    assert_eq!(made.order, Order::Text("20200101_a.sql".to_owned()));
    assert_eq!(made.up.raw_digest, down.raw_digest);
    assert_ne!(made.up.normalised_digest, down.normalised_digest);
}

#[test]
fn dbmate_with_several_sections_goes_down_in_reverse() {
    let text = "-- migrate:up\nup 1;\n-- migrate:down\ndown 1;\n-- migrate:up\nup 2;\n-- migrate:down\ndown 2;\n";
    let bundle = ok(&[("1_a.sql", text)], None);
    let Migration { up, down, .. } = only(&bundle);
    let down = down.as_ref().unwrap();
    assert_eq!((up.text.as_str(), down.text.as_str()), ("up 1;\nup 2;\n", "down 2;\ndown 1;\n"));
    assert_eq!(marked(up), [(2, "up 1;\n"), (6, "up 2;\n")]);
    assert_eq!(marked(down), [(8, "down 2;\n"), (4, "down 1;\n")]);
}

#[test]
fn diesel() {
    let bundle = ok(
        &[
            ("2024-05-04-090241_initial/up.sql", "CREATE TABLE a (b INT);"),
            ("2024-05-04-090241_initial/down.sql", "DROP TABLE a;"),
            ("2024-05-05-000000_quick/up.sql", "CREATE INDEX CONCURRENTLY i ON a (b);"),
            ("2024-05-05-000000_quick/metadata.toml", "run_in_transaction = false"),
            ("2024-05-06-000000_keyless/up.sql", "SELECT 1;"),
            ("2024-05-06-000000_keyless/metadata.toml", "other = 1"),
            ("2024-05-07-000000_broken/up.sql", "SELECT 1;"),
            ("2024-05-07-000000_broken/metadata.toml", "\nrun_in_transaction: 1"),
            ("2024-05-08-000000_kept/up.sql", "SELECT 1;"),
            ("2024-05-08-000000_kept/metadata.toml", "run_in_transaction = true"),
            (".hidden/notes.txt", "x"),
            (".keep", ""),
        ],
        None,
    );
    assert_eq!(bundle.format, Format::Diesel);
    assert_eq!(
        versions(&bundle),
        ["20240504090241", "20240505000000", "20240506000000", "20240507000000", "20240508000000"]
    );
    let transactions: Vec<Transaction> =
        bundle.migrations.iter().map(|migration| migration.up.transaction).collect();
    assert_eq!(
        transactions,
        [
            Transaction::Wrapped,
            Transaction::Outside,
            Transaction::Outside,
            Transaction::Wrapped,
            Transaction::Wrapped
        ]
    );
    assert_eq!(bundle.migrations[0].name, "initial");
    assert_eq!(bundle.migrations[0].up.file, "2024-05-04-090241_initial/up.sql");
    let [warning] = bundle.warnings.as_slice() else { panic!("{:?}", bundle.warnings) };
    assert_eq!(warning.file, "2024-05-07-000000_broken/metadata.toml");
    assert_eq!(warning.line, 2);
}

#[test]
fn goose() {
    let text = "-- a word before\n\n-- +goose Up\n-- dropped\nCREATE TABLE a (\n  b INT -- kept;\n);\n\
                -- +goose StatementBegin\nCREATE FUNCTION f() AS $$ BEGIN; END; $$;\n-- +goose StatementEnd\n\
                SELECT 1; -- end\n-- +goose down\nDROP TABLE a;\n";
    let bundle = ok(&[("00001_a.sql", text), ("00002_b_test.go", "package x"), ("x.go", "")], None);
    assert_eq!(bundle.format, Format::Goose);
    let Migration { version, name, up, down, .. } = only(&bundle);
    assert_eq!((version.as_str(), name.as_str()), ("1", "a"));
    assert_eq!(
        marked(up),
        [
            (5, "CREATE TABLE a (\n  b INT -- kept;\n);"),
            (9, "CREATE FUNCTION f() AS $$ BEGIN; END; $$;"),
            (11, "SELECT 1; -- end"),
        ]
    );
    assert_eq!(marked(down.as_ref().unwrap()), [(13, "DROP TABLE a;")]);
    // The annotations are gone, the lines are where they were.
    assert_eq!(up.line, 4);
    assert!(!up.text.contains("+goose"));
    assert_eq!(up.text.lines().nth(5), Some("CREATE FUNCTION f() AS $$ BEGIN; END; $$;"));
}

#[test]
fn goose_no_transaction_covers_both_directions() {
    let bundle = ok(
        &[(
            "1_a.sql",
            "-- +goose NO TRANSACTION\n-- +goose Up\nx;\n--+GOOSE Down\ny;\n-- +goose envsub off",
        )],
        None,
    );
    let Migration { up, down, .. } = only(&bundle);
    assert_eq!(up.transaction, Transaction::Outside);
    assert_eq!(down.as_ref().unwrap().transaction, Transaction::Outside);
    let bundle = ok(&[("1_a.sql", "-- +goose Up\nx;\n")], None);
    assert_eq!(only(&bundle).down, None);
}

#[test]
fn verify_and_probe_stand_beside_any_format() {
    for (format, files) in [
        (Format::GolangMigrate, vec![("1_a.up.sql", "x"), ("1_a.down.sql", "y")]),
        (Format::Sqlx, vec![("1_a.sql", "x")]),
        (Format::Dbmate, vec![("1_a.sql", "-- migrate:up\nx\n-- migrate:down\ny")]),
        (Format::Goose, vec![("1_a.sql", "-- +goose Up\nx;")]),
    ] {
        let mut files = files;
        files.extend([("1_a.verify.sql", "SELECT true"), ("1_a.probe.sql", "SELECT false")]);
        let bundle = ok(&files, None);
        assert_eq!(bundle.format, format);
        let migration = only(&bundle);
        assert_eq!(migration.verify.as_ref().unwrap().text, "SELECT true", "{format}");
        assert_eq!(migration.probe.as_ref().unwrap().file, "1_a.probe.sql", "{format}");
        assert_eq!(bundle.warnings, []);
    }
    let bundle = ok(&[("1_a/up.sql", "x"), ("1_a/verify.sql", "v"), ("1_a/probe.sql", "p")], None);
    assert_eq!(only(&bundle).verify.as_ref().unwrap().file, "1_a/verify.sql");
    assert_eq!(only(&bundle).probe.as_ref().unwrap().text, "p");
}

#[test]
fn detection_goes_by_evidence() {
    let goose = "-- +goose Up\nx;";
    let dbmate = "-- migrate:up\n-- migrate:down\n";
    for (files, format) in [
        (vec![("1_a.up.sql", "x")], Format::GolangMigrate),
        (vec![("1_a.up.sql", "-- no-transaction\nx")], Format::Sqlx),
        (vec![("1_a.up.sql", "x"), ("2_b.sql", "y")], Format::Sqlx),
        (vec![("1_a.sql", "x")], Format::Sqlx),
        (vec![("1_a.sql", goose), ("2_b.up.sql", goose)], Format::Goose),
        (vec![("1_a.up.sql", dbmate)], Format::Dbmate),
        (vec![("1_a/up.sql", "x"), ("seed.sql", "y")], Format::Diesel),
        (vec![("1_a.up.sql", "x"), ("1_a.probe.sql", "y")], Format::GolangMigrate),
    ] {
        assert_eq!(ok(&files, None).format, format, "{files:?}");
    }
}

#[test]
fn files_that_a_format_reads_past_are_named() {
    let bundle = ok(&[("1_a.sql", "x"), ("old/0_z.sql", "y"), ("seed.sql", "z")], None);
    let named: Vec<&str> = bundle.warnings.iter().map(|warning| warning.file.as_str()).collect();
    assert_eq!(named, ["old/0_z.sql", "seed.sql"]);
}

#[test]
fn the_normalised_digest_passes_over_comments_and_the_raw_one_does_not() {
    let read = |text: &str| only(&ok(&[("1_a.sql", text)], None)).up.clone();
    let one = read("CREATE TABLE a (b INT);");
    let other = read("-- why\nCREATE  TABLE a\n  (b INT); /* because */\n");
    let third = read("CREATE TABLE a (b INTEGER);");
    assert_ne!(one.raw_digest, other.raw_digest);
    assert_eq!(one.normalised_digest, other.normalised_digest);
    assert_ne!(one.normalised_digest, third.normalised_digest);
    // What is a comment here and runs there counts as a change.
    assert_ne!(read("x; /*!1 y */").normalised_digest, read("x; /*!1 z */").normalised_digest);
    assert_ne!(read("'a'\n'b'").normalised_digest, read("'a' 'b'").normalised_digest);
    assert_ne!(read("x 'a  b'").normalised_digest, read("x 'a b'").normalised_digest);
}
