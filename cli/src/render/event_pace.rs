//! Events of freezes and of statements that were killed, as sentences.

use skein_proto::agent::v1::Verdict;
use skein_proto::log::v1::event::Body;

use super::event::{Event, rollout_name};
use super::freezes::meant;
use super::look::rfc3339;
use super::words;

/// A freeze's number in the log, as it is called everywhere else.
fn name(number: u32) -> String {
    format!("frz-{number:04}")
}

pub(super) fn told(event: &mut Event, body: &Body) {
    if let Body::ChangesFrozen(e) = body {
        let until = match e.until_ms {
            0 => String::new(),
            until => format!(" until {}", rfc3339(until)),
        };
        let said = format!(
            "froze {}{until}, as {}: {}",
            meant(e.selector.as_ref()),
            name(e.freeze),
            e.reason
        );
        event.of("changes_frozen", said);
    } else if let Body::ChangesThawed(e) = body {
        let freezes: Vec<String> = e.freezes.iter().map(|freeze| name(*freeze)).collect();
        event.of("changes_thawed", format!("thawed {}: {}", freezes.join(", "), e.reason));
    } else if let Body::LanesCancelled(e) = body {
        event.rollout = rollout_name(e.rollout);
        let targets = match e.targets.as_slice() {
            [one] => one.clone(),
            many => words::count(many.len() as u64, "target"),
        };
        let held = if e.held { " and holds them" } else { "" };
        let said = format!("has what runs on {targets} killed{held}: {}", e.reason);
        event.of("lanes_cancelled", said);
    } else if let Body::StepCancelled(e) = body {
        event.rollout = rollout_name(e.rollout);
        event.target.clone_from(&e.target);
        event.version.clone_from(&e.version);
        event.fence = Some(e.fence);
        let failed = e.failed.clone().unwrap_or_default();
        let left = match failed.verdict() {
            Verdict::Never => "nothing of it is in force",
            Verdict::Partly => "a part of it is in force",
            Verdict::Fully | Verdict::Unknown | Verdict::Unspecified => {
                "what is in force is not known"
            }
        };
        let said =
            format!("{} was broken off on {}, and {left}: {}", e.version, e.target, failed.message);
        event.of("step_cancelled", said);
    }
}
