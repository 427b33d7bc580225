//! A plan: classes, waves, steps, what undoes them and what does not.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use skein_proto::v1;

use super::look::{Look, Sign, Tone};
use super::table::Table;
use super::{View, typed, words};

/// Targets of a wave that are named in `text`; `wide` names all.
const NAMED: usize = 12;

#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// SHA-256 of the canonical plan, hexadecimal.
    pub id: String,
    /// Empty: nothing was recorded.
    pub rollout: String,
    pub direction: &'static str,
    pub goal: String,
    pub targets: u32,
    pub steps: u64,
    pub up_to_date: u32,
    pub destructive: bool,
    pub engines: Vec<EngineCount>,
    pub waves: Vec<Wave>,
    pub classes: Vec<Class>,
    pub irreversible: Vec<Irreversible>,
    pub strategy: Strategy,
    pub notes: Vec<String>,
    #[serde(skip)]
    way: v1::Direction,
}

#[derive(Debug, Clone, Serialize)]
pub struct EngineCount {
    pub engine: &'static str,
    pub targets: u32,
}

#[derive(Debug, Clone, Serialize)]
pub struct Wave {
    pub number: usize,
    pub name: String,
    pub targets: Vec<WaveTarget>,
}

#[derive(Debug, Clone, Serialize)]
pub struct WaveTarget {
    pub id: String,
    /// Index into `classes`.
    pub class: u32,
}

