//! One rollout: where it stands, wave by wave, lane by lane.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use skein_proto::v1;

use super::forecast::{Forecast, Overrun};
use super::look::{Look, Sign, Tone, duration};
use super::silence::Silence;
use super::table::Table;
use super::{View, typed, words};

const BAR: u32 = 24;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rollout {
    pub id: String,
    /// Hexadecimal.
    pub plan: String,
    pub state: &'static str,
    pub direction: &'static str,
    pub targets: u32,
    pub steps: u32,
    pub steps_applied: u32,
    pub steps_verified: u32,
    pub steps_undone: u32,
    /// One-based; the wave that is under way.
    pub wave: u32,
    pub waves: Vec<Wave>,
    pub reason: String,
    /// One-based: the wave that opens as soon as somebody says so; 0: none.
    pub waits_for_word: u32,
    pub started_by: String,
    pub started_at_ms: u64,
    pub ended_at_ms: u64,
    pub residual: Vec<Lane>,
    /// Targets that the rollout was told to go on without.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Lane>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lanes: Vec<Lane>,
    /// Targets that it means and that cannot be worked on yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub awaited: Vec<Awaited>,
    /// How many; the first ones are named.
    pub awaited_count: u32,
    /// How long the rest of it takes, on the way forward.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest: Option<Forecast>,
    /// Steps under way that take longer than was forecast: the first ones, and how many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overran: Vec<Overrun>,
    #[serde(skip_serializing_if = "is_zero")]
    pub overran_count: u32,
    /// Everything else is done: it waits for those.
    #[serde(skip)]
    pub waits_for_absent: bool,
    /// Targets that could be worked on, were their agents heard of: one for each region.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<Silence>,
    /// Targets that a breach took back and that go forward again when it is resumed.
    #[serde(skip_serializing_if = "is_zero")]
    pub forward_again: u32,
    /// The newest rollout that has had its targets since. Empty: none has.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub taken_over: String,
    #[serde(skip)]
    pub now: v1::RolloutState,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Awaited {
    pub target: String,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Wave {
    pub number: u32,
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stage: String,
    pub targets: u32,
    pub waiting: u32,
    pub running: u32,
    pub done: u32,
    pub failed: u32,
    pub undone: u32,
    /// It opens when somebody says so, and nobody has.
    pub waits_for_approval: bool,
    /// Until when it is watched; 0: it is not.
    pub soak_until_ms: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lane {
    pub target: String,
    /// One-based.
    pub wave: u32,
    pub state: &'static str,
    pub steps: u32,
    pub applied: u32,
    pub verified: u32,
    pub backed_up: bool,
    pub attempt: u32,
    pub agent: String,
    pub fence: u64,
    pub note: String,
    /// Why it gets no work; empty: it is not held.
    pub held: String,
    /// Why the time holds it back: its window, a blackout, a freeze. Empty: it does not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub closed: String,
    /// Which throttle its work waits for, and what was measured. Empty: for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub throttled: String,
    /// How far the statement in batches has come that its work is at. Empty: it is at none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub batches: String,
    /// Of what is left as it is: until when; 0: for good.
    #[serde(skip_serializing_if = "super::is_never")]
    pub until_ms: u64,
    #[serde(skip)]
    pub now: v1::LaneState,
}

impl Rollout {
    pub fn new(status: &v1::RolloutStatus) -> Self {
        Self {
            id: status.id.clone(),
            plan: words::hex(&status.plan),
            state: words::rollout(status.state()),
            direction: words::direction(status.direction()),
            targets: status.targets,
            steps: status.steps,
            steps_applied: status.steps_applied,
            steps_verified: status.steps_verified,
            steps_undone: status.steps_undone,
            wave: status.wave.saturating_add(1),
            waves: (1..).zip(&status.waves).map(wave).collect(),
            reason: status.reason.clone(),
            waits_for_word: status.waits_for_word,
            started_by: status.started_by.clone(),
            started_at_ms: status.started_at_ms,
            ended_at_ms: status.ended_at_ms,
            residual: status.residual.iter().map(Lane::new).collect(),
            skipped: status.waived.iter().map(Lane::new).collect(),
            lanes: status.lanes.iter().map(Lane::new).collect(),
            awaited: status
                .awaited
                .iter()
                .map(|one| Awaited { target: one.target.clone(), why: one.reason.clone() })
                .collect(),
            awaited_count: status.awaited_count,
            rest: status.rest.as_ref().map(Forecast::new),
            overran: status.overran.iter().map(Overrun::new).collect(),
            overran_count: status.overran_count,
            waits_for_absent: status.waits_for_absent,
            silent: status.silent.iter().map(Silence::new).collect(),
            forward_again: status.forward_again,
            taken_over: status.taken_over.clone(),
            now: status.state(),
        }
    }

    pub fn ended(&self) -> bool {
        match self.now {
            v1::RolloutState::Completed
            | v1::RolloutState::RolledBack
            | v1::RolloutState::Halted => true,
            v1::RolloutState::Unspecified
            | v1::RolloutState::Planned
            | v1::RolloutState::Running
            | v1::RolloutState::Paused
            | v1::RolloutState::Unwinding => false,
        }
    }

    /// Every step in a transaction that is rolled back.
    pub fn is_trial(&self) -> bool {
        self.direction == words::direction(v1::Direction::Validate)
    }

    /// Whether what stands on some target is not known.
    pub fn in_doubt(&self) -> bool {
        self.residual.iter().any(|lane| lane.now != v1::LaneState::Failed)
    }

    pub fn sign(&self) -> (Sign, Tone) {
        match self.now {
            v1::RolloutState::Completed => (Sign::Good, Tone::Good),
            v1::RolloutState::RolledBack => (Sign::Undone, Tone::Warning),
            v1::RolloutState::Halted => (Sign::Bad, Tone::Bad),
            v1::RolloutState::Unwinding => (Sign::Undone, Tone::Warning),
            v1::RolloutState::Running => (Sign::Busy, Tone::Busy),
            v1::RolloutState::Paused => (Sign::Paused, Tone::Warning),
            v1::RolloutState::Planned | v1::RolloutState::Unspecified => {
                (Sign::Waiting, Tone::Faint)
            }
        }
    }

    pub fn headline(&self, look: &Look) -> String {
        let (sign, tone) = self.sign();
        let state = look.paint(tone, &format!("{} {}", look.sign(sign), self.state));
        let mut parts = vec![
            format!("{} {state}", super::table::shown(&self.id)),
            format!("{} {}", self.direction, words::count(self.targets, "target")),
            format!(
                "steps {}/{} applied, {} verified",
                self.steps_applied, self.steps, self.steps_verified
            ),
        ];
        if self.steps_undone > 0 {
            parts.push(format!("{} undone", self.steps_undone));
        }
        if let Some(took) = self.took() {
            parts.push(took);
        }
        parts.join(look.dot())
    }

    /// What is left of it, where anything is known of that.
    pub fn left(&self) -> Option<String> {
        let goes_on = matches!(self.now, v1::RolloutState::Running | v1::RolloutState::Paused);
        let rest = self.rest.filter(|rest| goes_on && rest.is_known() && rest.parts > 0)?;
        Some(format!("left: {}", rest.of_many()))
    }

    /// Steps that take longer than was forecast.
    pub fn overruns(&self) -> Vec<String> {
        let mut said: Vec<String> = self.overran.iter().map(Overrun::text).collect();
        match u64::from(self.overran_count).saturating_sub(said.len() as u64) {
            0 => {}
            more => said.push(format!("and {more} more steps take longer than was forecast")),
        }
        said
    }

    fn took(&self) -> Option<String> {
        (self.started_at_ms > 0 && self.ended_at_ms >= self.started_at_ms)
            .then(|| duration(self.ended_at_ms - self.started_at_ms))
    }

    pub fn wave_lines(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let mut table = Table::new(&[""; 4]);
        for wave in &self.waves {
            let (sign, tone) = wave.sign();
            let name =
                if wave.name.is_empty() { String::new() } else { format!(" ({})", wave.title()) };
            table.row([
                (format!("{} wave {}{name}", look.sign(sign), wave.number), tone),
                (look.bar(wave.settled(), wave.targets, BAR), tone),
                (format!("{}/{}", wave.settled(), wave.targets), Tone::Plain),
                (wave.counts(), Tone::Plain),
            ]);
        }
        table.text(look, "  ", out)
    }
}

fn wave((number, status): (u32, &v1::WaveStatus)) -> Wave {
    use v1::LaneState as S;
    let count = |states: &[S]| {
        let of = |state: &S| {
            usize::try_from(*state as i32).ok().and_then(|index| status.lanes.get(index)).copied()
        };
        states.iter().filter_map(of).sum()
    };
    Wave {
        number,
        name: status.name.clone(),
        stage: status.stage.clone(),
        targets: status.targets,
        waiting: count(&[S::Waiting, S::Ready, S::UndoReady]),
        running: count(&[S::Leased, S::UndoLeased]),
        done: count(&[S::Done]),
        failed: count(&[S::Failed, S::Stuck, S::Residual]),
        undone: count(&[S::Undone]),
        waits_for_approval: status.waits_for_approval,
        soak_until_ms: status.soak_until_ms,
        skipped: count(&[S::Waived]),
    }
}

impl Wave {
    /// Its name behind that of its stage.
    pub fn title(&self) -> String {
        words::in_stage(&self.stage, &self.name)
    }

    pub fn settled(&self) -> u32 {
        self.done + self.failed + self.undone + self.skipped
    }

    pub fn sign(&self) -> (Sign, Tone) {
        match self {
            Self { failed: 1.., .. } => (Sign::Bad, Tone::Bad),
            Self { running: 1.., .. } => (Sign::Busy, Tone::Busy),
            Self { waiting: 1.., .. } => (Sign::Waiting, Tone::Faint),
            Self { undone: 1.., .. } => (Sign::Undone, Tone::Warning),
            Self { .. } => (Sign::Good, Tone::Good),
        }
    }

    pub fn counts(&self) -> String {
        let parts = [
            (self.done, "done"),
            (self.running, "running"),
            (self.waiting, "waiting"),
            (self.failed, "failed"),
            (self.undone, "undone"),
            (self.skipped, "skipped"),
        ];
        let parts = parts.into_iter().filter(|(number, _)| *number > 0);
        let mut parts: Vec<String> =
            parts.map(|(number, word)| format!("{number} {word}")).collect();
        if self.waits_for_approval {
            parts.push("waits for approval".to_owned());
        }
        if self.soak_until_ms > 0 {
            parts.push("watched".to_owned());
        }
        parts.join(", ")
    }
}

impl Lane {
    pub fn new(lane: &v1::Lane) -> Self {
        Self {
            target: lane.target.clone(),
            wave: lane.wave.saturating_add(1),
            state: words::lane(lane.state()),
            steps: lane.steps,
            applied: lane.applied,
            verified: lane.verified,
            backed_up: lane.backed_up,
            attempt: lane.attempt,
            agent: lane.agent.clone(),
            fence: lane.fence,
            note: {
                let held = match lane.held.as_str() {
                    "" => String::new(),
                    held => format!("held: {held}"),
                };
                let throttled = match lane.throttled.as_str() {
                    "" => String::new(),
                    why => format!("throttled by {why}"),
                };
                let batches = lane.batches.as_ref().map(super::batches::said).unwrap_or_default();
                let mut said =
                    vec![held, lane.closed.clone(), batches, throttled, lane.note.clone()];
                said.retain(|part| !part.is_empty());
                said.join("; ")
            },
            held: lane.held.clone(),
            closed: lane.closed.clone(),
            throttled: lane.throttled.clone(),
            batches: lane.batches.as_ref().map(super::batches::said).unwrap_or_default(),
            until_ms: lane.until_ms,
            now: lane.state(),
        }
    }

    pub fn sign(&self) -> (Sign, Tone) {
        use v1::LaneState as S;
        match self.now {
            S::Done => (Sign::Good, Tone::Good),
            S::Failed | S::Stuck | S::Residual => (Sign::Bad, Tone::Bad),
            S::Leased => (Sign::Busy, Tone::Busy),
            S::UndoReady | S::UndoLeased | S::Undone => (Sign::Undone, Tone::Warning),
            S::Waived => (Sign::Warning, Tone::Warning),
            S::Waiting | S::Ready | S::Unspecified => (Sign::Waiting, Tone::Faint),
        }
    }
}

/// Lanes, as rows.
pub fn lanes(lanes: &[Lane], look: &Look) -> Table {
    let mut table = Table::new(&[
        "TARGET", "WAVE", "STATE", "APPLIED", "VERIFIED", "BACKUP", "TRY", "AGENT", "NOTE",
    ])
    .right(&[1, 3, 4, 6]);
    for lane in lanes {
        let (sign, tone) = lane.sign();
        table.row([
            (lane.target.clone(), Tone::Plain),
            (lane.wave.to_string(), Tone::Plain),
            (format!("{} {}", look.sign(sign), lane.state), tone),
            (format!("{}/{}", lane.applied, lane.steps), Tone::Plain),
            (format!("{}/{}", lane.verified, lane.steps), Tone::Plain),
            ((if lane.backed_up { "yes" } else { "no" }).to_owned(), Tone::Plain),
            (lane.attempt.to_string(), Tone::Plain),
            (lane.agent.clone(), Tone::Plain),
            (lane.note.clone(), Tone::Plain),
        ]);
    }
    table
}

impl Rollout {
    /// What it waits for.
    pub fn awaited_text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if self.awaited.is_empty() {
            return Ok(());
        }
        let count = words::count(u64::from(self.awaited_count), "target");
        let title = if self.ended() {
            format!("{count} not there, or not to be worked on")
        } else {
            format!("{count} waited for")
        };
        writeln!(out, "\n{}", look.paint(Tone::Warning, &title))?;
        for one in &self.awaited {
            writeln!(
                out,
                "  {} {}  {}",
                look.sign(Sign::Waiting),
                super::table::shown(&one.target),
                super::table::shown(&one.why),
            )?;
        }
        match u64::from(self.awaited_count).saturating_sub(self.awaited.len() as u64) {
            0 => Ok(()),
            more => writeln!(out, "  and {more} more"),
        }
    }

    /// What it went on without.
    pub fn skipped_text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if self.skipped.is_empty() {
            return Ok(());
        }
        let count = words::count(self.skipped.len() as u64, "target");
        writeln!(out, "\n{}", look.paint(Tone::Warning, &format!("{count} left as they are")))?;
        for lane in &self.skipped {
            writeln!(
                out,
                "  {} {}  {} of {} applied: {}{}",
                look.sign(Sign::Warning),
                super::table::shown(&lane.target),
                lane.applied,
                words::count(lane.steps, "step"),
                super::table::shown(&lane.note),
                match lane.until_ms {
                    0 => String::new(),
                    until => format!(", until {}", look.time(until)),
                },
            )?;
        }
        Ok(())
    }

    /// What is left for an operator.
    pub fn residual_text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if self.residual.is_empty() {
            return Ok(());
        }
        writeln!(out)?;
        let count = words::count(self.residual.len() as u64, "target");
        let title = if self.is_trial() && !self.in_doubt() {
            format!("{count} did not pass; nothing was changed")
        } else {
            format!("{count} not where they should be; an operator is needed")
        };
        writeln!(out, "{}", look.paint(Tone::Bad, &title))?;
        for lane in &self.residual {
            writeln!(
                out,
                "  {} {}  {} of {} applied{}{}",
                look.sign(Sign::Bad),
                super::table::shown(&lane.target),
                lane.applied,
                words::count(lane.steps, "step"),
                if lane.note.is_empty() { "" } else { ": " },
                super::table::shown(&lane.note),
            )?;
        }
        Ok(())
    }

    /// What to type next.
    pub fn next_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let id = &self.id;
        match self.now {
            v1::RolloutState::Planned => {
                writeln!(out, "next: skein apply --plan {}", words::id(&self.plan, false))
            }
            v1::RolloutState::Running if self.waits_for_absent => {
                writeln!(
                    out,
                    "next: bring them back, or skein repair skip {id} --on ID --waive \"why\""
                )
            }
            v1::RolloutState::Running | v1::RolloutState::Unwinding => {
                writeln!(out, "next: skein watch {id}, or skein pause {id}")
            }
            v1::RolloutState::Paused => {
                writeln!(out, "next: skein resume {id}, or skein rollback {id}")
            }
            v1::RolloutState::Halted | v1::RolloutState::RolledBack
                if !self.taken_over.is_empty() =>
            {
                writeln!(
                    out,
                    "next: skein status {}, which has had its targets since",
                    self.taken_over
                )
            }
            v1::RolloutState::Halted | v1::RolloutState::RolledBack if self.forward_again > 0 => {
                writeln!(
                    out,
                    "next: mend the cause, and skein resume {id} takes {} forward again",
                    words::count(self.forward_again, "target")
                )
            }
            v1::RolloutState::Halted if self.is_trial() && !self.in_doubt() => {
                writeln!(out, "next: mend the scripts, and try again")
            }
            v1::RolloutState::Halted => {
                writeln!(
                    out,
                    "next: repair the cause and skein resume {id}, or skein rollback {id}"
                )
            }
            v1::RolloutState::Completed
            | v1::RolloutState::RolledBack
            | v1::RolloutState::Unspecified => Ok(()),
        }
    }
}

