//! Forecasts, as messages.

use skein_core::forecast::{Amount, By, ClassForecast, Forecast, Planned, StepForecast, WindowFit};
use skein_proto::v1;

/// Of one step, which was measured; `beyond`: not zero, no target that it was measured on is as large.
pub(super) fn of_step(forecast: &Forecast, beyond: u64) -> v1::Forecast {
    let by_rows = forecast.by == By::Rows;
    let (beyond, beyond_rows) = if by_rows { (0, beyond) } else { (beyond, 0) };
    v1::Forecast {
        p50_ms: forecast.interval.p50,
        p95_ms: forecast.interval.p95,
        parts: 1,
        measured: 1,
        samples: forecast.samples,
        scaled: forecast.by == By::Bytes,
        beyond,
        p50_bytes: forecast.written.map(|it| it.p50),
        p95_bytes: forecast.written.map(|it| it.p95),
        by_rows,
        beyond_rows,
        ..v1::Forecast::default()
    }
}

/// Of many.
pub(crate) fn amount_out(amount: &Amount) -> v1::Forecast {
    v1::Forecast {
        p50_ms: amount.interval.p50,
        p95_ms: amount.interval.p95,
        parts: amount.parts,
        measured: amount.measured,
        p50_bytes: (amount.weighed > 0).then_some(amount.written.p50),
        p95_bytes: (amount.weighed > 0).then_some(amount.written.p95),
        steps: amount.steps,
        weighed: amount.weighed,
        steps_by_rows: amount.by_rows,
        ..v1::Forecast::default()
    }
}

fn step_out(step: &StepForecast) -> v1::Forecast {
    let unknown = v1::Forecast { parts: 1, ..v1::Forecast::default() };
    let told = step.forecast.as_ref().map_or(unknown, |forecast| of_step(forecast, step.beyond));
    v1::Forecast { touched_rows: step.rows, ..told }
}

fn class_out(class: &ClassForecast) -> v1::ClassForecast {
    v1::ClassForecast {
        steps: class.steps.iter().map(step_out).collect(),
        backup: class.backup.as_ref().map(step_out),
    }
}

/// Of a plan.
pub(crate) fn planned_out(planned: &Planned, fit: Option<v1::WindowFit>) -> v1::PlanForecast {
    v1::PlanForecast {
        classes: planned.classes.iter().map(class_out).collect(),
        waves: planned.waves.iter().map(amount_out).collect(),
        whole: Some(amount_out(&planned.whole)),
        fit,
    }
}

/// Of its first wave, if it began now.
pub(crate) fn window_fit_out(fit: WindowFit) -> v1::WindowFit {
    let (example, p95_ms, left_ms) =
        fit.worst.map_or_else(Default::default, |(id, p95, left)| (id.to_string(), p95, left));
    v1::WindowFit {
        open: fit.open,
        fit: fit.fit,
        too_long: fit.too_long,
        unknown: fit.unknown,
        example,
        p95_ms,
        left_ms,
    }
}
