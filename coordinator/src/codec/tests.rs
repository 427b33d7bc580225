//! What is written is read again, and what older releases wrote is read for ever.

mod each;
mod gate;
mod plan;
mod repair;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use skein_core::event::{Body, Event, Stop};
use skein_core::ids::{Millis, RequestId, RolloutId, Seq, TargetId};
use skein_core::spec::{self, Batching, Knob, Selector};
use skein_proto::log::v1 as log;
use skein_proto::v1;

use self::each::one_of_each;
use self::gate::throttles;
use self::plan::{by_label, digest, in_stages, plan};
use super::{decode_event, encode_event};

/// A node that does not know stages would have a lane for each of a target's waves: it meets an event that it does
/// not know.
#[test]
fn a_plan_in_stages_is_another_event_on_the_disk() {
    for (plan, staged) in [(plan(), false), (in_stages(plan()), true)] {
        let body =
            Body::RolloutPlanned { rollout: RolloutId(1), id: digest(8), plan: Arc::new(plan) };
        let event = Event { body, ..events().remove(0) };
        let bytes = encode_event(&event);
        let wire = log::Event::decode(bytes.clone()).unwrap().body;
        let known = matches!(wire, Some(log::event::Body::RolloutPlannedInStages(_)));
        assert_eq!(known, staged, "{wire:?}");
        assert_eq!(decode_event(&bytes).unwrap(), event);
    }
}

#[test]
fn windows_come_back_as_they_were_and_bar_who_does_not_know_them() {
    let mut plan = plan();
    let strategy = &mut plan.spec.strategy;
    strategy.windows = vec![spec::Window {
        name: "nights".to_owned(),
        selector: by_label("region", "eu"),
        days: vec![0, 6],
        from: 22 * 60,
        to: 5 * 60,
        zone: "Europe/Berlin".to_owned(),
        at_close: spec::AtClose::Finish,
    }];
    strategy.blackouts = vec![spec::Blackout {
        name: "the fair".to_owned(),
        selector: Selector::default(),
        from: Millis(5),
        until: Millis(9),
        zone: "UTC".to_owned(),
    }];
    let wire = super::plan_out(&plan);
    let limits = wire.spec.iter().flat_map(|spec| &spec.strategy).flat_map(|it| &it.limits);
    assert!(limits.into_iter().any(|limit| limit.label.is_empty()));
    assert_eq!(super::plan::plan(wire), Ok(plan));
}

#[test]
fn who_does_not_know_waves_of_a_label_refuses_them() {
    let plan = plan();
    let wire = super::plan_out(&plan);
    let wave = &wire.spec.as_ref().unwrap().strategy.as_ref().unwrap().waves[0];
    assert_eq!((wave.per.as_str(), wave.percent), ("region", 1_010));
    // As a release without them reads it.
    let mut older = wire.clone();
    older.spec.as_mut().unwrap().strategy.as_mut().unwrap().waves[0].per.clear();
    assert!(super::plan::plan(older).is_err());
    assert_eq!(super::plan::plan(wire), Ok(plan));
}

#[test]
fn throttles_come_back_as_they_were_and_bar_who_does_not_know_them() {
    let mut plan = plan();
    plan.spec.strategy.throttles = throttles();
    let wire = super::plan_out(&plan);
    let limits = wire.spec.iter().flat_map(|spec| &spec.strategy).flat_map(|it| &it.limits);
    assert!(limits.into_iter().any(|limit| limit.label.is_empty()));
    assert_eq!(super::plan::plan(wire), Ok(plan));
}

#[test]
fn what_throttles_and_batches_are_set_to_comes_back() {
    use spec::Setting;
    for setting in [Setting::On, Setting::Off, Setting::Time(2_500), Setting::Value(40_000)] {
        let knob = Knob::Throttle("lag".to_owned(), setting);
        assert_eq!(super::knob(Some(super::knob_out(&knob))), Ok(knob));
    }
    for knob in [Knob::Batch(0), Knob::Batch(500), Knob::BatchPauseMs(200)] {
        assert_eq!(super::knob(Some(super::knob_out(&knob))), Ok(knob));
    }
    let nothing = v1::ThrottleKnob { name: "lag".to_owned(), setting: None };
    let knob = Some(v1::knob::Knob::Throttle(nothing));
    assert!(super::knob(Some(v1::Knob { knob })).is_err());
}