impl View for Rollout {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.headline(look))?;
        if !self.reason.is_empty() {
            writeln!(out, "  {}", super::table::shown(&self.reason))?;
        }
        if self.started_at_ms > 0 {
            writeln!(
                out,
                "  started {} by {}",
                look.time(self.started_at_ms),
                super::table::shown(&self.started_by)
            )?;
        }
        if let Some(left) = self.left() {
            writeln!(out, "  {left}")?;
        }
        for overrun in self.overruns() {
            let said = format!("{} {overrun}", look.sign(Sign::Warning));
            writeln!(out, "  {}", look.paint(Tone::Warning, &said))?;
        }
        if look.wide {
            writeln!(out, "  plan {}", self.plan)?;
        }
        writeln!(out)?;
        self.wave_lines(look, out)?;
        self.silent_text(look, out)?;
        if !self.lanes.is_empty() {
            writeln!(out)?;
            lanes(&self.lanes, look).text(look, "  ", out)?;
        }
        self.residual_text(look, out)?;
        self.skipped_text(look, out)?;
        self.awaited_text(look, out)?;
        writeln!(out)?;
        self.next_text(out)
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        let look = Look::default();
        writeln!(out, "### {}\n", self.headline(&look))?;
        if !self.reason.is_empty() {
            writeln!(out, "{}\n", super::table::escaped(&self.reason))?;
        }
        for silence in &self.silent {
            writeln!(out, "- {}", super::table::escaped(&silence.line(&look)))?;
        }
        let mut table = Table::new(&[
            "wave", "name", "targets", "done", "running", "waiting", "failed", "undone",
        ]);
        for wave in &self.waves {
            table.plain([
                wave.number.to_string(),
                wave.title(),
                wave.targets.to_string(),
                wave.done.to_string(),
                wave.running.to_string(),
                wave.waiting.to_string(),
                wave.failed.to_string(),
                wave.undone.to_string(),
            ]);
        }
        table.markdown(out)?;
        for (title, some) in [
            ("Targets", &self.lanes),
            ("Not where they should be", &self.residual),
            ("Left as they are", &self.skipped),
        ] {
            if !some.is_empty() {
                writeln!(out, "\n**{title}**\n")?;
                lanes(some, &look).markdown(out)?;
            }
        }
        Ok(())
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("rollout", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        let mut lines = Vec::new();
        for lane in &self.lanes {
            lines.push(typed("lane", lane)?);
        }
        let mut rollout = self.json()?;
        if let Value::Object(fields) = &mut rollout {
            fields.remove("lanes");
        }
        lines.push(rollout);
        Ok(lines)
    }
}
