//! Repairs: what would change on what evidence, and what came of it.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use skein_proto::v1;

use super::look::{Look, Sign, Tone};
use super::table::{Table, shown};
use super::{View, typed, words};
use crate::exit::ExitCode;

#[derive(Debug, Clone, Serialize)]
pub struct Repair {
    /// Empty: nothing was ordered.
    pub id: String,
    pub verb: &'static str,
    pub versions: Vec<String>,
    /// Why it may be done without evidence; empty: only on evidence.
    pub waiver: String,
    pub by: String,
    pub ended: bool,
    /// Selected targets whose ledgers say so already.
    pub settled: u32,
    pub targets: Vec<Line>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Line {
    pub target: String,
    pub adds: Vec<String>,
    pub removes: Vec<String>,
    pub state: &'static str,
    pub evidence: Vec<&'static str>,
    pub note: String,
    #[serde(skip)]
    now: v1::RepairState,
}

fn verb(verb: v1::RepairVerb) -> &'static str {
    match verb {
        v1::RepairVerb::Unspecified => "unknown",
        v1::RepairVerb::RepairApplied => "applied",
        v1::RepairVerb::RepairNotApplied => "not-applied",
        v1::RepairVerb::RepairAdopt => "adopt",
    }
}

fn evidence(evidence: v1::Evidence) -> &'static str {
    match evidence {
        v1::Evidence::Unspecified => "unknown",
        v1::Evidence::Schema => "schema",
        v1::Evidence::Probe => "probe",
        v1::Evidence::Waiver => "waiver",
    }
}

fn state(state: v1::RepairState) -> &'static str {
    match state {
        v1::RepairState::Unspecified => "planned",
        v1::RepairState::RepairWaiting => "waiting",
        v1::RepairState::RepairLeased => "running",
        v1::RepairState::RepairMended => "mended",
        v1::RepairState::RepairFailed => "failed",
    }
}

impl Line {
    fn new(line: &v1::RepairLine) -> Self {
        let mut told: Vec<&'static str> = line.evidence().map(evidence).collect();
        told.dedup();
        Self {
            target: line.target.clone(),
            adds: line.adds.clone(),
            removes: line.removes.clone(),
            state: state(line.state()),
            evidence: told,
            note: line.note.clone(),
            now: line.state(),
        }
    }

    fn sign(&self) -> (Sign, Tone) {
        match self.now {
            v1::RepairState::RepairMended => (Sign::Good, Tone::Good),
            v1::RepairState::RepairFailed => (Sign::Bad, Tone::Bad),
            v1::RepairState::RepairLeased => (Sign::Busy, Tone::Busy),
            v1::RepairState::RepairWaiting | v1::RepairState::Unspecified => {
                (Sign::Waiting, Tone::Faint)
            }
        }
    }

    fn is_planned(&self) -> bool {
        self.now == v1::RepairState::Unspecified
    }
}

impl Repair {
    pub fn new(reply: &v1::RepairReply) -> Self {
        Self {
            id: reply.repair.clone(),
            verb: verb(reply.verb()),
            versions: reply.versions.clone(),
            waiver: reply.waiver.clone(),
            by: reply.by.clone(),
            ended: reply.ended,
            settled: reply.settled,
            targets: reply.lines.iter().map(Line::new).collect(),
        }
    }

    /// Nothing proves what is said of some target, and nobody takes responsibility.
    pub fn lacks_evidence(&self) -> bool {
        self.targets.iter().any(|line| line.is_planned() && line.evidence.is_empty())
    }

    fn count(&self, state: v1::RepairState) -> usize {
        self.targets.iter().filter(|line| line.now == state).count()
    }

    /// How the verb ends.
    pub fn exit(&self) -> ExitCode {
        if !self.ended {
            return ExitCode::StillRunning;
        }
        match (self.count(v1::RepairState::RepairFailed), self.count(v1::RepairState::RepairMended))
        {
            (0, _) => ExitCode::Done,
            (_, 0) => ExitCode::Refused,
            _ => ExitCode::Inconsistent,
        }
    }

