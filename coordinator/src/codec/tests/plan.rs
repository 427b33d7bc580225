//! A plan that says everything that plans can say, and scripts for it.

use skein_core::bundle::{Facts, Script};
use skein_core::ids::{ClassIx, Digest, TargetId, Version};
use skein_core::plan::{Absent, Block, Cause, Class, Nearest, Plan, Stage, Step, Undo, Wave};
use skein_core::spec::{
    self, Backup, Batching, Budget, Direction, Engine, Goal, Heavy, Limit, Lock, OnBreach, Order,
    Scope, Selector, Spec, Strategy, TransactionMode,
};
use skein_core::state::ledger::Entry;

use super::gate::gates;

pub(super) fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

pub(super) fn entry(version: &str) -> Entry {
    Entry { version: Version(version.to_owned()), digest: digest(7) }
}

fn lock() -> Lock {
    Lock { name: "SHARE".to_owned(), meaning: "writes wait".to_owned(), table: "users".to_owned() }
}

pub(super) fn script() -> Script {
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

pub(super) fn in_stages(mut plan: Plan) -> Plan {
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

pub(super) fn plan() -> Plan {
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

pub(super) fn by_label(name: &str, value: &str) -> Selector {
    Selector { labels: vec![(name.to_owned(), vec![value.to_owned()])], ..Selector::default() }
}
