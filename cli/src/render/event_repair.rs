//! Events of repairs, as sentences.

use skein_proto::log::v1::event::Body;
use skein_proto::v1;

use super::event::{Event, rollout_name};
use super::words;

/// A repair's number in the log, as it is called everywhere else.
fn name(number: u32) -> String {
    format!("rep-{number:04}")
}

fn on(event: &mut Event, target: &str, fence: Option<u64>) {
    target.clone_into(&mut event.target);
    event.fence = fence;
}

fn because(waiver: &str) -> String {
    if waiver.is_empty() { String::new() } else { format!(": {waiver}") }
}

pub(super) fn told(event: &mut Event, body: &Body, seq: u64) {
    if let Body::RepairOrdered(e) = body {
        let order = e.order.clone().unwrap_or_default();
        let said = match order.verb() {
            v1::RepairVerb::RepairApplied => "in force",
            v1::RepairVerb::RepairNotApplied => "not in force",
            v1::RepairVerb::RepairAdopt => "what a database without a ledger is at",
            v1::RepairVerb::Unspecified => "something",
        };
        event.version = order.versions.join(" ");
        let said = format!(
            "said that {} is {said} on {}, as {}{}",
            event.version,
            words::count(order.targets.len() as u64, "target"),
            name(e.repair),
            because(&order.waiver)
        );
        event.of("repair_ordered", said);
    } else if let Body::RepairAssigned(e) = body {
        on(event, &e.target, Some(seq));
        event.agent.clone_from(&e.agent);
        let said = format!(
            "gave agent {} the lease to set the ledger of {} right for {}",
            e.agent,
            e.target,
            name(e.repair)
        );
        event.of("repair_assigned", said);
    } else if let Body::RepairReleased(e) = body {
        on(event, &e.target, Some(e.fence));
        let said = format!(
            "the lease of {} on {} ended without a result: {}",
            name(e.repair),
            e.target,
            e.why
        );
        event.of("repair_released", said);
    } else if let Body::TargetMended(e) = body {
        on(event, &e.target, Some(e.fence));
        let mut evidence: Vec<&str> = e
            .evidence()
            .map(|one| match one {
                v1::Evidence::Schema => "by its schema",
                v1::Evidence::Probe => "by its probe",
                v1::Evidence::Waiver => "by waiver",
                v1::Evidence::Unspecified => "somehow",
            })
            .collect();
        evidence.dedup();
        let seen = e.seen.clone().unwrap_or_default();
        let newest = seen.ledger.last().map_or("nothing", |entry| entry.version.as_str());
        let said = format!(
            "{} set the ledger of {} right, {}: {newest} is the newest, {} in all",
            name(e.repair),
            e.target,
            evidence.join(", "),
            seen.ledger.len()
        );
        event.of("target_mended", said);
    } else if let Body::RepairFailed(e) = body {
        on(event, &e.target, Some(e.fence));
        let how = if e.doubt { "ended in doubt" } else { "changed nothing" };
        event.of("repair_failed", format!("{} {how} on {}: {}", name(e.repair), e.target, e.why));
    } else {
        rest(event, body);
    }
}

fn rest(event: &mut Event, body: &Body) {
    if let Body::RepairWithdrawn(e) = body {
        let said = format!("withdrew what nobody had begun of {}: {}", name(e.repair), e.reason);
        event.of("repair_withdrawn", said);
    } else if let Body::EditAccepted(e) = body {
        event.version.clone_from(&e.version);
        let said = format!("accepted the edit of {} after it was applied: {}", e.file, e.reason);
        event.of("edit_accepted", said);
    } else if let Body::TargetsRetried(e) = body {
        event.rollout = rollout_name(e.rollout);
        event.of("targets_retried", format!("tries {} again", e.targets.join(", ")));
    } else if let Body::TargetsSkipped(e) = body {
        event.rollout = rollout_name(e.rollout);
        let until = match e.until_ms {
            0 => String::new(),
            until => format!(" until {}", super::look::rfc3339(until)),
        };
        let said = format!("goes on without {}{until}: {}", e.targets.join(", "), e.reason);
        event.of("targets_skipped", said);
    }
}
