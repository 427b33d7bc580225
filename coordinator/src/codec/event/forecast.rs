//! Steps that take longer than was forecast, from disk and to it.

use skein_core::event::{Body, Overrun};
use skein_core::forecast::{By, Forecast, Interval};
use skein_core::ids::{Fence, RolloutId, StepIx, TargetId};
use skein_proto::log::v1 as log;

use super::super::forecast::of_step;

pub(super) fn body(wire: log::StepOverran) -> Body {
    let forecast = wire.forecast.unwrap_or_default();
    let overrun = Overrun {
        rollout: RolloutId(wire.rollout),
        target: TargetId(wire.target),
        fence: Fence(wire.fence),
        version: wire.version,
        step: StepIx(wire.step),
        undo: wire.undo,
        ms: wire.ms,
        forecast: Forecast {
            interval: Interval { p50: forecast.p50_ms, p95: forecast.p95_ms },
            samples: forecast.samples,
            by: match (forecast.by_rows, forecast.scaled) {
                (true, _) => By::Rows,
                (false, true) => By::Bytes,
                (false, false) => By::Nothing,
            },
            written: forecast
                .p50_bytes
                .zip(forecast.p95_bytes)
                .map(|(p50, p95)| Interval { p50, p95 }),
        },
    };
    Body::StepOverran { overrun: Box::new(overrun) }
}

pub(super) fn out(overrun: &Overrun) -> log::StepOverran {
    log::StepOverran {
        rollout: overrun.rollout.0,
        target: overrun.target.to_string(),
        fence: overrun.fence.0,
        version: overrun.version.clone(),
        step: overrun.step.0,
        undo: overrun.undo,
        ms: overrun.ms,
        forecast: Some(of_step(&overrun.forecast, 0)),
    }
}
