//! Bundles on the wire.

mod session_support;

use session_support::{bundle, three_tables};
use skein_agent::wire;
use skein_bundle::{MarkedStatement, Transaction};
use skein_proto::v1::{Engine, TransactionMode};

#[test]
fn a_bundle_comes_back_as_it_was_read() {
    let mut bundle = three_tables();
    let first = &mut bundle.migrations[0];
    first.verify = Some(first.up.clone());
    first.probe = first.down.clone();
    first.up.marked = vec![MarkedStatement { line: 3, text: "SELECT 1".to_owned() }];
    first.up.transaction = Transaction::Outside;
    first.up.line = 3;
    let bytes = wire::encode(&bundle);
    assert_eq!(wire::decode(&bytes), Ok(bundle.clone()));
    assert_eq!(bytes, wire::encode(&bundle), "the same bytes, so the same digest");
    bundle.migrations[2].name = "other".to_owned();
    assert_ne!(wire::digest(&bytes), wire::digest(&wire::encode(&bundle)));
}

#[test]
fn what_is_no_bundle_is_refused() {
    for bytes in [&b"\xff\xff\xff"[..], b"no bundle at all", b""] {
        assert!(wire::decode(bytes).is_err(), "{bytes:?}");
    }
    let mut short = wire::to_wire(&three_tables());
    if let Some(up) = &mut short.migrations[1].up {
        up.raw_digest = vec![1, 2, 3].into();
    }
    let error = wire::from_wire(short).expect_err("a digest has 32 bytes").to_string();
    assert!(error.contains("2.up.sql") && error.contains("3 bytes"), "{error}");
    let mut none = wire::to_wire(&three_tables());
    none.migrations[0].up = None;
    assert!(wire::from_wire(none).is_err());
    let mut other = wire::to_wire(&three_tables());
    other.format = "liquibase".to_owned();
    assert!(wire::from_wire(other).is_err());
}

#[test]
fn each_engine_has_its_own_facts() {
    let bundle = bundle(&[
        ("CREATE TABLE t (a int); DROP TABLE u", ""),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", ""),
        ("CREATE TABLE v (a int); CREATE INDEX CONCURRENTLY i ON v (a)", ""),
    ]);
    let wire = wire::to_wire(&bundle);
    let facts = |at: usize, engine: Engine| {
        let up = wire.migrations[at].up.as_ref().expect("an up script");
        let found = up.facts.iter().find(|facts| facts.engine() == engine);
        found.expect("facts for every engine").clone()
    };
    let tables = facts(0, Engine::Postgres);
    assert_eq!(tables.mode(), TransactionMode::OneTransaction);
    assert!(tables.destructive && tables.statements == 2 && tables.refusal.is_empty());
    assert!(tables.locks.iter().any(|lock| lock.name == "ACCESS EXCLUSIVE"), "{tables:?}");
    let on_mysql = facts(0, Engine::Mysql);
    assert_eq!(on_mysql.mode(), TransactionMode::Statements);
    assert!(on_mysql.why.contains("commit"), "{on_mysql:?}");
    let alone = facts(1, Engine::Postgres);
    assert_eq!(alone.mode(), TransactionMode::Statements);
    assert!(!alone.why.is_empty());
    let refused = facts(2, Engine::Postgres);
    assert!(refused.refusal.contains("3.up.sql:1"), "{refused:?}");
}
