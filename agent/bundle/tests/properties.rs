//! Whatever text comes, nothing panics, nothing is lost, and the work stays in proportion.

use std::fs;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use skein_bundle::sql::lex::{Kind, lex};
use skein_bundle::sql::normalise::{digest, normalise};
use skein_bundle::sql::{Class, Dialect, Split, facts, plan_script, split};
use skein_bundle::{Format, Script, Transaction, read};

const ALL: [Dialect; 3] = [Dialect::Postgres, Dialect::Mysql, Dialect::Sqlite];

/// Pieces that mean something to one dialect or another, in any order.
fn sql() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            ";", " ", "\n", "'", "\"", "`", "[", "]", "$$", "$a$", "$", "\\", "/*", "*/", "/*!50003 ", "--", "-- ",
            "#", "(", ")", ":", "@", ".", ",", "=", "BEGIN", "END", "ATOMIC", "NOT", "IF", "THEN", "ELSE", "CASE",
            "WHEN", "LOOP", "WHILE", "DO", "REPEAT", "UNTIL", "FOR", "EACH", "ROW", "DECLARE", "CONTINUE", "HANDLER",
            "CREATE", "OR", "REPLACE", "DEFINER", "PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "TEMP", "TABLE",
            "INDEX", "CONCURRENTLY", "ON", "ALTER", "TYPE", "ADD", "VALUE", "DROP", "COLUMN", "SET", "STATEMENT",
            "SELECT", "INTO", "FROM", "WITH", "AS", "INSERT", "DELETE", "PRAGMA", "foreign_keys", "VACUUM", "CLUSTER", "REINDEX", "OPTIMIZE", "SCHEMA", "COMMIT",
            "ROLLBACK", "TO", "DELIMITER //\n", "DELIMITER ;\n", "//", "E'", "1..2", "ä", "e", "-- +goose Up\n",
            "-- +goose Down\n", "-- +goose StatementBegin\n", "-- migrate:up\n", "-- migrate:down\n", "RETURN",
        ]).prop_map(|word| format!("{word} ")),
        1 => "[a-zA-Z'$;/*\\\\ -]{0,6}",
        1 => any::<String>().prop_map(|text| text.chars().take(8).collect()),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// What is found becomes a case of its own in `split.rs`, so that nothing is kept beside it.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn code(dialect: Dialect, text: &str) -> Vec<(Kind, String)> {
    let is_code = |kind| !matches!(kind, Kind::Delimiter | Kind::DelimiterCommand);
    lex(dialect, text)
        .filter(|token| token.is_significant() && is_code(token.kind))
        .map(|token| (token.kind, token.of(text).to_owned()))
        .filter(|(_, text)| text != ";")
        .collect()
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn tokens_cover_the_text_without_a_gap(text in sql()) {
        for dialect in ALL {
            let mut at = 0;
            for token in lex(dialect, &text) {
                prop_assert_eq!(token.start, at);
                prop_assert!(token.end > at);
                prop_assert!(text.is_char_boundary(token.end));
                at = token.end;
            }
            prop_assert_eq!(at, text.len());
        }
    }

    #[test]
    fn statements_hold_all_code_and_read_the_same_again(text in sql()) {
        for dialect in ALL {
            let Split::Statements(statements) = split(dialect, &text, 1) else { continue };
            let texts: Vec<&str> = statements.iter().map(|one| one.text.as_str()).collect();
            // Under another delimiter the text reads otherwise by itself: compare the words alone.
            let client = lex(dialect, &text).any(|token| token.kind == Kind::DelimiterCommand);
            if !client {
                let joined = texts.join("\n;\n");
                prop_assert_eq!(code(dialect, &joined), code(dialect, &text));
                if let Split::Statements(again) = split(dialect, &joined, 1) {
                    let again: Vec<&str> = again.iter().map(|one| one.text.as_str()).collect();
                    prop_assert_eq!(again, texts);
                }
            }
            for one in &statements {
                prop_assert!(text.contains(&one.text));
                let found = facts(dialect, &one.text);
                prop_assert_eq!(found.class, one.class);
                // The executor runs these two inside of a transaction without asking.
                let inside = matches!(found.class, Class::Dml | Class::Query);
                prop_assert!(found.transactional || !inside, "{}", &one.text);
            }
        }
    }

    #[test]
    fn comments_and_white_space_leave_no_trace_in_the_digest(words in prop::collection::vec("[a-z]{1,5}|'[a-z]{0,3}'|[(),=]", 1..20)) {
        // Literals side by side join across a line, which is a difference: a comma keeps them apart.
        let words: Vec<String> = words
            .into_iter()
            .map(|word| if word.starts_with('\'') { format!("{word} ,") } else { word })
            .collect();
        let tight = words.join(" ");
        let loose = words.join(" /* why */\n  -- because\n\t");
        let loose = format!("-- first\n{loose}\n");
        prop_assert_eq!(digest(&tight), digest(&loose));
        let other = format!("{tight} x");
        prop_assert_ne!(digest(&tight), digest(&other));
        for dialect in ALL {
            let once = normalise(dialect, &loose);
            prop_assert_eq!(normalise(dialect, &once), once);
        }
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn readers_and_the_planner_take_any_text(
        text in sql(),
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        name in prop::sample::select(vec!["1_a.sql", "1_a.up.sql", "01_b.down.sql", "1.sql", "_.sql", "a/up.sql", "1_a.probe.sql"]),
        format in prop::sample::select(Format::ALL.to_vec()),
        binary in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if binary { fs::write(&path, bytes) } else { fs::write(&path, &text) }.unwrap();
        for choice in [None, Some(format)] {
            match read(dir.path(), choice) {
                Ok(bundle) => {
                    prop_assert!(!bundle.migrations.is_empty() || !bundle.warnings.is_empty());
                    for migration in &bundle.migrations {
                        for dialect in ALL {
                            if let Err(finding) = plan_script(dialect, &migration.up) {
                                prop_assert!(finding.line >= 1 && finding.column >= 1);
                                prop_assert!(!finding.help.is_empty());
                            }
                        }
                    }
                }
                Err(error) => {
                    prop_assert!(!error.findings.is_empty());
                    prop_assert!(error.to_string().contains(" --> "));
                }
            }
        }
    }
}