    fn table(&self, look: &Look) -> Table {
        let mut table = Table::new(&["TARGET", "ADDS", "TAKES AWAY", "STATE", "EVIDENCE", "NOTE"]);
        for line in &self.targets {
            let (sign, tone) = line.sign();
            let evidence = match (line.evidence.as_slice(), line.is_planned()) {
                ([], true) => ("none: needs --waive".to_owned(), Tone::Bad),
                ([], false) => (String::new(), Tone::Plain),
                (some, _) => (some.join(", "), Tone::Plain),
            };
            table.row([
                (line.target.clone(), Tone::Plain),
                (line.adds.join(" "), Tone::Plain),
                (line.removes.join(" "), Tone::Plain),
                (format!("{} {}", look.sign(sign), line.state), tone),
                evidence,
                (line.note.clone(), Tone::Plain),
            ]);
        }
        table
    }

    fn summary(&self) -> String {
        let of = |state, word: &str| {
            let count = self.count(state);
            (count > 0).then(|| format!("{count} {word}"))
        };
        let parts: Vec<String> = [
            of(v1::RepairState::Unspecified, "to be changed"),
            of(v1::RepairState::RepairMended, "mended"),
            of(v1::RepairState::RepairFailed, "failed"),
            of(v1::RepairState::RepairLeased, "running"),
            of(v1::RepairState::RepairWaiting, "waiting for an agent"),
            (self.settled > 0).then(|| format!("{} say so already", self.settled)),
        ]
        .into_iter()
        .flatten()
        .collect();
        if parts.is_empty() { "nothing to change".to_owned() } else { parts.join(", ") }
    }
}

impl View for Repair {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if !self.targets.is_empty() {
            self.table(look).text(look, "  ", out)?;
            writeln!(out)?;
        }
        let name = if self.id.is_empty() { "Repair" } else { &self.id };
        write!(out, "{name}: {} {}: {}", self.verb, self.versions.join(" "), self.summary())?;
        if !self.waiver.is_empty() {
            write!(out, "; waived: {}", shown(&self.waiver))?;
        }
        writeln!(out)
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table(&Look::default()).markdown(out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("repair", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        let mut lines = Vec::new();
        for line in &self.targets {
            lines.push(typed("repair_target", line)?);
        }
        let mut repair = self.json()?;
        if let Value::Object(fields) = &mut repair {
            fields.remove("targets");
        }
        lines.push(repair);
        Ok(lines)
    }
}

/// The newest repairs.
#[derive(Debug, Clone, Serialize)]
pub struct Repairs {
    pub repairs: Vec<Head>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Head {
    pub id: String,
    pub verb: &'static str,
    pub versions: Vec<String>,
    pub by: String,
    pub at_ms: u64,
    pub ended: bool,
    pub waiting: u32,
    pub running: u32,
    pub mended: u32,
    pub failed: u32,
    pub waiver: String,
}

impl Repairs {
    pub fn new(reply: &v1::ListRepairsReply) -> Self {
        let head = |one: &v1::RepairReply| {
            let count = |state: v1::RepairState| {
                let place = usize::try_from(i32::from(state)).unwrap_or_default();
                one.counts.get(place).copied().unwrap_or_default()
            };
            Head {
                id: one.repair.clone(),
                verb: verb(one.verb()),
                versions: one.versions.clone(),
                by: one.by.clone(),
                at_ms: one.at_ms,
                ended: one.ended,
                waiting: count(v1::RepairState::RepairWaiting),
                running: count(v1::RepairState::RepairLeased),
                mended: count(v1::RepairState::RepairMended),
                failed: count(v1::RepairState::RepairFailed),
                waiver: one.waiver.clone(),
            }
        };
        Self { repairs: reply.repairs.iter().map(head).collect() }
    }

