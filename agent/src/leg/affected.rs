//! Which tables the steps of a leg can change, from the words of their scripts and the schema as it
//! stands. No IO.
//!
//! A backup of tables that lacks one is worse than a large backup: wherever a change may reach a table that
//! no script names (by a trigger, a routine, a view, a cascade, a statement that cannot be judged), the
//! answer is the whole database, with the reason.

use std::collections::{BTreeMap, BTreeSet};

use skein_bundle::sql::{Class, Mode};

use crate::backup::{Scope, Table};
use crate::db::{Engine, Order, Schema, mentions};

/// Objects by which a named thing reaches what is not named.
const GO_BETWEENS: [&str; 11] = [
    "view",
    "function",
    "aggregate",
    "procedure",
    "package",
    "package body",
    "sequence",
    "schema",
    "extension",
    "event",
    "event trigger",
];

/// What to back up where the plan wants the affected tables, and why it is more than that.
pub(super) fn scope(engine: Engine, schema: &Schema, orders: &[Order]) -> (Scope, Option<String>) {
    match affected(engine, schema, orders) {
        Err(why) => (Scope::Database, Some(why)),
        // New tables alone: the definitions are all that was there.
        Ok(tables) if tables.is_empty() => (Scope::SchemaOnly, None),
        Ok(tables) => (Scope::Tables(tables), None),
    }
}

fn affected(engine: Engine, schema: &Schema, orders: &[Order]) -> Result<Vec<Table>, String> {
    if engine == Engine::Sqlite {
        return Err("a SQLite file is backed up whole".to_owned());
    }
    for order in orders {
        judgeable(order)?;
    }
    let named = |name: &str| {
        let (Some(word), true) = (identifiers(engine, name).pop(), !name.is_empty()) else {
            return false;
        };
        orders.iter().any(|order| mentions(&order.script.text, &word))
    };
    let mut tables: BTreeMap<&str, &[String]> = BTreeMap::new();
    let mut reached = BTreeSet::new();
    for (key, lines) in schema.iter() {
        // A routine's key carries its arguments.
        let name = key.name.split('(').next().unwrap_or(&key.name);
        if key.kind == "table" {
            tables.insert(&key.name, lines);
            if named(name) {
                reached.insert(key.name.as_str());
            }
        } else if key.kind == "event trigger"
            || GO_BETWEENS.contains(&key.kind.as_str()) && named(name)
        {
            return Err(format!("a script may reach other tables by the {} {name}", key.kind));
        }
    }
    grow(engine, &tables, &mut reached);
    for (key, _) in schema.iter() {
        if ["trigger", "rule"].contains(&key.kind.as_str()) && reached.contains(key.on.as_str()) {
            return Err(format!("table {} has the {} {}", key.on, key.kind, key.name));
        }
    }
    Ok(reached.into_iter().map(|name| table(engine, name)).collect())
}

/// Whether the words of a script say what it does.
fn judgeable(order: &Order) -> Result<(), String> {
    let file = &order.script.file;
    if matches!(order.plan.mode, Mode::WholeUnit { .. }) {
        return Err(format!("{file} cannot be cut into statements"));
    }
    for judged in &order.plan.judged {
        let what = match judged.facts.class {
            _ if judged.facts.sweeps => "takes away what it does not name",
            Class::Ddl | Class::Dml | Class::Session | Class::TransactionControl => continue,
            Class::Query => "queries, and a query may call a function that writes",
            Class::Opaque => "does what cannot be judged from outside",
        };
        return Err(format!("{file}:{} {what}", judged.line));
    }
    if mentions(&order.script.text, "cascade") {
        return Err(format!("{file} cascades"));
    }
    Ok(())
}

/// Adds what refers to a reached table or hangs below it, until nothing is added: keys whose actions change
/// rows, partitions, heirs.
fn grow<'a>(
    engine: Engine,
    tables: &BTreeMap<&'a str, &'a [String]>,
    reached: &mut BTreeSet<&'a str>,
) {
    let mut fresh: Vec<&str> = reached.iter().copied().collect();
    while let Some(one) = fresh.pop() {
        let Some(word) = identifiers(engine, one).pop() else { continue };
        for (&name, lines) in tables {
            let leans = |line: &String| {
                (mentions(line, "references") || mentions(line, "inherits"))
                    && mentions(line, &word)
            };
            if !reached.contains(name) && lines.iter().any(leans) {
                reached.insert(name);
                fresh.push(name);
            }
        }
    }
}

fn table(engine: Engine, name: &str) -> Table {
    let mut parts = identifiers(engine, name);
    let last = parts.pop().unwrap_or_default();
    match parts.pop() {
        Some(schema) => Table::in_schema(schema, last),
        None => Table::named(last),
    }
}

/// The parts of a name as the schema's text writes it: PostgreSQL's quoted where they have to be.
fn identifiers(engine: Engine, name: &str) -> Vec<String> {
    if engine != Engine::Postgres {
        return vec![name.to_owned()];
    }
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => push(&mut parts, '"'),
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            _ => push(&mut parts, c),
        }
    }
    parts
}

