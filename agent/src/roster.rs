//! Every target that this agent serves now: those of its file, and those that its sources named.
//!
//! What holds: a source that could not be read, or that named nothing, changes nothing; a row that no target can
//! be made of leaves the target that had its id as it was; a target is gone only when its source was read to
//! its end, each of its rows has an id, and none names it. Of two with one id the file's goes first, then the
//! earlier source's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use skein_proto::v1;
use tokio::sync::watch;

use crate::config::{Target, TargetId};
use crate::db::Engine;

/// Names and reasons that are told of one source; the rest is counted.
const TOLD_MAX: usize = 20;
/// A reason is told to this length, characters.
const REASON_MAX: usize = 300;

/// What one reading of a source brought.
#[derive(Debug)]
pub(crate) enum Reading {
    /// Nothing that could be gone by, and why.
    Failed(String),
    /// Each row in its order: where it stands, and its target or what is wrong with it.
    Rows(Vec<Named>),
}

/// One row.
#[derive(Debug)]
pub(crate) struct Named {
    /// For people: `line 3`, `row 3`.
    pub(crate) place: String,
    /// As far as it says one.
    pub(crate) id: Option<TargetId>,
    pub(crate) target: Result<Target, String>,
}

/// The targets, and what is known of where they were found.
#[derive(Debug)]
pub(crate) struct Roster {
    state: Mutex<State>,
    /// Counts up when there is something to tell.
    news: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    listed: BTreeMap<TargetId, Target>,
    sources: Vec<Source>,
    /// New or described otherwise since the coordinator was told last.
    fresh: BTreeSet<TargetId>,
}

#[derive(Debug, Default)]
struct Source {
    name: String,
    found: BTreeMap<TargetId, Target>,
    /// Once, however that went.
    tried: bool,
    /// It was read at least once.
    read: bool,
    problem: String,
    gone: BTreeSet<TargetId>,
    refused: Vec<String>,
    /// The last wish that was met.
    answered: u64,
}

