//! Each of the five formats from end to end, as its own tool lays the files out: up, status, down
//! by one, down to nothing, up again.

mod support;
#[expect(dead_code, reason = "each file of tests uses its own part")]
mod verbs_alone;

use support::{Database, Project, Server};
use verbs_alone::Alone;

/// Files, and the versions that they make.
struct Layout {
    format: &'static str,
    files: &'static [(&'static str, &'static str)],
    versions: [&'static str; 2],
}

const UP_1: &str = "CREATE TABLE one (id integer primary key);\n";
const UP_2: &str = "ALTER TABLE one ADD COLUMN two text;\n";
const DOWN_1: &str = "DROP TABLE one;\n";
const DOWN_2: &str = "ALTER TABLE one DROP COLUMN two;\n";

const LAYOUTS: [Layout; 5] = [
    Layout {
        format: "golang-migrate",
        files: &[
            ("000001_one.up.sql", UP_1),
            ("000001_one.down.sql", DOWN_1),
            ("000002_two.up.sql", UP_2),
            ("000002_two.down.sql", DOWN_2),
        ],
        versions: ["1", "2"],
    },
    Layout {
        format: "sqlx",
        files: &[
            ("20240101000000_one.up.sql", UP_1),
            ("20240101000000_one.down.sql", DOWN_1),
            ("20240102000000_two.up.sql", UP_2),
            ("20240102000000_two.down.sql", DOWN_2),
        ],
        versions: ["20240101000000", "20240102000000"],
    },
    Layout {
        format: "dbmate",
        files: &[
            (
                "20240101000000_one.sql",
                "-- migrate:up\nCREATE TABLE one (id integer primary key);\n\n-- migrate:down\n\
                 DROP TABLE one;\n",
            ),
            (
                "20240102000000_two.sql",
                "-- migrate:up\nALTER TABLE one ADD COLUMN two text;\n\n-- migrate:down\n\
                 ALTER TABLE one DROP COLUMN two;\n",
            ),
        ],
        versions: ["20240101000000", "20240102000000"],
    },
    Layout {
        format: "diesel",
        files: &[
            ("2024-01-01-000000_one/up.sql", UP_1),
            ("2024-01-01-000000_one/down.sql", DOWN_1),
            ("2024-01-02-000000_two/up.sql", UP_2),
            ("2024-01-02-000000_two/down.sql", DOWN_2),
        ],
        versions: ["20240101000000", "20240102000000"],
    },
    Layout {
        format: "goose",
        files: &[
            (
                "00001_one.sql",
                "-- +goose Up\n-- +goose StatementBegin\nCREATE TABLE one (id integer primary \
                 key);\n-- +goose StatementEnd\n\n-- +goose Down\nDROP TABLE one;\n",
            ),
            (
                "00002_two.sql",
                "-- +goose Up\nALTER TABLE one ADD COLUMN two text;\n-- +goose Down\n\
                 ALTER TABLE one DROP COLUMN two;\n",
            ),
        ],
        versions: ["1", "2"],
    },
];

async fn columns(database: &Database) -> Vec<String> {
    database.column("SELECT name FROM pragma_table_info('one')").await.expect("it can be read")
}

/// `declared`: the project names its format; else the directory tells.
async fn up_and_down(layout: &Layout, declared: bool) {
    let project = Project::new(layout.format);
    for (name, text) in layout.files {
        project.write(&format!("m/{name}"), text);
    }
    let server = Server::sqlite(&project.join("db"));
    let databases = vec![server.database("t/1").await, server.database("t/2").await];
    let format = if declared { format!("format = \"{}\"\n", layout.format) } else { String::new() };
    let head = format!("[project]\nmigrations = \"m\"\n{format}");
    let alone = Alone::within(project, &databases, &head);
    let [one, two] = layout.versions;
    let stands = async |versions: &[&str], has: &[&str]| {
        for database in &databases {
            assert_eq!(database.in_force().await, versions, "{} {}", layout.format, database.id);
            assert_eq!(columns(database).await, has, "{} {}", layout.format, database.id);
        }
        let status = alone.json("migrate --status", 0);
        let newest = versions.last().copied().unwrap_or_default();
        let expected = serde_json::json!([{ "version": newest, "targets": 2 }]);
        assert_eq!(status["versions"], expected, "{}", layout.format);
    };
    alone.run("migrate --direction up --latest").exits(0);
    stands(&[one, two], &["id", "two"]).await;
    alone.run("migrate --latest").exits(0);
    stands(&[one, two], &["id", "two"]).await;
    alone.run("migrate --direction down").exits(0);
    stands(&[one], &["id"]).await;
    alone.run("migrate --direction down --target none").exits(0);
    stands(&[], &[]).await;
    alone.run(&format!("migrate --version {one}")).exits(0);
    stands(&[one], &["id"]).await;
    alone.run("migrate").exits(0);
    stands(&[one, two], &["id", "two"]).await;
    alone.run("verify").exits(0);
    alone.run("history verify").exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_goes_up_and_down() {
    for layout in &LAYOUTS {
        up_and_down(layout, true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_format_is_found_out_from_the_files() {
    for layout in &LAYOUTS {
        up_and_down(layout, false).await;
    }
}
