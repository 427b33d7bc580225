//! Diesel: a folder for each migration, with `up.sql`, `down.sql` and `metadata.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::directory::{Directory, File, Folder, is_sql};
use crate::finding::Report;
use crate::model::{Format, Migration, Order, Transaction};
use crate::pairs;
use crate::script;

/// Absent in a file that is there means false: so Diesel's own reader decides.
#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    run_in_transaction: bool,
}

pub(crate) fn read(directory: &Directory, report: &mut Report) -> Vec<Migration> {
    let mut migrations: BTreeMap<String, Migration> = BTreeMap::new();
    for folder in &directory.folders {
        if folder.name.starts_with('.') {
            continue;
        }
        report.take_over(&folder.report);
        let unread = !folder.report.findings.is_empty();
        if folder.files.is_empty() && folder.others.is_empty() && !unread {
            continue;
        }
        let Some(migration) = of_folder(folder, report) else { continue };
        match migrations.get(&migration.version) {
            Some(first) => {
                let version = &migration.version;
                pairs::duplicate(report, version, &first.up.file, &migration.up.file);
            }
            None => {
                migrations.insert(migration.version.clone(), migration);
            }
        }
    }
    for file in directory.files.iter().filter(|file| is_sql(&file.name)) {
        report.warn(
            &file.path,
            (1, 1),
            "the file is not read: diesel looks into folders only".to_owned(),
            "move it to `VERSION_name/up.sql` if it is a migration",
        );
    }
    migrations.into_values().collect()
}

fn of_folder(folder: &Folder, report: &mut Report) -> Option<Migration> {
    let file = |name: &str| folder.files.iter().find(|file| file.name == name);
    let Some(up) = file("up.sql") else {
        let unreadable = format!("{}/up.sql", folder.name);
        // What could not be read has been said already.
        if !report.findings.iter().any(|finding| finding.file == unreadable) {
            report.error(
                &folder.name,
                (1, 1),
                "the folder holds no up.sql, and diesel stops at it".to_owned(),
                "add up.sql, or remove the folder",
            );
        }
        return None;
    };
    if up.text.is_empty() {
        report.error(
            &up.path,
            (1, 1),
            "up.sql is empty, and diesel stops at it".to_owned(),
            "write the migration, or `-- nothing to do` for one that does nothing",
        );
        return None;
    }
    let (version, name) = folder.name.split_once('_').unwrap_or((&folder.name, ""));
    let version = version.replace('-', "");
    if version.is_empty() {
        report.error(
            &folder.name,
            (1, 1),
            "the folder's name has no version before its first underscore".to_owned(),
            "call it `YYYY-MM-DD-hhmmss_name`",
        );
        return None;
    }
    let transaction = transaction(file("metadata.toml"), report);
    let down = file("down.sql").filter(|down| {
        if down.text.is_empty() {
            report.warn(
                &down.path,
                (1, 1),
                "down.sql is empty: diesel refuses to revert by it, so that there is no way down"
                    .to_owned(),
                "write the way down, or remove the file",
            );
        }
        !down.text.is_empty()
    });
    let mut script =
        |file: &File, transaction| script::of_file(Format::Diesel, file, transaction, report);
    let up = script(up, transaction);
    let down = down.map(|down| script(down, transaction));
    let verify = file("verify.sql").map(|file| script(file, Transaction::Wrapped));
    let probe = file("probe.sql").map(|file| script(file, Transaction::Wrapped));
    Some(Migration {
        order: Order::Text(version.clone()),
        version,
        name: name.to_owned(),
        up,
        down,
        verify,
        probe,
    })
}

fn transaction(metadata: Option<&File>, report: &mut Report) -> Transaction {
    let Some(file) = metadata else { return Transaction::Wrapped };
    match toml::from_str::<Metadata>(&file.text) {
        Ok(Metadata { run_in_transaction: true }) => Transaction::Wrapped,
        Ok(Metadata { run_in_transaction: false }) => Transaction::Outside,
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start.min(file.text.len()));
            let place = crate::sql::split::Places::new(&file.text, 1).of(at);
            report.warn(
                &file.path,
                place,
                format!(
                    "this is not the TOML that diesel reads ({}), so that the migration runs in a \
                     transaction",
                    error.message().replace('\n', " ")
                ),
                "write `run_in_transaction = false` or `run_in_transaction = true`",
            );
            Transaction::Wrapped
        }
    }
}
