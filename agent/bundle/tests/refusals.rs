//! Every refusal names the file, the line and what to do.

mod fixture;

use std::fs;
use std::path::Path;

use fixture::dir;
use skein_bundle::{FILE_BYTES_MAX, Finding, Format, ReadError, read};

fn error(path: &Path, choice: Option<Format>) -> ReadError {
    match read(path, choice) {
        Ok(bundle) => panic!("must be refused: {bundle:#?}"),
        Err(error) => error,
    }
}

/// Exactly one finding, at `place`, with `message` and `help` in it.
#[track_caller]
fn refused(files: &[(&str, &str)], choice: Option<Format>, place: &str, message: &str, help: &str) {
    let dir = dir(files);
    let error = error(dir.path(), choice);
    let [finding] = error.findings.as_slice() else { panic!("one finding was expected:\n{error}") };
    one(finding, place, message, help);
    assert_eq!(error.to_string(), finding.to_string());
}

#[track_caller]
fn one(finding: &Finding, place: &str, message: &str, help: &str) {
    let Finding { file, line, column, .. } = finding;
    assert_eq!(format!("{file}:{line}:{column}"), place, "{finding}");
    assert!(finding.message.contains(message), "{finding}");
    assert!(finding.help.contains(help), "{finding}");
    let shown = finding.to_string();
    assert!(shown.starts_with("error: ") && shown.contains(&format!("\n --> {place}\n help: ")));
}

#[test]
fn golang_migrate() {
    let format = Some(Format::GolangMigrate);
    refused(
        &[("1_a.up.sql", "x"), ("001_b.up.sql", "y")],
        None,
        "1_a.up.sql:1:1",
        "taken by 001_b.up.sql",
        "of its own",
    );
    refused(
        &[("1_a.up.sql", "x"), ("1.up.sql", "y")],
        format,
        "1.up.sql:1:1",
        "no name",
        "N_name.up.sql",
    );
    refused(&[("1_.up.sql", "y")], format, "1_.up.sql:1:1", "no name", "N_name.up.sql");
    refused(
        &[("1_a.up.sql", "x"), ("2_b.up.json", "y")],
        format,
        "2_b.up.json:1:1",
        "only SQL",
        "remove it",
    );
}

#[test]
fn sqlx() {
    let format = Some(Format::Sqlx);
    refused(
        &[("1_a.sql", "x"), ("2_b.down.sql", "y")],
        None,
        "2_b.down.sql:1:1",
        "version 2 has a down file and no up",
        "add the up file",
    );
    refused(
        &[("1_a.sql", "x"), ("01_a.up.sql", "y")],
        None,
        "1_a.sql:1:1",
        "version 1 is taken by 01_a.up.sql",
        "of its own",
    );
    refused(
        &[("1_a.sql", "x"), ("b_c.sql", "y")],
        None,
        "b_c.sql:1:1",
        "`b` before",
        "number in front",
    );
    refused(&[("1_.sql", "x")], format, "1_.sql:1:1", "no name", "N_name.sql");
}

#[test]
fn dbmate() {
    let format = Some(Format::Dbmate);
    refused(
        &[("1_a.sql", "-- migrate:up\nx")],
        None,
        "1_a.sql:1:1",
        "no `-- migrate:down`",
        "add the line",
    );
    refused(&[("1_a.sql", "SELECT 1;")], format, "1_a.sql:1:1", "SQL before the first", "below");
    refused(
        &[("1_a.sql", "-- nothing\n")],
        format,
        "1_a.sql:1:1",
        "no `-- migrate:up`",
        "add the line",
    );
    refused(
        &[("1_a.sql", "\n-- migrate:down\nx")],
        None,
        "1_a.sql:2:1",
        "without a `-- migrate:up`",
        "write each",
    );
    refused(
        &[("1_a.sql", "-- migrate:up\n-- migrate:up\n-- migrate:down")],
        None,
        "1_a.sql:2:1",
        "without a `-- migrate:down`",
        "write each",
    );
    refused(
        &[("1_a.sql", "-- migrate:up\n  -- migrate:down\n-- migrate:down")],
        None,
        "1_a.sql:2:1",
        "indented",
        "white space",
    );
    let both = "-- migrate:up\n-- migrate:down\n";
    refused(
        &[("1_a.sql", both), ("1_b.sql", both)],
        None,
        "1_b.sql:1:1",
        "taken by 1_a.sql",
        "of its own",
    );
    refused(
        &[(
            "1_a.sql",
            "-- migrate:up\nx\n-- migrate:down\n-- migrate:up transaction:false\ny\n-- migrate:down\n",
        )],
        None,
        "1_a.sql:4:1",
        "differ in transaction",
        "split the file",
    );
}