/// Splits and digests `text` for every dialect, and says how long that took.
#[expect(clippy::disallowed_methods, reason = "how long it takes is what is tested")]
fn took(text: &str) -> Duration {
    let start = Instant::now();
    for dialect in ALL {
        let cut = split(dialect, text, 1);
        assert!(matches!(cut, Split::Statements(_) | Split::Whole { .. }));
        if let Ok(plan) = plan_script(dialect, &script(text)) {
            assert!(plan.judged.len() <= text.len());
        }
    }
    assert_ne!(digest(text), [0; 32]);
    start.elapsed()
}

fn script(text: &str) -> Script {
    Script {
        format: Format::Sqlx,
        file: "1_a.sql".to_owned(),
        line: 1,
        text: text.to_owned(),
        transaction: Transaction::Wrapped,
        raw_digest: [0; 32],
        normalised_digest: [0; 32],
        marked: Vec::new(),
    }
}

/// Texts that invite a second look at what was read before: eight times the text may take eight times
/// as long, and 64 times as long would be quadratic.
#[test]
fn long_texts_of_every_kind_take_time_in_proportion() {
    for seed in [
        "SELECT 1;",
        "SELECT 1; ",
        "(",
        "((;",
        "'",
        "''",
        "$a$",
        "$a",
        "/*",
        "/*!1 ",
        "*/",
        "--\n",
        "[",
        "`",
        "BEGIN ",
        "BEGIN;",
        "END;",
        "CASE ",
        "IF ",
        "IF x THEN ",
        "CREATE PROCEDURE p() BEGIN ",
        "SET STATEMENT a=1 FOR ",
        "EXPLAIN ANALYZE ",
        "WITH a AS (SELECT 1) ",
        "DELIMITER //\n",
        "DELIMITER //\nx//",
        "PRAGMA foreign_keys=ON;",
        "ALTER TYPE t ADD VALUE 'a';SELECT 'a';",
        "\\",
        "a:",
        "COPY t FROM ",
        "x\n",
        "ä",
        "CREATE TRIGGER t BEGIN ;",
        "SELECT 1 INTO ",
        "DECLARE EXIT HANDLER FOR ",
        "CREATE FUNCTION f() BEGIN ATOMIC ",
        "ALTER TABLE t DROP a,",
    ] {
        let short = took(&seed.repeat(2_000));
        let long = took(&seed.repeat(16_000));
        let bound = short * 30 + Duration::from_millis(300);
        assert!(long < bound, "{seed:?}: {short:?}, and {long:?} for eight times as much");
    }
}
