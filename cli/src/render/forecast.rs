//! How long work will take, in words: from the median to the 95th percentile, and how much of it was measured.

use serde::Serialize;
use skein_proto::v1;

use super::look::duration;
use super::words;

/// Of one step, a wave, a plan, or what is left of a rollout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Forecast {
    pub p50_ms: u64,
    pub p95_ms: u64,
    /// Steps and backups of targets.
    pub parts: u64,
    /// Those of them that were measured before; the others are not in the times.
    pub measured: u64,
    /// Of one step: how often.
    #[serde(skip_serializing_if = "is_zero")]
    pub samples: u64,
    /// Of one step: it grows with the target's size.
    #[serde(skip_serializing_if = "is_false")]
    pub scaled: bool,
    /// Of one step: not 0, the largest target that it was measured on is smaller, bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub beyond: u64,
    /// What the engine writes to its log for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95_bytes: Option<u64>,
    /// Of one step: it grows with the rows of the tables that it touches.
    #[serde(skip_serializing_if = "is_false")]
    pub by_rows: bool,
    /// Of one step: the most rows that it touches in one target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub touched_rows: Option<u64>,
    /// As `beyond`, by rows.
    #[serde(skip_serializing_if = "is_zero")]
    pub beyond_rows: u64,
    /// Of many steps: how many, and of how many the bytes are told.
    #[serde(skip_serializing_if = "is_zero")]
    pub steps: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub weighed: u64,
    /// Of many steps: those that were reckoned by rows.
    #[serde(skip_serializing_if = "is_zero")]
    pub steps_by_rows: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(is: &bool) -> bool {
    !is
}

/// One of them, where both read alike.
fn spread(p50: String, p95: &str) -> String {
    if p50 == p95 { p50 } else { format!("{p50} to {p95}") }
}

impl Forecast {
    pub fn new(wire: &v1::Forecast) -> Self {
        Self {
            p50_ms: wire.p50_ms,
            p95_ms: wire.p95_ms,
            parts: wire.parts,
            measured: wire.measured,
            samples: wire.samples,
            scaled: wire.scaled,
            beyond: wire.beyond,
            p50_bytes: wire.p50_bytes,
            p95_bytes: wire.p95_bytes,
            by_rows: wire.by_rows,
            touched_rows: wire.touched_rows,
            beyond_rows: wire.beyond_rows,
            steps: wire.steps,
            weighed: wire.weighed,
            steps_by_rows: wire.steps_by_rows,
        }
    }

    pub fn is_known(&self) -> bool {
        self.measured > 0
    }

    fn interval(&self) -> String {
        spread(duration(self.p50_ms), &duration(self.p95_ms))
    }

    /// `, writes 12.0 MiB to 15.3 MiB`, where any agent told.
    fn written(&self) -> String {
        let told = self.p50_bytes.zip(self.p95_bytes);
        let some = if self.weighed < self.steps {
            format!(" in {} of {}", self.weighed, words::count(self.steps, "step"))
        } else {
            String::new()
        };
        told.map_or_else(String::new, |(p50, p95)| {
            format!(", writes {}{some}", spread(words::bytes(p50), &words::bytes(p95)))
        })
    }

    /// On what it stands: `, from the rows of the touched tables in 12 runs`.
    fn basis(&self) -> String {
        let runs = match self.samples {
            0 => return String::new(),
            samples => words::count(samples, "run"),
        };
        match (self.by_rows, self.scaled) {
            (true, _) => format!(", from the rows of the touched tables in {runs}"),
            (false, true) => format!(", from the size of the database in {runs}"),
            (false, false) => format!(", from {runs}"),
        }
    }

    /// Of many steps: how long, and what is written.
    pub fn of_many(&self) -> String {
        format!("{}{}", self.text(), self.written())
    }

    /// `4.0 s to 9.2 s`, and what is not in it.
    pub fn text(&self) -> String {
        if !self.is_known() {
            return "never measured".to_owned();
        }
        if self.measured == self.parts {
            return self.interval();
        }
        format!(
            "{} for {} of {} steps and backups; the others were never measured",
            self.interval(),
            self.measured,
            self.parts
        )
    }

    /// Of one step.
    pub fn of_step(&self) -> String {
        let beyond = match (self.beyond, self.beyond_rows) {
            (0, 0) => String::new(),
            (0, rows) => {
                format!(" (measured up to {}, the most here is more)", words::count(rows, "row"))
            }
            (bytes, _) => {
                format!(" (measured up to {}, the largest here is larger)", words::bytes(bytes))
            }
        };
        format!("{}{}{beyond}{}", self.text(), self.basis(), self.written())
    }
}

/// Do legs that begin now fit the rest of their windows?
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WindowFit {
    /// Targets of the first wave whose window is open.
    pub open: u32,
    pub fit: u32,
    pub too_long: u32,
    pub unknown: u32,
    /// One that may not fit.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub example: String,
    /// Its leg.
    #[serde(skip_serializing_if = "is_zero")]
    pub p95_ms: u64,
}

impl WindowFit {
    pub fn new(wire: &v1::WindowFit) -> Self {
        Self {
            open: wire.open,
            fit: wire.fit,
            too_long: wire.too_long,
            unknown: wire.unknown,
            example: wire.example.clone(),
            p95_ms: wire.p95_ms,
        }
    }

    /// No word of what is left: a plan's words do not change while the clock goes on.
    pub fn text(&self) -> String {
        let open = words::count(self.open, "target");
        let mut parts = Vec::new();
        if self.fit > 0 {
            parts.push(format!("{} of {open} would be done before it closes", self.fit));
        }
        if self.too_long > 0 {
            parts.push(format!(
                "{} may not, such as {}, which may take {}",
                self.too_long,
                super::table::shown(&self.example),
                duration(self.p95_ms)
            ));
        }
        if self.unknown > 0 {
            parts.push(format!("of {} not all was ever measured", self.unknown));
        }
        format!("Windows open now in wave 1: {}.", parts.join("; "))
    }
}

/// A step that takes longer than was forecast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overrun {
    pub target: String,
    pub version: String,
    pub undo: bool,
    /// So far.
    pub ms: u64,
}

impl Overrun {
    pub fn new(wire: &v1::Overrun) -> Self {
        Self {
            target: wire.target.clone(),
            version: wire.version.clone(),
            undo: wire.undo,
            ms: wire.ms,
        }
    }

    pub fn text(&self) -> String {
        let what = if self.undo { "undoing " } else { "" };
        format!(
            "{what}{} on {} has taken {} so far, longer than was forecast",
            super::table::shown(&self.version),
            super::table::shown(&self.target),
            duration(self.ms)
        )
    }
}
