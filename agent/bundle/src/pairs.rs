//! Two files a version, as golang-migrate and sqlx name them.

use std::collections::BTreeMap;

use crate::directory::File;
use crate::finding::Report;
use crate::model::{Digits, Migration, Order, Script};
use crate::sidecar::Sidecars;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// One direction of a version.
#[derive(Debug)]
pub(crate) struct Half<'a> {
    pub(crate) file: &'a File,
    pub(crate) name: String,
    /// The file's name without its suffixes.
    pub(crate) stem: String,
    pub(crate) script: Script,
}

/// The halves of each version.
#[derive(Debug, Default)]
pub(crate) struct Pairs<'a> {
    versions: BTreeMap<Digits, (Option<Half<'a>>, Option<Half<'a>>)>,
}

impl<'a> Pairs<'a> {
    /// Refuses a second file for the same version and direction.
    pub(crate) fn insert(
        &mut self,
        version: Digits,
        direction: Direction,
        half: Half<'a>,
        report: &mut Report,
    ) {
        let text = version.as_str().to_owned();
        let (up, down) = self.versions.entry(version).or_default();
        let place = match direction {
            Direction::Up => up,
            Direction::Down => down,
        };
        if let Some(first) = place {
            duplicate(report, &text, &first.file.path, &half.file.path);
        } else {
            *place = Some(half);
        }
    }

    /// Migrations by version; what is left of a down without an up goes to `orphan`.
    pub(crate) fn migrations(
        self,
        sidecars: &mut Sidecars,
        mut orphan: impl FnMut(&File, &str),
    ) -> Vec<Migration> {
        let mut migrations = Vec::new();
        for (version, (up, down)) in self.versions {
            let Some(up) = up else {
                if let Some(down) = down {
                    orphan(down.file, version.as_str());
                }
                continue;
            };
            let (verify, probe) = sidecars.take(&up.stem);
            migrations.push(Migration {
                version: version.as_str().to_owned(),
                order: Order::Number(version),
                name: up.name,
                up: up.script,
                down: down.map(|half| half.script),
                verify,
                probe,
            });
        }
        migrations
    }
}

/// Two files of one version: which of them ran where would be anybody's guess.
pub(crate) fn duplicate(report: &mut Report, version: &str, first: &str, second: &str) {
    report.error(
        second,
        (1, 1),
        format!(
            "version {version} is taken by {first} already, so that only one of them could run"
        ),
        "give one of the two files a version of its own",
    );
}
