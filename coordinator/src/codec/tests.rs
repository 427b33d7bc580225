//! What is written is read again, and what older releases wrote is read for ever.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use skein_core::bundle::{Facts, Manifest, Migration, Script};
use skein_core::command::Waiver;
use skein_core::event::{
    Archive, Body, Event, Judged, LegKind, Measured, Overrun, Stop, Unwind, Verdict,
};
use skein_core::forecast::{By, Forecast, Interval};
use skein_core::ids::{
    AgentId, ClassIx, ClusterId, Digest, Fence, FreezeId, Incarnation, Millis, RepairId, RequestId,
    RolloutId, Seq, StepIx, TargetId, Version, WaveIx,
};
use skein_core::plan::{Absent, Block, Cause, Class, Nearest, Plan, Stage, Step, Undo, Wave};
use skein_core::policy::Policy;
use skein_core::spec::{
    self, Backup, Batching, Bound, Budget, Ceiling, Comparison, Direction, Engine, Gate, Goal,
    Heavy, Knob, Latency, Limit, Lock, OnBreach, Order, Part, Quantile, Quantiles, Question, Scope,
    Selector, Spec, Strategy, TransactionMode, When,
};
use skein_core::state::ledger::Entry;
use skein_core::state::repair::{self, Evidence, Verb};
use skein_core::state::tables::{Tables, UNKNOWN};
use skein_core::state::target::{Description, Observation};
use skein_proto::log::v1 as log;
use skein_proto::v1;

use super::{decode_event, encode_event};

fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

fn entry(version: &str) -> Entry {
    Entry { version: Version(version.to_owned()), digest: digest(7) }
}

fn lock() -> Lock {
    Lock { name: "SHARE".to_owned(), meaning: "writes wait".to_owned(), table: "users".to_owned() }
}

fn script() -> Script {
    Script {
        file: "0001_users.up.sql".to_owned(),
        raw: digest(1),
        normalised: digest(2),
        facts: vec![Facts {
            engine: Engine::Mysql,
            mode: TransactionMode::Statements,
            why: "DDL commits".to_owned(),
            locks: vec![lock()],
            destructive: true,
            refusal: "no".to_owned(),
            statements: 3,
            defines: None,
            words: Some([3, 1 << 31].into()),
        }],
    }
}

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

fn in_stages(mut plan: Plan) -> Plan {
    let stage = |name: &str, to: &str| spec::Stage { name: name.to_owned(), to: to.into() };
    plan.spec.strategy.stages = vec![stage("expand", "1"), stage("contract", "2")];
    plan.stages = vec![
        Stage { name: "expand".to_owned(), through: 0 },
        Stage { name: "contract".to_owned(), through: 1 },
    ];
    let again: Vec<Wave> = plan.waves.iter().map(|it| Wave { stage: 1, ..it.clone() }).collect();
    plan.waves.extend(again);
    plan
}

fn plan() -> Plan {
    Plan {
        spec: Spec {
            bundle: digest(3),
            selector: Selector {
                targets: vec!["eu-*".to_owned()],
                labels: vec![("ring".to_owned(), vec!["canary".to_owned()])],
                condition: Some(spec::Condition::new("held".to_owned())),
            },
            direction: Direction::Down,
            goal: Goal::Steps(2),
            strategy: Strategy {
                stages: Vec::new(),
                waves: vec![spec::Wave {
                    name: "canary".to_owned(),
                    selector: Selector::default(),
                    percent: 10,
                    count: 3,
                    one_per_class: true,
                    per: "region".to_owned(),
                    parallelism: 2,
                    soak_ms: Some(0),
                    approval: true,
                }],
                parallelism: 4,
                cover_classes: true,
                gates: gates(),
                order: Order::Listed("region".to_owned(), vec!["eu".to_owned()]),
                limits: vec![Limit { label: "region".to_owned(), most: 2 }],
                per_group: 1,
                heavy: Heavy { steps: vec![Version::from("0002")], per_group: 1 },
                soak_ms: 60_000,
                budget: Budget { failed: 1, percent: 5, scope: Scope::Rollout },
                on_breach: OnBreach::RollbackWave,
                retries: 2,
                backup: Backup::Tables,
                windows: Vec::new(),
                blackouts: Vec::new(),
                throttles: Vec::new(),
                batching: Batching::default(),
            },
            out_of_order: true,
            accept_drift: true,
        },
        stages: Vec::new(),
        classes: vec![Class {
            engine: Engine::Postgres,
            before: vec![entry("1")],
            steps: vec![Step {
                migration: 0,
                entry: entry("1"),
                name: "users".to_owned(),
                direction: Direction::Down,
                mode: TransactionMode::OneTransaction,
                mode_why: String::new(),
                locks: vec![lock()],
                destructive: true,
                undo: Undo::Script,
                verify: false,
                file: "0001_users.down.sql".to_owned(),
            }],
            targets: 1,
        }],
        waves: vec![Wave {
            stage: 0,
            name: "all".to_owned(),
            targets: vec![(TargetId::from("eu-1"), ClassIx(0))],
            parallelism: 4,
            soak_ms: 30_000,
            approval: true,
            part: "eu".to_owned(),
        }],
        up_to_date: 3,
        notes: vec!["a note".to_owned()],
        absent: vec![Absent { target: TargetId::from("eu-9"), why: "no route".to_owned() }],
        accepted: vec![
            block(Cause::Held("changed by hand".to_owned())),
            block(Cause::Unlike(3)),
            Block { schema: None, nearest: None, ..block(Cause::Foreign(Version::from("9"))) },
        ],
    }
}

