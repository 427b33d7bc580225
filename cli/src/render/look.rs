//! What the reader can see: colour, signs, width, and what "now" is.

use anstyle::{AnsiColor, Color, Style};

/// How text is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look {
    /// Whole ids, and what is left out otherwise.
    pub wide: bool,
    pub colour: bool,
    pub signs: Signs,
    /// Unix milliseconds that relative times count from. `None`: times are RFC 3339.
    pub now_ms: Option<u64>,
}

/// Which characters can be shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Signs {
    #[default]
    Unicode,
    Ascii,
}

/// One sign, always beside a word: nothing is told by a sign or a colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    Good,
    Bad,
    Busy,
    Waiting,
    Warning,
    Undone,
    Paused,
}

/// What a piece of text means, for its colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    Good,
    Bad,
    Warning,
    Busy,
    Faint,
    Strong,
}

impl Look {
    pub fn sign(&self, sign: Sign) -> &'static str {
        match (self.signs, sign) {
            (Signs::Unicode, Sign::Good) => "✔",
            (Signs::Unicode, Sign::Bad) => "✖",
            (Signs::Unicode, Sign::Busy) => "◌",
            (Signs::Unicode, Sign::Waiting) => "◷",
            (Signs::Unicode, Sign::Warning) => "⚠",
            (Signs::Unicode, Sign::Undone) => "↺",
            (Signs::Unicode, Sign::Paused) => "॥",
            (Signs::Ascii, Sign::Good) => "+",
            (Signs::Ascii, Sign::Bad) => "x",
            (Signs::Ascii, Sign::Busy) => ">",
            (Signs::Ascii, Sign::Waiting) => ".",
            (Signs::Ascii, Sign::Warning) => "!",
            (Signs::Ascii, Sign::Undone) => "<",
            (Signs::Ascii, Sign::Paused) => "=",
        }
    }

    /// Between parts of one line.
    pub fn dot(&self) -> &'static str {
        match self.signs {
            Signs::Unicode => " · ",
            Signs::Ascii => " | ",
        }
    }

    pub fn paint(&self, tone: Tone, text: &str) -> String {
        match tone.style() {
            Some(style) if self.colour => format!("{style}{text}{style:#}"),
            _ => text.to_owned(),
        }
    }

    /// A bar of `width` cells.
    pub fn bar(&self, done: u32, of: u32, width: u32) -> String {
        let (full, empty) = match self.signs {
            Signs::Unicode => ("█", "░"),
            Signs::Ascii => ("#", "-"),
        };
        let cells = if of == 0 {
            0
        } else {
            // Only a finished wave looks finished.
            u64::from(done.min(of)) * u64::from(width) / u64::from(of)
        };
        (0..u64::from(width)).map(|cell| if cell < cells { full } else { empty }).collect()
    }

    /// A moment: "3 min ago" on a terminal, RFC 3339 otherwise.
    pub fn time(&self, at_ms: u64) -> String {
        match self.now_ms {
            Some(now) => ago(now.saturating_sub(at_ms)),
            None => rfc3339(at_ms),
        }
    }
}

impl Tone {
    fn style(self) -> Option<Style> {
        let colour = |colour: AnsiColor| Some(Style::new().fg_color(Some(Color::Ansi(colour))));
        match self {
            Self::Plain => None,
            Self::Good => colour(AnsiColor::Green),
            Self::Bad => colour(AnsiColor::Red),
            Self::Warning => colour(AnsiColor::Yellow),
            Self::Busy => colour(AnsiColor::Cyan),
            Self::Faint => Some(Style::new().dimmed()),
            Self::Strong => Some(Style::new().bold()),
        }
    }
}

/// UTC, to the millisecond.
pub fn rfc3339(at_ms: u64) -> String {
    let known = i64::try_from(at_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    known.map_or_else(|| format!("{at_ms} ms"), |at| format!("{at:.3}"))
}

fn ago(ms: u64) -> String {
    let text = duration(ms);
    if ms < 1_000 { "now".to_owned() } else { format!("{text} ago") }
}

/// A length of time in its two largest units.
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0 => format!("{ms} ms"),
        1..60 => format!("{seconds}.{} s", ms % 1_000 / 100),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::{Look, Signs, Tone, duration, rfc3339};

    #[test]
    fn times() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(u64::MAX), format!("{} ms", u64::MAX));
        assert_eq!(duration(999), "999 ms");
        assert_eq!(duration(12_345), "12.3 s");
        assert_eq!(duration(3_599_000), "59 min 59 s");
        assert_eq!(duration(90_000_000), "1 d 1 h");
        let look = Look { now_ms: Some(5_000), ..Look::default() };
        assert_eq!(look.time(5_000), "now");
        assert_eq!(look.time(9_000), "now", "a clock ahead of ours");
        assert_eq!(look.time(0), "5.0 s ago");
    }

    #[test]
    fn bars_are_full_only_at_the_end() {
        let look = Look { signs: Signs::Ascii, ..Look::default() };
        assert_eq!(look.bar(0, 0, 4), "----");
        assert_eq!(look.bar(1, 2, 4), "##--");
        assert_eq!(look.bar(999, 1_000, 4), "###-");
        assert_eq!(look.bar(1_000, 1_000, 4), "####");
        assert_eq!(look.bar(2_000, 1_000, 4), "####");
    }

    #[test]
    fn colour_only_when_asked_for() {
        assert_eq!(Look::default().paint(Tone::Bad, "x"), "x");
        let look = Look { colour: true, ..Look::default() };
        assert_eq!(look.paint(Tone::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
    }
}
