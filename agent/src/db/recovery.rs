//! How far an interrupted run came, decided from evidence. No IO: what is asked of the server is
//! asked before.

use skein_bundle::sql::trace::leaves_home;
use skein_bundle::sql::{Class, Dialect, Trace, View, trace};

use super::fingerprint::{Key, Objects, Schema};
use super::intent::{Intent, Phase};
use super::order::{Direction, Order};
use super::sql::mentions;
use super::units::Unit;
use super::verdict::Recovery;

/// What is known at the time of the decision.
pub(crate) struct Evidence<'a> {
    pub(crate) intent: &'a Intent,
    pub(crate) units: &'a [Unit],
    pub(crate) dialect: Dialect,
    /// The schema now; asked for where the intent has one to compare with.
    pub(crate) now: Option<&'a Schema>,
    /// Whose schema that is; `None`: of all schemas that a statement can reach.
    pub(crate) home: Option<&'a str>,
    /// Whether a single definition statement happens whole or not at all on this server.
    pub(crate) atomic_ddl: bool,
    /// What the author's probe says: whether the *up* script is in force.
    pub(crate) probe: Option<bool>,
}

/// What became of the statement that was about to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Happened,
    DidNot,
    Unknown(String),
}

/// Decides for `order`, whose intent stands open.
pub(crate) fn decide(order: &Order, evidence: &Evidence<'_>) -> Recovery {
    let Evidence { intent, units, .. } = evidence;
    if let Some(why) = mismatch(order, intent, units.len()) {
        return Recovery::Stuck { why };
    }
    let of = intent.statements;
    match intent.phase {
        Phase::Ready => from(intent.statement, of, units),
        // How far it came, the next run reads beside the intent.
        Phase::Batches => Recovery::Resume { at: intent.statement, of },
        Phase::Sent => match fate(order, evidence) {
            Fate::Happened => from(intent.statement + 1, of, units),
            Fate::DidNot => from(intent.statement, of, units),
            Fate::Unknown(why) => Recovery::Stuck { why },
        },
    }
}

/// Taking up at `at`, where everything before it stands.
fn from(at: u64, of: u64, units: &[Unit]) -> Recovery {
    let before = usize::try_from(at.saturating_sub(1)).unwrap_or(usize::MAX);
    let lasting = |unit: &&Unit| unit.class != Class::Session;
    if at > of {
        Recovery::Fully
    } else if units.iter().take(before).find(lasting).is_none() {
        Recovery::Never
    } else {
        Recovery::Resume { at, of }
    }
}

/// Why an open intent is not this order's.
fn mismatch(order: &Order, intent: &Intent, units: usize) -> Option<String> {
    if !intent.is_of(order) {
        return Some(intent.described());
    }
    let same = intent.digest == order.digest && usize::try_from(intent.statements) == Ok(units);
    (!same).then(|| {
        format!(
            "step {} ({}) was interrupted at statement {} of {}, and its file was changed since; \
             restore the file, or settle the step by hand",
            intent.step, intent.direction, intent.statement, intent.statements
        )
    })
}

/// What became of the statement that the intent names.
pub(crate) fn fate(order: &Order, evidence: &Evidence<'_>) -> Fate {
    let at = usize::try_from(evidence.intent.statement.saturating_sub(1)).unwrap_or(usize::MAX);
    let Some(unit) = evidence.units.get(at) else {
        return Fate::Unknown(
            "the intent names a statement that the file does not have".to_owned(),
        );
    };
    let left = left_by(evidence.units, at, (evidence.dialect, evidence.home));
    // One statement of upkeep, and not a text that begins with it and was not cut.
    if unit.class == Class::Ddl && left == Trace::Upkeep {
        return Fate::DidNot;
    }
    let by_schema = match (evidence.now, evidence.intent.fingerprint_before) {
        (Some(now), Some(_)) if unit.class == Class::Ddl => {
            by_schema(unit, left, (&evidence.intent.objects_before, now), evidence.atomic_ddl)
        }
        _ => Fate::Unknown(format!(
            "statement {} ({}) was sent, and neither the schema nor a transaction tells whether it \
             took effect; write a probe for the step, or settle it by hand",
            at + 1,
            unit.summary()
        )),
    };
    let Fate::Unknown(why) = by_schema else { return by_schema };
    by_probe(order, evidence, at, why)
}

/// What the unit at `at` leaves in the schema that is looked at, `home`'s.
pub(crate) fn left_by(
    units: &[Unit],
    at: usize,
    (dialect, home): (Dialect, Option<&str>),
) -> Trace {
    let (before, unit) = (units.get(..at).unwrap_or_default(), units.get(at));
    let left = before.iter().any(|unit| leaves_home(dialect, &unit.text));
    unit.map_or(Trace::None, |unit| trace(dialect, &unit.text, View { home, left }))
}