#[test]
fn batching_comes_back_and_is_left_out_where_it_says_nothing() {
    let mut plan = plan();
    let strategy = super::plan_out(&plan).spec.and_then(|spec| spec.strategy);
    assert_eq!(strategy.and_then(|strategy| strategy.batching), None);
    plan.spec.strategy.batching = Batching { size: 500, pause_ms: 200 };
    assert_eq!(super::plan::plan(super::plan_out(&plan)), Ok(plan));
}

fn events() -> Vec<Event> {
    (0..)
        .zip(one_of_each())
        .map(|(seq, body)| Event {
            seq: Seq(seq),
            at: Millis(1_700_000_000_000 + seq),
            actor: "ann@db1".to_owned(),
            charter: digest(5),
            request: (seq % 2 == 0).then_some((RequestId([3; 16]), 77)),
            body,
        })
        .collect()
}

/// A new kind of event breaks the build here: add it to [`one_of_each`], and write a new file of bytes.
fn place(body: &Body) -> usize {
    match body {
        Body::ClusterFormed { .. } => 0,
        Body::CharterAdopted { .. } => 1,
        Body::AgentJoined { .. } => 2,
        Body::AgentLeft { .. } => 3,
        Body::TargetRegistered { .. } => 4,
        Body::TargetObserved { .. } => 5,
        Body::TargetUnreachable { .. } => 6,
        Body::TargetRetired { .. } => 7,
        Body::RestoreStarted { .. } => 8,
        Body::BundleStored { .. } => 9,
        Body::RolloutPlanned { .. } => 10,
        Body::RolloutStarted { .. } => 11,
        Body::WaveStarted { .. } => 12,
        Body::RolloutPaused { .. } => 13,
        Body::RolloutResumed { .. } => 14,
        Body::RollbackStarted { .. } => 15,
        Body::RolloutHalted { .. } => 16,
        Body::RolloutCompleted { .. } => 17,
        Body::RolloutRolledBack { .. } => 18,
        Body::LegAssigned { .. } => 19,
        Body::LeaseExpired { .. } => 20,
        Body::StepBackedUp { .. } => 21,
        Body::StepApplied { .. } => 22,
        Body::StepVerified { .. } => 23,
        Body::StepFailed { .. } => 24,
        Body::StepRetried { .. } => 25,
        Body::StepRolledBack { .. } => 26,
        Body::StepWaived { .. } => 27,
        Body::StepStuck { .. } => 28,
        Body::StepTried { .. } => 29,
        Body::ClusterRestored { .. } => 30,
        Body::RequestSettled { .. } => 31,
        Body::WaveVerified { .. } => 32,
        Body::WaveSoaked { .. } => 33,
        Body::WaveApproved { .. } => 34,
        Body::KnobSet { .. } => 35,
        Body::LanesHeld { .. } => 36,
        Body::LanesReleased { .. } => 37,
        Body::RolloutAborted { .. } => 38,
        Body::RepairOrdered { .. } => 39,
        Body::RepairAssigned { .. } => 40,
        Body::RepairReleased { .. } => 41,
        Body::TargetMended { .. } => 42,
        Body::RepairFailed { .. } => 43,
        Body::RepairWithdrawn { .. } => 44,
        Body::EditAccepted { .. } => 45,
        Body::TargetsRetried { .. } => 46,
        Body::TargetsSkipped { .. } => 47,
        Body::TargetGone { .. } => 48,
        Body::GatesOpened { .. } => 49,
        Body::GateAsked { .. } => 50,
        Body::GateReleased { .. } => 51,
        Body::GatePassed { .. } => 52,
        Body::GateFailed { .. } => 53,
        Body::ChangesFrozen { .. } => 54,
        Body::ChangesThawed { .. } => 55,
        Body::LanesCancelled { .. } => 56,
        Body::StepCancelled { .. } => 57,
        Body::ArrivalsSettled { .. } => 58,
        Body::StepOverran { .. } => 59,
        Body::BaselineTaken { .. } => 60,
        Body::RolloutTurnedForward { .. } => 61,
        Body::LanesAborted { .. } => 62,
        Body::GateBreached { .. } => 63,
    }
}

