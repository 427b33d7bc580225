//! Which schema belongs to which migrations in force: what legs have shown, and evidence for whoever says
//! that another target stands there too.

use std::collections::BTreeMap;

use super::ledger::EntryIx;
use crate::ids::Digest;
use crate::spec::Engine;

/// At most so many schemas are kept for one set of migrations: targets that were changed by hand, and whose
/// drift was accepted, would each add one.
const KEPT: usize = 8;

/// By engine and by what is in force, in whatever order it was applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known(BTreeMap<(Engine, Vec<EntryIx>), Vec<Digest>>);

impl Known {
    /// Schemas that targets had which got to these migrations by running them.
    pub fn of(&self, engine: Engine, ledger: &[EntryIx]) -> &[Digest] {
        self.0.get(&(engine, sorted(ledger))).map_or(&[], Vec::as_slice)
    }

    /// Those of them that no other migrations in force are known to have: a step that changes rows alone
    /// leaves the schema as it was, so that it cannot be told from its schema.
    pub fn proof(&self, engine: Engine, ledger: &[EntryIx]) -> Vec<Digest> {
        let key = (engine, sorted(ledger));
        let elsewhere = |schema: &&Digest| {
            let others = self.0.iter().filter(|(other, _)| other.0 == engine && **other != key);
            others.into_iter().any(|(_, known)| known.contains(schema))
        };
        let known = self.0.get(&key).into_iter().flatten();
        known.filter(|schema| !elsewhere(schema)).copied().collect()
    }

    /// What is in force where a schema is known to stand: the only such migrations, or none, or several.
    pub fn standing(&self, engine: Engine, schema: Digest) -> impl Iterator<Item = &[EntryIx]> {
        let stands = move |((other, _), known): &(&(Engine, Vec<EntryIx>), &Vec<Digest>)| {
            *other == engine && known.contains(&schema)
        };
        self.0.iter().filter(stands).map(|((_, ledger), _)| ledger.as_slice())
    }

    pub(crate) fn learn(&mut self, engine: Engine, ledger: &[EntryIx], schema: Digest) {
        let known = self.0.entry((engine, sorted(ledger))).or_default();
        if known.len() < KEPT && !known.contains(&schema) {
            known.push(schema);
        }
    }
}

fn sorted(ledger: &[EntryIx]) -> Vec<EntryIx> {
    let mut ledger = ledger.to_vec();
    ledger.sort_unstable();
    ledger
}
