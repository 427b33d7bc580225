//! A plan in words: the screen that somebody reads before saying yes.

use std::io::{self, Write};

use serde_json::Value;
use skein_proto::v1;

use super::super::forecast::Forecast;
use super::super::look::{Look, Sign, Signs, Tone};
use super::super::table::Table;
use super::super::{View, typed, words};
use super::{Class, Plan, Step, Wave};

/// Targets of a wave that are named in `text`; `wide` names all.
const NAMED: usize = 12;

impl View for Plan {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if self.is_empty() {
            let there = words::count(self.up_to_date, "target");
            writeln!(out, "Nothing to do: {there} already where they should be.")?;
            self.absent_text(look, out)?;
            self.accepted_text(look, out)?;
            return self.notes_text(look, out);
        }
        writeln!(out, "{}", look.paint(Tone::Strong, &self.headline(look)))?;
        writeln!(out)?;
        self.waves_text(look, out)?;
        for class in &self.classes {
            writeln!(out)?;
            writeln!(out, "  {}", look.paint(Tone::Strong, &class.title()))?;
            let mut table = Table::new(&[""; 8]);
            let measured = class.is_measured();
            for step in &class.steps {
                let (sign, tone) = step.sign(self.way);
                let undo = if step.undoable { Tone::Plain } else { Tone::Bad };
                let forecast = step.forecast.filter(|_| measured);
                let forecast = forecast.map(|it| (it.of_step(), Tone::Plain));
                let cells = [
                    (sign.to_owned(), tone),
                    (step.version.clone(), Tone::Strong),
                    (step.name.clone(), Tone::Plain),
                    (step.mode.to_owned(), Tone::Plain),
                    (step.lock_text(look.wide), Tone::Plain),
                    (format!("backup: {}", self.strategy.backup), Tone::Plain),
                    (format!("undo: {}", step.undo), undo),
                ];
                let remark = (step.remark(), Tone::Faint);
                table.row(cells.into_iter().chain(forecast).chain([remark]));
            }
            table.text(look, "    ", out)?;
            if let Some(backup) = class.backup_forecast.filter(Forecast::is_known) {
                writeln!(out, "    backup before: {}", backup.of_step())?;
            }
        }
        self.gates_text(look, out)?;
        self.irreversible_text(look, out)?;
        self.absent_text(look, out)?;
        self.accepted_text(look, out)?;
        self.notes_text(look, out)?;
        self.footer_text(look, out)
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.is_empty() {
            return self.text(&Look::default(), out);
        }
        writeln!(out, "### {}\n", self.summary(false))?;
        writeln!(out, "{}\n", self.headline(&Look::default()))?;
        let mut table = Table::new(&["wave", "name", "targets", "how"]);
        for wave in &self.waves {
            table.plain([wave.number.to_string(), wave.title(), wave.names(false), wave.notes()]);
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
        if !self.strategy.gates.is_empty() {
            writeln!(out)?;
            let mut table = Table::new(&["gate", "when", "what", "expected", "how often"]);
            for gate in &self.strategy.gates {
                table.plain(gate.row());
            }
            table.markdown(out)?;
        }
        self.irreversible_text(&Look::default(), out)?;
        self.absent_text(&Look::default(), out)?;
        for block in &self.accepted {
            block.markdown(true, out)?;
        }
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

impl Class {
    /// Something of it was.
    fn is_measured(&self) -> bool {
        self.steps.iter().any(|step| step.forecast.is_some_and(|it| it.is_known()))
    }
}

impl Wave {
    /// What holds for it, and how long it takes.
    fn notes(&self) -> String {
        let forecast = self.forecast.filter(Forecast::is_known);
        let forecast = forecast.map(|it| format!("forecast: {}", it.of_many()));
        self.how.iter().cloned().chain(forecast).collect::<Vec<_>>().join(", ")
    }

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

    fn waves_text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let mut table = Table::new(&[""; 4]);
        for wave in &self.waves {
            let name =
                if wave.name.is_empty() { String::new() } else { format!("({})", wave.title()) };
            let targets = words::count(wave.targets.len() as u64, "target");
            table.plain([
                format!("wave {} {name}", wave.number).trim_end().to_owned(),
                targets,
                wave.names(look.wide),
                wave.notes(),
            ]);
        }
        table.text(look, "  ", out)
    }

    fn gates_text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if self.strategy.gates.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let mut table = Table::new(&[""; 5]);
        for gate in &self.strategy.gates {
            table.plain(gate.row());
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

    fn absent_text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if self.absent.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let count = words::count(self.absent.len() as u64, "target");
        let title = if self.is_empty() {
            format!("{} {count} nobody could look at", look.sign(Sign::Warning))
        } else {
            format!(
                "{} {count} nobody could look at: waited for, and part of it as soon as somebody can",
                look.sign(Sign::Warning)
            )
        };
        writeln!(out, "{}", look.paint(Tone::Warning, &title))?;
        let shown = if look.wide { self.absent.len() } else { NAMED };
        for absent in self.absent.iter().take(shown) {
            let (id, why) =
                (super::super::table::shown(&absent.id), super::super::table::shown(&absent.why));
            writeln!(out, "  {id}  {why}")?;
        }
        match self.absent.len().saturating_sub(shown) {
            0 => Ok(()),
            more => writeln!(out, "  and {more} more"),
        }
    }

    fn accepted_text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        for block in &self.accepted {
            writeln!(out)?;
            block.told(true, look, out)?;
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
            "At one time: {}{}. Retries: {}. May fail in {}: {}; beyond that: {}.",
            words::count(strategy.parallelism, "target"),
            if strategy.limits.is_empty() {
                String::new()
            } else {
                format!(", {}", strategy.limits.join(", "))
            },
            strategy.retries,
            strategy.scope,
            strategy.budget,
            strategy.on_breach,
        )?;
        for hours in &strategy.hours {
            writeln!(out, "When: {hours}.")?;
        }
        for throttle in &strategy.throttles {
            writeln!(out, "Throttle: {throttle}.")?;
        }
        if let Some(batching) = &strategy.batching {
            writeln!(out, "Batches: {batching}.")?;
        }
        if let Some(windows) = &self.windows {
            writeln!(out, "{}", windows.text())?;
        }
        if let Some(forecast) = &self.forecast {
            let said = if forecast.is_known() {
                let waits = "One wave after the other, and without what waits for a word, a gate or a \
                             window";
                format!("{}. {waits}", forecast.of_many())
            } else {
                "not known, nothing of it was ever measured".to_owned()
            };
            writeln!(out, "How long: {said}.")?;
        }
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

fn times(look: &Look) -> &'static str {
    match look.signs {
        Signs::Unicode => "×",
        Signs::Ascii => "x",
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
