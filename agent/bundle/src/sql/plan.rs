//! How a script is to be run on an engine: in one transaction, statement by statement, or as one unit.

use std::collections::BTreeMap;

use super::batch::{self, Batch};
use super::classify::{self, Facts};
use super::client;
use super::lex::{Kind, lex};
use super::model::{Class, Dialect, Statement};
use super::split::{Places, Unsure, ranges, significant};
use super::words::Words;
use crate::finding::Finding;
use crate::model::{Format, Script, Transaction};

/// What the executor has to do with a script, and what its statements do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptPlan {
    pub mode: Mode,
    /// The facts of every statement, in order; one entry without a class of its own for a text that
    /// cannot be cut.
    pub judged: Vec<Judged>,
    /// SQLite, in a transaction: what `PRAGMA foreign_keys` must be set to *before* `BEGIN`, because
    /// the script asks for it and the engine ignores it inside. `None`: the script does not say, and
    /// [`Format::sqlite_foreign_keys`] holds.
    pub sqlite_foreign_keys: Option<bool>,
}

/// A statement's place and its facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// One-based line of the script's file.
    pub line: u32,
    pub facts: Facts,
    /// It runs over a range of keys at a time.
    pub batch: Option<Batch>,
}

/// How the script meets the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// The whole text inside one transaction, together with its ledger row.
    InTransaction,
    /// Each statement by itself, with intent and progress around it. A statement of class
    /// [`Class::TransactionControl`] belongs to a transaction of the author's own: no progress can be
    /// written before that one ends.
    StatementByStatement(Vec<Statement>),
    /// The text as it stands, in one request.
    WholeUnit { why: String },
}

/// A statement that was cut from the script.
struct Cut {
    text: String,
    line: u32,
    column: u32,
    facts: Facts,
    batch: Option<Batch>,
}

/// Decides how `script` runs on `dialect`.
///
/// # Errors
///
/// The first thing in it that cannot be carried out, with what to do about it: commands of a client
/// program, a quote that is never closed, transaction control inside a script that is to run in a
/// transaction, and statements that the engine refuses there.
pub fn plan_script(dialect: Dialect, script: &Script) -> Result<ScriptPlan, Finding> {
    let whole = [(script.line, script.text.as_str())];
    let marked: Vec<(u32, &str)> =
        script.marked.iter().map(|piece| (piece.line, piece.text.as_str())).collect();
    let pieces = if marked.is_empty() { whole.as_slice() } else { marked.as_slice() };

    let mut cuts = Vec::new();
    let mut unsure = None;
    for (line, text) in pieces {
        client::refuse(dialect, script, *line, text)?;
        match cut(dialect, text, *line) {
            Ok(mut found) => cuts.append(&mut found),
            // The author of a goose file says where its statements end.
            Err(doubt) if script.format == Format::Goose && !doubt.unclosed => cuts.push(Cut {
                text: (*text).trim().to_owned(),
                line: *line,
                column: 1,
                facts: Facts::new(Class::Opaque),
                batch: None,
            }),
            Err(doubt) => {
                unsure.get_or_insert(doubt);
            }
        }
    }
    let directives = batch::directives(dialect, script, pieces)?;
    if let Some(doubt) = unsure {
        return match directives.first() {
            Some(directive) => {
                let why = format!(
                    "the file cannot be cut into statements: {} (line {})",
                    doubt.why, doubt.line
                );
                Err(directive.refuse(script, &why, "move it into a migration of its own"))
            }
            None => whole_unit(dialect, script, &doubt),
        };
    }
    for cut in &cuts {
        client::refuse_statement(dialect, script, (cut.line, cut.column), &cut.text)?;
    }
    let places: Vec<_> = cuts.iter().map(Cut::place).collect();
    let batches = batch::attach(dialect, script, &places, directives)?;
    if batches.iter().any(Option::is_some) {
        for (cut, batch) in cuts.iter_mut().zip(batches) {
            cut.batch = batch;
        }
        return in_batches(dialect, script, cuts);
    }
    match (dialect, script.transaction) {
        (Dialect::Mysql, _) => mysql(script, cuts),
        (Dialect::Postgres | Dialect::Sqlite, Transaction::Outside) => {
            Ok(statement_by_statement(cuts))
        }
        (Dialect::Postgres | Dialect::Sqlite, Transaction::Wrapped) => {
            in_transaction(dialect, script, cuts)
        }
    }
}

