//! Text cut into statements, and judged, in three dialects.

use skein_bundle::Script;
use skein_bundle::sql::normalise::normalise;
use skein_bundle::sql::{Dialect, Split, facts, plan_script, split};

use super::Target;

pub(super) const WORDS: &[&str] = &[
    ";",
    "'",
    "\"",
    "`",
    "$$",
    "$a$",
    "\\",
    "/*",
    "*/",
    "/*!50003 ",
    "-- ",
    "#",
    "(",
    ")",
    ":=",
    "@x",
    "..",
    " BEGIN ",
    " END ",
    " ATOMIC ",
    " IF ",
    " THEN ",
    " CASE ",
    " WHEN ",
    " LOOP ",
    " WHILE ",
    " DO ",
    " REPEAT ",
    " UNTIL ",
    " DECLARE ",
    " HANDLER ",
    " CREATE ",
    " OR REPLACE ",
    " DEFINER=",
    " PROCEDURE ",
    " FUNCTION ",
    " TRIGGER ",
    " EVENT ",
    " TEMP ",
    " TABLE ",
    " INDEX ",
    " CONCURRENTLY ",
    " ALTER ",
    " DROP ",
    " COLUMN ",
    " SELECT ",
    " INTO ",
    " WITH ",
    " AS ",
    " INSERT ",
    " PRAGMA ",
    " VACUUM ",
    " COMMIT ",
    " ROLLBACK ",
    "DELIMITER //\n",
    "DELIMITER ;\n",
    "//",
    "E'",
    "ä",
    "\u{feff}",
    "\0",
    "\r\n",
    "-- +goose Up\n",
    "-- +goose Down\n",
    "-- +goose StatementBegin\n",
    "-- +goose StatementEnd\n",
    "-- migrate:up\n",
    "-- migrate:down\n",
    "-- no-transaction\n",
];

const EXAMPLES: [&str; 4] = [
    "CREATE TABLE a (id int PRIMARY KEY, note text DEFAULT 'x;y');\nINSERT INTO a VALUES (1, $$ ; $$);\n",
    "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $a$ BEGIN RETURN 1; END $a$;\nSELECT f();\n",
    "DELIMITER //\nCREATE PROCEDURE p() BEGIN IF 1 THEN SELECT 1; END IF; END//\nDELIMITER ;\nCALL p();\n",
    "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET n = CASE WHEN 1 THEN 2 END; END;\nPRAGMA x=1;\n",
];

/// SQL of real projects, and a few texts that are hard to cut.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = EXAMPLES.iter().map(|text| text.as_bytes().to_vec()).collect();
    seeds.extend(super::corpus(".sql").into_iter().filter(|text| text.len() < 8_000));
    seeds
}

/// Cuts and judges one text; whether its statements could be told apart.
pub(super) fn judge(dialect: Dialect, text: &str) -> bool {
    let whole = match split(dialect, text, 1) {
        Split::Statements(statements) => {
            for statement in &statements {
                assert!(text.contains(&statement.text), "a statement is a piece of the text");
                assert_eq!(facts(dialect, &statement.text).class, statement.class);
            }
            true
        }
        Split::Whole { .. } => false,
    };
    drop(normalise(dialect, text));
    whole
}

pub(super) fn plan(script: &Script) {
    for dialect in [Dialect::Postgres, Dialect::Mysql, Dialect::Sqlite] {
        // A refusal is an answer.
        drop(plan_script(dialect, script));
    }
}

pub(super) fn targets() -> Vec<Target> {
    let of = |name, dialect| Target {
        name,
        seeds: seeds(),
        words: WORDS,
        door: Box::new(move |bytes| judge(dialect, &String::from_utf8_lossy(bytes))),
    };
    vec![
        of("sql-postgres", Dialect::Postgres),
        of("sql-mysql", Dialect::Mysql),
        of("sql-sqlite", Dialect::Sqlite),
    ]
}
