//! Conditions by which people choose targets, and what they mean, said once more in another language: whoever
//! evaluates them and whoever checks share nothing.

use skein_core::ids::TargetId;
use skein_core::spec::Engine;
use skein_core::state::target::Description;

/// One, over what never changes of a target: when it was asked makes no difference.
#[derive(Debug)]
pub(crate) struct Condition {
    /// In CEL.
    pub(crate) words: &'static str,
    pub(crate) holds: fn(&TargetId, &Description) -> bool,
}

/// A whole region, as its pipeline says it.
pub(crate) const REGION: &str = r#"region == "ap""#;

/// All of them.
pub(crate) const CONDITIONS: [Condition; 5] = [
    Condition { words: REGION, holds: |_, target| region(target) == "ap" },
    Condition { words: r#"engine != "mysql""#, holds: |_, target| target.engine != Engine::Mysql },
    Condition {
        words: r#"group in ["postgres", "sqlite"] && !id.contains("late")"#,
        holds: |id, target| target.engine != Engine::Mysql && !id.as_str().contains("late"),
    },
    Condition {
        words: r#"region == "ap" || labels["region"] == "us" && engine != "postgres""#,
        holds: |_, target| match region(target) {
            "ap" => true,
            "us" => target.engine != Engine::Postgres,
            _ => false,
        },
    },
    Condition {
        words: r#"id.startsWith("eu/") ? engine == "sqlite" : has(labels.region)"#,
        holds: |id, target| {
            if id.as_str().starts_with("eu/") {
                target.engine == Engine::Sqlite
            } else {
                target.labels.contains_key("region")
            }
        },
    },
];

/// What somebody has said, if it is known here.
pub(crate) fn known(words: &str) -> Option<&'static Condition> {
    CONDITIONS.iter().find(|condition| condition.words == words)
}

fn region(target: &Description) -> &str {
    target.labels.get("region").map_or("", String::as_str)
}
