//! Views against the files in `tests/golden`. `UPDATE_GOLDEN=1` rewrites them: read the difference.

use std::path::Path;

use skein_cli::args::Format;
use skein_cli::exit::ExitCode;
use skein_cli::render::audit::{Audit, Node};
use skein_cli::render::backups::{Backup, Backups};
use skein_cli::render::event::Event;
use skein_cli::render::exits::Exits;
use skein_cli::render::fleet::Fleet;
use skein_cli::render::history::History;
use skein_cli::render::look::Signs;
use skein_cli::render::plan::Plan;
use skein_cli::render::rollout::Rollout;
use skein_cli::render::targets::Targets;
use skein_cli::render::undo::Undo;
use skein_cli::render::{Look, View, line, write};
use skein_proto::agent::v1 as agent;
use skein_proto::log::v1::{self as log, event::Body};
use skein_proto::v1;

const EVERY: [(Format, &str); 5] = [
    (Format::Text, "txt"),
    (Format::Wide, "wide.txt"),
    (Format::Json, "json"),
    (Format::Jsonl, "jsonl"),
    (Format::Markdown, "md"),
];

fn golden(name: &str, seen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, seen).expect("the golden folder can be written");
        return;
    }
    let expect = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; UPDATE_GOLDEN=1 writes it", path.display()));
    assert!(seen == expect, "{name} differs\n--- seen\n{seen}\n--- golden\n{expect}");
}

fn render(view: &dyn View, format: Format, look: &Look) -> String {
    let mut out = Vec::new();
    write(view, format, look, &mut out).expect("writing to memory");
    String::from_utf8(out).expect("views are text")
}

fn in_every_format(name: &str, view: &dyn View) {
    for (format, ending) in EVERY {
        golden(&format!("{name}.{ending}"), &render(view, format, &Look::default()));
    }
}

fn step(migration: u32, version: &str, name: &str, undo: v1::Undo) -> v1::PlannedStep {
    v1::PlannedStep {
        migration,
        version: version.to_owned(),
        name: name.to_owned(),
        direction: v1::Direction::Up.into(),
        mode: v1::TransactionMode::OneTransaction.into(),
        undo: undo.into(),
        file: format!("{version}_{name}.up.sql"),
        locks: vec![v1::LockFact {
            name: "ACCESS EXCLUSIVE".to_owned(),
            meaning: "reads and writes wait".to_owned(),
            table: "users".to_owned(),
        }],
        ..Default::default()
    }
}

