//! Messages between agents and coordinators, as each release sent them.

use prost::Message as _;
use skein_proto::agent::v1 as session;
use skein_proto::agent::v1::from_agent::Message as Up;
use skein_proto::agent::v1::from_coordinator::Message as Down;
use skein_proto::agent::v1::report::Outcome;
use skein_proto::v1;

use crate::each_release;

fn hash(byte: u8) -> prost::bytes::Bytes {
    vec![byte; 32].into()
}

fn outcomes() -> Vec<Outcome> {
    vec![
        Outcome::BackedUp(session::BackedUp {
            archive: "eu-1/mig-0042-9.dump.zst".to_owned(),
            sha256: hash(1),
            bytes: 1_000,
            tool: "pg_dump 15".to_owned(),
            scope: v1::BackupScope::BackupDatabase.into(),
            ms: 12,
            fingerprint: hash(2),
            exemption: "none".to_owned(),
            target_bytes: 0,
        }),
        Outcome::Applied(session::Applied {
            step: 1,
            ms: 2,
            rows: 3,
            already: true,
            ..session::Applied::default()
        }),
        Outcome::Verified(session::Verified { step: 1, fingerprint: hash(3) }),
        Outcome::Failed(session::Failed {
            step: 2,
            verdict: session::Verdict::Partly.into(),
            retryable: true,
            message: "no such table".to_owned(),
            file: "2.up.sql".to_owned(),
            line: 7,
            ..session::Failed::default()
        }),
        Outcome::RolledBack(session::RolledBack {
            step: 1,
            ms: 4,
            already: true,
            fingerprint: hash(4),
            ..session::RolledBack::default()
        }),
        Outcome::Stuck(session::Stuck { step: 2, why: "no evidence".to_owned() }),
        Outcome::Tried(session::Tried {
            step: 1,
            passed: true,
            note: "fine".to_owned(),
            impossible: true,
        }),
        Outcome::Released(session::Released { why: "asked to stop".to_owned() }),
    ]
}

fn from_agent() -> Vec<session::FromAgent> {
    let ledger = vec![v1::LedgerEntry { version: "1".to_owned(), digest: hash(5) }];
    let observation = v1::Observation {
        engine_version: "15.4".to_owned(),
        identity: "postgres:1/1".to_owned(),
        fingerprint: hash(6),
        ledger,
        fence: 17,
        open_intent: "2".to_owned(),
        ..v1::Observation::default()
    };
    let target = v1::TargetDescription {
        id: "eu/orders-1".to_owned(),
        engine: v1::Engine::Postgres.into(),
        labels: [("region".to_owned(), "eu".to_owned())].into(),
        resource_group: "array-1".to_owned(),
    };
    let reports = (1..).zip(outcomes()).map(|(id, outcome)| session::Report {
        id,
        fence: 17,
        target: "eu/orders-1".to_owned(),
        outcome: Some(outcome),
    });
    [
        Up::Hello(session::Hello {
            agent: "a1".to_owned(),
            version: "0.1.0".to_owned(),
            slots: 8,
            targets: vec![target],
            charter: hash(7),
            // Said since a later release, as are rosters and wishes to read sources.
            whole: false,
            sources: Vec::new(),
            asks_gates: false,
            gate_sources: Vec::new(),
            knows_throttles: false,
            knows_batches: false,
            reads_schemas: false,
        }),
        Up::Heartbeat(session::Heartbeat { fences: vec![17, 18], ..Default::default() }),
        Up::Reports(session::Reports { reports: reports.collect() }),
        Up::Observed(session::Observed {
            target: "eu/orders-1".to_owned(),
            observation: Some(observation),
            error: "late".to_owned(),
            // Of later releases: this one did not say.
            as_of: 0,
            raised: 0,
        }),
    ]
    .into_iter()
    .map(|message| session::FromAgent { message: Some(message) })
    .collect()
}

fn from_coordinator() -> Vec<session::FromCoordinator> {
    let step = session::LegStep {
        step: 1,
        migration: 2,
        version: "2".to_owned(),
        script: v1::Direction::Down.into(),
        digest: hash(8),
        probe: false,
    };
    let refused =
        session::RefusedReport { id: 2, why: "the lease is gone".to_owned(), lease_lost: true };
    [
        Down::Welcome(session::Welcome {
            node: 1,
            lease_ms: 10_000,
            heartbeat_ms: 2_000,
            charter: hash(7),
            cluster_id: vec![9; 16].into(),
            seq: 0,
        }),
        Down::Leg(session::Leg {
            fence: 17,
            target: "eu/orders-1".to_owned(),
            rollout: "mig-0042".to_owned(),
            kind: session::LegKind::Undo.into(),
            bundle: hash(10),
            steps: vec![step],
            backup: v1::BackupScope::BackupSchema.into(),
            backup_recorded: true,
            expected: vec![v1::LedgerEntry { version: "1".to_owned(), digest: hash(5) }],
            expected_identity: "postgres:1/1".to_owned(),
            charter: hash(7),
            ..session::Leg::default()
        }),
        Down::Acknowledged(session::Acknowledged { ids: vec![1], refused: vec![refused], seq: 0 }),
        Down::Cancel(session::Cancel {
            fence: 17,
            why: "paused".to_owned(),
            kill: false,
            after_batch: false,
            lease_lost: false,
        }),
        Down::Observe(session::Observe {
            targets: vec!["eu/orders-1".to_owned()],
            seq: 0,
            doubted: Vec::new(),
            fence: 0,
        }),
    ]
    .into_iter()
    .map(|message| session::FromCoordinator { message: Some(message) })
    .collect()
}

/// One message of each kind, each behind its length: first the agent's, then the coordinator's.
pub(crate) fn messages() -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in from_agent() {
        bytes.extend(message.encode_length_delimited_to_vec());
    }
    for message in from_coordinator() {
        bytes.extend(message.encode_length_delimited_to_vec());
    }
    bytes
}

#[test]
fn messages_of_each_release_are_understood_whole() {
    for release in each_release() {
        let stored = std::fs::read(release.join("session.bin")).expect("it was written");
        let (mut rest, mut again) = (stored.as_slice(), Vec::new());
        for expected in from_agent() {
            let read = session::FromAgent::decode_length_delimited(&mut rest);
            let read = read.expect("an agent's message can be read");
            assert_eq!(read, expected, "{}", release.display());
            again.extend(read.encode_length_delimited_to_vec());
        }
        for expected in from_coordinator() {
            let read = session::FromCoordinator::decode_length_delimited(&mut rest);
            let read = read.expect("a coordinator's message can be read");
            assert_eq!(read, expected, "{}", release.display());
            again.extend(read.encode_length_delimited_to_vec());
        }
        assert!(rest.is_empty());
        // Nothing that was said is lost on the way.
        assert_eq!(again, stored, "{}", release.display());
    }
}
