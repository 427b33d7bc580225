//! Reads a directory of migrations, whatever its format, into a [`Bundle`].

use std::path::Path;

use crate::directory::{self, is_sql};
use crate::finding::{Finding, Report};
use crate::model::{Bundle, Format, Migration};
use crate::sidecar::Sidecars;
use crate::{dbmate, detect, diesel, golang_migrate, goose, sqlx};

/// Everything that is wrong with a directory, found in one go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", paragraphs(.findings))]
pub struct ReadError {
    /// At least one, by file and line.
    pub findings: Vec<Finding>,
}

/// One paragraph a finding.
fn paragraphs(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n\n")
}

/// Reads the migrations in `dir` as `choice` says, or as the files themselves tell.
///
/// golang-migrate and sqlx name their files alike: without a choice, `N_name.up.sql` beside nothing but
/// its kind is golang-migrate, and sqlx where a plain `N_name.sql` stands among them or a file begins
/// with `-- no-transaction`.
///
/// # Errors
///
/// All findings at once, each with its file, line, column, reason and remedy. Nothing is half read.
pub fn read(dir: &Path, choice: Option<Format>) -> Result<Bundle, ReadError> {
    let mut report = Report::default();
    let bundle = bundle(dir, choice, &mut report);
    match bundle {
        Some((format, migrations)) if report.findings.is_empty() => {
            let mut warnings = report.warnings;
            warnings.sort();
            Ok(Bundle { format, migrations, warnings })
        }
        _ => {
            report.findings.sort();
            report.findings.dedup();
            Err(ReadError { findings: report.findings })
        }
    }
}

fn bundle(
    dir: &Path,
    choice: Option<Format>,
    report: &mut Report,
) -> Option<(Format, Vec<Migration>)> {
    let directory = directory::read(dir, report)?;
    let format = match choice {
        Some(format) => format,
        None => detect::format(&directory, report)?,
    };
    let mut sidecars = Sidecars::of(format, &directory.files, report);
    let mut migrations = match format {
        Format::GolangMigrate => golang_migrate::read(&directory, &mut sidecars, report),
        Format::Sqlx => sqlx::read(&directory, &mut sidecars, report),
        Format::Dbmate => dbmate::read(&directory, &mut sidecars, report),
        Format::Diesel => diesel::read(&directory, report),
        Format::Goose => goose::read(&directory, &mut sidecars, report),
    };
    sidecars.refuse_orphans(report);
    if format != Format::Diesel {
        for folder in &directory.folders {
            if let Some(file) = folder.files.iter().find(|file| is_sql(&file.name)) {
                report.warn(
                    &file.path,
                    (1, 1),
                    format!("{format} does not look into folders, so that this file is not read"),
                    "move it up, or read the folder as a bundle of its own",
                );
            }
        }
    }
    if migrations.is_empty() && report.findings.is_empty() {
        report.error(
            &directory.path,
            (1, 1),
            format!("the directory holds no migration of {format}"),
            detect::EXPECTED,
        );
    }
    migrations.sort_by(|one, other| one.order.cmp(&other.order));
    Some((format, migrations))
}
