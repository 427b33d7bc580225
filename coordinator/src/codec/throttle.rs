//! Throttles, and what they are set to.

use skein_core::spec::{Knob, Measure, Setting, Throttle};
use skein_proto::v1;

use super::fleet::{selector, selector_out};
use super::{Malformed, required};

pub(super) fn throttle(wire: v1::Throttle) -> Result<Throttle, Malformed> {
    use v1::throttle::Measure as Wire;
    Ok(Throttle {
        name: wire.name,
        selector: selector(wire.selector),
        measure: match required(wire.measure, "what a throttle measures")? {
            Wire::ReplicaLag(lag) => Measure::ReplicaLag { replicas: lag.replicas },
            Wire::Load(v1::Load {}) => Measure::Load,
            Wire::Query(query) => Measure::Query(query),
            Wire::Http(source) => Measure::Http(source),
        },
        limit: wire.limit,
        interval_ms: wire.interval_ms,
        timeout_ms: wire.timeout_ms,
    })
}

pub(crate) fn throttle_out(throttle: &Throttle) -> v1::Throttle {
    use v1::throttle::Measure as Wire;
    v1::Throttle {
        name: throttle.name.clone(),
        selector: Some(selector_out(&throttle.selector)),
        measure: Some(match &throttle.measure {
            Measure::ReplicaLag { replicas } => {
                Wire::ReplicaLag(v1::ReplicaLag { replicas: *replicas })
            }
            Measure::Load => Wire::Load(v1::Load {}),
            Measure::Query(query) => Wire::Query(query.clone()),
            Measure::Http(source) => Wire::Http(source.clone()),
        }),
        limit: throttle.limit,
        interval_ms: throttle.interval_ms,
        timeout_ms: throttle.timeout_ms,
    }
}

pub(super) fn knob(wire: v1::ThrottleKnob) -> Result<Knob, Malformed> {
    use v1::throttle_knob::Setting as Wire;
    let setting = match required(wire.setting, "what a throttle is set to")? {
        Wire::On(true) => Setting::On,
        Wire::On(false) => Setting::Off,
        Wire::Ms(limit) => Setting::Time(limit),
        Wire::Thousandths(limit) => Setting::Value(limit),
    };
    Ok(Knob::Throttle(wire.name, setting))
}

pub(super) fn knob_out(name: &str, setting: Setting) -> v1::ThrottleKnob {
    use v1::throttle_knob::Setting as Wire;
    let setting = match setting {
        Setting::On => Wire::On(true),
        Setting::Off => Wire::On(false),
        Setting::Time(limit) => Wire::Ms(limit),
        Setting::Value(limit) => Wire::Thousandths(limit),
    };
    v1::ThrottleKnob { name: name.to_owned(), setting: Some(setting) }
}
