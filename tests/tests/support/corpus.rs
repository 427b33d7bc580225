//! Real migration histories, read past Skein, and what a server makes of the same files by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use skein_agent::db::Engine;
use skein_tests::servers::provision::Tools;

use super::database::{Database, Server};

/// The variable that names the directory of all histories.
const CORPORA: &str = "SKEIN_CORPORA";

/// One history, in its own order.
#[derive(Debug)]
pub(crate) struct Corpus {
    pub(crate) steps: Vec<Step>,
    pub(crate) migrations: PathBuf,
}

#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) version: String,
    up: String,
    down: Option<String>,
}

impl Corpus {
    /// The history of that name, or nothing, said aloud.
    pub(crate) fn find(name: &str, test: &str) -> Option<Self> {
        let Some(corpora) = std::env::var_os(CORPORA) else {
            skein_tests::skip(test, &format!("{CORPORA} is not set"));
            return None;
        };
        let dir = Path::new(&corpora).join(name);
        let migrations = dir.join("migrations");
        let text = fs::read_to_string(dir.join("manifest.json")).expect("a corpus has a manifest");
        let manifest: Value = serde_json::from_str(&text).expect("a manifest is JSON");
        let steps = manifest["order"].as_array().expect("a manifest lists its migrations");
        let read = |file: &str| {
            fs::read_to_string(migrations.join(file)).expect("a file of the manifest is there")
        };
        let step = |entry: &Value| {
            let files: Vec<&str> = entry["files"]
                .as_array()
                .expect("a migration has files")
                .iter()
                .filter_map(Value::as_str)
                .collect();
            let down = files.iter().find(|file| file.ends_with(".down.sql"));
            let up = files.iter().find(|file| !file.ends_with(".down.sql"));
            Step {
                version: entry["version"].as_str().expect("a migration has a version").to_owned(),
                up: read(up.expect("a migration has an up")),
                down: down.map(|file| read(file)),
            }
        };
        let steps = steps.iter().map(step).collect();
        Some(Self { steps, migrations })
    }

    /// The versions, in their order.
    pub(crate) fn versions(&self) -> Vec<String> {
        self.steps.iter().map(|step| step.version.clone()).collect()
    }

    /// Where a version stands in the order.
    pub(crate) fn at(&self, version: &str) -> usize {
        let at = self.steps.iter().position(|step| step.version == version);
        at.unwrap_or_else(|| panic!("the history has no {version}"))
    }
}

/// What the server itself makes of the files, with Skein nowhere near.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) database: Database,
}

impl Reference {
    pub(crate) async fn new(server: &Server) -> Self {
        Self { database: server.database("reference").await }
    }

    pub(crate) async fn up(&self, steps: &[Step]) {
        for step in steps {
            self.feed(&step.up)
                .await
                .unwrap_or_else(|error| panic!("the up of {}: {error}", step.version));
        }
    }

    /// Undoes the steps given, the last one first.
    pub(crate) async fn down(&self, steps: &[Step]) {
        for step in steps.iter().rev() {
            self.down_one(step)
                .await
                .unwrap_or_else(|error| panic!("the down of {}: {error}", step.version));
        }
    }

    /// Undoes one step, as far as the server goes along.
    pub(crate) async fn down_one(&self, step: &Step) -> Result<(), sqlx::Error> {
        let down = step.down.as_ref();
        let down = down.unwrap_or_else(|| panic!("{} has no down", step.version));
        self.feed(down).await
    }

    async fn feed(&self, file: &str) -> Result<(), sqlx::Error> {
        let is_comment = |line: &str| line.trim().is_empty() || line.trim().starts_with("--");
        // MariaDB calls a file of nothing but comments an empty query, and an error.
        if file.lines().all(is_comment) {
            return Ok(());
        }
        self.database.raw(file).await
    }
}

/// The schema in the words of the server's own tool, Skein's tables left out: a second opinion that
/// shares nothing with Skein's reading of the catalogues.
pub(crate) async fn dump(database: &Database) -> String {
    match database.engine {
        Engine::Sqlite => {
            let sql = "SELECT type || ' ' || name || ' on ' || tbl_name || ' ' || coalesce(sql, '') \
                       FROM sqlite_master WHERE tbl_name NOT LIKE '\\_skein\\_%' ESCAPE '\\' \
                       AND tbl_name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1";
            database.column(sql).await.expect("a file can be read").join("\n")
        }
        Engine::Postgres => {
            let mut dump = Tools::find().command("pg_dump").expect("pg_dump is there");
            dump.args(["--schema-only", "--no-owner", "--no-privileges"]);
            dump.arg("--exclude-table=_skein_*").arg(&database.url);
            said(dump, |line| {
                let noise = ["--", "SET ", "SELECT pg_catalog.set_config", "\\restrict"];
                let noise = noise.iter().any(|start| line.starts_with(start));
                !noise && !line.starts_with("\\unrestrict")
            })
        }
        Engine::Mysql => {
            let mut dump = Tools::find().command("mariadb-dump").expect("mariadb-dump is there");
            let socket = database.url.rsplit_once("socket=").expect("servers listen on a socket").1;
            dump.arg("--no-defaults").arg(format!("--socket={socket}")).arg("--user=root");
            dump.args(["--no-data", "--routines", "--triggers", "--skip-comments"]);
            for table in ["fence", "intent", "ledger", "progress"] {
                dump.arg(format!("--ignore-table={}._skein_{table}", database.name));
            }
            dump.arg(&database.name);
            said(dump, |line| !line.starts_with("/*"))
        }
    }
}

/// What a tool wrote to its stdout, less the lines that are no schema.
fn said(mut tool: Command, keep: impl Fn(&str) -> bool) -> String {
    let output = tool.output().expect("a tool can be run");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool:?}: {error}");
    let text = String::from_utf8_lossy(&output.stdout);
    let counter = |line: &str| match line.split_once(" AUTO_INCREMENT=") {
        None => line.to_owned(),
        Some((start, rest)) => {
            format!("{start}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
    };
    let lines = text.lines().filter(|line| !line.is_empty() && keep(line)).map(counter);
    lines.collect::<Vec<_>>().join("\n")
}
