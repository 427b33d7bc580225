//! Targets against what the log says, and against each other.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use skein_proto::v1;

use super::look::{Look, Sign, Tone};
use super::table::Table;
use super::{View, typed, words};

#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    pub equal: u32,
    pub drifted: u32,
    pub targets: Vec<Finding>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub target: String,
    pub engine: &'static str,
    pub version: String,
    /// SHA-256 of the canonical schema, hexadecimal.
    pub fingerprint: String,
    /// Empty: as it should be.
    pub drift: String,
}

impl Verified {
    /// Targets with the same engine and the same migrations in force must have the same schema; the
    /// commonest one counts as right, the lowest where two are equally common.
    pub fn new(targets: &[v1::Target], silent: &[String]) -> Self {
        let mut classes: BTreeMap<Class, BTreeMap<Vec<u8>, u32>> = BTreeMap::new();
        for target in targets {
            if let (Some(class), Some(seen)) = (class(target), &target.observation) {
                *classes.entry(class).or_default().entry(seen.fingerprint.to_vec()).or_default() +=
                    1;
            }
        }
        let usual: BTreeMap<Class, Vec<u8>> = classes
            .into_iter()
            .filter_map(|(class, schemas)| {
                let most = schemas.values().copied().max()?;
                let usual = schemas.into_iter().find(|(_, count)| *count == most)?;
                Some((class, usual.0))
            })
            .collect();
        let mut findings: Vec<Finding> = targets
            .iter()
            .filter(|target| !target.retired)
            .map(|target| finding(target, &usual, silent))
            .collect();
        findings.sort_by(|a, b| a.target.cmp(&b.target));
        let drifted = findings.iter().filter(|finding| !finding.drift.is_empty()).count();
        let drifted = u32::try_from(drifted).unwrap_or(u32::MAX);
        let all = u32::try_from(findings.len()).unwrap_or(u32::MAX);
        Self { equal: all - drifted, drifted, targets: findings }
    }

    fn table(&self, look: &Look) -> Table {
        let mut table = Table::new(&["TARGET", "", "ENGINE", "IN FORCE", "SCHEMA", "DIFFERENCE"]);
        // Odd ones out first.
        let odd = self.targets.iter().filter(|finding| !finding.drift.is_empty());
        let even = self.targets.iter().filter(|finding| finding.drift.is_empty());
        for finding in odd.chain(even) {
            let (sign, word, tone) = if finding.drift.is_empty() {
                (Sign::Good, "equal", Tone::Good)
            } else {
                (Sign::Bad, "differs", Tone::Bad)
            };
            table.row([
                (finding.target.clone(), Tone::Plain),
                (format!("{} {word}", look.sign(sign)), tone),
                (finding.engine.to_owned(), Tone::Plain),
                (
                    if finding.version.is_empty() {
                        "nothing".to_owned()
                    } else {
                        finding.version.clone()
                    },
                    Tone::Plain,
                ),
                (words::id(&finding.fingerprint, look.wide).to_owned(), Tone::Plain),
                (finding.drift.clone(), Tone::Plain),
            ]);
        }
        table
    }
}

/// Engine, and the ledger with its digests.
type Class = (i32, Vec<(String, Vec<u8>)>);

fn class(target: &v1::Target) -> Option<Class> {
    let seen = target.observation.as_ref()?;
    let engine = target.description.as_ref()?.engine;
    let ledger = seen.ledger.iter().map(|entry| (entry.version.clone(), entry.digest.to_vec()));
    Some((engine, ledger.collect()))
}

fn finding(target: &v1::Target, usual: &BTreeMap<Class, Vec<u8>>, silent: &[String]) -> Finding {
    let description = target.description.clone().unwrap_or_default();
    let seen = target.observation.clone().unwrap_or_default();
    let drift = if silent.contains(&description.id) {
        "no agent answered in time: not compared".to_owned()
    } else if !target.problem.is_empty() {
        target.problem.clone()
    } else if target.observation.is_none() {
        "never looked at".to_owned()
    } else if !seen.open_intent.is_empty() && target.rollout.is_empty() {
        format!("{} was begun and neither finished nor undone", seen.open_intent)
    } else {
        let right = class(target).and_then(|class| usual.get(&class).cloned());
        match right {
            Some(right) if right != seen.fingerprint => {
                let right = words::hex(&right);
                format!(
                    "the others with the same migrations in force have schema {}",
                    words::id(&right, false)
                )
            }
            _ => String::new(),
        }
    };
    Finding {
        engine: words::engine(description.engine()),
        target: description.id,
        version: seen.ledger.last().map(|entry| entry.version.clone()).unwrap_or_default(),
        fingerprint: words::hex(&seen.fingerprint),
        drift,
    }
}

impl View for Verified {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        self.table(look).text(look, "", out)?;
        writeln!(out)?;
        if self.drifted == 0 {
            let all = format!(
                "{} {} as the log says",
                look.sign(Sign::Good),
                words::count(self.equal, "target")
            );
            return writeln!(out, "{}", look.paint(Tone::Good, &all));
        }
        let some =
            format!("{} {} equal, {} differ", look.sign(Sign::Bad), self.equal, self.drifted);
        writeln!(out, "{}", look.paint(Tone::Bad, &some))
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table(&Look::default()).markdown(out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("verify", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        self.targets.iter().map(|finding| typed("target", finding)).collect()
    }
}

#[cfg(test)]
mod tests {
    use skein_proto::v1;

    use super::Verified;

    fn target(id: &str, fingerprint: u8, versions: &[&str]) -> v1::Target {
        let ledger = versions.iter().map(|version| v1::LedgerEntry {
            version: (*version).to_owned(),
            digest: vec![1].into(),
        });
        v1::Target {
            description: Some(v1::TargetDescription {
                id: id.to_owned(),
                engine: 3,
                ..Default::default()
            }),
            observation: Some(v1::Observation {
                fingerprint: vec![fingerprint; 32].into(),
                ledger: ledger.collect(),
                ..Default::default()
            }),
            connected: true,
            ..Default::default()
        }
    }

    #[test]
    fn the_odd_one_out_is_named() {
        let fleet = [target("a", 1, &["1"]), target("b", 2, &["1"]), target("c", 1, &["1"])];
        let verified = Verified::new(&fleet, &[]);
        assert_eq!((verified.equal, verified.drifted), (2, 1));
        assert!(verified.targets[1].drift.contains("01010101"), "{:?}", verified.targets[1]);
    }

    #[test]
    fn other_migrations_may_look_otherwise() {
        let fleet = [target("a", 1, &["1"]), target("b", 2, &["1", "2"])];
        assert_eq!(Verified::new(&fleet, &[]).drifted, 0);
    }

    #[test]
    fn silence_is_no_agreement() {
        let fleet = [target("a", 1, &["1"])];
        assert_eq!(Verified::new(&fleet, &["a".to_owned()]).drifted, 1);
    }
}
