//! Targets that stand apart: one block for those that do so alike, with the nearest known class and what is
//! different from it.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use skein_proto::v1;

use super::look::{Look, Sign, Tone};
use super::schema::Diff;
use super::table::{escaped, shown};
use super::{View, typed, words};

/// Targets of a block that are named; `wide` names all.
const NAMED: usize = 5;

/// What a plan was refused for.
#[derive(Debug, Clone, Serialize)]
pub struct Blocks {
    pub accepted: bool,
    pub blocks: Vec<Block>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Block {
    pub engine: &'static str,
    /// Versions in force, in the order applied.
    pub in_force: Vec<String>,
    /// SHA-256 of the canonical schema, hexadecimal.
    pub schema: String,
    pub targets: Vec<String>,
    pub why: String,
    pub nearest: Option<Nearest>,
    /// Against one member of the nearest class.
    pub diff: Option<Diff>,
    /// Why there is no diff.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub not_compared: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct Nearest {
    pub in_force: Vec<String>,
    pub schema: String,
    pub targets: u32,
    /// The first few.
    pub examples: Vec<String>,
    /// Versions that it has, or has otherwise, and the block has not.
    pub lacks: Vec<String>,
    /// Versions that the block has, or has otherwise, and it has not.
    pub more: Vec<String>,
}

impl Block {
    pub fn new(block: &v1::Block) -> Self {
        Self {
            engine: words::engine(block.engine()),
            in_force: versions(&block.ledger),
            schema: words::hex(&block.schema),
            targets: block.targets.clone(),
            why: why(block.cause.as_ref()),
            nearest: block.nearest.as_ref().map(|nearest| Nearest {
                in_force: versions(&nearest.ledger),
                schema: words::hex(&nearest.schema),
                targets: nearest.members,
                examples: nearest.examples.clone(),
                lacks: without(&nearest.ledger, &block.ledger),
                more: without(&block.ledger, &nearest.ledger),
            }),
            diff: None,
            not_compared: String::new(),
        }
    }

    fn title(&self, accepted: bool, wide: bool) -> String {
        let taken = if accepted { ", taken as they are" } else { "" };
        format!(
            "{} apart{taken}: {} {}, schema {}",
            match self.targets.len() {
                1 => "1 target stands".to_owned(),
                many => format!("{many} targets stand"),
            },
            self.engine,
            at(&self.in_force),
            if self.schema.is_empty() { "unknown" } else { words::id(&self.schema, wide) },
        )
    }

    fn names(&self, wide: bool) -> String {
        let most = if wide { usize::MAX } else { NAMED };
        let named: Vec<&str> = self.targets.iter().take(most).map(String::as_str).collect();
        match self.targets.len() - named.len() {
            0 => named.join(" "),
            more => format!("{} and {more} more", named.join(" ")),
        }
    }

    fn nearest_told(&self, wide: bool) -> String {
        let Some(nearest) = &self.nearest else {
            return "no known class of this engine".to_owned();
        };
        let mut parts = vec![format!(
            "{} {}, schema {}",
            words::count(nearest.targets, "target"),
            at(&nearest.in_force),
            words::id(&nearest.schema, wide)
        )];
        if nearest.lacks.is_empty() && nearest.more.is_empty() {
            parts.push("the same migrations in force".to_owned());
        }
        for (which, versions) in [("lacks", &nearest.lacks), ("has beyond it", &nearest.more)] {
            if !versions.is_empty() {
                parts.push(format!("the block {which} {}", versions.join(", ")));
            }
        }
        parts.join("; ")
    }

    /// All of a block.
    pub fn told(&self, accepted: bool, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let (sign, tone) = if accepted {
            (look.sign(Sign::Warning), Tone::Warning)
        } else {
            (look.sign(Sign::Bad), Tone::Bad)
        };
        let title = format!("{sign} {}", self.title(accepted, look.wide));
        writeln!(out, "{}", look.paint(tone, &shown(&title)))?;
        writeln!(out, "  targets  {}", shown(&self.names(look.wide)))?;
        writeln!(out, "  why      {}", shown(&self.why))?;
        writeln!(out, "  nearest  {}", shown(&self.nearest_told(look.wide)))?;
        if let Some(diff) = &self.diff {
            let title = format!("{}, seen from {}:", diff.right, diff.left);
            writeln!(out, "  {}", shown(&title))?;
            diff.told(look, "    ", out)?;
        } else if !self.not_compared.is_empty() {
            writeln!(out, "  not compared: {}", shown(&self.not_compared))?;
        }
        Ok(())
    }

    /// The same for a page.
    pub fn markdown(&self, accepted: bool, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "\n**{}**\n", escaped(&self.title(accepted, false)))?;
        writeln!(out, "- targets: {}", escaped(&self.names(true)))?;
        writeln!(out, "- why: {}", escaped(&self.why))?;
        writeln!(out, "- nearest: {}", escaped(&self.nearest_told(false)))?;
        if let Some(diff) = &self.diff {
            writeln!(out, "\n```diff")?;
            diff.told(&Look { wide: true, ..Look::default() }, "", out)?;
            writeln!(out, "```")?;
        } else if !self.not_compared.is_empty() {
            writeln!(out, "- not compared: {}", escaped(&self.not_compared))?;
        }
        Ok(())
    }
}

fn at(versions: &[String]) -> String {
    match versions.last() {
        Some(version) => format!("at {version}"),
        None => "with nothing in force".to_owned(),
    }
}

fn versions(ledger: &[v1::LedgerEntry]) -> Vec<String> {
    ledger.iter().map(|entry| entry.version.clone()).collect()
}

fn without(one: &[v1::LedgerEntry], other: &[v1::LedgerEntry]) -> Vec<String> {
    let only = one.iter().filter(|entry| !other.contains(entry));
    only.map(|entry| entry.version.clone()).collect()
}

fn why(cause: Option<&v1::block::Cause>) -> String {
    use v1::block::Cause;
    match cause {
        Some(Cause::Held(problem)) => problem.clone(),
        Some(Cause::Unlike(others)) => format!(
            "no rollout worked on it yet, and {} with the same migrations in force {} another schema",
            words::count(*others, "other target"),
            if *others == 1 { "has" } else { "have" }
        ),
        Some(Cause::Foreign(version)) => {
            format!("its ledger has {version} as neither the migrations nor any rollout know it")
        }
        None => "a newer coordinator knows why".to_owned(),
    }
}

impl View for Blocks {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        for block in &self.blocks {
            block.told(self.accepted, look, out)?;
            writeln!(out)?;
        }
        Ok(())
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        self.blocks.iter().try_for_each(|block| block.markdown(self.accepted, out))
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("blocks", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        self.blocks.iter().map(|block| typed("block", block)).collect()
    }
}