#[test]
fn diesel() {
    refused(
        &[("1_a/up.sql", "x"), ("2_b/down.sql", "y")],
        None,
        "2_b:1:1",
        "no up.sql",
        "add up.sql",
    );
    refused(
        &[("1_a/up.sql", "x"), ("2_b/notes.txt", "y")],
        None,
        "2_b:1:1",
        "no up.sql",
        "add up.sql",
    );
    refused(&[("1_a/up.sql", "")], None, "1_a/up.sql:1:1", "empty", "nothing to do");
    refused(
        &[("1_a/up.sql", "x"), ("1_b/up.sql", "x")],
        None,
        "1_b/up.sql:1:1",
        "taken by 1_a/up.sql",
        "of its own",
    );
    refused(
        &[("20-24_a/up.sql", "x"), ("2024_b/up.sql", "x")],
        None,
        "2024_b/up.sql:1:1",
        "taken by 20-24_a/up.sql",
        "of its own",
    );
    refused(&[("_a/up.sql", "x")], None, "_a:1:1", "no version", "YYYY");
}

#[test]
fn goose() {
    let format = Some(Format::Goose);
    let file = |text: &'static str| [("1_a.sql", text)];
    refused(
        &file("-- +goose Up\nSELECT 1\n"),
        None,
        "1_a.sql:2:1",
        "no semicolon",
        "StatementBegin",
    );
    refused(
        &file("-- +goose Up\nx;\n\nSELECT 1\n-- +goose Down\ny;"),
        None,
        "1_a.sql:4:1",
        "no semicolon",
        "end it with",
    );
    refused(
        &file("-- +goose Up\n  -- +goose Down\n"),
        None,
        "1_a.sql:2:1",
        "indented",
        "white space",
    );
    refused(
        &file("-- +goose Up\n-- +goose ENVSUB ON\nx;"),
        None,
        "1_a.sql:2:1",
        "environment",
        "write the values out",
    );
    refused(
        &file("-- +goose Up\n-- +goose Sideways\n"),
        None,
        "1_a.sql:2:1",
        "`+goose Sideways`",
        "NO TRANSACTION",
    );
    refused(&file("-- +goose Up\n-- +goose Up\n"), None, "1_a.sql:2:1", "second", "keep one");
    refused(
        &file("\n-- +goose Down\n"),
        None,
        "1_a.sql:2:1",
        "without a `-- +goose Up`",
        "begin the file",
    );
    refused(&file("x;\n-- +goose NO TRANSACTION"), None, "1_a.sql:1:1", "SQL before", "below");
    refused(&file("SELECT 1;"), format, "1_a.sql:1:1", "SQL before", "below");
    refused(&file("-- nothing"), format, "1_a.sql:1:1", "no `-- +goose Up`", "above the first");
    refused(
        &file("-- +goose Up\n-- +goose StatementBegin\nx;\n"),
        None,
        "1_a.sql:2:1",
        "without its `-- +goose StatementEnd`",
        "add a line",
    );
    refused(
        &file("-- +goose Up\n-- +goose StatementEnd\nx;\n"),
        None,
        "1_a.sql:2:1",
        "without its `-- +goose StatementBegin`",
        "remove this line",
    );
    refused(
        &file("-- +goose StatementBegin\n-- +goose Up\n"),
        None,
        "1_a.sql:1:1",
        "outside of Up and Down",
        "close each",
    );
    let up = "-- +goose Up\nx;";
    refused(
        &[("1_a.sql", up), ("2_b.go", "package x")],
        None,
        "2_b.go:1:1",
        "written in Go",
        "write its statements as SQL",
    );
    refused(
        &[("1_a.sql", up), ("01_b.sql", up)],
        None,
        "1_a.sql:1:1",
        "taken by 01_b.sql",
        "of its own",
    );
    refused(&[("0_a.sql", up)], None, "0_a.sql:1:1", "version 0", "version 1");
}

