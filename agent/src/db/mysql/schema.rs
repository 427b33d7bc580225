//! The schema of a MariaDB or MySQL database, in the server's own `SHOW CREATE` words: two
//! messages, whatever the number of tables.

use super::connect::MysqlConnection;
use crate::db::answer::{Keep, text};
use crate::db::batch::{At, Batch, answer};
use crate::db::failure::Broken;
use crate::db::fingerprint::{Key, Schema};
use crate::db::location::Engine;
use crate::db::sql::{literal, mentions, name};

/// An object and the question for its definition.
struct Asked {
    key: Key,
    at: At,
    /// In which column of the answer the definition stands.
    column: usize,
}

/// With a statement, definitions are asked for only of what it names.
pub(super) async fn schema(
    connection: &mut MysqlConnection,
    statement: Option<&str>,
) -> Result<Schema, Broken> {
    let database = literal(Engine::Mysql, &connection.database);
    let qualifier = format!("{}.", name(Engine::Mysql, &connection.database));
    // A statement about tables says nothing of routines, and the lists cost more than it does.
    let asks = |word: &str| statement.is_none_or(|statement| mentions(statement, word));
    let mut lists = vec![format!(
        "SELECT table_type, table_name, table_name FROM information_schema.tables \
         WHERE table_schema = {database} AND LEFT(table_name, 7) <> '_skein_';"
    )];
    if ["procedure", "function", "package"].into_iter().any(asks) {
        lists.push(format!(
            "SELECT routine_type, routine_name, routine_name FROM information_schema.routines \
             WHERE routine_schema = {database};"
        ));
    }
    if asks("trigger") {
        lists.push(format!(
            "SELECT 'TRIGGER', trigger_name, event_object_table FROM information_schema.triggers \
             WHERE trigger_schema = {database};"
        ));
    }
    if asks("event") {
        lists.push(format!(
            "SELECT 'EVENT', event_name, event_name FROM information_schema.events \
             WHERE event_schema = {database};"
        ));
    }
    let sql = lists.concat();
    let found = connection.send(sql, Keep::All).await?;
    let mut batch = Batch::default();
    let mut asked = Vec::new();
    let mut schema = Schema::default();
    for row in found.iter().flat_map(|answer| &answer.rows) {
        let part = |at| text(row, at).unwrap_or_default();
        let (kind, word, column) = match part(0) {
            "VIEW" | "SYSTEM VIEW" => ("view", "VIEW", 1),
            "SEQUENCE" => ("sequence", "SEQUENCE", 1),
            "PROCEDURE" => ("procedure", "PROCEDURE", 2),
            "FUNCTION" => ("function", "FUNCTION", 2),
            "PACKAGE" => ("package", "PACKAGE", 2),
            "PACKAGE BODY" => ("package body", "PACKAGE BODY", 2),
            "TRIGGER" => ("trigger", "TRIGGER", 2),
            "EVENT" => ("event", "EVENT", 3),
            _ => ("table", "TABLE", 1),
        };
        let key = Key { kind: kind.to_owned(), name: part(1).to_owned(), on: part(2).to_owned() };
        if statement.is_some_and(|statement| !key.is_named_in(statement)) {
            schema.push(key, []);
            continue;
        }
        let object = format!("{qualifier}{}", name(Engine::Mysql, part(1)));
        let at = batch.add(&format!("SHOW CREATE {word} {object};"));
        asked.push(Asked { key, at, column });
    }
    if batch.is_empty() {
        return Ok(schema);
    }
    let answers = connection.send(batch.into_sql(), Keep::All).await?;
    for Asked { key, at, column } in asked {
        let answer = answer(&answers, at);
        let definition = answer.rows.first().and_then(|row| text(row, column)).unwrap_or_default();
        let definition = without_definer(&definition.replace(&qualifier, ""));
        let lines = if key.kind == "table" {
            table_lines(&definition)
        } else {
            definition.lines().map(str::to_owned).collect()
        };
        schema.push(key, lines);
    }
    Ok(schema)
}

/// Columns in their order, keys and constraints in the order of their text (they stand in the order
/// in which they were made), the table's options without its counter.
fn table_lines(definition: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut keys: Vec<String> = Vec::new();
    let mut options = Vec::new();
    for line in definition.lines() {
        if line.starts_with("  `") || line.starts_with("CREATE ") {
            lines.push(line.trim_end_matches(',').to_owned());
        } else if line.starts_with("  ") && options.is_empty() {
            keys.push(line.trim_end_matches(',').to_owned());
        } else {
            options.push(without_counter(line));
        }
    }
    keys.sort_unstable();
    lines.extend(keys);
    lines.extend(options);
    lines
}

fn without_counter(line: &str) -> String {
    let Some((before, after)) = line.split_once(" AUTO_INCREMENT=") else {
        return line.to_owned();
    };
    format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// Who made a routine or a view is no part of the schema.
fn without_definer(definition: &str) -> String {
    let Some((before, after)) = definition.split_once("DEFINER=`") else {
        return definition.to_owned();
    };
    // `user`@`host`, where a backtick within is doubled.
    let mut quotes = 0;
    let end = after
        .replace("``", "\0\0")
        .char_indices()
        .find(|(_, c)| {
            quotes += usize::from(*c == '`');
            quotes == 3
        })
        .map_or(after.len(), |(at, _)| at + 1);
    format!("{before}{}", after.get(end..).unwrap_or_default().trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_definers_do_not_count() {
        assert_eq!(
            without_counter(") ENGINE=InnoDB AUTO_INCREMENT=42 DEFAULT CHARSET=utf8mb4"),
            ") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"
        );
        assert_eq!(
            without_definer("CREATE DEFINER=`a``b`@`%` PROCEDURE `p`()\nBEGIN END"),
            "CREATE PROCEDURE `p`()\nBEGIN END"
        );
    }

    #[test]
    fn keys_are_compared_without_their_order() {
        let lines = |keys: &str| {
            table_lines(&format!(
                "CREATE TABLE `t` (\n  `a` int(11) NOT NULL,\n  `b` int(11),\n{keys}\n) ENGINE=InnoDB"
            ))
        };
        assert_eq!(
            lines("  KEY `x` (`a`),\n  KEY `y` (`b`)"),
            lines("  KEY `y` (`b`),\n  KEY `x` (`a`)")
        );
    }
}
