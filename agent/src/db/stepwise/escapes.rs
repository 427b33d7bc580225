//! MariaDB and MySQL: whether a statement may change what no transaction takes back. That is a table of an engine
//! without transactions (`MyISAM`, `Aria`, …), in whichever database, that the statement names, or that a view, a trigger
//! or a routine leads to from what it names.
//!
//! Names are looked up as words, so that a statement is taken for too much rather than for too little; of a view or
//! routine whose text this account may not read, the worst is taken.

use std::collections::{BTreeMap, BTreeSet};

use super::Run;
use crate::db::answer::{Answer, Keep, text};
use crate::db::batch::Batch;
use crate::db::location::Engine;
use crate::db::session::Session;
use crate::db::sql::{literal, mentions};
use crate::db::step_error::{Cause, StepError};
use crate::db::units::Unit;
use crate::db::verdict::Verdict;

/// What has been asked of the server since the last statement that may have changed it.
#[derive(Default)]
pub(super) struct Surroundings {
    /// The database that names without one are of, and all that there are.
    current: String,
    databases: Vec<String>,
    /// What is in a database: tables, views and routines.
    names: BTreeMap<String, Vec<String>>,
    /// What is behind a name.
    behind: BTreeMap<(String, String), Behind>,
}

struct Behind {
    /// A table without transactions, or what cannot be read.
    untransacted: bool,
    /// What a view reads, what triggers and routines run.
    texts: Vec<String>,
}

/// Words of a statement, and of all that it leads to.
#[derive(Default)]
struct Reached {
    words: BTreeSet<String>,
    texts: Vec<String>,
}

impl Reached {
    fn add(&mut self, text: &str) {
        let text = text.to_lowercase();
        self.words.extend(text.split(|c| !is_part(c)).map(str::to_owned));
        self.texts.push(text);
    }

    fn names(&self, name: &str) -> bool {
        if name.chars().all(is_part) {
            self.words.contains(&name.to_lowercase())
        } else {
            self.texts.iter().any(|text| mentions(text, name))
        }
    }
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

/// What is to be asked next.
enum Next {
    Databases(Vec<String>),
    Names(Vec<(String, String)>),
    Follow(Vec<(String, String)>),
    Nothing,
}

impl Surroundings {
    fn next(&self, reached: &Reached, followed: &BTreeSet<(String, String)>) -> Next {
        let relevant = |one: &&String| **one == self.current || reached.names(one);
        let relevant: Vec<&String> = self.databases.iter().filter(relevant).collect();
        let unknown = relevant.iter().filter(|one| !self.names.contains_key(**one));
        let unknown: Vec<String> = unknown.map(|one| (*one).clone()).collect();
        if !unknown.is_empty() {
            return Next::Databases(unknown);
        }
        let named = relevant.into_iter().flat_map(|database| {
            let names = self.names.get(database).into_iter().flatten();
            names.filter(|name| reached.names(name)).map(|name| (database.clone(), name.clone()))
        });
        let (known, unknown): (Vec<_>, Vec<_>) =
            named.partition(|name| self.behind.contains_key(name));
        if !unknown.is_empty() {
            return Next::Names(unknown);
        }
        let fresh: Vec<_> = known.into_iter().filter(|name| !followed.contains(name)).collect();
        if fresh.is_empty() { Next::Nothing } else { Next::Follow(fresh) }
    }
}

impl Session {
    /// Whether no transaction takes back all that a statement does.
    pub(super) async fn escapes_transactions(
        &mut self,
        run: &mut Run<'_>,
        unit: &Unit,
    ) -> Result<bool, StepError> {
        if self.engine() != Engine::Mysql {
            return Ok(false);
        }
        let mut around = match run.around.take() {
            Some(around) => around,
            None => self.look_around(run).await?,
        };
        let mut reached = Reached::default();
        reached.add(&unit.text);
        let mut followed = BTreeSet::new();
        let escapes = loop {
            match around.next(&reached, &followed) {
                Next::Databases(databases) => self.list(run, &mut around, databases).await?,
                Next::Names(names) => self.look_behind(run, &mut around, names).await?,
                Next::Follow(names) => {
                    let behind = names.iter().filter_map(|name| around.behind.get(name));
                    if behind.clone().any(|behind| behind.untransacted) {
                        break true;
                    }
                    behind.flat_map(|behind| &behind.texts).for_each(|text| reached.add(text));
                    followed.extend(names);
                }
                Next::Nothing => break false,
            }
        };
        run.around = Some(around);
        Ok(escapes)
    }