impl Roster {
    pub(crate) fn new(listed: BTreeMap<TargetId, Target>, sources: Vec<String>) -> Self {
        let source =
            |name| Source { name, problem: "it was not read yet".to_owned(), ..Source::default() };
        let sources = sources.into_iter().map(source).collect();
        let state = Mutex::new(State { listed, sources, fresh: BTreeSet::new() });
        Self { state, news: watch::Sender::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: &TargetId) -> Option<Target> {
        self.lock().get(id).cloned()
    }

    /// How many they are.
    pub(crate) fn len(&self) -> usize {
        self.ids().len()
    }

    pub(crate) fn ids(&self) -> Vec<TargetId> {
        self.lock().all().map(|target| target.id.clone()).collect()
    }

    /// Why a target is not served here, for whoever asks about it.
    pub(crate) fn absence(&self) -> String {
        let state = self.lock();
        match state.sources.iter().find(|source| !source.problem.is_empty()) {
            Some(source) => format!(
                "this agent does not serve the target now: source {} could not be read: {}",
                source.name, source.problem
            ),
            None => {
                "this agent does not serve the target (any more): neither its configuration nor \
                     a source of it has such an id"
                    .to_owned()
            }
        }
    }

    /// Whether every source has been read at least once: what is not here is not served.
    pub(crate) fn is_whole(&self) -> bool {
        self.lock().sources.iter().all(|source| source.read)
    }

    /// In the words of the wire.
    pub(crate) fn descriptions(&self) -> Vec<v1::TargetDescription> {
        self.lock().all().map(describe).collect()
    }

    /// Where the targets were found, likewise.
    pub(crate) fn sources(&self) -> Vec<v1::Source> {
        let state = self.lock();
        let count = |many: usize| u32::try_from(many).unwrap_or(u32::MAX);
        let one = |(at, source): (usize, &Source)| v1::Source {
            name: source.name.clone(),
            targets: count(source.found.keys().filter(|id| state.owner(id) == Some(at)).count()),
            problem: source.problem.clone(),
            gone: source.gone.iter().take(TOLD_MAX).map(ToString::to_string).collect(),
            gone_in_all: count(source.gone.len()),
            refused: source.refused.iter().take(TOLD_MAX).cloned().collect(),
            refused_in_all: count(source.refused.len()),
        };
        state.sources.iter().enumerate().map(one).collect()
    }

    /// The last wish that all sources have met.
    pub(crate) fn answered(&self, wished: u64) -> u64 {
        self.lock().sources.iter().map(|source| source.answered).min().unwrap_or(wished)
    }

    /// Targets to be looked at since they were told of last.
    pub(crate) fn take_fresh(&self) -> BTreeSet<TargetId> {
        std::mem::take(&mut self.lock().fresh)
    }

    pub(crate) fn has_sources(&self) -> bool {
        !self.lock().sources.is_empty()
    }

    /// Whether each source was tried once, however that went.
    pub(crate) fn is_begun(&self) -> bool {
        self.lock().sources.iter().all(|source| source.tried)
    }

    /// Tells each time that there is something to tell.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// There is something to tell that is no target.
    pub(crate) fn tell(&self) {
        self.news.send_modify(|count| *count += 1);
    }

    /// Takes in what a reading of a source brought. `answered`: the last wish before it began.
    pub(crate) fn take_in(&self, at: usize, reading: Reading, answered: u64) {
        let mut state = self.lock();
        let before: BTreeMap<TargetId, Target> =
            state.all().map(|target| (target.id.clone(), target.clone())).collect();
        let Some(source) = state.sources.get(at) else { return };
        let (was, met) = (source.told(), source.answered);
        state.merge(at, reading);
        let after: BTreeMap<&TargetId, &Target> =
            state.all().map(|target| (&target.id, target)).collect();
        let fresh: Vec<TargetId> = after
            .iter()
            .filter(|(id, target)| before.get(**id) != Some(**target))
            .map(|(id, _)| (*id).clone())
            .collect();
        let left = before.keys().any(|id| !after.contains_key(id));
        let Some(source) = state.sources.get_mut(at) else { return };
        source.answered = answered;
        let first = !std::mem::replace(&mut source.tried, true);
        let news =
            first || source.answered != met || source.told() != was || left || !fresh.is_empty();
        if source.told() != was {
            source.say();
        }
        state.fresh.extend(fresh);
        drop(state);
        if news {
            self.tell();
        }
    }
}

impl State {
    fn get(&self, id: &TargetId) -> Option<&Target> {
        let found = || self.sources.iter().find_map(|source| source.found.get(id));
        self.listed.get(id).or_else(found)
    }

    /// The source that a target is taken from; none where the file has it.
    fn owner(&self, id: &TargetId) -> Option<usize> {
        if self.listed.contains_key(id) {
            return None;
        }
        self.sources.iter().position(|source| source.found.contains_key(id))
    }

    fn all(&self) -> impl Iterator<Item = &Target> {
        let found = self.sources.iter().enumerate().flat_map(move |(at, source)| {
            source.found.values().filter(move |target| self.owner(&target.id) == Some(at))
        });
        self.listed.values().chain(found)
    }

