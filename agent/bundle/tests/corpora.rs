//! Real histories, as their own projects keep them. `SKEIN_CORPORA` names the folder that holds them.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that must be able to say why it read nothing"
)]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use skein_bundle::sql::lex::lex;
use skein_bundle::sql::{Dialect, Mode, Split, plan_script, split};
use skein_bundle::{Bundle, Format, Script, read};

fn corpora() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("SKEIN_CORPORA") else {
        eprintln!("SKEIN_CORPORA is not set: corpora not read");
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must read the corpora");
        return None;
    };
    Some(PathBuf::from(folder))
}

struct Corpus {
    bundle: Bundle,
    manifest: Value,
    dialect: Dialect,
}

fn load(folder: &Path, name: &str, choice: Option<Format>) -> Corpus {
    let manifest = fs::read_to_string(folder.join(name).join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let dialect = match manifest["engine"].as_str() {
        Some("postgres") => Dialect::Postgres,
        Some("mysql") => Dialect::Mysql,
        Some("sqlite") => Dialect::Sqlite,
        other => panic!("{name}: unknown engine {other:?}"),
    };
    let bundle = match read(&folder.join(name).join("migrations"), choice) {
        Ok(bundle) => bundle,
        Err(error) => panic!("{name}: {error}"),
    };
    Corpus { bundle, manifest, dialect }
}

fn scripts(bundle: &Bundle) -> impl Iterator<Item = &Script> {
    bundle
        .migrations
        .iter()
        .flat_map(|migration| [Some(&migration.up), migration.down.as_ref()])
        .flatten()
}

/// Reads one corpus, compares it with its manifest, and splits and plans each of its scripts.
fn check(name: &str, choice: Option<Format>) {
    let Some(folder) = corpora() else { return };
    let Corpus { bundle, manifest, dialect } = load(&folder, name, choice);
    assert_eq!(Some(bundle.format.as_str()), manifest["format"].as_str(), "{name}");
    let count = |key: &str| usize::try_from(manifest[key].as_u64().unwrap()).unwrap();
    assert_eq!(bundle.migrations.len(), count("count"), "{name}");
    let downs = bundle.migrations.iter().filter(|migration| migration.down.is_some()).count();
    assert_eq!(downs, count("downs"), "{name}");
    let order: Vec<(String, String)> = bundle
        .migrations
        .iter()
        .map(|migration| (migration.version.clone(), migration.name.clone()))
        .collect();
    let expected: Vec<(String, String)> = manifest["order"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap().to_owned();
            (text("version"), text("name"))
        })
        .collect();
    assert_eq!(order, expected, "{name}");
    assert_eq!(bundle.warnings, [], "{name}");

    let mut statements = 0;
    for script in scripts(&bundle) {
        statements += check_script(dialect, script);
    }
    eprintln!(
        "{name}: {} migrations, {downs} downs, {statements} statements",
        bundle.migrations.len()
    );
    assert!(statements > bundle.migrations.len(), "{name}");
}

/// Every token that is code must be in one of the statements, in its order.
fn check_script(dialect: Dialect, script: &Script) -> usize {
    let code = |text: &str| -> Vec<String> {
        lex(dialect, text)
            .filter(|token| token.is_significant() && token.of(text) != ";")
            .map(|token| token.of(text).to_owned())
            .collect()
    };
    let statements = match split(dialect, &script.text, script.line) {
        Split::Statements(statements) => statements,
        Split::Whole { why, line } => panic!("{}:{line}: {why}", script.file),
    };
    let joined: Vec<String> =
        statements.iter().flat_map(|statement| code(&statement.text)).collect();
    assert_eq!(joined, code(&script.text), "{}", script.file);
    let lines: Vec<&str> = script.text.lines().collect();
    for statement in &statements {
        let line = lines[usize::try_from(statement.line - script.line).unwrap()];
        let first = statement.text.lines().next().unwrap();
        assert!(line.contains(first), "{}:{}: {first}", script.file, statement.line);
    }
    match plan_script(dialect, script) {
        Ok(plan) => {
            assert_eq!(plan.judged.len(), statements.len(), "{}", script.file);
            let expected = match dialect {
                Dialect::Mysql => Mode::StatementByStatement(statements.clone()),
                Dialect::Postgres | Dialect::Sqlite => Mode::InTransaction,
            };
            assert_eq!(plan.mode, expected, "{}", script.file);
        }
        Err(finding) => panic!("{finding}"),
    }
    statements.len()
}

#[test]
fn svix_on_postgresql() {
    check("svix-pg-sqlx", Some(Format::Sqlx));
}

#[test]
fn authelia_on_mysql() {
    check("authelia-mysql-gomigrate", None);
}

#[test]
fn authelia_procedures_without_delimiter_are_one_statement_each() {
    let Some(folder) = corpora() else { return };
    let bundle = load(&folder, "authelia-mysql-gomigrate", None).bundle;
    let seven = bundle.migrations.iter().find(|migration| migration.version == "7").unwrap();
    let Split::Statements(statements) = split(Dialect::Mysql, &seven.up.text, 1) else {
        panic!("the splitter must be sure of {}", seven.up.file);
    };
    let procedures: Vec<&str> = statements
        .iter()
        .map(|statement| statement.text.as_str())
        .filter(|text| text.starts_with("CREATE PROCEDURE"))
        .collect();
    assert_eq!(procedures.len(), 2);
    assert!(procedures.iter().all(|text| text.ends_with("END IF;\nEND")), "{procedures:?}");
}

#[test]
fn taproot_on_sqlite() {
    check("taproot-sqlite-gomigrate", None);
}

#[test]
fn atuin_on_sqlite() {
    check("atuin-client-sqlite-sqlx", None);
}

#[test]
fn the_same_files_are_sqlx_or_golang_migrate_by_choice() {
    let Some(folder) = corpora() else { return };
    let folder = folder.join("svix-pg-sqlx/migrations");
    let one = read(&folder, Some(Format::Sqlx)).unwrap();
    let other = read(&folder, Some(Format::GolangMigrate)).unwrap();
    assert_eq!(one.migrations.len(), other.migrations.len());
    assert_eq!((one.format, other.format), (Format::Sqlx, Format::GolangMigrate));
    // Nothing in these files tells the two apart, and the stricter rule is not guessed.
    assert_eq!(read(&folder, None).unwrap().format, Format::GolangMigrate);
}