#[test]
fn mixed_formats_are_named_with_their_files() {
    let dir = dir(&[("1_a.up.sql", "x"), ("2_b.sql", "-- +goose Up\nx;"), ("3_c/up.sql", "x")]);
    let error = error(dir.path(), None);
    let [finding] = error.findings.as_slice() else { panic!("{error}") };
    for part in ["golang-migrate or sqlx (1_a.up.sql)", "goose (2_b.sql)", "diesel (3_c)"] {
        assert!(finding.message.contains(part), "{finding}");
    }
    assert!(finding.help.contains("--format"));
    assert_eq!(finding.file, dir.path().display().to_string());
    // A choice settles it.
    assert_eq!(read(dir.path(), Some(Format::Diesel)).unwrap().migrations.len(), 1);
}

#[test]
fn other_tools_are_named() {
    for (file, text, tool) in [
        ("sqitch.plan", "%project=x", "Sqitch"),
        ("atlas.sum", "h1:x", "Atlas"),
        ("V1__a.sql", "x", "Flyway or refinery"),
        ("a.sql", "\n-- liquibase formatted sql", "Liquibase"),
    ] {
        refused(&[("1_a.sql", "x"), (file, text)], None, &format!("{file}:1:1"), tool, "--format");
    }
}

#[test]
fn directories_without_migrations() {
    let empty = dir(&[]);
    let shown = empty.path().display().to_string();
    let found = error(empty.path(), None);
    one(&found.findings[0], &format!("{shown}:1:1"), "no migrations were found", "N_name.up.sql");
    for format in Format::ALL {
        let found = error(empty.path(), Some(format));
        one(&found.findings[0], &format!("{shown}:1:1"), format.as_str(), "N_name.up.sql");
    }
    let missing = empty.path().join("nowhere");
    let found = error(&missing, None);
    let place = format!("{}:1:1", missing.display());
    one(&found.findings[0], &place, "cannot be read", "check the path");
    fs::write(empty.path().join("file"), "x").unwrap();
    let found = error(&empty.path().join("file"), None);
    one(&found.findings[0], &format!("{shown}/file:1:1"), "cannot be read", "check the path");
}

#[test]
fn a_sidecar_without_its_migration() {
    refused(
        &[("1_a.sql", "x"), ("1_b.verify.sql", "y")],
        None,
        "1_b.verify.sql:1:1",
        "no migration is called 1_b",
        "give it the name",
    );
}

#[test]
fn client_commands() {
    refused(
        &[("1_a.sql", "SELECT 1;\n  \\set x 1\n")],
        None,
        "1_a.sql:2:3",
        "backslash command",
        "write it as SQL",
    );
    refused(
        &[("1_a.sql", "COPY t FROM stdin;\n1\n\\.\n")],
        None,
        "1_a.sql:3:1",
        "backslash command",
        "INSERT",
    );
    refused(
        &[("1_a.sql", "-- migrate:up\nx;\n\\i y\n-- migrate:down\n")],
        None,
        "1_a.sql:3:1",
        "backslash command",
        "as SQL",
    );
    // Inside of quotes and comments it is text.
    let dir = dir(&[("1_a.sql", "SELECT '\n\\x';\n/*\n\\y */ SELECT 2; -- \\z")]);
    assert!(read(dir.path(), None).is_ok());
}