fn by_schema(unit: &Unit, left: Trace, (before, now): (&Objects, &Schema), atomic: bool) -> Fate {
    let text = &unit.text;
    let after = now.objects(text);
    let changed = before.changed(&after);
    let what = unit.summary();
    // Contents change places while every definition stays as it was.
    let several = begins(text, &["RENAME"]) && text.contains(',');
    if several || mentions(text, "exchange") || mentions(text, "detach") {
        return Fate::Unknown(format!("{what} may have been cut in half"));
    }
    match left {
        Trace::Whole if changed.is_empty() => return Fate::DidNot,
        Trace::Whole => {}
        Trace::Part if !changed.is_empty() => {}
        Trace::Part | Trace::None | Trace::Upkeep => {
            return Fate::Unknown(format!(
                "{what} was sent, and its effect need not show in the schema; write a probe for \
                 the step, or settle it by hand"
            ));
        }
    }
    // An index that a failed CONCURRENTLY left is not in `now`; one that a DROP began to take away
    // stands marked invalid.
    if changed.iter().any(|key| key.kind == "index" && is_invalid(now, key)) {
        if begins(text, &["DROP", "INDEX"]) {
            return Fate::DidNot;
        }
        return Fate::Unknown(format!("{what} left an invalid index"));
    }
    let (named, strangers): (Vec<&Key>, Vec<&Key>) =
        changed.iter().partition(|key| key.is_named_in(text));
    if named.is_empty() {
        let names: Vec<&str> = strangers.iter().map(|key| key.name.as_str()).collect();
        return Fate::Unknown(format!(
            "the schema changed in {}, which {what} does not name: somebody else may have changed \
             it; compare and settle by hand",
            names.join(", ")
        ));
    }
    let foreign = named
        .iter()
        .flat_map(|key| before.altered_lines(&after, key))
        .find(|line| !owns(text, line));
    if let Some(line) = foreign {
        return Fate::Unknown(format!(
            "the change in `{line}` does not come from {what}: somebody else may have changed it; \
             compare and settle by hand"
        ));
    }
    if !atomic {
        return Fate::Unknown(format!(
            "{what} changed the schema on a server whose definition statements can be cut in half"
        ));
    }
    if is_list_of_drops(text) {
        let remains = before.keys().any(|key| key.is_named_in(text) && after.contains(key));
        if remains {
            return Fate::Unknown(format!("{what} is done for some of its objects only"));
        }
    }
    Fate::Happened
}

/// Whether it takes several objects away, which a server may do one after the other.
pub(crate) fn is_list_of_drops(text: &str) -> bool {
    begins(text, &["DROP"]) && text.contains(',')
}

/// Whether a statement accounts for a line of a definition: it names at least one of the names in
/// it, or there is none.
fn owns(statement: &str, line: &str) -> bool {
    let quoted: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
    if !quoted.is_empty() {
        return quoted.iter().any(|name| mentions(statement, name));
    }
    match line.strip_prefix("column ") {
        Some(rest) => {
            rest.split(' ').next().is_none_or(|name| mentions(statement, name.trim_matches('"')))
        }
        None => true,
    }
}

/// The probe speaks of the whole script: it decides where no other statement is in question.
fn by_probe(order: &Order, evidence: &Evidence<'_>, at: usize, why: String) -> Fate {
    let Some(in_force) = evidence.probe else { return Fate::Unknown(why) };
    let lasting = |unit: &Unit| unit.class != Class::Session;
    let last = !evidence.units.iter().skip(at + 1).any(lasting);
    let done = in_force == (order.direction == Direction::Up);
    match (last, done) {
        (true, true) => Fate::Happened,
        (true, false) => Fate::DidNot,
        (false, _) => {
            Fate::Unknown(format!("{why}; the probe speaks of the whole script, not of its middle"))
        }
    }
}

pub(crate) fn is_invalid(schema: &Schema, key: &Key) -> bool {
    schema.get(key).is_some_and(|lines| lines.iter().any(|line| line.contains(" INVALID")))
}

/// Index names that an interrupted `CONCURRENTLY` left: invalid now, absent before.
pub(crate) fn leftovers(before: &Objects, now: &Schema) -> Vec<String> {
    now.iter()
        .filter(|(key, _)| key.kind == "index" && !before.contains(key) && is_invalid(now, key))
        .map(|(key, _)| key.name.clone())
        .collect()
}

fn begins(text: &str, words: &[&str]) -> bool {
    let mut found = text.split_whitespace();
    words.iter().all(|word| found.next().is_some_and(|found| found.eq_ignore_ascii_case(word)))
}

impl Intent {
    /// What stands open, in words.
    pub(crate) fn described(&self) -> String {
        format!(
            "step {} ({}) was interrupted at statement {} of {} and must be completed or settled \
             first",
            self.step, self.direction, self.statement, self.statements
        )
    }
}

#[cfg(test)]
mod tests {
    use skein_bundle::sql::plan_script;
    use skein_bundle::{Format, Script, Transaction};

    use super::*;
    use crate::db::fence::Token;
    use crate::db::location::Engine;

    fn order(sql: &str) -> Order {
        let script = Script {
            format: Format::Sqlx,
            file: "1.sql".to_owned(),
            line: 1,
            text: sql.to_owned(),
            transaction: Transaction::Wrapped,
            raw_digest: [1; 32],
            normalised_digest: [1; 32],
            marked: Vec::new(),
        };
        let plan = plan_script(Engine::Mysql.dialect(), &script).unwrap();
        Order {
            step: "1".to_owned(),
            direction: Direction::Up,
            digest: [1; 32],
            script,
            plan: plan.into(),
            verify: None,
            probe: None,
            token: Token(1),
        }
    }