impl Cut {
    fn place(&self) -> batch::Place<'_> {
        let Self { text, line, column, facts, .. } = self;
        batch::Place { text, line: *line, column: *column, class: facts.class }
    }
}

struct Doubt {
    why: String,
    line: u32,
    column: u32,
    /// A quote or comment without an end: no server takes that.
    unclosed: bool,
}

fn cut(dialect: Dialect, text: &str, first_line: u32) -> Result<Vec<Cut>, Doubt> {
    let tokens = significant(lex(dialect, text));
    let mut places = Places::new(text, first_line);
    let found = ranges(dialect, text, &tokens).map_err(|Unsure { why, at }| {
        let (line, column) = places.of(at);
        let unclosed = tokens.last().is_some_and(|token| token.kind == Kind::Unterminated);
        Doubt { why, line, column, unclosed }
    })?;
    let cuts = found.into_iter().map(|(start, end)| {
        let statement = text.get(start..end).unwrap_or_default();
        let (line, column) = places.of(start);
        let facts = classify::facts(dialect, statement);
        Cut { text: statement.to_owned(), line, column, facts, batch: None }
    });
    Ok(cuts.collect())
}

fn whole_unit(dialect: Dialect, script: &Script, doubt: &Doubt) -> Result<ScriptPlan, Finding> {
    let finding = |message: String, help: &str| Finding {
        file: script.file.clone(),
        line: doubt.line,
        column: doubt.column,
        message,
        help: help.to_owned(),
    };
    if doubt.unclosed && dialect != Dialect::Mysql {
        let message = format!("{}, so the server would refuse the file", doubt.why);
        return Err(finding(message, "close it where it was meant to end"));
    }
    let client = lex(dialect, &script.text).any(|t| t.kind == Kind::DelimiterCommand);
    if client {
        let message = format!(
            "{}, and the file cannot go to the server in one piece because DELIMITER is a command \
             of the mysql client",
            doubt.why
        );
        return Err(finding(message, "put every statement of the file between two delimiters"));
    }
    Ok(ScriptPlan {
        judged: vec![Judged { line: script.line, facts: Facts::new(Class::Opaque), batch: None }],
        mode: Mode::WholeUnit { why: format!("{} (line {})", doubt.why, doubt.line) },
        sqlite_foreign_keys: None,
    })
}

fn judged(cuts: &[Cut]) -> Vec<Judged> {
    let judged = |cut: &Cut| {
        let (line, facts, batch) = (cut.line, cut.facts.clone(), cut.batch.clone());
        Judged { line, facts, batch }
    };
    cuts.iter().map(judged).collect()
}

fn statement_by_statement(cuts: Vec<Cut>) -> ScriptPlan {
    let judged = judged(&cuts);
    let statements = cuts
        .into_iter()
        .map(|Cut { text, line, facts, batch, .. }| Statement {
            text,
            line,
            class: facts.class,
            batch,
        })
        .collect();
    ScriptPlan { judged, mode: Mode::StatementByStatement(statements), sqlite_foreign_keys: None }
}

/// Each batch is a transaction by itself, so that nothing larger is around it: the directive declares the
/// file as one that runs outside of a transaction.
fn in_batches(dialect: Dialect, script: &Script, cuts: Vec<Cut>) -> Result<ScriptPlan, Finding> {
    let spans = match dialect {
        Dialect::Mysql => spanning(&cuts),
        Dialect::Postgres | Dialect::Sqlite => None,
    };
    let control = cuts.iter().find(|cut| cut.facts.class == Class::TransactionControl);
    if let Some(cut) = control.or(spans) {
        return Err(Finding {
            file: script.file.clone(),
            line: cut.line,
            column: cut.column,
            message: format!(
                "`{}` in a file with a batched statement: each batch is a transaction of its own",
                first_line(&cut.text)
            ),
            help: "take it out, or move the batched statement into a migration of its own"
                .to_owned(),
        });
    }
    Ok(statement_by_statement(cuts))
}