#[test]
fn bytes_that_are_not_text() {
    let dir = dir(&[("2_b.sql", "x")]);
    fs::write(dir.path().join("1_a.sql"), b"SELECT 1;\nSELECT '\xe4';").unwrap();
    let error = error(dir.path(), None);
    assert_eq!(error.findings.len(), 1);
    one(&error.findings[0], "1_a.sql:2:9", "not UTF-8", "iconv");
}

#[test]
fn zero_bytes_would_cut_the_text_short() {
    refused(&[("1_a.sql", "SELECT 1;\nSELECT 2\0;")], None, "1_a.sql:2:9", "zero byte", "UTF-16");
}

#[test]
fn only_diesel_minds_what_stands_in_folders() {
    let dir = dir(&[("1_a.sql", "x"), ("old/1_z.sql", "a\0"), ("metadata.toml", "")]);
    let bundle = read(dir.path(), None).unwrap();
    assert_eq!((bundle.format, bundle.migrations.len()), (Format::Sqlx, 1));
    assert_eq!(bundle.warnings, []);
    fs::write(dir.path().join("old/up.sql"), b"\xff").unwrap();
    let error = error(dir.path(), Some(Format::Diesel));
    let places: Vec<&str> = error.findings.iter().map(|found| found.file.as_str()).collect();
    assert_eq!(places, ["old/1_z.sql", "old/up.sql"]);
}

#[test]
fn files_beyond_the_bound() {
    let dir = dir(&[("1_a.sql", "x")]);
    let file = fs::File::create(dir.path().join("2_b.sql")).unwrap();
    file.set_len(FILE_BYTES_MAX + 1).unwrap();
    let error = error(dir.path(), None);
    assert_eq!(error.findings.len(), 1);
    one(&error.findings[0], "2_b.sql:1:1", "64 MiB", "split the file");
}

#[cfg(unix)]
#[test]
fn links_may_stay_inside_and_not_lead_out() {
    use std::os::unix::fs::symlink;
    let outside = dir(&[("secret.sql", "x")]);
    let dir = dir(&[("1_a.sql", "x")]);
    symlink(dir.path().join("1_a.sql"), dir.path().join("2_b.sql")).unwrap();
    assert_eq!(read(dir.path(), None).unwrap().migrations.len(), 2);
    symlink(outside.path().join("secret.sql"), dir.path().join("3_c.sql")).unwrap();
    symlink(dir.path().join("nothing"), dir.path().join("4_d.sql")).unwrap();
    let error = error(dir.path(), None);
    let [out, dangling] = error.findings.as_slice() else { panic!("{error}") };
    one(out, "3_c.sql:1:1", "leads out of the directory", "copy the file");
    one(dangling, "4_d.sql:1:1", "cannot be read", "remove it");
}

#[test]
fn everything_is_said_in_one_go() {
    let dir = dir(&[
        ("1_a.sql", "-- +goose Up\nx"),
        ("2_b.sql", "-- +goose Up\n -- +goose Down\n"),
        ("3_c.go", "package x"),
        ("4_d.sql", "-- +goose Up\n-- +goose ENVSUB ON\ny\n"),
    ]);
    let error = error(dir.path(), None);
    let places: Vec<String> =
        error.findings.iter().map(|found| format!("{}:{}", found.file, found.line)).collect();
    assert_eq!(places, ["1_a.sql:2", "2_b.sql:2", "3_c.go:1", "4_d.sql:2", "4_d.sql:3"]);
    assert_eq!(error.to_string().matches("\n\nerror: ").count(), 4);
}
