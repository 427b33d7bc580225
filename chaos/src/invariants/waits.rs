//! What a step has waited for is not its work: neither where it is told how long it took, nor where it is said to take
//! longer than was forecast.

use std::collections::BTreeMap;

use skein_core::event::{Body, Overrun};
use skein_core::ids::{Fence, Millis, Version};

use super::{Held, Invariant, Past};
use crate::observation::Seen;

#[derive(Debug, Default)]
pub(super) struct Waits {
    /// How long each step under a lease has worked.
    took: BTreeMap<(Fence, Version), u64>,
    /// When this leader was told that somebody waits.
    held: BTreeMap<Fence, Vec<Millis>>,
}

impl Invariant for Waits {
    fn sentence(&self) -> &'static str {
        "what a step has waited for does not count as its work"
    }

    fn see(&mut self, seen: Seen<'_>, _past: &Past) -> Held {
        match seen {
            Seen::Took { fence, version, ms } => {
                self.took.insert((fence, version.clone()), ms);
            }
            Seen::Held { fence, at } => {
                self.held.entry(fence).or_default().push(at);
            }
            // A new leader has to hear of it first.
            Seen::Leads { .. } => self.held.clear(),
            Seen::Event(event) => match &event.body {
                Body::StepApplied { fence, target, version, ms, already: false, .. } => {
                    let key = (*fence, Version(version.clone()));
                    if let Some(took) = self.took.get(&key).filter(|took| ms > *took) {
                        return Err(format!(
                            "{version} on {target} is said to have taken {ms} ms, and worked for {took}"
                        ));
                    }
                }
                Body::StepOverran { overrun } => {
                    let Overrun { fence, target, version, ms, .. } = &**overrun;
                    // What it was told after it had decided it could not know.
                    let told = self.held.get(fence).into_iter().flatten().rev();
                    let held = told.copied().find(|held| *held <= event.at);
                    if let Some(held) = held.filter(|held| held.0 + ms > event.at.0) {
                        return Err(format!(
                            "{version} on {target} is said to take {ms} ms at {}, and it waited until {held}",
                            event.at
                        ));
                    }
                }
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }
}
