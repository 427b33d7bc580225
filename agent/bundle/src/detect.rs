//! Which tool wrote a directory, by the evidence of its files.

use std::collections::BTreeMap;

use crate::directory::{Directory, File, is_sql};
use crate::finding::Report;
use crate::model::Format;
use crate::sidecar::is_sidecar;
use crate::{dbmate, goose, sqlx};

/// What a directory may hold, for the errors that find nothing of it.
pub(crate) const EXPECTED: &str = "expected are `N_name.up.sql` (golang-migrate, sqlx), `N_name.sql` \
     (sqlx), `N_name.sql` with `-- migrate:up` (dbmate) or `-- +goose Up` (goose), or folders with \
     `up.sql` (diesel)";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Evidence {
    /// `N_name.up.sql` or `N_name.down.sql`.
    Pairs,
    /// `N_name.sql`.
    Simple,
    Dbmate,
    Goose,
    Diesel,
}

/// The format that all evidence agrees on; else the report says what stands against what.
pub(crate) fn format(directory: &Directory, report: &mut Report) -> Option<Format> {
    if let Some((name, tool)) = foreign(directory) {
        report.error(
            &name,
            (1, 1),
            format!("the directory looks like one of {tool}, whose format cannot be read"),
            "pass --format if it is one of golang-migrate, sqlx, dbmate, diesel or goose all the same",
        );
        return None;
    }
    let mut evidence: BTreeMap<Evidence, Vec<&str>> = BTreeMap::new();
    for file in directory.files.iter().filter(|file| !is_sidecar(&file.name)) {
        if let Some(kind) = of_file(file) {
            evidence.entry(kind).or_default().push(&file.path);
        }
    }
    for name in directory.others.iter().filter(|name| goose::is_go_migration(name)) {
        evidence.entry(Evidence::Goose).or_default().push(name);
    }
    for folder in &directory.folders {
        if folder.files.iter().any(|file| matches!(file.name.as_str(), "up.sql" | "down.sql")) {
            evidence.entry(Evidence::Diesel).or_default().push(&folder.name);
        }
    }
    let names = |kind: Evidence| evidence.get(&kind).map(Vec::as_slice);
    match evidence.keys().copied().collect::<Vec<_>>().as_slice() {
        [] => {
            // What could not be read may have been the evidence.
            for folder in &directory.folders {
                report.take_over(&folder.report);
            }
            if report.findings.is_empty() {
                let files = directory.files.len() + directory.others.len();
                let folders = directory.folders.len();
                report.error(
                    &directory.path,
                    (1, 1),
                    format!("no migrations were found among {files} files and {folders} folders"),
                    EXPECTED,
                );
            }
            None
        }
        [Evidence::Pairs] => {
            let declared = directory.files.iter().any(sqlx::declares_no_transaction);
            Some(if declared { Format::Sqlx } else { Format::GolangMigrate })
        }
        [Evidence::Simple] | [Evidence::Pairs, Evidence::Simple] => Some(Format::Sqlx),
        [Evidence::Dbmate] => Some(Format::Dbmate),
        [Evidence::Goose] => Some(Format::Goose),
        [Evidence::Diesel] => Some(Format::Diesel),
        mixed => {
            let sides: Vec<String> = mixed
                .iter()
                .map(|kind| format!("{} ({})", tool(*kind), few(names(*kind).unwrap_or_default())))
                .collect();
            report.error(
                &directory.path,
                (1, 1),
                format!("the files are of several formats: {}", sides.join("; ")),
                "pass --format golang-migrate|sqlx|dbmate|diesel|goose, or give each its own directory",
            );
            None
        }
    }
}

fn tool(kind: Evidence) -> &'static str {
    match kind {
        Evidence::Pairs => "golang-migrate or sqlx",
        Evidence::Simple => "sqlx",
        Evidence::Dbmate => "dbmate",
        Evidence::Goose => "goose",
        Evidence::Diesel => "diesel",
    }
}

/// Up to five names.
fn few(names: &[&str]) -> String {
    let shown = names.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(5) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn of_file(file: &File) -> Option<Evidence> {
    // What is written inside is stronger than a name.
    if file.text.lines().any(goose::is_annotation) {
        return Some(Evidence::Goose);
    }
    if file.text.lines().any(|line| dbmate::directive(line).is_some()) {
        return Some(Evidence::Dbmate);
    }
    let digits = file.name.bytes().take_while(u8::is_ascii_digit).count();
    let numbered = digits > 0 && file.name.as_bytes().get(digits) == Some(&b'_');
    let pair = file.name.ends_with(".up.sql") || file.name.ends_with(".down.sql");
    match (numbered, pair) {
        (true, true) => Some(Evidence::Pairs),
        (true, false) if is_sql(&file.name) => Some(Evidence::Simple),
        _ => None,
    }
}

/// Tools that are told by their own marks.
fn foreign(directory: &Directory) -> Option<(String, &'static str)> {
    let other = |name: &str| directory.others.iter().find(|other| *other == name).cloned();
    if let Some(name) = other("sqitch.plan") {
        return Some((name, "Sqitch"));
    }
    if let Some(name) = other("atlas.sum") {
        return Some((name, "Atlas"));
    }
    directory.files.iter().find_map(|file| {
        let versioned = file.name.starts_with(['V', 'U', 'R', 'B']) && file.name.contains("__");
        let first = file.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let first = first.trim_start().to_ascii_lowercase();
        let liquibase = first.strip_prefix("--").is_some_and(|rest| {
            rest.trim_start()
                .strip_prefix("liquibase")
                .is_some_and(|rest| rest.trim_start().starts_with("formatted"))
        });
        if versioned {
            Some((file.name.clone(), "Flyway or refinery"))
        } else if liquibase {
            Some((file.name.clone(), "Liquibase"))
        } else {
            None
        }
    })
}
