//! What can be said of a target.

use std::collections::{BTreeMap, BTreeSet};

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer, Sizer};
use cel::common::types::{CelBool, CelInt, CelList, CelString, MAP_TYPE, Type};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use skein_core::Fleet;
use skein_core::schedule::Presence;
use skein_core::spec::Engine;
use skein_core::state::target;

use crate::class;

/// What every target has. Whatever else is named is a label.
pub(super) const NAMES: [&str; 13] = [
    "id",
    "kind",
    "engine",
    "engine_version",
    "group",
    "version",
    "versions",
    "class",
    "fingerprint",
    "rollout",
    "held",
    "reachable",
    "labels",
];

pub(super) const KINDS: [&str; 1] = ["database"];
pub(super) const ENGINES: [&str; 3] = ["postgres", "mysql", "sqlite"];

/// The labels that at least one target has.
#[derive(Debug)]
pub(super) struct Known<'a> {
    labels: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    pub(super) fn of(fleet: &'a Fleet) -> Self {
        let all = fleet.targets.iter().flat_map(|(_, target)| target.description.labels.keys());
        Self { labels: all.map(String::as_str).collect() }
    }

    pub(super) fn has(&self, label: &str) -> bool {
        self.labels.contains(label)
    }

    /// The first few, for people.
    pub(super) fn few(&self) -> String {
        const SHOWN: usize = 20;
        let some: Vec<&str> = self.labels.iter().take(SHOWN).copied().collect();
        let more = if self.labels.len() > SHOWN { ", …" } else { "" };
        format!("{}{more}", some.join(", "))
    }
}

/// One target, as an expression asks about it.
pub(super) struct Row<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) presence: &'a Presence,
    pub(super) target: &'a target::State,
    pub(super) known: &'a Known<'a>,
}

impl VariableResolver for Row<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let target = self.target;
        Some(match name {
            "id" => text(target.id.as_str()),
            "kind" => text("database"),
            "engine" => text(match target.description.engine {
                Engine::Postgres => "postgres",
                Engine::Mysql => "mysql",
                Engine::Sqlite => "sqlite",
            }),
            "engine_version" => text(&target.engine_version),
            "group" => text(&target.description.group),
            "version" => text(self.versions().last().unwrap_or_default()),
            "versions" => {
                let all = self.versions().map(|version| {
                    let boxed: Box<dyn Val + 'b> = Box::new(CelString::from(version));
                    boxed
                });
                CowVal::owned(CelList::from(all.collect::<Vec<_>>()))
            }
            "class" => owned(class::of(self.fleet, target).map(|class| class.short())),
            "fingerprint" => owned(target.fingerprint.map(|digest| digest.to_string())),
            "rollout" => owned(target.lane.map(|(rollout, _)| rollout.to_string())),
            "held" => truth(!target.problem.is_empty() && !target.retired),
            "reachable" => {
                let here = |agent| self.presence.slots.contains_key(agent);
                truth(!target.unreachable && target.agents.iter().any(here))
            }
            "labels" => CowVal::owned(Labels(&target.description.labels)),
            other => {
                let label = other.strip_prefix("labels.").unwrap_or(other);
                match target.description.labels.get(label) {
                    Some(value) => text(value),
                    // Others have it: on this one it is empty.
                    None if self.known.has(label) => text(""),
                    None => return None,
                }
            }
        })
    }
}

impl<'a> Row<'a> {
    fn versions(&self) -> impl Iterator<Item = &'a str> {
        self.fleet.entries.spell(self.target.in_force()).map(|entry| entry.version.as_str())
    }
}

fn text(text: &str) -> CowVal<'_, '_> {
    CowVal::owned(CelString::from(text))
}

fn owned<'b>(text: Option<String>) -> CowVal<'b, 'b> {
    CowVal::owned(CelString::from(text.unwrap_or_default()))
}

fn truth<'b>(holds: bool) -> CowVal<'b, 'b> {
    CowVal::owned(CelBool::from(holds))
}

/// `labels`: asked with `"ring" in labels` and `has(labels.ring)`. What a label is, its name says.
#[derive(Debug)]
struct Labels<'a>(&'a BTreeMap<String, String>);

impl Val for Labels<'_> {
    fn get_type(&self) -> &Type {
        &MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(Self(self.0))
    }
}

impl Container for Labels<'_> {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(value
            .downcast_ref::<CelString<'_>>()
            .is_some_and(|name| self.0.contains_key(name.inner())))
    }
}

impl Sizer for Labels<'_> {
    fn size(&self) -> CelInt {
        CelInt::from(i64::try_from(self.0.len()).unwrap_or(i64::MAX))
    }
}

impl Indexer for Labels<'_> {
    fn get<'b, 'v>(&'b self, name: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let name = name.downcast_ref::<CelString<'_>>().map_or("", |name| name.inner());
        match self.0.get(name) {
            Some(value) => Ok(CowVal::owned(CelString::from(value.clone()))),
            None => Err(ExecutionError::no_such_key(name)),
        }
    }

    fn steal<'v>(self: Box<Self>, name: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(name).map(CowVal::into_owned)
    }
}