/// DDL commits by itself here, so that nothing larger than a statement can be promised. A transaction
/// of the author's own stays together, as its class tells the executor; where it cannot (DDL ends it in
/// the middle, or nothing ends it), or where tables are locked against the progress rows, the script
/// stays in one piece.
fn mysql(script: &Script, cuts: Vec<Cut>) -> Result<ScriptPlan, Finding> {
    let Some(spans) = spanning(&cuts) else {
        return Ok(statement_by_statement(cuts));
    };
    let what = first_line(&spans.text);
    if lex(Dialect::Mysql, &script.text).any(|t| t.kind == Kind::DelimiterCommand) {
        return Err(Finding {
            file: script.file.clone(),
            line: spans.line,
            column: spans.column,
            message: format!(
                "`{what}` would be undone by the progress kept between statements, and DELIMITER \
                 keeps the file from going to the server in one piece"
            ),
            help: "move the routine into a migration of its own".to_owned(),
        });
    }
    Ok(ScriptPlan {
        judged: judged(&cuts),
        mode: Mode::WholeUnit {
            why: format!("`{what}` on line {} spans the statements after it", spans.line),
        },
        sqlite_foreign_keys: None,
    })
}

/// The statement that no progress row may follow before a later one has run.
fn spanning(cuts: &[Cut]) -> Option<&Cut> {
    let mut open: Option<&Cut> = None;
    for cut in cuts {
        let first = with_words(Dialect::Mysql, &cut.text, |words| words.upper(0));
        match (first.as_str(), cut.facts.class) {
            ("LOCK" | "XA", _) => return Some(cut),
            ("BEGIN" | "START", Class::TransactionControl) if open.is_none() => open = Some(cut),
            ("COMMIT", Class::TransactionControl) if open.is_some() => open = None,
            ("SAVEPOINT" | "RELEASE" | "ROLLBACK", Class::TransactionControl)
                if open.is_some() && !ends_transaction(Dialect::Mysql, &cut.text) => {}
            (_, Class::TransactionControl) => return open.or(Some(cut)),
            _ if !cut.facts.transactional && open.is_some() => return open,
            _ => {}
        }
    }
    open
}

fn in_transaction(
    dialect: Dialect,
    script: &Script,
    cuts: Vec<Cut>,
) -> Result<ScriptPlan, Finding> {
    // golang-migrate has no mark for it and sends a file as one request, in which a single such
    // statement stands outside of any transaction block.
    if script.format == Format::GolangMigrate
        && let [only] = cuts.as_slice()
        && !only.facts.transactional
        && sqlite_foreign_keys(dialect, &only.text).is_none()
    {
        return Ok(statement_by_statement(cuts));
    }
    let mut foreign_keys = None;
    let loud = |cut: &Cut| !matches!(cut.facts.class, Class::Session | Class::Query);
    let first_loud = cuts.iter().position(loud).unwrap_or(cuts.len());
    let last_loud = cuts.iter().rposition(loud).unwrap_or(0);
    let conflict = enum_value_conflict(dialect, &cuts);
    for (at, cut) in cuts.iter().enumerate() {
        let refuse = |message: String, help: String| {
            Err(Finding {
                file: script.file.clone(),
                line: cut.line,
                column: cut.column,
                message,
                help,
            })
        };
        if cut.facts.class == Class::TransactionControl && ends_transaction(dialect, &cut.text) {
            let message = format!(
                "`{}` inside a file that runs in a transaction: it would end that transaction \
                 before the ledger row is written",
                first_line(&cut.text)
            );
            return refuse(
                message,
                format!(
                    "delete the file's own transaction statements, since the file is wrapped \
                     already; or {}",
                    how_to_declare(script.format)
                ),
            );
        }
        if let Some(wanted) = sqlite_foreign_keys(dialect, &cut.text) {
            if at <= first_loud {
                foreign_keys = foreign_keys.or(Some(wanted));
            } else if at < last_loud {
                return refuse(
                    "SQLite ignores PRAGMA foreign_keys inside a transaction, so that it would not \
                     hold for the statements below it"
                        .to_owned(),
                    format!("move it to the top of the file, or {}", how_to_declare(script.format)),
                );
            }
            continue;
        }
        if let (false, Some(why_not)) = (cut.facts.transactional, cut.facts.why_not) {
            return refuse(
                format!("{why_not}, and this file runs in one"),
                how_to_declare(script.format).to_owned(),
            );
        }
        if let Some(conflict) = conflict.as_ref().filter(|conflict| conflict.adds == at) {
            return refuse(
                format!(
                    "line {} uses the value {} that this statement adds, which PostgreSQL refuses \
                     before the transaction has ended",
                    conflict.used_on, conflict.value
                ),
                format!(
                    "move one of the two into its own migration, or {}",
                    how_to_declare(script.format)
                ),
            );
        }
    }
    Ok(ScriptPlan {
        judged: judged(&cuts),
        mode: Mode::InTransaction,
        sqlite_foreign_keys: foreign_keys,
    })
}

