//! Targets that came while a rollout was under way, as one line.

use skein_proto::log::v1::ArrivalsSettled;

use super::event::{Event, rollout_name};

pub(super) fn told(event: &mut Event, body: &ArrivalsSettled) {
    event.rollout = rollout_name(body.rollout);
    let mut parts = Vec::new();
    let joined: Vec<&str> = body.joined.iter().map(|it| it.target.as_str()).collect();
    if !joined.is_empty() {
        parts.push(format!("takes in {}", joined.join(", ")));
    }
    for awaited in &body.awaited {
        parts.push(format!("waits for {}: {}", awaited.target, awaited.why));
    }
    if !body.settled.is_empty() {
        parts.push(format!("has nothing to do for {}", body.settled.join(", ")));
    }
    event.of("arrivals_settled", parts.join("; "));
}