fn push(parts: &mut [String], c: char) {
    if let Some(part) = parts.last_mut() {
        part.push(c);
    }
}

#[cfg(test)]
mod tests {
    use skein_bundle::sql::plan_script;
    use skein_bundle::{Format, Script, Transaction};

    use super::*;
    use crate::db::{Direction, Key, Token};

    fn schema(objects: &[(&str, &str, &str, &str)]) -> Schema {
        let mut schema = Schema::default();
        for (kind, name, on, line) in objects {
            let key =
                Key { kind: (*kind).to_owned(), name: (*name).to_owned(), on: (*on).to_owned() };
            schema.push(key, [(*line).to_owned()]);
        }
        schema
    }

    fn order(engine: Engine, sql: &str) -> Order {
        let script = Script {
            format: Format::Sqlx,
            file: "1.up.sql".to_owned(),
            line: 1,
            text: sql.to_owned(),
            transaction: Transaction::Wrapped,
            raw_digest: [1; 32],
            normalised_digest: [1; 32],
            marked: Vec::new(),
        };
        let plan = plan_script(engine.dialect(), &script).unwrap().into();
        let (step, direction, digest) = ("1".to_owned(), Direction::Up, [1; 32]);
        let (verify, probe, token) = (None, None, Token(1));
        Order { step, direction, digest, script, plan, verify, probe, token }
    }

    fn of(engine: Engine, schema: &Schema, sql: &str) -> (Scope, Option<String>) {
        scope(engine, schema, &[order(engine, sql)])
    }

    const SHOP: [(&str, &str, &str, &str); 6] = [
        ("table", "public.orders", "public.orders", "id integer"),
        ("table", "public.items", "public.items", "FOREIGN KEY (o) REFERENCES public.orders(id)"),
        ("table", "public.notes", "public.notes", "FOREIGN KEY (i) REFERENCES public.items(id)"),
        ("table", "public.\"Big.Sales\"", "public.\"Big.Sales\"", "id integer"),
        ("table", "public.audit", "public.audit", "id integer"),
        ("trigger", "log", "public.audit", "EXECUTE FUNCTION f()"),
    ];

    #[test]
    fn named_tables_and_what_leans_on_them() {
        let shop = schema(&SHOP);
        let public = |names: &[&str]| {
            Scope::Tables(names.iter().map(|name| Table::in_schema("public", *name)).collect())
        };
        let pg = Engine::Postgres;
        for (sql, tables) in [
            ("ALTER TABLE notes ADD COLUMN a int;", public(&["notes"])),
            ("UPDATE public.items SET a = 1;", public(&["items", "notes"])),
            ("DELETE FROM orders;", public(&["items", "notes", "orders"])),
            ("DROP TABLE \"Big.Sales\";", public(&["Big.Sales"])),
            ("CREATE TABLE fresh (a int);", Scope::SchemaOnly),
        ] {
            assert_eq!(of(pg, &shop, sql), (tables, None), "{sql}");
        }
        let plain = schema(&[("table", "orders", "orders", "`id` int")]);
        let orders = Scope::Tables(vec![Table::named("orders")]);
        assert_eq!(of(Engine::Mysql, &plain, "UPDATE orders SET a = 1;"), (orders, None));
    }

    #[test]
    fn whatever_reaches_further_means_everything() {
        let mut objects = SHOP.to_vec();
        objects.push(("view", "public.open_orders", "public.open_orders", "SELECT"));
        objects.push(("function", "public.close(integer)", "public.close(integer)", "…"));
        let shop = schema(&objects);
        for (sql, why) in [
            ("UPDATE audit SET a = 1;", "has the trigger log"),
            ("UPDATE open_orders SET a = 1;", "the view public.open_orders"),
            ("UPDATE items SET a = close(a);", "the function public.close"),
            ("TRUNCATE orders CASCADE;", "cascades"),
            ("SELECT 1;", "1.up.sql:1 queries"),
            ("DO $$ BEGIN DELETE FROM orders; END $$;", "cannot be judged"),
            ("DROP OWNED BY legacy;", "1.up.sql:1 takes away what it does not name"),
        ] {
            let (scope, said) = of(Engine::Postgres, &shop, sql);
            assert_eq!(scope, Scope::Database, "{sql}");
            assert!(said.as_deref().is_some_and(|said| said.contains(why)), "{sql}: {said:?}");
        }
        assert_eq!(of(Engine::Sqlite, &shop, "DROP TABLE notes;").0, Scope::Database);
        let plain = schema(&[("table", "orders", "orders", "`id` int")]);
        for sql in ["DROP DATABASE shop;", "DROP SCHEMA IF EXISTS shop;"] {
            assert_eq!(of(Engine::Mysql, &plain, sql).0, Scope::Database, "{sql}");
        }
        // That nobody knows a table takes nothing away with it.
        let gone = "DROP TABLE IF EXISTS scratch; CREATE TABLE scratch (a int);";
        assert_eq!(of(Engine::Mysql, &plain, gone), (Scope::SchemaOnly, None));
    }
}