/// In the words of each format.
fn how_to_declare(format: Format) -> &'static str {
    match format {
        Format::GolangMigrate => {
            "put the statement that cannot run in a transaction alone in a migration of its own: \
             golang-migrate has no mark for it, and a file with that one statement runs outside of \
             a transaction"
        }
        Format::Sqlx => {
            "declare the file by `-- no-transaction` as the very first bytes of its first line"
        }
        Format::Dbmate => {
            "declare the section by `transaction:false` on its `-- migrate:up` or `-- migrate:down` \
             line"
        }
        Format::Diesel => {
            "declare the migration by `run_in_transaction = false` in metadata.toml beside up.sql"
        }
        Format::Goose => "declare the file by a line `-- +goose NO TRANSACTION` at its top",
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim_end()
}

fn with_words<T>(dialect: Dialect, text: &str, judge: impl FnOnce(&Words<'_>) -> T) -> T {
    let tokens = classify::code(dialect, text);
    judge(&Words { text, tokens: &tokens })
}

pub(super) fn first_words(dialect: Dialect, text: &str, expected: &[&str]) -> bool {
    with_words(dialect, text, |words| words.all(0, expected))
}

/// Savepoints may stay: they live inside the transaction around them.
fn ends_transaction(dialect: Dialect, text: &str) -> bool {
    with_words(dialect, text, |words| match words.upper(0).as_str() {
        "SAVEPOINT" | "RELEASE" => false,
        "ROLLBACK" => words.find(1, &["TO"]).is_none(),
        _ => true,
    })
}

/// What a `PRAGMA foreign_keys` asks for.
fn sqlite_foreign_keys(dialect: Dialect, text: &str) -> Option<bool> {
    if dialect != Dialect::Sqlite {
        return None;
    }
    with_words(dialect, text, |words| {
        if !words.all(0, &["PRAGMA", "FOREIGN_KEYS"]) {
            return None;
        }
        let value = words.tokens.get(3)?.of(text).trim_matches(['\'', '"']).to_ascii_uppercase();
        Some(matches!(value.as_str(), "ON" | "YES" | "TRUE" | "1"))
    })
}

/// The literal of `ALTER TYPE … ADD VALUE 'new'`.
fn added_enum_value(dialect: Dialect, text: &str) -> Option<&str> {
    if dialect != Dialect::Postgres {
        return None;
    }
    let tokens = classify::code(dialect, text);
    let words = Words { text, tokens: &tokens };
    if !words.all(0, &["ALTER", "TYPE"]) {
        return None;
    }
    let add = words.name(2).1;
    let at = words.skip(add + 2, &["IF", "NOT", "EXISTS"]);
    let literal = tokens.get(at).filter(|token| token.kind == Kind::Literal)?;
    words.all(add, &["ADD", "VALUE"]).then(|| literal.of(text))
}

/// A value that is used in the transaction that adds it.
struct EnumValueConflict {
    adds: usize,
    value: String,
    used_on: u32,
}

/// Walks backwards, so that each statement is read once.
fn enum_value_conflict(dialect: Dialect, cuts: &[Cut]) -> Option<EnumValueConflict> {
    let mut used: BTreeMap<&str, u32> = BTreeMap::new();
    let mut found = None;
    if !cuts.iter().any(|cut| added_enum_value(dialect, &cut.text).is_some()) {
        return None;
    }
    for (adds, cut) in cuts.iter().enumerate().rev() {
        // Another ALTER TYPE may name a new value as a neighbour (BEFORE, AFTER).
        if let Some(value) = added_enum_value(dialect, &cut.text) {
            if let Some(used_on) = used.get(value) {
                found =
                    Some(EnumValueConflict { adds, value: value.to_owned(), used_on: *used_on });
            }
            continue;
        }
        for token in classify::code(dialect, &cut.text) {
            if token.kind == Kind::Literal {
                used.insert(token.of(&cut.text), cut.line);
            }
        }
    }
    found
}
