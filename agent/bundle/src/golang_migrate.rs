//! golang-migrate: `N_name.up.sql` and `N_name.down.sql`, the whole file to the driver, no annotations.

use crate::directory::Directory;
use crate::finding::Report;
use crate::model::{Digits, Format, Migration, Transaction};
use crate::pairs::{Direction, Half, Pairs};
use crate::script;
use crate::sidecar::{Sidecars, is_sidecar};

struct Name<'a> {
    version: Digits,
    title: &'a str,
    direction: Direction,
    extension: &'a str,
}

/// `^([0-9]+)_(.*)\.(down|up)\.(.*)$`, the title as long as possible.
fn parse(name: &str) -> Option<Name<'_>> {
    let (digits, rest) = name.split_once('_')?;
    let version = Digits::parse(digits)?;
    let up = rest.rfind(".up.");
    let down = rest.rfind(".down.");
    let (at, infix, direction) = match (up, down) {
        (Some(up), down) if down.is_none_or(|down| up > down) => (up, ".up.", Direction::Up),
        (_, down) => (down?, ".down.", Direction::Down),
    };
    let (title, tail) = rest.split_at_checked(at)?;
    Some(Name { version, title, direction, extension: tail.strip_prefix(infix)? })
}

pub(crate) fn read(
    directory: &Directory,
    sidecars: &mut Sidecars,
    report: &mut Report,
) -> Vec<Migration> {
    let mut pairs = Pairs::default();
    for file in directory.files.iter().filter(|file| !is_sidecar(&file.name)) {
        let Some(name) = parse(&file.name).filter(|name| name.extension == "sql") else {
            unread(&file.name, report);
            continue;
        };
        if name.title.is_empty() {
            nameless(&file.name, report);
        }
        let stem = file.stem(".up.sql").to_owned();
        let script = script::of_file(Format::GolangMigrate, file, Transaction::Wrapped, report);
        let half = Half { file, name: name.title.to_owned(), stem, script };
        pairs.insert(name.version, name.direction, half, report);
    }
    for name in directory.others.iter().filter(|name| parse(name).is_some()) {
        report.error(
            name,
            (1, 1),
            "golang-migrate would run this file too, and only SQL can be carried".to_owned(),
            "remove it from the directory, or rename it if it is SQL",
        );
    }
    pairs.migrations(sidecars, |file, version| {
        report.warn(
            &file.path,
            (1, 1),
            format!(
                "version {version} has a down file and no up file: golang-migrate allows that, \
                     and there is nothing here to apply"
            ),
            "add the up file, or remove the down file",
        );
    })
}

fn nameless(name: &str, report: &mut Report) {
    report.error(
        name,
        (1, 1),
        "the file has a version and no name, so that plans and logs could not say what it is for"
            .to_owned(),
        "call it `N_name.up.sql` or `N_name.down.sql`",
    );
}

/// golang-migrate ignores what does not fit its pattern: so do we, aloud.
fn unread(name: &str, report: &mut Report) {
    let digits = name.bytes().take_while(u8::is_ascii_digit).count();
    let paired = name.ends_with(".up.sql") || name.ends_with(".down.sql");
    if digits > 0 && paired {
        nameless(name, report);
    } else {
        report.warn(
            name,
            (1, 1),
            "the file is not read: its name is not `N_name.up.sql` or `N_name.down.sql`".to_owned(),
            "rename it if it is a migration",
        );
    }
}
