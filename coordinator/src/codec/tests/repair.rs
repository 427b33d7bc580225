//! A repair that does all that repairs can do.

use skein_core::ids::{TargetId, Version};
use skein_core::spec::{Direction, Engine};
use skein_core::state::repair::{self, Verb};

use super::plan::{digest, entry};

pub(super) fn order() -> repair::Order {
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
