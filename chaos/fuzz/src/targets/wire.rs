//! Requests, reports and bundles as they come over the wire, and answers as they are shown.

use bytes::Bytes;
use prost::Message as _;
use skein_cli::args::Format;
use skein_cli::render::event::Event;
use skein_cli::render::history::History;
use skein_cli::render::rollout::Rollout;
use skein_cli::render::{Look, View, write};
use skein_coordinator::doors;
use skein_proto::agent::v1 as agent;
use skein_proto::{log, v1};

use super::Target;

fn selector() -> v1::Selector {
    let label = v1::LabelMatch { name: "region".to_owned(), values: vec!["eu".to_owned()] };
    v1::Selector {
        targets: vec!["eu/*".to_owned()],
        labels: vec![label],
        r#where: "version.at_least('3')".to_owned(),
    }
}

fn gate() -> v1::Gate {
    v1::Gate {
        name: "orders".to_owned(),
        when: v1::GateWhen::AfterWave.into(),
        waves: vec!["canary".to_owned()],
        question: Some(v1::gate::Question::Sql("SELECT 1".to_owned())),
        comparison: v1::Comparison::Below.into(),
        expected: "3".to_owned(),
        samples: 3,
        need: 2,
        interval_ms: 1_000,
        timeout_ms: 1_000,
        breach: true,
    }
}

fn requests() -> Vec<Vec<u8>> {
    let asker = v1::Asker {
        request_id: Bytes::from_static(&[7; 16]),
        actor: "kim".to_owned(),
        charter: Bytes::from_static(&[1; 32]),
    };
    let wave = v1::WaveSpec {
        name: "canary".to_owned(),
        selector: Some(selector()),
        percent: 5,
        count: 3,
        one_per_class: true,
        parallelism: 2,
        soak_ms: Some(1_000),
        approval: true,
        per: String::new(),
    };
    let strategy = v1::Strategy {
        stages: vec![v1::StageSpec { name: "expand".to_owned(), to: "0001".to_owned() }],
        waves: vec![wave],
        parallelism: 4,
        budget: Some(v1::Budget { failed: 1, percent: 10, ..Default::default() }),
        on_breach: v1::OnBreach::RollbackWave.into(),
        retries: 2,
        backup: v1::BackupScope::BackupDatabase.into(),
        limits: vec![v1::Limit { label: "region".to_owned(), most: 2 }],
        per_group: 1,
        heavy: Some(v1::Heavy { steps: vec!["0007".to_owned()], per_group: 1 }),
        soak_ms: 60_000,
        order: Some(v1::Order { label: "region".to_owned(), values: vec!["eu".to_owned()] }),
        cover_classes: true,
        gates: vec![gate()],
        windows: vec![v1::Window {
            name: "nights".to_owned(),
            selector: Some(selector()),
            days: vec![0, 6],
            from_minute: 1_320,
            to_minute: 300,
            zone: "Europe/Berlin".to_owned(),
            finish: true,
        }],
        blackouts: vec![v1::Blackout { from_ms: 5, until_ms: 9, ..Default::default() }],
        throttles: vec![v1::Throttle {
            name: "lag".to_owned(),
            selector: Some(selector()),
            measure: Some(v1::throttle::Measure::ReplicaLag(v1::ReplicaLag { replicas: 1 })),
            limit: 2_000,
            interval_ms: 1_000,
            timeout_ms: 5_000,
        }],
        batching: Some(v1::Batching { size: 500, pause_ms: 200 }),
    };
    let spec = v1::PlanSpec {
        bundle: Bytes::from_static(&[2; 32]),
        selector: Some(selector()),
        direction: v1::Direction::Up.into(),
        goal: Some(v1::Goal { goal: Some(v1::goal::Goal::Version("3".to_owned())) }),
        strategy: Some(strategy),
        ..Default::default()
    };
    let plan = v1::PlanRequest { asker: Some(asker.clone()), spec: Some(spec), dry: false };
    let back = v1::RollBackRequest {
        asker: Some(asker.clone()),
        rollout: "mig-0001".to_owned(),
        selector: Some(selector()),
        steps: 2,
        waivers: vec![v1::Waiver { step: "*".to_owned(), reason: "agreed".to_owned() }],
        dry: true,
        ..Default::default()
    };
    vec![plan.encode_to_vec(), back.encode_to_vec(), asker.encode_to_vec()]
}