    fn table(&self, look: &Look) -> Table {
        let mut table = Table::new(&[
            "REPAIR", "WHAT", "VERSIONS", "MENDED", "FAILED", "OPEN", "BY", "WHEN", "WAIVED",
        ])
        .right(&[3, 4, 5]);
        for one in &self.repairs {
            table.plain([
                one.id.clone(),
                one.verb.to_owned(),
                one.versions.join(" "),
                one.mended.to_string(),
                one.failed.to_string(),
                (one.waiting + one.running).to_string(),
                one.by.clone(),
                look.time(one.at_ms),
                one.waiver.clone(),
            ]);
        }
        table
    }
}

impl View for Repairs {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if self.repairs.is_empty() {
            return writeln!(out, "No repair was ever asked for.");
        }
        self.table(look).text(look, "", out)
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table(&Look::default()).markdown(out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("repairs", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        self.repairs.iter().map(|one| typed("repair", one)).collect()
    }
}

/// Edits of files after they were applied.
#[derive(Debug, Clone, Serialize)]
pub struct Edits {
    #[serde(rename = "edits")]
    pub all: Vec<Edit>,
    pub accepted: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct Edit {
    pub version: String,
    pub file: String,
    /// SHA-256, hexadecimal.
    pub ran: Vec<String>,
    pub now: String,
    /// Where another text ran.
    pub targets: Vec<String>,
}

impl Edits {
    pub fn new(reply: &v1::AcceptEditedReply) -> Self {
        let edit = |edit: &v1::Edit| Edit {
            version: edit.version.clone(),
            file: edit.file.clone(),
            ran: edit.ran.iter().map(|digest| words::hex(digest)).collect(),
            now: words::hex(&edit.now),
            targets: edit.targets.clone(),
        };
        Self { all: reply.edits.iter().map(edit).collect(), accepted: false }
    }

    /// Where another text ran than a file has now.
    pub fn targets(&self) -> usize {
        let all: std::collections::BTreeSet<&str> =
            self.all.iter().flat_map(|edit| &edit.targets).map(String::as_str).collect();
        all.len()
    }

    fn table(&self, look: &Look) -> Table {
        let mut table = Table::new(&["VERSION", "FILE", "RAN", "NOW", "TARGETS"]).right(&[4]);
        for edit in &self.all {
            let ran: Vec<&str> = edit.ran.iter().map(|one| words::id(one, look.wide)).collect();
            table.plain([
                edit.version.clone(),
                edit.file.clone(),
                ran.join(" "),
                words::id(&edit.now, look.wide).to_owned(),
                edit.targets.len().to_string(),
            ]);
        }
        table
    }
}

impl View for Edits {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if self.all.is_empty() {
            return writeln!(
                out,
                "Nothing to accept: no other text ran, but for comments and white space, or it was \
                 accepted before."
            );
        }
        self.table(look).text(look, "  ", out)?;
        let what = if self.accepted { "Accepted for the whole fleet" } else { "To be accepted" };
        writeln!(out, "\n{what}: {}.", words::count(self.all.len() as u64, "edited file"))
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table(&Look::default()).markdown(out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("edits", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        self.all.iter().map(|edit| typed("edit", edit)).collect()
    }
}

/// Chosen targets of a rollout.
#[derive(Debug, Clone, Serialize)]
pub struct Chosen {
    pub rollout: String,
    pub targets: Vec<String>,
    pub what: &'static str,
}

impl Chosen {
    pub fn new(reply: &v1::ChosenTargetsReply, what: &'static str) -> Self {
        Self { rollout: reply.rollout.clone(), targets: reply.targets.clone(), what }
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&["TARGET", "WHAT"]);
        for target in &self.targets {
            table.plain([target.clone(), self.what.to_owned()]);
        }
        table
    }
}

impl View for Chosen {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        self.table().text(look, "  ", out)?;
        writeln!(
            out,
            "\n{}: {} {}. next: skein status {}",
            self.rollout,
            words::count(self.targets.len() as u64, "target"),
            self.what,
            self.rollout
        )
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table().markdown(out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("chosen", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        Ok(vec![self.json()?])
    }
}
