//! sqlx: `N_name.sql`, or `N_name.up.sql` and `N_name.down.sql`; `-- no-transaction` at the first byte.

use crate::directory::{Directory, File, is_sql};
use crate::finding::Report;
use crate::model::{Digits, Format, Migration, Transaction};
use crate::pairs::{Direction, Half, Pairs};
use crate::script;
use crate::sidecar::{Sidecars, is_sidecar};

/// At byte 0 and nowhere else: a blank line or a byte order mark before it switches it off.
pub(crate) fn declares_no_transaction(file: &File) -> bool {
    !file.marked && file.text.starts_with("-- no-transaction")
}

pub(crate) fn read(
    directory: &Directory,
    sidecars: &mut Sidecars,
    report: &mut Report,
) -> Vec<Migration> {
    let mut pairs = Pairs::default();
    for file in directory.files.iter().filter(|file| !is_sidecar(&file.name)) {
        let Some((digits, rest)) = file.name.split_once('_') else {
            if is_sql(&file.name) {
                unread(file, report);
            }
            continue;
        };
        if !is_sql(rest) {
            continue;
        }
        let Some(version) = Digits::parse(digits) else {
            report.error(
                &file.path,
                (1, 1),
                format!(
                    "`{digits}` before the first underscore is no version, and sqlx stops at it"
                ),
                "call the file `N_name.sql` with a number in front, or move it elsewhere",
            );
            continue;
        };
        let (title, direction) = if let Some(title) = rest.strip_suffix(".up.sql") {
            (title, Direction::Up)
        } else if let Some(title) = rest.strip_suffix(".down.sql") {
            (title, Direction::Down)
        } else {
            (rest.strip_suffix(".sql").unwrap_or(rest), Direction::Up)
        };
        if title.is_empty() || matches!(rest, "up.sql" | "down.sql") {
            report.error(
                &file.path,
                (1, 1),
                "the file has a version and no name, so that plans and logs could not say what it \
                 is for"
                    .to_owned(),
                "call it `N_name.sql`, or `N_name.up.sql` and `N_name.down.sql`",
            );
        }
        late_declaration(file, report);
        let transaction =
            if declares_no_transaction(file) { Transaction::Outside } else { Transaction::Wrapped };
        let stem = file.stem(".sql");
        let stem = stem.strip_suffix(".up").unwrap_or(stem).to_owned();
        let script = script::of_file(Format::Sqlx, file, transaction, report);
        pairs.insert(
            version,
            direction,
            Half { file, name: title.to_owned(), stem, script },
            report,
        );
    }
    pairs.migrations(sidecars, |file, version| {
        report.error(
            &file.path,
            (1, 1),
            format!("version {version} has a down file and no up file: it could never be applied"),
            "add the up file, or remove the down file",
        );
    })
}

/// The author meant it, and sqlx does not see it.
fn late_declaration(file: &File, report: &mut Report) {
    if declares_no_transaction(file) {
        return;
    }
    let found = file.text.lines().zip(1_u32..).find(|(line, _)| {
        line.trim_start().strip_prefix("--").is_some_and(|rest| rest.trim() == "no-transaction")
    });
    if let Some((_, line)) = found {
        report.warn(
            &file.path,
            (line, 1),
            "`-- no-transaction` has no effect here: sqlx looks for it at the very first byte"
                .to_owned(),
            "move it to the start of the first line, exactly as `-- no-transaction`",
        );
    }
}

fn unread(file: &File, report: &mut Report) {
    report.warn(
        &file.path,
        (1, 1),
        "the file is not read: its name has no underscore behind a version".to_owned(),
        "call it `N_name.sql` if it is a migration",
    );
}