#[derive(Debug, Clone, Serialize)]
pub struct Class {
    pub index: usize,
    pub engine: &'static str,
    pub targets: u32,
    /// Versions in force before, in the order applied.
    pub before: Vec<String>,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Step {
    pub version: String,
    pub name: String,
    pub direction: &'static str,
    pub mode: &'static str,
    pub mode_why: String,
    pub locks: Vec<Lock>,
    pub destructive: bool,
    pub undo: &'static str,
    pub undoable: bool,
    pub verify: bool,
    pub file: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct Lock {
    pub name: String,
    pub table: String,
    pub meaning: String,
}

/// A step that no script takes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Irreversible {
    pub version: String,
    pub name: String,
    pub file: String,
    pub engines: Vec<&'static str>,
    pub targets: u32,
}

#[derive(Debug, Clone, Serialize)]
pub struct Strategy {
    pub parallelism: u32,
    pub budget: String,
    pub on_breach: &'static str,
    pub retries: u32,
    pub backup: &'static str,
}

impl Plan {
    pub fn new(reply: &v1::PlanReply) -> Self {
        let empty = v1::Plan::default();
        let plan = reply.plan.as_ref().unwrap_or(&empty);
        let spec = plan.spec.clone().unwrap_or_default();
        let classes: Vec<Class> = plan.classes.iter().enumerate().map(class).collect();
        let waves = plan.waves.iter().enumerate().map(wave).collect::<Vec<_>>();
        let steps = plan
            .classes
            .iter()
            .map(|class| u64::from(class.targets) * (class.steps.len() as u64))
            .sum();
        Self {
            id: words::hex(&reply.id),
            rollout: reply.rollout.clone(),
            direction: words::direction(spec.direction()),
            goal: words::goal(spec.goal.as_ref()),
            targets: plan.classes.iter().map(|class| class.targets).sum(),
            steps,
            up_to_date: plan.up_to_date,
            destructive: plan.classes.iter().any(|c| c.steps.iter().any(|step| step.destructive)),
            engines: engines(plan),
            waves,
            irreversible: irreversible(plan),
            classes,
            strategy: strategy(spec.strategy.as_ref()),
            notes: plan.notes.clone(),
            way: spec.direction(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.steps == 0
    }

    /// Only tries the steps: nothing stays.
    pub fn is_trial(&self) -> bool {
        self.way == v1::Direction::Validate
    }

    /// `skein apply --plan …`.
    pub fn apply_command(&self) -> String {
        format!("skein apply --plan {}", words::id(&self.id, false))
    }

    /// Steps by how they are undone: (by script, not at all).
    fn undo_counts(&self) -> (u64, u64) {
        let mut counts = (0, 0);
        for class in &self.classes {
            for step in &class.steps {
                let count = if step.undoable { &mut counts.0 } else { &mut counts.1 };
                *count += u64::from(class.targets);
            }
        }
        counts
    }

    fn summary(&self, wide: bool) -> String {
        format!(
            "Plan {}: {}, {}",
            words::id(&self.id, wide),
            words::count(self.targets, "target"),
            words::count(self.steps, "step"),
        )
    }

    fn headline(&self, look: &Look) -> String {
        let engines: Vec<String> = self
            .engines
            .iter()
            .map(|count| format!("{} {}{}", count.engine, times(look), count.targets))
            .collect();
        let mut parts = vec![
            format!(
                "{} in {}",
                words::count(self.targets, "target"),
                words::count(self.waves.len() as u64, "wave")
            ),
            format!("{} to {}", self.direction, self.goal),
            engines.join(", "),
        ];
        if self.up_to_date > 0 {
            parts.push(format!("{} already there", self.up_to_date));
        }
        parts.retain(|part| !part.is_empty());
        parts.join(look.dot())
    }
}

fn times(look: &Look) -> &'static str {
    match look.signs {
        super::look::Signs::Unicode => "×",
        super::look::Signs::Ascii => "x",
    }
}

fn class((index, class): (usize, &v1::PlanClass)) -> Class {
    Class {
        index,
        engine: words::engine(class.engine()),
        targets: class.targets,
        before: class.before.iter().map(|entry| entry.version.clone()).collect(),
        steps: class.steps.iter().map(step).collect(),
    }
}

fn step(step: &v1::PlannedStep) -> Step {
    Step {
        version: step.version.clone(),
        name: step.name.clone(),
        direction: words::direction(step.direction()),
        mode: words::mode(step.mode()),
        mode_why: step.mode_why.clone(),
        locks: step
            .locks
            .iter()
            .map(|lock| Lock {
                name: lock.name.clone(),
                table: lock.table.clone(),
                meaning: lock.meaning.clone(),
            })
            .collect(),
        destructive: step.destructive,
        undo: words::undo(step.undo(), step.direction()),
        undoable: step.undo() != v1::Undo::None,
        verify: step.verify,
        file: step.file.clone(),
    }
}

fn wave((index, wave): (usize, &v1::PlanWave)) -> Wave {
    let mut targets: Vec<WaveTarget> = wave
        .targets
        .iter()
        .map(|target| WaveTarget { id: target.id.clone(), class: target.class })
        .collect();
    targets.sort_by(|a, b| a.id.cmp(&b.id));
    Wave { number: index + 1, name: wave.name.clone(), targets }
}

fn engines(plan: &v1::Plan) -> Vec<EngineCount> {
    let mut counts: BTreeMap<i32, u32> = BTreeMap::new();
    for class in &plan.classes {
        *counts.entry(class.engine).or_default() += class.targets;
    }
    let name = |engine| v1::Engine::try_from(engine).unwrap_or_default();
    counts
        .into_iter()
        .map(|(engine, targets)| EngineCount { engine: words::engine(name(engine)), targets })
        .collect()
}

fn irreversible(plan: &v1::Plan) -> Vec<Irreversible> {
    let mut found: BTreeMap<u32, Irreversible> = BTreeMap::new();
    for class in &plan.classes {
        for step in class.steps.iter().filter(|step| step.undo() == v1::Undo::None) {
            let entry = found.entry(step.migration).or_insert_with(|| Irreversible {
                version: step.version.clone(),
                name: step.name.clone(),
                file: step.file.clone(),
                engines: Vec::new(),
                targets: 0,
            });
            entry.targets += class.targets;
            let engine = words::engine(class.engine());
            if !entry.engines.contains(&engine) {
                entry.engines.push(engine);
            }
        }
    }
    found.into_values().collect()
}

fn strategy(strategy: Option<&v1::Strategy>) -> Strategy {
    let strategy = strategy.cloned().unwrap_or_default();
    let budget = strategy.budget.unwrap_or_default();
    let budget = match (budget.failed, budget.percent) {
        (failed, 0) => words::count(failed, "target"),
        (0, percent) => format!("{percent} % of a wave"),
        (failed, percent) => {
            format!(
                "{} or {percent} % of a wave, whichever is less",
                words::count(failed, "target")
            )
        }
    };
    Strategy {
        parallelism: strategy.parallelism,
        budget,
        on_breach: words::on_breach(strategy.on_breach()),
        retries: strategy.retries,
        backup: words::backup(strategy.backup()),
    }
}

impl Step {
    fn sign(&self, way: v1::Direction) -> (&'static str, Tone) {
        match way {
            _ if self.destructive => ("!", Tone::Bad),
            v1::Direction::Down => ("-", Tone::Warning),
            v1::Direction::Validate => ("?", Tone::Busy),
            v1::Direction::Up | v1::Direction::Unspecified => ("+", Tone::Good),
        }
    }