    fn schema(objects: &[(&str, &[&str])]) -> Schema {
        let mut schema = Schema::default();
        for (name, lines) in objects {
            let key =
                Key { kind: "table".to_owned(), name: (*name).to_owned(), on: (*name).to_owned() };
            schema.push(key, lines.iter().map(|line| (*line).to_owned()));
        }
        schema
    }

    /// What is decided of the first statement of `sql`, sent when the schema was `before`.
    fn decided(sql: &str, before: &Schema, now: &Schema, atomic_ddl: bool) -> Recovery {
        let order = order(sql);
        let units = super::super::units::of(&order);
        let intent = Intent {
            step: "1".to_owned(),
            direction: Direction::Up,
            statement: 1,
            statements: u64::try_from(units.len()).unwrap(),
            phase: Phase::Sent,
            token: Token(1),
            digest: [1; 32],
            fingerprint_before: Some(before.fingerprint()),
            objects_before: before.objects(sql),
            at_ms: 0,
        };
        let evidence = Evidence {
            intent: &intent,
            units: &units,
            dialect: Dialect::Mysql,
            now: Some(now),
            home: Some("shop"),
            atomic_ddl,
            probe: None,
        };
        decide(&order, &evidence)
    }

    #[test]
    fn one_statement_is_judged_by_what_it_names() {
        let before = schema(&[("t", &["`a` int"]), ("u", &["`a` int"])]);
        let wide = schema(&[("t", &["`a` int", "`b` int"]), ("u", &["`a` int"])]);
        let add = "ALTER TABLE t ADD b int";
        assert_eq!(decided(add, &before, &before, true), Recovery::Never);
        assert_eq!(decided(add, &before, &wide, true), Recovery::Fully);
        let more = format!("{add}; SELECT 1");
        assert_eq!(decided(&more, &before, &wide, true), Recovery::Resume { at: 2, of: 2 });
        assert_eq!(
            decided("DROP TABLE u", &before, &schema(&[("t", &["`a` int"])]), true),
            Recovery::Fully
        );
    }

    #[test]
    fn doubt_is_stuck() {
        let before = schema(&[("t", &["`a` int"]), ("u", &["`a` int"])]);
        let wide = schema(&[("t", &["`a` int", "`b` int"]), ("u", &["`a` int"])]);
        let one = schema(&[("u", &["`a` int"])]);
        for (sql, now, atomic) in [
            // A server that can cut a definition in half.
            ("ALTER TABLE t ADD b int", &wide, false),
            // A change to the same table that the statement does not make.
            ("ALTER TABLE t ADD c int", &wide, true),
            // A change elsewhere, and none here.
            ("ALTER TABLE u ADD c int", &wide, true),
            // Half of a list.
            ("DROP TABLE t, u", &one, true),
            // Contents that change places leave no trace in the schema.
            ("RENAME TABLE t TO x, u TO t, x TO u", &before, true),
            ("ALTER TABLE t EXCHANGE PARTITION p WITH TABLE u", &before, true),
            // Nor do rows that are gone, privileges, and what is another database's.
            ("TRUNCATE TABLE t", &before, true),
            ("TRUNCATE TABLE t", &wide, true),
            ("ALTER TABLE t TRUNCATE PARTITION p", &before, true),
            ("CREATE OR REPLACE TABLE t (a int)", &before, true),
            ("GRANT SELECT ON t TO app", &before, true),
            ("ALTER TABLE archive.t ADD b int", &before, true),
            ("ALTER TABLE archive.t ADD b int", &wide, true),
        ] {
            let found = decided(sql, &before, now, atomic);
            assert!(matches!(found, Recovery::Stuck { .. }), "{sql}: {found:?}");
        }
    }

    #[test]
    fn another_file_is_not_judged_by_this_intent() {
        let before = schema(&[]);
        let mut other = order("CREATE TABLE t (a int)");
        let units = super::super::units::of(&other);
        let mut intent = Intent {
            step: "1".to_owned(),
            direction: Direction::Up,
            statement: 1,
            statements: 1,
            phase: Phase::Ready,
            token: Token(1),
            digest: [1; 32],
            fingerprint_before: None,
            objects_before: before.objects(""),
            at_ms: 0,
        };
        let ask = |order: &Order, intent: &Intent| {
            let units = &units;
            let (dialect, home) = (Dialect::Mysql, Some("shop"));
            let (now, atomic_ddl, probe) = (None, true, None);
            decide(order, &Evidence { intent, units, dialect, now, home, atomic_ddl, probe })
        };
        assert_eq!(ask(&other, &intent), Recovery::Never);
        other.digest = [2; 32];
        assert!(matches!(ask(&other, &intent), Recovery::Stuck { .. }));
        intent.digest = [2; 32];
        intent.statements = 2;
        assert!(matches!(ask(&other, &intent), Recovery::Stuck { .. }));
    }
}