fn block(cause: Cause) -> Block {
    Block {
        engine: Engine::Mysql,
        ledger: vec![entry("1"), entry("9")],
        schema: Some(digest(7)),
        targets: vec![TargetId::from("eu-1"), TargetId::from("eu-2")],
        cause,
        nearest: Some(Nearest {
            ledger: vec![entry("1")],
            schema: digest(8),
            members: 5,
            examples: vec![TargetId::from("eu-3")],
        }),
    }
}

fn by_label(name: &str, value: &str) -> Selector {
    Selector { labels: vec![(name.to_owned(), vec![value.to_owned()])], ..Selector::default() }
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

fn throttles() -> Vec<spec::Throttle> {
    let measures = [
        spec::Measure::ReplicaLag { replicas: 2 },
        spec::Measure::Load,
        spec::Measure::Query("SELECT 1".to_owned()),
        spec::Measure::Http("busy".to_owned()),
    ];
    let throttle = |measure: spec::Measure| spec::Throttle {
        name: format!("{measure:?}"),
        selector: by_label("region", "eu"),
        limit: if measure.has_limit() { 2_000 } else { 0 },
        measure,
        interval_ms: 1_000,
        timeout_ms: 5_000,
    };
    measures.map(throttle).into()
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

fn order() -> repair::Order {
    let change = |version: &str, direction| repair::Change {
        migration: 1,
        entry: entry(version),
        direction,
        probe: true,
    };
    repair::Order {
        verb: Verb::NotApplied,
        versions: vec![Version("2".to_owned())],
        bundle: digest(3),
        waiver: "looked".to_owned(),
        classes: vec![repair::Class {
            engine: Engine::Mysql,
            before: vec![entry("1")],
            changes: vec![change("2", Direction::Up), change("1", Direction::Down)],
            schemas: vec![digest(6)],
        }],
        targets: vec![(TargetId::from("eu-1"), 0)],
    }
}

/// One event of each kind, in the order of the variants.
fn one_of_each() -> Vec<Body> {
    let rollout = RolloutId(42);
    let target = TargetId::from("eu-1");
    let agent = AgentId::from("agent-eu");
    let fence = Fence(9);
    let version = "1".to_owned();
    let step = StepIx(3);
    vec![
        Body::ClusterFormed {
            cluster: ClusterId([4; 16]),
            charter: digest(5),
            bound: "cdd01ef066bc6cf2".to_owned(),
        },
        Body::CharterAdopted {
            policy: Policy { least_backup: Backup::Tables, refuse_irreversible: true },
            text: "[backup]".to_owned(),
        },
        Body::AgentJoined { agent: agent.clone(), version: "0.1.0".to_owned() },
        Body::AgentLeft { agent: agent.clone() },
        Body::TargetRegistered {
            agent: agent.clone(),
            target: target.clone(),
            description: Description {
                engine: Engine::Sqlite,
                labels: [("region".to_owned(), "eu".to_owned())].into(),
                group: "array-1".to_owned(),
            },
        },
        Body::TargetObserved {
            agent: agent.clone(),
            target: target.clone(),
            seen: Observation {
                engine_version: "15.18".to_owned(),
                identity: "7001/1/shard".to_owned(),
                fingerprint: digest(6),
                ledger: vec![entry("1")],
                fence,
                open_intent: "2".to_owned(),
                bytes: 9_000,
                tables: Some(Tables::new([(3, 1_200_000), (1 << 31, UNKNOWN)])),
            },
            finding: "restored".to_owned(),
        },
        Body::TargetUnreachable {
            agent: agent.clone(),
            target: target.clone(),
            why: "refused".to_owned(),
        },
        Body::TargetRetired { target: target.clone(), reason: "sold".to_owned() },
        Body::RestoreStarted {
            target: target.clone(),
            archive: "eu-1/mig-0042-9.dump.zst".to_owned(),
            reason: "agreed".to_owned(),
        },
        Body::BundleStored {
            manifest: Arc::new(Manifest {
                digest: digest(3),
                format: "sqlx".to_owned(),
                migrations: vec![Migration {
                    version: Version(version.clone()),
                    name: "users".to_owned(),
                    up: script(),
                    down: Some(script()),
                    verify: true,
                    probe: true,
                }],
            }),
        },
        Body::RolloutPlanned { rollout, id: digest(8), plan: Arc::new(plan()) },
        Body::RolloutStarted { rollout },
        Body::WaveStarted { rollout, wave: WaveIx(1) },
        Body::RolloutPaused { rollout, reason: "lunch".to_owned(), stop: Stop::AfterSteps },
        Body::RolloutResumed { rollout },
        Body::RollbackStarted {
            rollout,
            cause: "asked for".to_owned(),
            targets: vec![Unwind { target: target.clone(), keep: 1, blocked_by: version.clone() }],
            breach: true,
        },
        Body::RolloutHalted { rollout, reason: "budget".to_owned() },
        Body::RolloutCompleted { rollout },
        Body::RolloutRolledBack { rollout },
        Body::LegAssigned { rollout, target: target.clone(), agent, kind: LegKind::Undo },
        Body::LeaseExpired {
            rollout,
            target: target.clone(),
            fence,
            why: "silent".to_owned(),
            released: true,
        },
        Body::StepBackedUp {
            rollout,
            target: target.clone(),
            fence,
            archive: Box::new(Archive {
                name: "eu-1/mig-0042-9.dump.zst".to_owned(),
                sha256: digest(9),
                bytes: 1_000,
                tool: "pg_dump 15.18".to_owned(),
                scope: Backup::Schema,
                ms: 12,
                fingerprint: digest(6),
                exemption: String::new(),
                target_bytes: 5_000,
            }),
            steps: vec![version.clone()],
        },
        Body::StepApplied {
            rollout,
            target: target.clone(),
            fence,
            version: version.clone(),
            step,
            ms: 5,
            rows: 20_000,
            already: true,
            measured: Measured {
                waited_ms: 3,
                resumed: true,
                written: Some(48_000),
                locked_ms: Some(2),
                touched: Some(0),
            },
        },
        Body::StepVerified {
            rollout,
            target: target.clone(),
            fence,
            version: version.clone(),
            step,
            fingerprint: Some(digest(6)),
        },
        Body::StepFailed {
            rollout,
            target: target.clone(),
            fence,
            version: version.clone(),
            step,
            verdict: Verdict::Partly,
            retryable: true,
            message: "duplicate".to_owned(),
            file: "0001_users.up.sql".to_owned(),
            line: 17,
        },
        Body::StepRetried {
            rollout,
            target: target.clone(),
            attempt: 1,
            not_before: Millis(1_700_000_000_500),
        },
        Body::StepRolledBack {
            rollout,
            target: target.clone(),
            fence,
            version: version.clone(),
            step,
            ms: 4,
            already: false,
            fingerprint: None,
            measured: Measured { resumed: true, written: Some(0), ..Measured::default() },
        },
        Body::StepWaived {
            rollout,
            waiver: Waiver { step: "*".to_owned(), reason: "agreed".to_owned() },
        },
        Body::StepStuck {
            rollout,
            target: target.clone(),
            fence,
            version: version.clone(),
            step,
            why: "no evidence".to_owned(),
        },
        Body::StepTried {
            rollout,
            target,
            fence,
            version,
            step,
            passed: false,
            impossible: true,
            note: "DDL commits".to_owned(),
        },
        Body::ClusterRestored {
            incarnation: Incarnation([6; 16]),
            fence: Fence(1_800_000_000_000_000),
            taken: Millis(1_700_000_000_000),
            reason: "the rack burned".to_owned(),
        },
        Body::RequestSettled { rollout },
        Body::WaveVerified { rollout, wave: WaveIx(1) },
        Body::WaveSoaked { rollout, wave: WaveIx(1) },
        Body::WaveApproved { rollout, wave: WaveIx(2), reason: "looks well".to_owned() },
        Body::KnobSet { rollout, knob: Knob::Limit(Limit { label: "region".to_owned(), most: 3 }) },
        Body::LanesHeld {
            rollout,
            targets: vec![TargetId::from("eu-1")],
            reason: "a fair".to_owned(),
            stop: Stop::AfterLegs,
            part: Some(Part { selector: by_label("region", "eu"), wave: Some(WaveIx(0)) }),
        },
        Body::LanesReleased {
            rollout,
            targets: vec![TargetId::from("eu-1")],
            part: Some(Part { wave: Some(WaveIx(2)), ..Part::default() }),
        },
        Body::RolloutAborted { rollout, reason: "wrong file".to_owned() },
        Body::RepairOrdered { repair: RepairId(3), order: Box::new(order()) },
        Body::RepairAssigned {
            repair: RepairId(3),
            target: TargetId::from("eu-1"),
            agent: AgentId::from("agent-eu"),
        },
        Body::RepairReleased {
            repair: RepairId(3),
            target: TargetId::from("eu-1"),
            fence,
            why: "silent".to_owned(),
        },
        Body::TargetMended {
            repair: RepairId(3),
            target: TargetId::from("eu-1"),
            fence,
            seen: Box::new(Observation {
                engine_version: "16.4".to_owned(),
                identity: "server-1/db".to_owned(),
                fingerprint: digest(6),
                ledger: vec![entry("1"), entry("2")],
                fence: Fence(9),
                open_intent: String::new(),
                bytes: 0,
                tables: None,
            }),
            evidence: vec![Evidence::Schema, Evidence::Probe, Evidence::Waiver],
            finding: "a clone".to_owned(),
        },
        Body::RepairFailed {
            repair: RepairId(3),
            target: TargetId::from("eu-1"),
            fence,
            why: "no evidence".to_owned(),
            doubt: true,
        },
        Body::RepairWithdrawn { repair: RepairId(3), reason: "the wrong version".to_owned() },
        Body::EditAccepted {
            version: Version("2".to_owned()),
            file: "0002_mail.up.sql".to_owned(),
            ran: vec![digest(1), digest(2)],
            now: digest(3),
            normalised: digest(4),
            reason: "a default spelled out".to_owned(),
        },
        Body::TargetsRetried { rollout, targets: vec![TargetId::from("eu-1")] },
        Body::TargetsSkipped {
            rollout,
            targets: vec![TargetId::from("eu-1"), TargetId::from("eu-2")],
            reason: "merged next week".to_owned(),
            until: Some(Millis(1_800_000_000_000)),
        },
        Body::TargetGone { agent: AgentId::from("agent-eu"), target: TargetId::from("eu-1") },
        Body::GatesOpened { rollout, wave: WaveIx(1) },
        Body::GateAsked {
            rollout,
            wave: WaveIx(1),
            gate: "orders".to_owned(),
            ask: 7,
            target: Some(TargetId::from("eu-1")),
            agent: AgentId::from("agent-eu"),
            for_ms: 90_000,
        },
        Body::GateReleased {
            rollout,
            ask: 7,
            agent: AgentId::from("agent-eu"),
            fence: Fence(49),
            why: "not heard of".to_owned(),
        },
        Body::GatePassed { judged: Box::new(judged(Some("eu-1"), "")) },
        Body::GateFailed { judged: Box::new(judged(None, "0002")) },
        Body::ChangesFrozen {
            freeze: FreezeId(1),
            selector: by_label("region", "eu"),
            until: Some(Millis(9_000)),
            reason: "an audit".to_owned(),
        },
        Body::ChangesThawed { freezes: vec![FreezeId(1)], reason: "it is over".to_owned() },
        Body::LanesCancelled {
            rollout,
            targets: vec![TargetId::from("eu-1")],
            reason: "it locks the world".to_owned(),
            held: true,
        },
        Body::StepCancelled {
            rollout,
            target: TargetId::from("eu-1"),
            fence: Fence(12),
            version: "2".to_owned(),
            step: StepIx(1),
            verdict: Verdict::Partly,
            message: "canceling statement due to user request".to_owned(),
        },
        Body::ArrivalsSettled {
            rollout,
            classes: plan().classes,
            joined: vec![(TargetId::from("eu-3"), WaveIx(1), ClassIx(2))],
            awaited: vec![(TargetId::from("eu-4"), "no route to host".to_owned())],
            settled: vec![TargetId::from("us-1")],
        },
        Body::StepOverran {
            overrun: Box::new(Overrun {
                rollout,
                target: TargetId::from("eu-1"),
                fence: Fence(12),
                version: "2".to_owned(),
                step: StepIx(1),
                undo: true,
                ms: 90_000,
                forecast: Forecast {
                    interval: Interval { p50: 4_000, p95: 9_000 },
                    samples: 14,
                    by: By::Rows,
                    written: Some(Interval { p50: 70_000, p95: 90_000 }),
                },
            }),
        },
        Body::BaselineTaken {
            rollout,
            target: TargetId::from("eu-1"),
            fence: Fence(12),
            gate: "quick".to_owned(),
            queries: vec![
                Quantiles { p50: 310, p95: 900, p99: 1_200 },
                Quantiles { p50: 1, p95: 2, p99: 3 },
            ],
        },
        Body::RolloutTurnedForward {
            rollout,
            wave: WaveIx(2),
            targets: vec![TargetId::from("eu-1"), TargetId::from("eu-2")],
            all: true,
        },
        Body::LanesAborted {
            rollout,
            targets: vec![TargetId::from("eu-1")],
            reason: "sold".to_owned(),
            part: Some(Part { selector: by_label("region", "eu"), wave: None }),
        },
        Body::GateBreached { judged: Box::new(judged(Some("eu-1"), "0002")) },
    ]
}

/// One of each kind, each comparison once.
fn gates() -> Vec<Gate> {
    let questions = [
        Question::Sql("SELECT count(*) FROM broken".to_owned()),
        Question::Http("health".to_owned()),
        Question::Command("smoke".to_owned()),
        Question::Prometheus { source: "prom".to_owned(), query: "rate(errors[1m])".to_owned() },
        Question::Sql("SELECT 1".to_owned()),
        Question::Latency(Latency {
            queries: vec!["SELECT 2".to_owned(), "SELECT 3".to_owned()],
            runs: 200,
            ceilings: vec![
                Ceiling { quantile: Quantile::P50, bound: Bound::Thousandths(1_500) },
                Ceiling { quantile: Quantile::P95, bound: Bound::Micros(50_000) },
                Ceiling { quantile: Quantile::P99, bound: Bound::Thousandths(3_000) },
            ],
        }),
    ];
    let whens = [When::AfterWave, When::Soak, When::BeforeStep, When::AfterStep];
    let comparisons = [
        Comparison::Is,
        Comparison::IsNot,
        Comparison::Below,
        Comparison::AtMost,
        Comparison::Above,
        Comparison::AtLeast,
    ];
    let gates = questions.into_iter().zip(comparisons).zip(whens.into_iter().cycle());
    let gate = |(at, ((question, comparison), when))| Gate {
        name: format!("gate-{at}"),
        when,
        waves: vec!["canary".to_owned()],
        question,
        comparison,
        expected: "3".to_owned(),
        samples: 5,
        need: 3,
        interval_ms: 2_000,
        timeout_ms: 1_000,
        breach: at % 2 == 0,
    };
    gates.enumerate().map(gate).collect()
}

fn judged(target: Option<&str>, version: &str) -> Judged {
    Judged {
        rollout: RolloutId(7),
        wave: WaveIx(1),
        gate: "orders".to_owned(),
        target: target.map(TargetId::from),
        version: version.to_owned(),
        ask: 7,
        fence: Fence(49),
        measured: "3, 3, 4".to_owned(),
        inconclusive: target.is_none(),
    }
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