    /// Locks by name with their tables, each once; of many tables the first few.
    fn lock_text(&self, wide: bool) -> String {
        const SHOWN: usize = 3;
        let mut by_name: Vec<(&str, Vec<&str>)> = Vec::new();
        for lock in &self.locks {
            let at = by_name.iter().position(|(name, _)| *name == lock.name);
            let at = at.unwrap_or_else(|| {
                by_name.push((&lock.name, Vec::new()));
                by_name.len() - 1
            });
            let Some((_, tables)) = by_name.get_mut(at) else { continue };
            if !lock.table.is_empty() && !tables.contains(&lock.table.as_str()) {
                tables.push(&lock.table);
            }
        }
        if by_name.is_empty() {
            return "no lock known".to_owned();
        }
        let text = |(name, tables): &(&str, Vec<&str>)| {
            let shown = if wide { tables.len() } else { tables.len().min(SHOWN) };
            let listed = tables.get(..shown).unwrap_or(tables).join(", ");
            match tables.len() - shown {
                0 if tables.is_empty() => (*name).to_owned(),
                0 => format!("{name} on {listed}"),
                more => format!("{name} on {listed} and {more} more"),
            }
        };
        by_name.iter().map(text).collect::<Vec<_>>().join("; ")
    }

    /// What stands at the end of the step's own line because it must not be missed.
    fn remark(&self) -> String {
        let mut remarks = Vec::new();
        if !self.mode_why.is_empty() {
            remarks.push(self.mode_why.as_str());
        }
        if self.destructive {
            remarks.push("destroys data");
        }
        if remarks.is_empty() { String::new() } else { format!("# {}", remarks.join("; ")) }
    }
}

impl Class {
    fn title(&self) -> String {
        let at = match self.before.last() {
            Some(version) => format!("at {version}"),
            None => "with nothing in force".to_owned(),
        };
        format!("{} {at}, {}", self.engine, words::count(self.targets, "target"))
    }
}

impl View for Plan {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if self.is_empty() {
            let there = words::count(self.up_to_date, "target");
            writeln!(out, "Nothing to do: {there} already where they should be.")?;
            return self.notes_text(look, out);
        }
        writeln!(out, "{}", look.paint(Tone::Strong, &self.headline(look)))?;
        writeln!(out)?;
        self.waves_text(look, out)?;
        for class in &self.classes {
            writeln!(out)?;
            writeln!(out, "  {}", look.paint(Tone::Strong, &class.title()))?;
            let mut table = Table::new(&[""; 8]);
            for step in &class.steps {
                let (sign, tone) = step.sign(self.way);
                let undo = if step.undoable { Tone::Plain } else { Tone::Bad };
                table.row([
                    (sign.to_owned(), tone),
                    (step.version.clone(), Tone::Strong),
                    (step.name.clone(), Tone::Plain),
                    (step.mode.to_owned(), Tone::Plain),
                    (step.lock_text(look.wide), Tone::Plain),
                    (format!("backup: {}", self.strategy.backup), Tone::Plain),
                    (format!("undo: {}", step.undo), undo),
                    (step.remark(), Tone::Faint),
                ]);
            }
            table.text(look, "    ", out)?;
        }
        self.irreversible_text(look, out)?;
        self.notes_text(look, out)?;
        self.footer_text(look, out)
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.is_empty() {
            return self.text(&Look::default(), out);
        }
        writeln!(out, "### {}\n", self.summary(false))?;
        writeln!(out, "{}\n", self.headline(&Look::default()))?;
        let mut table = Table::new(&["wave", "name", "targets"]);
        for wave in &self.waves {
            table.plain([wave.number.to_string(), wave.name.clone(), wave.names(false)]);
        }
        table.markdown(out)?;
        for class in &self.classes {
            writeln!(out, "\n**{}**\n", class.title())?;
            let mut table = Table::new(&["", "version", "name", "mode", "locks", "undo", "remark"]);
            for step in &class.steps {
                table.plain([
                    step.sign(self.way).0.to_owned(),
                    step.version.clone(),
                    step.name.clone(),
                    step.mode.to_owned(),
                    step.lock_text(true),
                    step.undo.to_owned(),
                    step.remark().trim_start_matches("# ").to_owned(),
                ]);
            }
            table.markdown(out)?;
        }
        self.irreversible_text(&Look::default(), out)?;
        self.notes_text(&Look::default(), out)?;
        writeln!(out, "\n`{}`", self.apply_command())
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("plan", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        let mut lines = Vec::new();
        for class in &self.classes {
            lines.push(typed("class", class)?);
        }
        for wave in &self.waves {
            lines.push(typed("wave", wave)?);
        }
        for step in &self.irreversible {
            lines.push(typed("irreversible", step)?);
        }
        let mut plan = self.json()?;
        if let Value::Object(fields) = &mut plan {
            for told in ["classes", "waves", "irreversible"] {
                fields.remove(told);
            }
        }
        lines.push(plan);
        Ok(lines)
    }
}

impl Wave {
    fn names(&self, wide: bool) -> String {
        let shown = if wide { self.targets.len() } else { NAMED };
        let names: Vec<&str> = self.targets.iter().take(shown).map(|t| t.id.as_str()).collect();
        match self.targets.len().saturating_sub(shown) {
            0 => names.join(" "),
            more => format!("{} and {more} more", names.join(" ")),
        }
    }
}

impl Plan {
    fn waves_text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let mut table = Table::new(&[""; 3]);
        for wave in &self.waves {
            let name =
                if wave.name.is_empty() { String::new() } else { format!("({})", wave.name) };
            let targets = words::count(wave.targets.len() as u64, "target");
            table.plain([
                format!("wave {} {name}", wave.number).trim_end().to_owned(),
                targets,
                wave.names(look.wide),
            ]);
        }
        table.text(look, "  ", out)
    }

