//! One statement over a table against the same in batches of 10 000 keys, one after the other, on each engine that
//! there is: G15 of the performance page. Both go through the agent's database session, ledger row included.

use std::env;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use skein_agent::db::{Direction, Engine, Location, Order, Outcome, Session, Timeouts, Token};
use skein_bundle::sql::plan_script;
use skein_bundle::{Format, Script, Transaction};

use crate::Options;
use crate::machine::Window;
use crate::report::{Report, progress};
use crate::stats::{Spread, float};

/// Rows of the table.
const ROWS: u64 = 300_000;
/// The same of a run that is only to show that the program works.
const ROWS_QUICK: u64 = 20_000;
/// What G15 asks for.
const LEAST: f64 = 0.90;

const ONE: &str = "UPDATE figures SET n = n + 1, note = 'changed';";
const BATCHES: &str = "-- skein:batch table=figures key=id size=10000\n\
                       UPDATE figures SET n = n + 1, note = 'changed' WHERE id BETWEEN {from} AND {to};";

pub(crate) fn run(options: Options) -> Result<()> {
    let window = Window::open();
    let mut report = Report::new("bench-batches");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let mut rows =
        vec![["engine", "one statement", "batches", "ratio"].map(str::to_owned).to_vec()];
    let mut ratios = serde_json::Map::new();
    for (engine, url) in targets(folder.path(), &mut report) {
        let (one, batches) = runtime.block_on(engine_of(&url, options))?;
        let ratio = Spread::of_ratios(&one, &batches);
        let ms = |times: &[f64]| format!("{:.0} ms", Spread::of(times.iter().copied()).median);
        rows.push(vec![engine.to_owned(), ms(&one), ms(&batches), format!("{:.2}", ratio.median)]);
        ratios.insert(engine.to_owned(), ratio.json());
    }
    report.table(&format!("one UPDATE against batches of 10 000 keys (at least {LEAST})"), &rows);
    report.json("ratios", json!(ratios));
    report.print(window.close(options.quick))
}

fn targets(folder: &Path, report: &mut Report) -> Vec<(&'static str, String)> {
    let file = folder.join("figures.db");
    let mut targets = vec![("sqlite", format!("sqlite:{}?mode=rwc", file.display()))];
    for (engine, variable) in [("postgres", "SKEIN_BENCH_POSTGRES"), ("mysql", "SKEIN_BENCH_MYSQL")]
    {
        match env::var(variable) {
            Ok(url) => targets.push((engine, url)),
            Err(_) => report.skip(&format!("{engine}: {variable} names no empty database")),
        }
    }
    targets
}

/// Times of both, pair by pair, milliseconds.
async fn engine_of(url: &str, options: Options) -> Result<(Vec<f64>, Vec<f64>)> {
    let location = Location::parse(url, None)?;
    let mut session = Session::open(&location, &Timeouts::default()).await?;
    let rows = if options.quick { ROWS_QUICK } else { ROWS };
    let (mut one, mut batches) = (Vec::new(), Vec::new());
    let mut step = 0;
    for pair in 0..options.pairs {
        progress(&format!("{:?}, pair {}", session.engine(), pair + 1));
        // Who is first is not always the same.
        let turns = if pair % 2 == 0 { [true, false] } else { [false, true] };
        for in_batches in turns {
            for text in ["DROP TABLE IF EXISTS figures;", &fill(session.engine(), rows)] {
                step += 1;
                apply(&mut session, step, text).await?;
            }
            step += 1;
            let text = if in_batches { BATCHES } else { ONE };
            let (changed, ms) = apply(&mut session, step, text).await?;
            if changed != rows {
                bail!("{changed} rows of {rows} were changed");
            }
            let times = if in_batches { &mut batches } else { &mut one };
            times.push(float(ms.max(1)));
        }
    }
    apply(&mut session, step + 1, "DROP TABLE figures;").await?;
    session.close().await;
    Ok((one, batches))
}

fn fill(engine: Engine, rows: u64) -> String {
    let numbers = match engine {
        Engine::Postgres => {
            format!("SELECT i, 0, 'as it was' FROM generate_series(1, {rows}) AS i")
        }
        Engine::Mysql => format!("SELECT seq, 0, 'as it was' FROM seq_1_to_{rows}"),
        Engine::Sqlite => format!(
            "WITH RECURSIVE g (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < {rows}) \
             SELECT i, 0, 'as it was' FROM g"
        ),
    };
    format!(
        "CREATE TABLE figures (id int NOT NULL PRIMARY KEY, n int NOT NULL, note varchar(40));\n\
         INSERT INTO figures (id, n, note) {numbers};"
    )
}

/// Runs a step; the rows that it changed, and how long that took, milliseconds.
async fn apply(session: &mut Session, step: u64, text: &str) -> Result<(u64, u64)> {
    let script = Script {
        format: Format::Sqlx,
        file: format!("{step}.up.sql"),
        line: 1,
        text: text.to_owned(),
        transaction: Transaction::Wrapped,
        raw_digest: [1; 32],
        normalised_digest: [1; 32],
        marked: Vec::new(),
    };
    let plan = plan_script(session.engine().dialect(), &script).context("the script can run")?;
    let order = Order {
        step: step.to_string(),
        direction: Direction::Up,
        digest: script.raw_digest,
        script,
        plan: plan.into(),
        verify: None,
        probe: None,
        token: Token(1),
    };
    match session.apply(&order).await? {
        Outcome::Applied { rows, ms, .. } => Ok((rows, ms)),
        Outcome::Already(_) => bail!("the database is not empty: it has had step {step}"),
    }
}