fn reports() -> Vec<Vec<u8>> {
    use agent::from_agent::Message;
    let description = v1::TargetDescription {
        id: "eu/1".to_owned(),
        engine: v1::Engine::Postgres.into(),
        labels: [("region".to_owned(), "eu".to_owned())].into(),
        resource_group: "rack".to_owned(),
    };
    let hello = agent::Hello {
        agent: "a".to_owned(),
        version: "1".to_owned(),
        slots: 4,
        targets: vec![description],
        charter: Bytes::from_static(&[1; 32]),
        whole: true,
        ..Default::default()
    };
    let seen = v1::Observation {
        engine_version: "15".to_owned(),
        identity: "x".to_owned(),
        fingerprint: Bytes::from_static(&[3; 32]),
        ledger: vec![v1::LedgerEntry {
            version: "1".to_owned(),
            digest: Bytes::from_static(&[4; 32]),
        }],
        fence: 9,
        open_intent: String::new(),
        bytes: 4_096,
        tables: Some(v1::TableRows { names: vec![1, 7], rows: vec![40, u64::MAX] }),
    };
    let observed = agent::Observed {
        target: "eu/1".to_owned(),
        observation: Some(seen),
        error: String::new(),
        as_of: 41,
        raised: 40,
    };
    let backed_up = agent::BackedUp {
        archive: "a/b".to_owned(),
        sha256: Bytes::from_static(&[5; 32]),
        bytes: 10,
        fingerprint: Bytes::from_static(&[6; 32]),
        ..Default::default()
    };
    let report = agent::Report {
        id: 1,
        target: "eu/1".to_owned(),
        fence: 9,
        outcome: Some(agent::report::Outcome::BackedUp(backed_up)),
    };
    [
        Message::Hello(hello),
        Message::Observed(observed),
        Message::Reports(agent::Reports { reports: vec![report] }),
    ]
    .map(|message| agent::FromAgent { message: Some(message) }.encode_to_vec())
    .into()
}

fn bundles() -> Vec<Vec<u8>> {
    let script = v1::Script {
        file: "1_a.up.sql".to_owned(),
        line: 1,
        text: "SELECT 1;".to_owned(),
        raw_digest: Bytes::from_static(&[1; 32]),
        normalised_digest: Bytes::from_static(&[2; 32]),
        facts: vec![v1::ScriptFacts { engine: 1, mode: 1, statements: 1, ..Default::default() }],
        ..Default::default()
    };
    let migration = v1::Migration {
        version: "1".to_owned(),
        name: "a".to_owned(),
        up: Some(script.clone()),
        down: Some(script),
        ..Default::default()
    };
    vec![v1::Bundle { format: "sqlx".to_owned(), migrations: vec![migration] }.encode_to_vec()]
}

/// Nothing that is shown steers a terminal or begins a line of its own.
fn shown(view: &dyn View) {
    for format in [Format::Text, Format::Wide, Format::Markdown, Format::Json, Format::Jsonl] {
        let mut out = Vec::new();
        write(view, format, &Look::default(), &mut out).expect("a vector takes all");
        let text = String::from_utf8(out).expect("text");
        if matches!(format, Format::Json | Format::Jsonl) {
            // JSON is for programs, and escapes by its own rules.
            continue;
        }
        let steers = text.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(steers, None, "a control character is shown: {text:?}");
    }
}

