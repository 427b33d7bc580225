//! `NAME.verify.sql` and `NAME.probe.sql`: what stands beside a migration of any format and is never
//! one itself.

use std::collections::BTreeMap;

use crate::directory::File;
use crate::finding::Report;
use crate::model::{Format, Script, Transaction};
use crate::script;

/// The sidecars of a directory that no migration has claimed yet, by name.
#[derive(Debug)]
pub(crate) struct Sidecars {
    left: BTreeMap<String, Script>,
}

const SUFFIXES: [&str; 2] = [".verify.sql", ".probe.sql"];

pub(crate) fn is_sidecar(name: &str) -> bool {
    SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

impl Sidecars {
    pub(crate) fn of(format: Format, files: &[File], report: &mut Report) -> Self {
        let mut left = BTreeMap::new();
        // In Diesel's directory they stand beside up.sql, where its own reader finds them.
        for file in files.iter().filter(|file| is_sidecar(&file.name)) {
            let script = script::of_file(format, file, Transaction::Wrapped, report);
            left.insert(file.name.clone(), script);
        }
        Self { left }
    }

    /// The scripts beside the migration whose file, less its suffix, is `stem`: verify and probe.
    pub(crate) fn take(&mut self, stem: &str) -> (Option<Script>, Option<Script>) {
        let [verify, probe] = SUFFIXES.map(|suffix| self.left.remove(&format!("{stem}{suffix}")));
        (verify, probe)
    }

    pub(crate) fn refuse_orphans(&self, report: &mut Report) {
        for name in self.left.keys() {
            let stem = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix));
            report.error(
                name,
                (1, 1),
                format!("no migration is called {}", stem.unwrap_or(name)),
                "give it the name of its migration's file, or remove it",
            );
        }
    }
}
