//! What is known of a script on each engine without running it.

use skein_bundle::Script;
use skein_bundle::Transaction;
use skein_bundle::sql::{Class, Dialect, Judged, Mode, ScriptPlan, plan_script};
use skein_proto::v1;

pub(super) fn of(script: &Script) -> Vec<v1::ScriptFacts> {
    [
        (v1::Engine::Postgres, Dialect::Postgres),
        (v1::Engine::Mysql, Dialect::Mysql),
        (v1::Engine::Sqlite, Dialect::Sqlite),
    ]
    .into_iter()
    .map(|(engine, dialect)| match plan_script(dialect, script) {
        Ok(plan) => facts(engine, dialect, script, &plan),
        Err(finding) => v1::ScriptFacts {
            engine: engine.into(),
            refusal: finding.to_string(),
            ..v1::ScriptFacts::default()
        },
    })
    .collect()
}

fn facts(
    engine: v1::Engine,
    dialect: Dialect,
    script: &Script,
    plan: &ScriptPlan,
) -> v1::ScriptFacts {
    let (mode, why) = match &plan.mode {
        Mode::InTransaction => (v1::TransactionMode::OneTransaction, String::new()),
        Mode::StatementByStatement(_) => {
            (v1::TransactionMode::Statements, why_statements(dialect, script, plan))
        }
        Mode::WholeUnit { why } => (v1::TransactionMode::Whole, why.clone()),
    };
    let mut locks: Vec<v1::LockFact> = Vec::new();
    for lock in plan.judged.iter().filter_map(lock) {
        if !locks.contains(&lock) {
            locks.push(lock);
        }
    }
    v1::ScriptFacts {
        engine: engine.into(),
        mode: mode.into(),
        why,
        locks,
        destructive: plan.judged.iter().any(|judged| judged.facts.destructive),
        refusal: String::new(),
        statements: u32::try_from(plan.judged.len()).unwrap_or(u32::MAX),
        // Said of those alone that change nothing of it: what is read again has the bytes that earlier releases gave it.
        defines: (!defines(plan)).then_some(false),
        // The coordinator's, who looks for them when it stores the bundle.
        words: None,
    }
}

/// Whether a schema tells that the script is in force: one that changes rows alone leaves it as it was.
pub(crate) fn defines(plan: &ScriptPlan) -> bool {
    plan.judged.iter().any(|judged| judged.facts.class == Class::Ddl)
}

fn lock(judged: &Judged) -> Option<v1::LockFact> {
    judged.facts.lock.map(|lock| v1::LockFact {
        name: lock.name.to_owned(),
        meaning: lock.meaning.to_owned(),
        table: judged.facts.table.clone().unwrap_or_default(),
    })
}

fn why_statements(dialect: Dialect, script: &Script, plan: &ScriptPlan) -> String {
    let batch = |judged: &Judged| {
        let batch = judged.batch.as_ref()?;
        Some(format!("line {} runs in batches over {}", judged.line, batch.summary()))
    };
    let batches: Vec<String> = plan.judged.iter().filter_map(batch).collect();
    if !batches.is_empty() {
        return batches.join("; ");
    }
    if dialect == Dialect::Mysql {
        return "MariaDB and MySQL commit each definition statement by itself".to_owned();
    }
    let reason = plan
        .judged
        .iter()
        .find_map(|judged| Some((judged.line, judged.facts.why_not?)))
        .map(|(line, why)| format!("line {line}: {why}"));
    match (reason, script.transaction) {
        (Some(reason), _) => reason,
        (None, Transaction::Outside) => {
            "the file declares that it runs outside of a transaction".to_owned()
        }
        (None, Transaction::Wrapped) => {
            "its only statement cannot run inside of a transaction".to_owned()
        }
    }
}