    fn merge(&mut self, at: usize, reading: Reading) {
        let others = |id: &TargetId| {
            if self.listed.contains_key(id) {
                return Some("the file lists a target with this id".to_owned());
            }
            let other = self.sources.iter().take(at).find(|other| other.found.contains_key(id))?;
            Some(format!("source {} names a target with this id, too", other.name))
        };
        let rows = match reading {
            Reading::Failed(why) => {
                if let Some(source) = self.sources.get_mut(at) {
                    source.problem = shortened(&why);
                }
                return;
            }
            Reading::Rows(rows) => rows,
        };
        let mut refused = Vec::new();
        let mut places: BTreeMap<TargetId, Vec<String>> = BTreeMap::new();
        let mut found: BTreeMap<TargetId, Target> = BTreeMap::new();
        let empty = rows.is_empty();
        // Whom such a row means nobody knows: it may be anybody.
        let blind = rows.iter().any(|row| row.id.is_none());
        for Named { place, id, target } in rows {
            let name = id.as_ref().map(|id| format!(" ({id})")).unwrap_or_default();
            if let Some(id) = &id {
                places.entry(id.clone()).or_default().push(place.clone());
            }
            match target {
                Err(why) => refused.push(shortened(&format!("{place}{name}: {why}"))),
                Ok(target) => match others(&target.id) {
                    Some(why) => refused.push(format!("{place}{name}: {why}")),
                    None => {
                        found.insert(target.id.clone(), target);
                    }
                },
            }
        }
        // Which of them is meant nobody can tell.
        for (id, places) in places.iter().filter(|(_, places)| places.len() > 1) {
            found.remove(id);
            let places: Vec<&str> = places.iter().take(4).map(String::as_str).collect();
            refused.push(format!("{}: each names {id}, so that none counts", places.join(", ")));
        }
        let Some(source) = self.sources.get_mut(at) else { return };
        if empty {
            source.problem = match source.found.len() {
                0 => "it names no target".to_owned(),
                one_or_more => {
                    format!(
                        "it names no target, and named {one_or_more} before: nothing was changed"
                    )
                }
            };
            return;
        }
        source.read |= !blind;
        source.problem.clear();
        source.refused = refused;
        source.gone.retain(|id| !places.contains_key(id));
        for (id, target) in std::mem::take(&mut source.found) {
            if found.contains_key(&id) {
                continue;
            }
            if (blind || places.contains_key(&id)) && !self.listed.contains_key(&id) {
                // Its row is wrong now, or may be: it stays as it was.
                found.insert(id, target);
            } else {
                source.gone.insert(id);
            }
        }
        source.found = found;
    }
}

impl Source {
    fn told(&self) -> (bool, String, BTreeSet<TargetId>, Vec<String>) {
        (self.read, self.problem.clone(), self.gone.clone(), self.refused.clone())
    }

