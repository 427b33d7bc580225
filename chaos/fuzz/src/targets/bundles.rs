//! Directories of migrations in each format, as the agent sends them on and the coordinator takes them in.

use std::fs;
use std::path::{Path, PathBuf};

use skein_bundle::{Format, read};
use skein_coordinator::doors;

use super::{Target, sql};

/// Between the files of a case: a line with the next one's name.
const FILE: &str = "%%%% ";

fn seed(files: &[(&str, &str)]) -> Vec<u8> {
    let files: Vec<String> =
        files.iter().map(|(name, text)| format!("{FILE}{name}\n{text}\n")).collect();
    files.concat().into_bytes()
}

fn seeds(format: Format) -> Vec<Vec<u8>> {
    let up = "CREATE TABLE a (id int);\nINSERT INTO a VALUES (1);";
    let down = "DROP TABLE a;";
    let example = match format {
        Format::GolangMigrate => seed(&[
            ("1_a.up.sql", up),
            ("1_a.down.sql", down),
            ("2_b.up.sql", "SELECT 1;"),
            ("2_b.down.sql", "SELECT 2;"),
        ]),
        Format::Sqlx => seed(&[
            ("20240101000000_a.up.sql", up),
            ("20240101000000_a.down.sql", down),
            ("20240102000000_b.sql", "-- no-transaction\nVACUUM;"),
            ("20240101000000_a.verify.sql", "SELECT 1;"),
        ]),
        Format::Dbmate => seed(&[
            ("20240101000000_a.sql", &format!("-- migrate:up\n{up}\n-- migrate:down\n{down}")),
            ("20240102000000_b.sql", "-- migrate:up transaction:false\nVACUUM;\n-- migrate:down\n"),
        ]),
        Format::Diesel => seed(&[
            ("2024-01-01-000000_a/up.sql", up),
            ("2024-01-01-000000_a/down.sql", down),
            ("2024-01-02-000000_b/up.sql", "VACUUM;"),
            ("2024-01-02-000000_b/metadata.toml", "run_in_transaction = false"),
        ]),
        Format::Goose => seed(&[
            (
                "00001_a.sql",
                &format!(
                    "-- +goose Up\n-- +goose StatementBegin\n{up}\n-- +goose StatementEnd\n-- +goose Down\n{down}"
                ),
            ),
            ("00002_b.sql", "-- +goose NO TRANSACTION\n-- +goose Up\nVACUUM;\n"),
        ]),
    };
    let name = match format {
        Format::GolangMigrate => "7_c.up.sql",
        Format::Sqlx => "20240301000000_c.sql",
        Format::Dbmate | Format::Goose => "20240301000000_c.sql",
        Format::Diesel => "2024-03-01-000000_c/up.sql",
    };
    let real = super::corpus(".sql").into_iter().filter(|text| text.len() < 4_000).take(40);
    let real = real.map(|text| seed(&[(name, &String::from_utf8_lossy(&text))]));
    [example].into_iter().chain(real).collect()
}

/// Writes the files of a case. A name goes where it may without leaving `dir`.
fn write(dir: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let marker = format!("\n{FILE}").into_bytes();
    let text = [b"\n", bytes].concat();
    let mut starts: Vec<usize> = text
        .windows(marker.len())
        .enumerate()
        .filter(|(_, window)| *window == marker)
        .map(|(at, _)| at)
        .collect();
    starts.push(text.len());
    for pair in starts.windows(2).take(16) {
        let [start, end] = pair else { continue };
        let file = text.get(start + marker.len()..*end).unwrap_or_default();
        let cut = file.iter().position(|byte| *byte == b'\n').unwrap_or(file.len());
        let (name, content) = file.split_at(cut);
        let name = String::from_utf8_lossy(name).replace('\0', "");
        let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty()).take(3).collect();
        let path = parts
            .iter()
            .filter(|part| ![".", ".."].contains(part) && part.len() < 100)
            .fold(PathBuf::from(dir), |path, part| path.join(part));
        if path == dir || path.exists() {
            continue;
        }
        // A name that is a directory already, or a file where a directory should be, is left out.
        let made = path.parent().is_some_and(|parent| fs::create_dir_all(parent).is_ok());
        if made {
            fs::write(path, content.get(1..).unwrap_or_default())?;
        }
    }
    Ok(())
}

fn knock(scratch: &Path, format: Format, bytes: &[u8]) -> bool {
    if scratch.exists() {
        fs::remove_dir_all(scratch).expect("the scratch directory is ours");
    }
    fs::create_dir_all(scratch).expect("the scratch directory can be made");
    write(scratch, bytes).expect("files can be written");
    let found = read(scratch, None);
    let bundle = match read(scratch, Some(format)) {
        Ok(bundle) => bundle,
        Err(error) => {
            assert!(!error.to_string().is_empty(), "a refusal says why");
            return found.is_ok();
        }
    };
    for migration in &bundle.migrations {
        sql::plan(&migration.up);
        migration.down.iter().for_each(sql::plan);
    }
    let wire = skein_agent::wire::encode(&bundle);
    let again = skein_agent::wire::decode(&wire).expect("what is sent can be read");
    assert_eq!(again.migrations.len(), bundle.migrations.len());
    assert!(doors::bundle(&wire), "what an agent reads, the coordinator takes");
    true
}

pub(super) fn targets(scratch: &Path) -> Vec<Target> {
    let of = |name, format| {
        let scratch = scratch.join(name);
        let door = move |bytes: &[u8]| knock(&scratch, format, bytes);
        Target { name, seeds: seeds(format), words: sql::WORDS, door: Box::new(door) }
    };
    vec![
        of("bundle-golang-migrate", Format::GolangMigrate),
        of("bundle-sqlx", Format::Sqlx),
        of("bundle-dbmate", Format::Dbmate),
        of("bundle-diesel", Format::Diesel),
        of("bundle-goose", Format::Goose),
    ]
}