    async fn look_around(&mut self, run: &Run<'_>) -> Result<Surroundings, StepError> {
        let sql = "SELECT DATABASE(); SELECT schema_name FROM information_schema.schemata \
                   WHERE schema_name NOT IN ('information_schema', 'performance_schema');";
        let answers = self.ask_server(run, sql.to_owned()).await?;
        let mut answers = answers.iter();
        let current = answers.next().and_then(Answer::scalar).unwrap_or_default().to_owned();
        let databases = firsts(answers);
        Ok(Surroundings { current, databases, ..Surroundings::default() })
    }

    async fn list(
        &mut self,
        run: &Run<'_>,
        around: &mut Surroundings,
        databases: Vec<String>,
    ) -> Result<(), StepError> {
        for database in databases {
            let is = literal(Engine::Mysql, &database);
            let sql = format!(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = {is}; \
                 SELECT routine_name FROM information_schema.routines WHERE routine_schema = {is};"
            );
            let answers = self.ask_server(run, sql).await?;
            around.names.insert(database, firsts(answers.iter()));
        }
        Ok(())
    }

    async fn look_behind(
        &mut self,
        run: &Run<'_>,
        around: &mut Surroundings,
        names: Vec<(String, String)>,
    ) -> Result<(), StepError> {
        const ASKED: usize = 4;
        let mut batch = Batch::default();
        for (database, name) in &names {
            let (database, name) = (literal(Engine::Mysql, database), literal(Engine::Mysql, name));
            batch.add_many(
                &format!(
                    "SELECT NULL FROM information_schema.tables WHERE table_schema = {database} \
                     AND table_name = {name} AND engine IS NOT NULL \
                     AND engine NOT IN ('InnoDB', 'ROCKSDB', 'ndbcluster'); \
                     SELECT view_definition FROM information_schema.views \
                     WHERE table_schema = {database} AND table_name = {name}; \
                     SELECT action_statement FROM information_schema.triggers \
                     WHERE event_object_schema = {database} AND event_object_table = {name}; \
                     SELECT routine_definition FROM information_schema.routines \
                     WHERE routine_schema = {database} AND routine_name = {name};"
                ),
                ASKED,
            );
        }
        let answers = self.ask_server(run, batch.into_sql()).await?;
        let known = names.into_iter().enumerate().map(|(at, name)| {
            let answers = answers.get(at * ASKED..(at + 1) * ASKED).unwrap_or_default();
            let rows = || answers.iter().flat_map(|answer| &answer.rows).map(|row| text(row, 0));
            let untold = answers.is_empty() || rows().any(|told| told.is_none_or(str::is_empty));
            let texts = rows().flatten().map(str::to_owned).collect();
            (name, Behind { untransacted: untold, texts })
        });
        around.behind.extend(known);
        Ok(())
    }

    async fn ask_server(&mut self, run: &Run<'_>, sql: String) -> Result<Vec<Answer>, StepError> {
        let answers = self.connection.send(sql, Keep::All).await;
        answers.map_err(|broken| {
            StepError::of(run.order, Cause::Database, Verdict::Unknown, broken.failure)
        })
    }
}

/// The first value of each row.
fn firsts(answers: std::slice::Iter<'_, Answer>) -> Vec<String> {
    answers
        .flat_map(|answer| &answer.rows)
        .filter_map(|row| text(row, 0))
        .map(str::to_owned)
        .collect()
}
