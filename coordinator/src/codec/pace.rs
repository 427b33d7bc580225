//! Windows, blackouts and freezes.

use skein_core::event::Body;
use skein_core::ids::{FreezeId, Millis};
use skein_core::spec::{AtClose, Blackout, Window};
use skein_core::state::freeze;
use skein_proto::log::v1 as log;
use skein_proto::v1;

use super::Malformed;
use super::fleet::{selector, selector_out};

pub(super) fn read(
    windows: Vec<v1::Window>,
    blackouts: Vec<v1::Blackout>,
) -> Result<(Vec<Window>, Vec<Blackout>), Malformed> {
    let windows = windows.into_iter().map(window).collect::<Result<_, _>>()?;
    Ok((windows, blackouts.into_iter().map(blackout).collect()))
}

fn window(wire: v1::Window) -> Result<Window, Malformed> {
    let day = |day: u32| {
        let wrong = |_too_large| Malformed::new("a window's day", format!("is {day}, of 0 to 6"));
        u8::try_from(day).map_err(wrong)
    };
    Ok(Window {
        name: wire.name,
        selector: selector(wire.selector),
        days: wire.days.into_iter().map(day).collect::<Result<_, _>>()?,
        from: wire.from_minute,
        to: wire.to_minute,
        zone: wire.zone,
        at_close: if wire.finish { AtClose::Finish } else { AtClose::Stop },
    })
}

pub(super) fn window_out(window: &Window) -> v1::Window {
    v1::Window {
        name: window.name.clone(),
        selector: Some(selector_out(&window.selector)),
        days: window.days.iter().map(|day| u32::from(*day)).collect(),
        from_minute: window.from,
        to_minute: window.to,
        zone: window.zone.clone(),
        finish: match window.at_close {
            AtClose::Stop => false,
            AtClose::Finish => true,
        },
    }
}

fn blackout(wire: v1::Blackout) -> Blackout {
    Blackout {
        name: wire.name,
        selector: selector(wire.selector),
        from: Millis(wire.from_ms),
        until: Millis(wire.until_ms),
        zone: wire.zone,
    }
}

pub(super) fn blackout_out(blackout: &Blackout) -> v1::Blackout {
    v1::Blackout {
        name: blackout.name.clone(),
        selector: Some(selector_out(&blackout.selector)),
        from_ms: blackout.from.0,
        until_ms: blackout.until.0,
        zone: blackout.zone.clone(),
    }
}

pub(crate) fn freeze_out(id: FreezeId, freeze: &freeze::State) -> v1::Freeze {
    v1::Freeze {
        id: id.to_string(),
        selector: Some(selector_out(&freeze.selector)),
        until_ms: freeze.until.map_or(0, |until| until.0),
        reason: freeze.reason.clone(),
        by: freeze.by.clone(),
        at_ms: freeze.at.0,
    }
}

pub(crate) fn until(wire: u64) -> Option<Millis> {
    (wire > 0).then_some(Millis(wire))
}

pub(super) fn frozen(wire: log::ChangesFrozen) -> Body {
    Body::ChangesFrozen {
        freeze: FreezeId(wire.freeze),
        selector: selector(wire.selector),
        until: until(wire.until_ms),
        reason: wire.reason,
    }
}

pub(super) fn thawed(wire: log::ChangesThawed) -> Body {
    let freezes = wire.freezes.into_iter().map(FreezeId).collect();
    Body::ChangesThawed { freezes, reason: wire.reason }
}