fn a_plan() -> v1::PlanReply {
    let before = |version: &str| {
        vec![v1::LedgerEntry { version: version.to_owned(), digest: vec![1; 32].into() }]
    };
    let mut index = step(1, "0043", "index_email", v1::Undo::Script);
    index.mode = v1::TransactionMode::Statements.into();
    index.mode_why.push_str("CREATE INDEX CONCURRENTLY cannot run in a transaction");
    index.locks = Vec::new();
    let mut drop = step(2, "0044", "drop_legacy", v1::Undo::None);
    drop.destructive = true;
    let mut mysql = step(0, "0042", "add_email", v1::Undo::Script);
    mysql.mode = v1::TransactionMode::Statements.into();
    mysql.mode_why.push_str("MariaDB and MySQL commit each DDL statement by themselves");
    mysql.locks = vec![v1::LockFact {
        name: "metadata lock".to_owned(),
        meaning: String::new(),
        table: "users".to_owned(),
    }];
    let target = |id: &str, class| v1::PlanTarget { id: id.to_owned(), class };
    let plan = v1::Plan {
        stages: Vec::new(),
        spec: Some(v1::PlanSpec {
            direction: v1::Direction::Up.into(),
            goal: Some(v1::Goal { goal: Some(v1::goal::Goal::Latest(true)) }),
            strategy: Some(v1::Strategy {
                parallelism: 4,
                budget: Some(v1::Budget { failed: 1, percent: 10, ..Default::default() }),
                on_breach: v1::OnBreach::RollbackRollout.into(),
                retries: 2,
                backup: v1::BackupScope::BackupDatabase.into(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        classes: vec![
            v1::PlanClass {
                engine: v1::Engine::Postgres.into(),
                before: before("0041"),
                steps: vec![step(0, "0042", "add_email", v1::Undo::Script), index, drop],
                targets: 3,
            },
            v1::PlanClass { engine: v1::Engine::Mysql.into(), before: Vec::new(), steps: vec![mysql], targets: 1 },
        ],
        waves: vec![
            v1::PlanWave {
                stage: 0,
                name: "canary".to_owned(),
                targets: vec![target("eu-1", 0)],
                parallelism: 1,
                soak_ms: 600_000,
                approval: false,
                part: String::new(),
            },
            v1::PlanWave {
                stage: 0,
                name: String::new(),
                targets: vec![target("us-1", 1), target("eu-3", 0), target("eu-2", 0)],
                approval: true,
                ..Default::default()
            },
        ],
        up_to_date: 2,
        notes: vec!["0041_users.up.sql: a comment was edited since it was applied; nothing that runs has changed".to_owned()],
        absent: vec![v1::AbsentTarget {
            id: "us-9".to_owned(),
            why: "its agent cannot look at it: no route to host".to_owned(),
        }],
        accepted: Vec::new(),
    };
    v1::PlanReply {
        id: (0..32).collect::<Vec<u8>>().into(),
        plan: Some(plan),
        rollout: "mig-0007".to_owned(),
        forecast: None,
        unfinished: Vec::new(),
    }
}

#[test]
fn forecasts() {
    let never = v1::Forecast { parts: 1, ..Default::default() };
    let known = |p50_ms, p95_ms| v1::Forecast { p50_ms, p95_ms, samples: 14, measured: 1, ..never };
    let some = |measured, parts| v1::Forecast { measured, parts, ..known(64_000, 305_000) };
    let written = |weighed, of| v1::Forecast {
        p50_bytes: Some(48 << 20),
        p95_bytes: Some(93 << 20),
        weighed,
        ..of
    };
    let mut plan = a_plan();
    plan.forecast = Some(v1::PlanForecast {
        classes: vec![v1::ClassForecast {
            steps: vec![
                v1::Forecast {
                    by_rows: true,
                    touched_rows: Some(1_200_000),
                    beyond_rows: 900_000,
                    p50_bytes: Some(12 << 20),
                    p95_bytes: Some(31 << 20),
                    ..known(4_000, 9_200)
                },
                never,
                v1::Forecast { scaled: true, beyond: 8_500_000, ..known(300, 300) },
            ],
            backup: Some(known(2_000, 41_000)),
        }],
        waves: vec![
            written(3, v1::Forecast { steps: 3, ..some(4, 4) }),
            written(5, v1::Forecast { steps: 7, ..some(7, 10) }),
        ],
        whole: Some(written(8, v1::Forecast { steps: 10, steps_by_rows: 4, ..some(11, 14) })),
        fit: Some(v1::WindowFit {
            open: 4,
            fit: 2,
            too_long: 1,
            unknown: 1,
            example: "us-1".to_owned(),
            p95_ms: 50_200,
            left_ms: 40_000,
        }),
    });
    in_every_format("plan-forecast", &Plan::new(&plan));

    let mut running = a_rollout(v1::RolloutState::Running);
    running.rest = Some(some(7, 10));
    let overrun = |target: &str, undo| v1::Overrun {
        target: target.to_owned(),
        version: "0043".to_owned(),
        undo,
        ms: 303_000,
    };
    running.overran = vec![overrun("eu-2", false), overrun("us-1", true)];
    running.overran_count = 3;
    let told = Rollout::new(&running);
    in_every_format("rollout-overran", &told);
    assert_eq!(
        line::status(&told, 9, &Look::default()),
        "mig-0007 running · wave 2/2 · targets 1 done, 1 running, 1 waiting, 1 failed · steps 5/10, 4 verified \
         · left: 1 min 4 s to 5 min 5 s for 7 of 10 steps and backups; the others were never measured \
         · 3 steps take longer than was forecast · log #9 · eu-3 failed; within the budget of 1 target"
    );
    running.overran_count = 4;
    assert!(line::turning_point(Some(&told), &Rollout::new(&running)));
}

#[test]
fn plans() {
    in_every_format("plan", &Plan::new(&a_plan()));
    let ascii = Look { signs: Signs::Ascii, ..Look::default() };
    golden("plan.ascii.txt", &render(&Plan::new(&a_plan()), Format::Text, &ascii));
    let colour = Look { colour: true, ..Look::default() };
    golden("plan.colour.txt", &render(&Plan::new(&a_plan()), Format::Text, &colour));
}

#[test]
fn nothing_to_do() {
    let reply = v1::PlanReply {
        plan: Some(v1::Plan { up_to_date: 3, ..Default::default() }),
        ..Default::default()
    };
    golden("plan-empty.txt", &render(&Plan::new(&reply), Format::Text, &Look::default()));
}

fn a_lane(target: &str, state: v1::LaneState, note: &str) -> v1::Lane {
    v1::Lane {
        target: target.to_owned(),
        wave: 1,
        state: state.into(),
        steps: 3,
        applied: 1,
        verified: 1,
        backed_up: true,
        attempt: 2,
        note: note.to_owned(),
        agent: "agent-eu".to_owned(),
        fence: 41,
        held: if state == v1::LaneState::Ready { "a fair" } else { "" }.to_owned(),
        closed: String::new(),
        throttled: String::new(),
        batches: None,
        until_ms: 0,
    }
}

fn a_rollout(state: v1::RolloutState) -> v1::RolloutStatus {
    //                    ?  wait rdy run done fail stuck undo…
    let canary = vec![0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let second = vec![0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0];
    v1::RolloutStatus {
        id: "mig-0007".to_owned(),
        plan: (0..32).collect::<Vec<u8>>().into(),
        state: state.into(),
        direction: v1::Direction::Up.into(),
        waves: vec![
            v1::WaveStatus {
                name: "canary".to_owned(),
                targets: 1,
                lanes: canary,
                soak_ms: 600_000,
                soak_until_ms: 1_700_000_600_000,
                ..Default::default()
            },
            v1::WaveStatus {
                targets: 3,
                lanes: second,
                waits_for_approval: true,
                ..Default::default()
            },
        ],
        wave: 1,
        targets: 4,
        steps: 10,
        steps_applied: 5,
        steps_verified: 4,
        started_at_ms: 1_700_000_000_000,
        reason: "eu-3 failed; within the budget of 1 target".to_owned(),
        started_by: "kim@host".to_owned(),
        ..Default::default()
    }
}

#[test]
fn rollouts() {
    let mut running = a_rollout(v1::RolloutState::Running);
    running.lanes = vec![
        a_lane("eu-2", v1::LaneState::Leased, "0043 under way"),
        a_lane("eu-3", v1::LaneState::Failed, "0043: duplicate key"),
    ];
    in_every_format("rollout", &Rollout::new(&running));

    let mut halted = a_rollout(v1::RolloutState::Halted);
    halted.ended_at_ms = 1_700_000_083_000;
    halted.residual = vec![a_lane("eu-3", v1::LaneState::Residual, "0044 has no down script")];
    golden("rollout-halted.txt", &render(&Rollout::new(&halted), Format::Text, &Look::default()));
}

#[test]
fn one_line() {
    let rollout = Rollout::new(&a_rollout(v1::RolloutState::Running));
    assert_eq!(
        line::status(&rollout, 1_841, &Look::default()),
        "mig-0007 running · wave 2/2 · targets 1 done, 1 running, 1 waiting, 1 failed · steps 5/10, 4 verified \
         · log #1841 · eu-3 failed; within the budget of 1 target"
    );
    assert!(line::turning_point(None, &rollout));
    assert!(!line::turning_point(Some(&rollout), &rollout));
    let halted = Rollout::new(&a_rollout(v1::RolloutState::Halted));
    assert!(line::turning_point(Some(&rollout), &halted));
}

#[test]
fn fleets() {
    let reply = v1::StatusReply {
        rollouts: vec![a_rollout(v1::RolloutState::Running)],
        targets: 12,
        targets_connected: 11,
        agents: 2,
        agents_connected: 2,
        compliance: Some(v1::Compliance { events: 214, under_charter: 214 }),
        charter: vec![0xab; 32].into(),
        seq: 1_841,
        leader: 1,
        versions: vec![
            v1::VersionCount { version: String::new(), targets: 2 },
            v1::VersionCount { version: "0041".to_owned(), targets: 10 },
        ],
        held: vec![v1::HeldTarget {
            target: "eu-9".to_owned(),
            reason: "a clone of eu-8".to_owned(),
        }],
        ..Default::default()
    };
    in_every_format("fleet", &Fleet::new(&reply));
}

fn event(seq: u64, body: Body) -> log::Event {
    log::Event {
        seq,
        at_ms: 1_700_000_000_000 + seq,
        actor: "kim@host".to_owned(),
        charter: vec![0xab; 32].into(),
        body: Some(body),
        ..Default::default()
    }
}

fn some_events() -> Vec<log::Event> {
    let target = || "eu-3".to_owned();
    let version = || "0042".to_owned();
    vec![
        event(
            0,
            Body::ClusterFormed(log::ClusterFormed {
                charter: vec![0xab; 32].into(),
                ..Default::default()
            }),
        ),
        event(
            1,
            Body::AgentJoined(log::AgentJoined {
                agent: "agent-eu".to_owned(),
                version: "0.1.0".to_owned(),
            }),
        ),
        event(
            2,
            Body::RolloutPlanned(log::RolloutPlanned {
                rollout: 7,
                plan_id: a_plan().id,
                plan: a_plan().plan,
            }),
        ),
        event(3, Body::RolloutStarted(log::RolloutStarted { rollout: 7 })),
        event(4, Body::WaveStarted(log::WaveStarted { rollout: 7, wave: 0 })),
        event(
            5,
            Body::LegAssigned(log::LegAssigned {
                rollout: 7,
                target: target(),
                agent: "agent-eu".to_owned(),
                kind: agent::LegKind::Forward.into(),
            }),
        ),
        event(
            6,
            Body::StepBackedUp(log::StepBackedUp {
                rollout: 7,
                target: target(),
                fence: 5,
                backup: Some(agent::BackedUp {
                    archive: "eu-3-5.dump".to_owned(),
                    sha256: vec![0xcd; 32].into(),
                    bytes: 1_536,
                    tool: "pg_dump 15.14".to_owned(),
                    scope: v1::BackupScope::BackupDatabase.into(),
                    ms: 840,
                    ..Default::default()
                }),
                steps: vec![version(), "0043".to_owned()],
            }),
        ),
        event(
            7,
            Body::StepApplied(log::StepApplied {
                rollout: 7,
                target: target(),
                fence: 5,
                version: version(),
                applied: Some(agent::Applied {
                    ms: 3_240,
                    locked_ms: Some(1_100),
                    written_bytes: Some(49_152),
                    ..Default::default()
                }),
            }),
        ),
        event(
            8,
            Body::StepVerified(log::StepVerified {
                rollout: 7,
                target: target(),
                fence: 5,
                version: version(),
                verified: None,
            }),
        ),
        event(
            9,
            Body::StepFailed(log::StepFailed {
                rollout: 7,
                target: target(),
                fence: 5,
                version: "0043".to_owned(),
                failed: Some(agent::Failed {
                    verdict: agent::Verdict::Never.into(),
                    message: "duplicate key\nin users.email".to_owned(),
                    file: "0043_index_email.up.sql".to_owned(),
                    line: 3,
                    ..Default::default()
                }),
            }),
        ),
        event(
            10,
            Body::RollbackStarted(log::RollbackStarted {
                rollout: 7,
                cause: "the budget of wave 1 is broken".to_owned(),
                targets: vec![log::UnwindTarget { target: target(), ..Default::default() }],
                breach: true,
            }),
        ),
        event(
            11,
            Body::StepRolledBack(log::StepRolledBack {
                rollout: 7,
                target: target(),
                fence: 11,
                version: version(),
                rolled_back: Some(agent::RolledBack { ms: 9, ..Default::default() }),
            }),
        ),
        event(12, Body::RolloutRolledBack(log::RolloutRolledBack { rollout: 7 })),
    ]
}

#[test]
fn histories() {
    let events = some_events().iter().map(Event::new).collect();
    in_every_format("history", &History { events });
}

#[test]
fn an_event_of_a_later_release_is_said_to_be_unknown() {
    let told = Event::new(&log::Event { seq: 3, ..Default::default() });
    assert_eq!(told.what, "unknown");
    assert!(!told.said.is_empty());
}

#[test]
fn backups() {
    let backups: Vec<Backup> = some_events().iter().filter_map(Backup::new).collect();
    assert_eq!(backups.len(), 1);
    in_every_format("backups", &Backups { backups });
}

#[test]
fn undo() {
    let reply = v1::RollBackReply {
        rollout: "mig-0007".to_owned(),
        undo: vec![
            v1::UndoLine {
                target: "eu-1".to_owned(),
                versions: vec!["0043".to_owned(), "0042".to_owned()],
                wave: 1,
                destroys: vec!["0042".to_owned()],
                ..Default::default()
            },
            v1::UndoLine {
                target: "eu-2".to_owned(),
                versions: Vec::new(),
                stops_at: "0044".to_owned(),
                why: "it has no down script".to_owned(),
                wave: 2,
                destroys: Vec::new(),
            },
        ],
        forward: false,
    };
    in_every_format("undo", &Undo::new(&reply));
    // The first step is under way, and nobody knows yet what of it is applied.
    let nothing = vec![v1::UndoLine { target: "eu-1".to_owned(), ..Default::default() }];
    let reply = v1::RollBackReply { undo: nothing, forward: true, ..reply };
    in_every_format("undo_before_anything", &Undo::new(&reply));
}

#[test]
fn targets() {
    let fleet = [v1::Target {
        description: Some(v1::TargetDescription {
            id: "eu-1".to_owned(),
            engine: v1::Engine::Sqlite.into(),
            labels: [("region".to_owned(), "eu".to_owned())].into(),
            ..Default::default()
        }),
        agents: vec!["agent-eu".to_owned()],
        observation: Some(v1::Observation {
            engine_version: "SQLite 3.51".to_owned(),
            fingerprint: vec![0x7c; 32].into(),
            ledger: vec![v1::LedgerEntry { version: "0041".to_owned(), ..Default::default() }],
            fence: 5,
            ..Default::default()
        }),
        observed_at_ms: 1_700_000_000_000,
        connected: true,
        ..Default::default()
    }];
    in_every_format("targets", &Targets::new(&fleet, &["eu-9".to_owned()]));
}

#[test]
fn audits() {
    let node = |number: u64, fault: &str| Node {
        number,
        place: format!("http://n{number}:7000"),
        events: 214,
        root: "aa".repeat(32),
        common_root: "bb".repeat(32),
        fault: fault.to_owned(),
        unreachable: false,
    };
    let good = Audit { nodes: vec![node(1, ""), node(2, "")], compared_at: 214, verified: true };
    in_every_format("audit", &good);
    let bad = Audit {
        nodes: vec![node(1, ""), node(2, "event 17 has other bytes")],
        compared_at: 214,
        verified: false,
    };
    golden("audit-bad.txt", &render(&bad, Format::Text, &Look::default()));
}

#[test]
fn exit_codes() {
    in_every_format("exits", &Exits(ExitCode::ALL.to_vec()));
    golden(
        "exit-31.txt",
        &render(&Exits(vec![ExitCode::Inconsistent]), Format::Text, &Look::default()),
    );
}