#[test]
fn every_kind_of_event_comes_back_as_it_was() {
    let events = events();
    for (at, event) in events.iter().enumerate() {
        assert_eq!(place(&event.body), at);
        assert_eq!(decode_event(&encode_event(event)).as_ref(), Ok(event));
    }
    assert_eq!(events.len(), 64);
}

/// Readers of 0.1 did not say whether a script changes the schema: what was written then is read as it was.
#[test]
fn whether_a_script_changes_the_schema_comes_back() {
    for defines in [None, Some(false), Some(true)] {
        let mut event = events().swap_remove(9);
        if let Body::BundleStored { manifest } = &mut event.body {
            Arc::make_mut(manifest).migrations[0].up.facts[0].defines = defines;
        }
        assert_eq!(decode_event(&encode_event(&event)).as_ref(), Ok(&event));
    }
}

#[test]
fn where_a_pause_stops_the_work_comes_back() {
    let Some(event) = events().into_iter().find(|it| matches!(it.body, Body::RolloutPaused { .. }))
    else {
        panic!("no rollout was paused");
    };
    for told in [Stop::AfterLegs, Stop::AfterSteps, Stop::BehindBatches] {
        let mut event = event.clone();
        if let Body::RolloutPaused { stop, .. } = &mut event.body {
            *stop = told;
        }
        assert_eq!(decode_event(&encode_event(&event)), Ok(event));
    }
    let Some(event) = events().into_iter().find(|it| matches!(it.body, Body::LanesHeld { .. }))
    else {
        panic!("no lane was held");
    };
    for told in [Stop::AfterLegs, Stop::AfterSteps, Stop::BehindBatches] {
        let mut event = event.clone();
        if let Body::LanesHeld { stop, .. } = &mut event.body {
            *stop = told;
        }
        assert_eq!(decode_event(&encode_event(&event)), Ok(event));
    }
}

/// The bytes that a release writes, one event after another, each behind its length.
fn fixture(release: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/events-{release}.bin"))
}

fn framed(events: &[Event]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for event in events {
        let event = encode_event(event);
        bytes.extend_from_slice(&u32::try_from(event.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&event);
    }
    bytes
}

/// `UPDATE_GOLDEN=1` writes the file of the release under way. A file of a past release is never
/// written again.
#[test]
fn what_0_1_wrote_is_read_and_written_alike() {
    let (path, events) = (fixture("0.1"), events());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, framed(&events)).unwrap();
    }
    let bytes = std::fs::read(&path).unwrap();
    let mut rest = Bytes::from(bytes.clone());
    for event in &events {
        let length = rest.split_to(4);
        let length = u32::from_le_bytes(length.as_ref().try_into().unwrap());
        let stored = rest.split_to(usize::try_from(length).unwrap());
        assert_eq!(decode_event(&stored).as_ref(), Ok(event));
    }
    assert!(rest.is_empty());
    assert_eq!(framed(&events), bytes, "the bytes of an event have changed");
}

/// Before parts stood in the log, who was held gave its leg back after the step, and nobody was held later.
#[test]
fn a_hold_of_before_is_read_as_it_was_meant() {
    let wire = skein_proto::log::v1::LanesHeld {
        rollout: 1,
        targets: vec!["eu-1".to_owned()],
        reason: "a fair".to_owned(),
        ..Default::default()
    };
    let body = Some(skein_proto::log::v1::event::Body::LanesHeld(wire));
    let charter = digest(5).0.to_vec().into();
    let event = skein_proto::log::v1::Event { seq: 1, charter, body, ..Default::default() };
    let read = decode_event(&prost::Message::encode_to_vec(&event).into()).unwrap();
    let held = Body::LanesHeld {
        rollout: RolloutId(1),
        targets: vec![TargetId::from("eu-1")],
        reason: "a fair".to_owned(),
        stop: Stop::AfterSteps,
        part: None,
    };
    assert_eq!(read.body, held);
}

#[test]
fn bytes_that_are_no_event_are_an_error() {
    for bytes in [&b""[..], b"\xff", b"\x08", b"nonsense nonsense nonsense"] {
        assert!(decode_event(&Bytes::copy_from_slice(bytes)).is_err());
    }
    let whole = encode_event(&events()[10]);
    for cut in 0..whole.len() {
        // Cut anywhere it is an error or a shorter event, never a panic.
        drop(decode_event(&whole.slice(..cut)));
    }
}