fn events(bytes: &[u8]) -> bool {
    let Ok(event) = log::v1::Event::decode(bytes) else { return false };
    let event = Event::new(&event);
    let line = event.line(&Look { wide: true, ..Look::default() });
    assert!(!line.contains('\n'), "one event, one line: {line:?}");
    shown(&History { events: vec![event] });
    true
}

fn rollouts(bytes: &[u8]) -> bool {
    let Ok(status) = v1::RolloutStatus::decode(bytes) else { return false };
    let rollout = Rollout::new(&status);
    assert!(!rollout.headline(&Look::default()).contains('\n'), "a headline is one line");
    shown(&rollout);
    true
}

fn conditions() -> Vec<Vec<u8>> {
    [
        r#"region == "eu" && engine == "postgres" && version.at_least("0042")"#,
        r#"labels["app.tier"] == '1' || has(labels.ring) && !held"#,
        r#"versions.exists(v, v.startsWith("004")) ? reachable : id in ["eu-1", "eu-2"]"#,
        "size(versions) + 1 > 2",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

fn shown_events() -> Vec<Vec<u8>> {
    use log::v1::event::Body;
    let bodies = [
        Body::StepFailed(log::v1::StepFailed { target: "eu/1".to_owned(), ..Default::default() }),
        Body::RestoreStarted(log::v1::RestoreStarted {
            target: "eu/1".to_owned(),
            archive: "a".to_owned(),
            reason: "agreed".to_owned(),
        }),
        Body::TargetUnreachable(log::v1::TargetUnreachable {
            target: "eu/1".to_owned(),
            agent: "a".to_owned(),
            why: "gone".to_owned(),
        }),
    ];
    bodies
        .map(|body| {
            let event = log::v1::Event { seq: 3, actor: "kim".to_owned(), ..Default::default() };
            log::v1::Event { body: Some(body), ..event }.encode_to_vec()
        })
        .into()
}

fn shown_rollouts() -> Vec<Vec<u8>> {
    let lane = v1::Lane {
        target: "eu/1".to_owned(),
        state: 6,
        note: "why".to_owned(),
        held: "a fair".to_owned(),
        ..Default::default()
    };
    let wave = v1::WaveStatus {
        stage: "expand".to_owned(),
        name: "canary".to_owned(),
        targets: 3,
        lanes: vec![1, 2, 3],
        waits_for_approval: true,
        soak_ms: 1_000,
        soak_until_ms: 9_000,
    };
    let status = v1::RolloutStatus {
        id: "mig-0001".to_owned(),
        state: v1::RolloutState::Halted.into(),
        waves: vec![wave],
        reason: "a budget".to_owned(),
        residual: vec![lane.clone()],
        lanes: vec![lane],
        ..Default::default()
    };
    vec![status.encode_to_vec()]
}

pub(super) fn targets() -> Vec<Target> {
    let words = &["eu/*", "\n", "\u{1b}[31m", "\u{202e}", "*", "mig-0001", "|", "<b>"];
    let of =
        |name, seeds, door: fn(&[u8]) -> bool| Target { name, seeds, words, door: Box::new(door) };
    vec![
        of("request", requests(), doors::request),
        of("report", reports(), doors::report),
        of("bundle-bytes", bundles(), |bytes| {
            // The agent's own reader must come to an answer as well.
            let read = skein_agent::wire::decode(bytes).is_ok();
            doors::bundle(bytes) || read
        }),
        Target {
            name: "condition",
            seeds: conditions(),
            words: &[
                "version",
                "versions",
                ".at_least(",
                ".exists(v, ",
                "labels",
                "engine",
                "==",
                " && ",
                "!",
                "(",
                ")",
                "[",
                "]",
                "\"0042\"",
                "'",
                "? true : ",
                " in ",
                "size(",
                "has(",
                "{",
                "}",
                "1/0",
            ],
            door: Box::new(|bytes| doors::condition(&String::from_utf8_lossy(bytes))),
        },
        of("shown-event", shown_events(), events),
        of("shown-rollout", shown_rollouts(), rollouts),
    ]
}
