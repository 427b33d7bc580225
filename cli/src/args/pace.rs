//! Verbs about when targets are worked on, and about statements that run.

use std::str::FromStr;

use clap::Args;
use jiff::{Timestamp, ZonedDateTime};
use skein_agent::config::{duration, millis};
use skein_proto::v1;

use super::common::SelectionArgs;
use super::write::PartArgs;
use crate::clock;

#[derive(Debug, Clone, Args)]
pub struct FreezeArgs {
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// When it is over: a length from now (6h), or a time (2026-11-28T06:00Z, 2026-11-28T06:00[Europe/Berlin]).
    /// Without it: until somebody thaws it
    #[arg(long, value_name = "TIME")]
    pub until: Option<UntilArg>,
    /// Why, for the log and for whoever waits for it
    #[arg(long)]
    pub reason: String,
}

#[derive(Debug, Clone, Args)]
pub struct ThawArgs {
    /// Freezes by number. Without any: those that were frozen with the same selection, or all
    #[arg(value_name = "FREEZE")]
    pub freezes: Vec<String>,
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Why, for the log
    #[arg(long, default_value = "asked for on the command line")]
    pub reason: String,
}

#[derive(Debug, Clone, Args)]
pub struct CancelArgs {
    /// Rollout
    pub rollout: String,
    /// Only the statements on these targets; `*` stands for anything. They are held then
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    #[command(flatten)]
    pub part: PartArgs,
    /// Why, for the log
    #[arg(long, default_value = "asked for on the command line")]
    pub reason: String,
}

impl CancelArgs {
    /// What is meant; `None`: the whole rollout.
    pub fn part(&self) -> Option<v1::Part> {
        let mut part = self.part.clone();
        part.selection.on.extend(self.targets.iter().cloned());
        part.part()
    }
}

/// A moment, Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UntilArg(pub u64);

impl FromStr for UntilArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(length) = duration(text) {
            return Ok(Self(clock::now_ms().saturating_add(millis(length))));
        }
        let zoned = text.parse::<ZonedDateTime>().map(|time| time.timestamp());
        let moment = zoned.or_else(|_| text.parse::<Timestamp>()).ok();
        let moment = moment.and_then(|moment| u64::try_from(moment.as_millisecond()).ok());
        moment.map(Self).ok_or_else(|| {
            format!(
                "`{text}` is no time: write 6h, 2026-11-28T06:00Z or 2026-11-28T06:00[Europe/Berlin]"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::UntilArg;

    #[test]
    fn times_name_their_zone() {
        for text in
            ["2026-11-28T06:00Z", "2026-11-28T07:00[Europe/Berlin]", "2026-11-28T07:00+01:00"]
        {
            assert_eq!(text.parse(), Ok(UntilArg(1_795_845_600_000)), "{text}");
        }
        assert!("6h".parse::<UntilArg>().is_ok());
        for text in ["", "soon", "2026-11-28T06:00", "2026-11-28"] {
            assert!(text.parse::<UntilArg>().is_err(), "{text}");
        }
    }
}
