//! A step that takes longer than was forecast, as one line.

use skein_proto::log::v1::StepOverran;

use super::event::{Event, rollout_name};
use super::forecast::Forecast;
use super::look::duration;

pub(super) fn told(event: &mut Event, body: &StepOverran) {
    event.rollout = rollout_name(body.rollout);
    event.target.clone_from(&body.target);
    event.version.clone_from(&body.version);
    event.fence = Some(body.fence);
    let forecast = Forecast::new(&body.forecast.unwrap_or_default());
    let what = if body.undo { "undoing of " } else { "" };
    let said = format!(
        "{what}{} on {} has taken {} so far, and {} was forecast from {} measurements",
        body.version,
        body.target,
        duration(body.ms),
        forecast.of_many(),
        forecast.samples
    );
    event.of("step_overran", said);
}