    fn irreversible_text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if self.irreversible.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let title = format!("{} Cannot be undone", look.sign(Sign::Warning));
        writeln!(out, "{}", look.paint(Tone::Bad, &title))?;
        for step in &self.irreversible {
            writeln!(
                out,
                "  {} {}  on {} ({}): {} has no script for the way back; only its backup, restored by \
                 hand with the loss of every later write, takes it back",
                step.version,
                step.name,
                words::count(step.targets, "target"),
                step.engines.join(", "),
                step.file,
            )?;
        }
        Ok(())
    }

    fn notes_text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if !self.notes.is_empty() {
            writeln!(out)?;
        }
        for note in &self.notes {
            writeln!(out, "{}: {note}", look.paint(Tone::Warning, "note"))?;
        }
        Ok(())
    }

    fn footer_text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let legend: Vec<&str> = [
            ("+", "+ apply"),
            ("-", "- take back"),
            ("?", "? try and leave nothing"),
            ("!", "! destroys data"),
        ]
        .into_iter()
        .filter(|(sign, _)| {
            self.classes.iter().any(|c| c.steps.iter().any(|step| step.sign(self.way).0 == *sign))
        })
        .map(|(_, words)| words)
        .collect();
        writeln!(out)?;
        writeln!(out, "{}", look.paint(Tone::Faint, &legend.join("   ")))?;
        writeln!(out)?;
        writeln!(out, "{}", look.paint(Tone::Strong, &self.summary(look.wide)))?;
        let strategy = &self.strategy;
        writeln!(
            out,
            "At one time: {}. Retries: {}. May fail in a wave: {}; beyond that: {}.",
            words::count(strategy.parallelism, "target"),
            strategy.retries,
            strategy.budget,
            strategy.on_breach,
        )?;
        if !self.is_trial() {
            let (script, never) = self.undo_counts();
            let never = if never == 0 {
                String::new()
            } else {
                format!(", {} not at all", words::count(never, "step"))
            };
            writeln!(out, "Undo: {} by script{never}.", words::count(script, "step"))?;
        }
        writeln!(out)?;
        writeln!(out, "To run exactly this plan:  {}", self.apply_command())
    }
}
