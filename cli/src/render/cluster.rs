//! Coordinator nodes.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use skein_proto::v1;

use super::look::{Look, Sign, Tone};
use super::table::Table;
use super::{View, typed, words};

#[derive(Debug, Clone, Serialize)]
pub struct Members {
    /// Hexadecimal.
    pub cluster_id: String,
    /// 0: none is known.
    pub leader: u64,
    pub term: u64,
    /// The node that answered, and how far it has applied the log.
    pub answered_by: u64,
    pub applied_index: u64,
    pub charter: String,
    pub charter_bound: String,
    /// Hexadecimal; empty: the cluster was never restored.
    pub incarnation: String,
    /// What the timing of the node that answered provides for between two nodes; 0: its release does not say.
    pub round_trip_ms: u64,
    pub heartbeat_ms: u64,
    pub election_max_ms: u64,
    pub lease_ms: u64,
    /// What should be looked at.
    pub concerns: Vec<String>,
    pub nodes: Vec<Member>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Member {
    pub node: u64,
    pub address: String,
    pub voter: bool,
    pub leader: bool,
    /// 0: the node that answered cannot know.
    pub matched_index: u64,
    /// As the node that answered has measured it, microseconds; 0: it has not, or is that node.
    pub round_trip_us: u64,
    /// How long it has not answered that node; 0: it answers.
    pub silent_ms: u64,
}

impl Members {
    pub fn new(reply: &v1::MembersReply) -> Self {
        let members = reply.members.iter().map(|member| Member {
            node: member.node,
            address: member.address.clone(),
            voter: member.voter,
            leader: member.node == reply.leader,
            matched_index: member.matched_index,
            round_trip_us: member.round_trip_us,
            silent_ms: member.silent_ms,
        });
        Self {
            cluster_id: words::hex(&reply.cluster_id),
            leader: reply.leader,
            term: reply.term,
            answered_by: reply.node,
            applied_index: reply.applied_index,
            charter: words::hex(&reply.charter),
            charter_bound: reply.charter_bound.clone(),
            incarnation: words::hex(&reply.incarnation),
            round_trip_ms: reply.round_trip_ms,
            heartbeat_ms: reply.heartbeat_ms,
            election_max_ms: reply.election_max_ms,
            lease_ms: reply.lease_ms,
            concerns: reply.concerns.clone(),
            nodes: members.collect(),
        }
    }

    /// How far a node is from the one that answered.
    fn distance(&self, member: &Member) -> (String, Tone) {
        match (member.node == self.answered_by, member.silent_ms, member.round_trip_us) {
            (true, _, _) => ("-".to_owned(), Tone::Faint),
            (_, 1.., _) => {
                (format!("silent for {} s", member.silent_ms.div_ceil(1_000)), Tone::Warning)
            }
            (_, _, 0) => ("?".to_owned(), Tone::Faint),
            (_, _, us) => (format!("{}.{} ms", us / 1_000, us % 1_000 / 100), Tone::Plain),
        }
    }

    fn table(&self, look: &Look) -> Table {
        let heads = ["NODE", "ADDRESS", "ROLE", "HAS THE LOG TO", "ROUND TRIP"];
        let mut table = Table::new(&heads).right(&[0, 3, 4]);
        for member in &self.nodes {
            let (sign, role, tone) = match (member.leader, member.voter) {
                (true, _) => (Sign::Good, "leader", Tone::Good),
                (false, true) => (Sign::Good, "voter", Tone::Plain),
                (false, false) => (Sign::Waiting, "learner", Tone::Faint),
            };
            let matched = match member.matched_index {
                0 => "?".to_owned(),
                index => index.to_string(),
            };
            table.row([
                (member.node.to_string(), Tone::Plain),
                (member.address.clone(), Tone::Plain),
                (format!("{} {role}", look.sign(sign)), tone),
                (matched, Tone::Plain),
                self.distance(member),
            ]);
        }
        table
    }
}

/// What should be looked at: a line each, behind the rest.
pub(super) fn concerns(some: &[String], look: &Look, out: &mut dyn Write) -> io::Result<()> {
    if !some.is_empty() {
        writeln!(out)?;
    }
    for concern in some {
        let line = format!("{} {}", look.sign(Sign::Warning), super::table::shown(concern));
        writeln!(out, "{}", look.paint(Tone::Warning, &line))?;
    }
    Ok(())
}

impl View for Members {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let leader = if self.leader == 0 {
            "no leader known".to_owned()
        } else {
            format!("leader node {}", self.leader)
        };
        writeln!(
            out,
            "cluster {}{dot}{leader}{dot}term {}{dot}answered by node {}, applied to {}",
            words::id(&self.cluster_id, look.wide),
            self.term,
            self.answered_by,
            self.applied_index,
            dot = look.dot(),
        )?;
        let bound = if self.charter_bound.is_empty() {
            String::new()
        } else {
            format!(", bound to {}", self.charter_bound)
        };
        writeln!(out, "charter {}{bound}", words::id(&self.charter, look.wide))?;
        if !self.incarnation.is_empty() {
            let incarnation = words::id(&self.incarnation, look.wide);
            writeln!(out, "incarnation {incarnation}, restored from a backup")?;
        }
        if self.round_trip_ms > 0 {
            writeln!(
                out,
                "made for round trips up to {} ms{dot}heartbeat {} ms{dot}election after {} ms{dot}lease {} ms",
                self.round_trip_ms,
                self.heartbeat_ms,
                self.election_max_ms,
                self.lease_ms,
                dot = look.dot(),
            )?;
        }
        writeln!(out)?;
        self.table(look).text(look, "", out)?;
        concerns(&self.concerns, look, out)
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table(&Look::default()).markdown(out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("cluster", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        let mut lines: Vec<Value> =
            self.nodes.iter().map(|member| typed("member", member)).collect::<Result<_, _>>()?;
        let mut cluster = self.json()?;
        if let Value::Object(fields) = &mut cluster {
            fields.remove("nodes");
        }
        lines.push(cluster);
        Ok(lines)
    }
}
