//! One event of each kind, with everything in it that its kind can have.

use std::sync::Arc;

use skein_core::bundle::{Manifest, Migration};
use skein_core::command::Waiver;
use skein_core::event::{Archive, Body, LegKind, Measured, Overrun, Stop, Unwind, Verdict};
use skein_core::forecast::{By, Forecast, Interval};
use skein_core::ids::{
    AgentId, ClassIx, ClusterId, Fence, FreezeId, Incarnation, Millis, RepairId, RolloutId, StepIx,
    TargetId, Version, WaveIx,
};
use skein_core::policy::Policy;
use skein_core::spec::{Backup, Engine, Knob, Limit, Part, Quantiles};
use skein_core::state::repair::Evidence;
use skein_core::state::tables::{Tables, UNKNOWN};
use skein_core::state::target::{Description, Observation};

use super::gate::judged;
use super::plan::{by_label, digest, entry, plan, script};
use super::repair::order;

/// One event of each kind, in the order of the variants.
pub(super) fn one_of_each() -> Vec<Body> {
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