    fn say(&self) {
        let (source, targets) = (&self.name, self.found.len());
        if !self.problem.is_empty() {
            tracing::warn!(source, problem = self.problem, "a source of targets was not gone by");
        } else {
            tracing::info!(source, targets, gone = self.gone.len(), "a source of targets was read");
        }
        for refused in self.refused.iter().take(TOLD_MAX) {
            tracing::warn!(source, refused, "a row names no target");
        }
    }
}

fn describe(target: &Target) -> v1::TargetDescription {
    let engine = match target.engine {
        Some(Engine::Postgres) => v1::Engine::Postgres,
        Some(Engine::Mysql) => v1::Engine::Mysql,
        Some(Engine::Sqlite) => v1::Engine::Sqlite,
        // Found out before it came here.
        None => v1::Engine::Unspecified,
    };
    v1::TargetDescription {
        id: target.id.to_string(),
        engine: engine.into(),
        labels: target.labels.clone(),
        resource_group: target.group.clone(),
    }
}

fn shortened(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).take(REASON_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::{Secret, Url};

    fn target(id: &str, file: &str) -> Target {
        Target {
            id: TargetId::parse(id).expect("an id"),
            url: Url::Plain(Secret::new(format!("sqlite:/{file}"))),
            engine: Some(Engine::Sqlite),
            labels: BTreeMap::new(),
            group: String::new(),
            schema: None,
            replicas: Vec::new(),
            directory: PathBuf::from("/"),
        }
    }

    fn roster() -> Roster {
        let listed = [target("listed", "l")].map(|target| (target.id.clone(), target));
        Roster::new(listed.into(), vec!["one".to_owned(), "two".to_owned()])
    }

    fn rows(rows: &[(&str, &str)]) -> Reading {
        let row = |(at, (id, file)): (usize, &(&str, &str))| Named {
            place: format!("row {}", at + 1),
            id: TargetId::parse(id).ok(),
            target: match *file {
                "" => Err("it has no url".to_owned()),
                file => Ok(target(id, file)),
            },
        };
        Reading::Rows(rows.iter().enumerate().map(row).collect())
    }

    fn ids(roster: &Roster) -> String {
        let ids: Vec<String> = roster.ids().iter().map(ToString::to_string).collect();
        ids.join(" ")
    }

    #[test]
    fn what_is_named_is_served_and_what_is_not_any_more_is_gone() {
        let roster = roster();
        assert!(!roster.is_whole());
        roster.take_in(0, rows(&[("a", "1"), ("b", "2")]), 0);
        assert!(!roster.is_whole(), "the other one was not read");
        roster.take_in(1, rows(&[("c", "3")]), 0);
        assert!(roster.is_whole());
        assert_eq!(ids(&roster), "listed a b c");
        assert_eq!(roster.take_fresh().len(), 3);
        roster.take_in(0, rows(&[("b", "9")]), 0);
        assert_eq!(ids(&roster), "listed b c");
        assert_eq!(roster.sources()[0].gone, ["a"]);
        assert_eq!(roster.take_fresh().len(), 1, "another place is another description");
        roster.take_in(0, rows(&[("a", "1"), ("b", "9")]), 0);
        assert_eq!((ids(&roster).as_str(), roster.sources()[0].gone.len()), ("listed a b c", 0));
    }

    #[test]
    fn a_source_that_fails_or_is_empty_changes_nothing() {
        let roster = roster();
        roster.take_in(0, Reading::Rows(Vec::new()), 0);
        assert!(!roster.is_whole(), "nothing at all is no list of targets");
        roster.take_in(0, rows(&[("a", "1")]), 0);
        roster.take_in(0, Reading::Failed("no route".to_owned()), 0);
        assert_eq!(ids(&roster), "listed a");
        assert_eq!(roster.sources()[0].problem, "no route");
        assert!(roster.absence().contains("no route"));
        roster.take_in(0, Reading::Rows(Vec::new()), 0);
        assert_eq!(ids(&roster), "listed a");
        assert!(roster.sources()[0].problem.contains("named 1 before"));
        roster.take_in(0, rows(&[("a", "1")]), 0);
        assert_eq!(roster.sources()[0].problem, "");
    }

    #[test]
    fn a_row_that_is_wrong_is_named_and_the_others_go_on() {
        let roster = roster();
        roster.take_in(0, rows(&[("a", "1"), ("b", "2"), ("d", "4")]), 0);
        roster.take_in(1, rows(&[("d", "5"), ("e", "6")]), 0);
        assert_eq!(
            roster.sources()[1].refused,
            ["row 1 (d): source one names a target with this id, too"]
        );
        assert_eq!(roster.sources()[1].targets, 1);
        roster.take_in(
            0,
            rows(&[("listed", "0"), ("a", ""), ("b", "7"), ("b", "8"), ("f", "9")]),
            0,
        );
        assert_eq!(ids(&roster), "listed a b f e", "d is gone until the other source is read");
        assert_eq!(
            roster.sources()[0].refused,
            [
                "row 1 (listed): the file lists a target with this id",
                "row 2 (a): it has no url",
                "row 3, row 4: each names b, so that none counts",
            ]
        );
        let b = roster.get(&TargetId::parse("b").expect("an id")).expect("it stays as it was");
        assert_eq!(b, target("b", "2"));
    }

    #[test]
    fn while_a_row_has_no_id_nobody_is_gone() {
        let roster = roster();
        roster.take_in(1, rows(&[("c", "3")]), 0);
        roster.take_in(0, rows(&[("a", "1"), ("not an id", "")]), 0);
        assert!(!roster.is_whole());
        roster.take_in(0, rows(&[("b", "2"), ("not an id", "")]), 0);
        assert_eq!(ids(&roster), "listed a b c");
        assert_eq!(roster.sources()[0].refused, ["row 2: it has no url"]);
        roster.take_in(0, rows(&[("b", "2")]), 0);
        assert_eq!((ids(&roster).as_str(), roster.is_whole()), ("listed b c", true));
    }

    #[test]
    fn what_is_wished_is_met_by_all_sources() {
        let roster = roster();
        let news = roster.news();
        roster.take_in(0, rows(&[("a", "1")]), 3);
        assert_eq!(roster.answered(3), 0);
        roster.take_in(1, Reading::Failed("no route".to_owned()), 2);
        assert_eq!(roster.answered(3), 2);
        roster.take_in(1, Reading::Failed("no route".to_owned()), 3);
        assert_eq!((roster.answered(3), *news.borrow()), (3, 3));
        roster.take_in(0, rows(&[("a", "1")]), 3);
        assert_eq!(*news.borrow(), 3, "nothing is new");
        assert_eq!(Roster::new(BTreeMap::new(), Vec::new()).answered(7), 7);
    }
}
