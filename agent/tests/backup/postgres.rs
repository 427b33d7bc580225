//! PostgreSQL: what is restored is what was there, and a restore happens whole or not at all.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use skein_agent::backup::{
    BackupError, Destination, Mode, Progress, Request, Scope, Source, Table, check, restore, take,
};
use sqlx::{Connection, Executor};

use crate::support::{
    Database, contains, damage_is_found, directory, files, output, pretend, processes, same, taken,
    unpacked, until,
};

const SETUP: &str = r#"
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE TABLE customers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, mood mood);
    CREATE TABLE orders (id serial PRIMARY KEY, customer bigint REFERENCES customers, what text, blob bytea, n positive);
    CREATE TABLE "Od""d.Table" ("a b" int);
    CREATE TABLE parts (id int, at date) PARTITION BY RANGE (at);
    CREATE TABLE parts_2026 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE INDEX by_what ON orders (what);
    CREATE VIEW seen AS SELECT o.what, c.mood FROM orders o JOIN customers c ON c.id = o.customer;
    CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM orders;
    CREATE FUNCTION shout(t text, m mood) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT upper(t) $$;
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.what := coalesce(NEW.what, '-'); RETURN NEW; END $$;
    CREATE TRIGGER touched BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION touch();
    CREATE SCHEMA side;
    CREATE TABLE side.notes (text text);
    INSERT INTO customers (name, mood) VALUES ('ünï', 'good'), ('zwei', 'bad');
    INSERT INTO orders (customer, what, blob, n) VALUES (1, E'line\nbreak\\', '\x00ff', 1), (2, NULL, NULL, NULL);
    INSERT INTO "Od""d.Table" VALUES (1), (NULL);
    INSERT INTO parts VALUES (1, '2026-06-01');
    INSERT INTO side.notes VALUES ('note');
    CREATE TABLE _skein_ledger (step text PRIMARY KEY, token bigint);
    INSERT INTO _skein_ledger VALUES ('one', 1);
"#;

/// Everything that `pg_dump` says of a database, without what differs from run to run.
fn everything(database: &Database) -> String {
    let source = database.url();
    let text = output(
        Command::new("/usr/bin/pg_dump").args(["--no-owner", "--inserts", "--dbname"]).arg(source),
    );
    let lines = text.lines().filter(|line| {
        !line.starts_with("\\restrict")
            && !line.starts_with("\\unrestrict")
            && !line.starts_with("--")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_database_comes_back_as_it_was() {
    let Some(live) = Database::postgres("a_database_comes_back_as_it_was").await else { return };
    let Some(scratch) = Database::postgres("a_database_comes_back_as_it_was").await else { return };
    live.run(SETUP).await;
    let dir = tempfile::tempdir().unwrap();
    for destination in
        [Destination::directory(dir.path()), Destination::parse("memory:///").unwrap()]
    {
        scratch.admin(&format!("DROP DATABASE {}", scratch.name)).await;
        scratch.admin(&format!("CREATE DATABASE {}", scratch.name)).await;
        let archive = taken(&live.source(), &Scope::Database, &destination).await;
        assert!(archive.tool.starts_with("pg_dump "), "{}", archive.tool);
        let restored =
            restore(&archive, &destination, &scratch.source(), Mode::Empty).await.unwrap();
        assert_eq!(
            restored.listing.tables,
            [
                "public.Od\"d.Table",
                "public._skein_ledger",
                "public.customers",
                "public.orders",
                "public.parts",
                "public.parts_2026",
                "side.notes"
            ]
        );
        assert_eq!(restored.left_out, Vec::<String>::new());
        same(&everything(&scratch), &everything(&live));
        let again = restore(&archive, &destination, &scratch.source(), Mode::Empty).await;
        assert!(matches!(again, Err(BackupError::NotEmpty { .. })), "{again:?}");
    }
    assert_eq!(files(dir.path()), [dir.path().join("a/backup.zst")]);
}

#[tokio::test]
async fn damage_is_found_in_a_postgres_archive() {
    let Some(live) = Database::postgres("damage_is_found_in_a_postgres_archive").await else {
        return;
    };
    live.run(SETUP).await;
    let (dir, destination) = directory();
    let archive = taken(&live.source(), &Scope::Database, &destination).await;
    damage_is_found(&archive, dir.path(), &destination).await;
}

#[tokio::test]
async fn replacing_leaves_the_ledger_and_removes_what_came_later() {
    let test = "replacing_leaves_the_ledger_and_removes_what_came_later";
    let Some(live) = Database::postgres(test).await else { return };
    live.run(SETUP).await;
    let (_dir, destination) = directory();
    let before = everything(&live);
    let archive = taken(&live.source(), &Scope::Database, &destination).await;
    live.run(
        "DELETE FROM orders; ALTER TABLE customers ADD COLUMN later int; DROP TABLE side.notes;
         CREATE TABLE later (id serial PRIMARY KEY); CREATE TYPE later_type AS (a int);
         CREATE FUNCTION later_function(later_type) RETURNS int LANGUAGE sql AS 'SELECT 1';
         CREATE AGGREGATE later_sum(int) (sfunc = int4pl, stype = int);
         CREATE SCHEMA later_schema; CREATE TABLE later_schema.t (a int REFERENCES later);
         CREATE VIEW over_ledger AS SELECT step FROM _skein_ledger;
         INSERT INTO _skein_ledger VALUES ('two', 2); CREATE TABLE _skein_intent (step text);",
    )
    .await;
    let restored = restore(&archive, &destination, &live.source(), Mode::Replace).await.unwrap();
    assert!(restored.left_out.iter().any(|it| it.starts_with("TABLE DATA public _skein_ledger")));
    let ledger = live.text("SELECT string_agg(step, ' ' ORDER BY step) FROM _skein_ledger").await;
    assert_eq!(ledger, "one two");
    live.run("DROP TABLE _skein_intent; DELETE FROM _skein_ledger WHERE step = 'two'").await;
    same(&everything(&live), &before);
}

#[tokio::test]
async fn a_restore_that_fails_changes_nothing() {
    let test = "a_restore_that_fails_changes_nothing";
    let Some(live) = Database::postgres(test).await else { return };
    live.run(SETUP).await;
    let (_dir, destination) = directory();
    let scope = Scope::Tables(vec![Table::named("customers")]);
    let archive = taken(&live.source(), &scope, &destination).await;
    let before = everything(&live);
    // Orders refer to customers, so the server refuses to drop them.
    let failed = restore(&archive, &destination, &live.source(), Mode::Replace).await;
    let Err(BackupError::ToolFailed { said, .. }) = &failed else { panic!("{failed:?}") };
    assert!(said.contains("customers"), "{said}");
    same(&everything(&live), &before);

    // An archive that changes between its check and its restore is noticed before the commit:
    // here, one that `pg_restore` reads well and that has an end too many.
    let archive = taken_as(&live.source(), &Scope::Database, &destination, "b.zst").await;
    live.run("INSERT INTO side.notes VALUES ('later')").await;
    let before = everything(&live);
    let other =
        skein_agent::backup::Archive { sha256: skein_agent::backup::Sha256([0; 32]), ..archive };
    let failed = restore(&other, &destination, &live.source(), Mode::Replace).await;
    assert!(matches!(failed, Err(BackupError::DigestDiffers { .. })), "{failed:?}");
    same(&everything(&live), &before);
}

async fn taken_as(
    source: &Source,
    scope: &Scope,
    destination: &Destination,
    name: &str,
) -> skein_agent::backup::Archive {
    let request = Request { source, scope, destination, name, fingerprint: [0; 32] };
    take(&request, &Progress::none()).await.unwrap()
}

#[tokio::test]
async fn tables_are_taken_by_their_exact_names() {
    let Some(live) = Database::postgres("tables_are_taken_by_their_exact_names").await else {
        return;
    };
    live.run(SETUP).await;
    let (_dir, destination) = directory();
    let tables = vec![
        Table::named("Od\"d.Table"),
        Table::in_schema("side", "notes"),
        Table::in_schema("public", "orders"),
    ];
    let scope = Scope::Tables(tables.clone());
    let archive = taken(&live.source(), &scope, &destination).await;
    assert_eq!(archive.scope, scope);
    let listing = check(&archive, &destination).await.unwrap();
    assert_eq!(listing.tables, ["public.Od\"d.Table", "public.orders", "side.notes"]);

    live.run("DELETE FROM side.notes; DELETE FROM orders; DELETE FROM customers WHERE id = 2; INSERT INTO customers OVERRIDING SYSTEM VALUE VALUES (2, 'new', 'bad')").await;
    restore(&archive, &destination, &live.source(), Mode::Replace)
        .await
        .expect_err("a view depends on orders");
    live.run("DROP VIEW seen; DROP MATERIALIZED VIEW counted").await;
    restore(&archive, &destination, &live.source(), Mode::Replace).await.unwrap();
    assert_eq!(live.text("SELECT count(*)::text FROM orders").await, "2");
    assert_eq!(live.text("SELECT text FROM side.notes").await, "note");
    // Tables that were not named keep their later writes.
    assert_eq!(live.text("SELECT name FROM customers WHERE id = 2").await, "new");

    // A name that is not there is an error, not a smaller backup.
    for missing in ["od\"d.table", "ord*", "nothing"] {
        let scope = Scope::Tables(vec![Table::named("orders"), Table::named(missing)]);
        let request = Request {
            source: &live.source(),
            scope: &scope,
            destination: &destination,
            name: "missing.zst",
            fingerprint: [0; 32],
        };
        let failed = take(&request, &Progress::none()).await;
        assert!(matches!(failed, Err(BackupError::ToolFailed { .. })), "{missing}: {failed:?}");
    }
    let none = Request {
        source: &live.source(),
        scope: &Scope::Tables(Vec::new()),
        destination: &destination,
        name: "none.zst",
        fingerprint: [0; 32],
    };
    let failed = take(&none, &Progress::none()).await;
    assert!(matches!(failed, Err(BackupError::Unsupported { .. })), "{failed:?}");
}

#[tokio::test]
async fn definitions_alone_have_no_rows_and_replace_nothing() {
    let test = "definitions_alone_have_no_rows_and_replace_nothing";
    let Some(live) = Database::postgres(test).await else { return };
    let Some(scratch) = Database::postgres(test).await else { return };
    live.run(SETUP).await;
    let (_dir, destination) = directory();
    let archive = taken(&live.source(), &Scope::SchemaOnly, &destination).await;
    restore(&archive, &destination, &scratch.source(), Mode::Empty).await.unwrap();
    assert_eq!(scratch.text("SELECT count(*)::text FROM customers").await, "0");
    assert_eq!(scratch.text("SELECT shout('a', 'good')").await, "A");
    let refused = restore(&archive, &destination, &live.source(), Mode::Replace).await;
    assert!(matches!(refused, Err(BackupError::Unsupported { .. })), "{refused:?}");
    assert_eq!(live.text("SELECT count(*)::text FROM customers").await, "2");
}

#[tokio::test]
async fn a_tenants_schema_is_taken_and_replaced_alone() {
    let test = "a_tenants_schema_is_taken_and_replaced_alone";
    let Some(live) = Database::postgres(test).await else { return };
    let Some(scratch) = Database::postgres(test).await else { return };
    for tenant in ["tenant_1", "Tenant 2"] {
        live.run(&format!(
            "CREATE SCHEMA \"{tenant}\"; SET search_path = \"{tenant}\";
             CREATE TABLE t (a text); INSERT INTO t VALUES ('{tenant}');
             CREATE TABLE _skein_ledger (step text); INSERT INTO _skein_ledger VALUES ('one');"
        ))
        .await;
    }
    let (_dir, destination) = directory();
    let one = live.schema("Tenant 2");
    let archive = taken(&one, &Scope::Database, &destination).await;
    assert_eq!(archive.schema.as_deref(), Some("Tenant 2"));
    live.run("UPDATE tenant_1.t SET a = 'later'; UPDATE \"Tenant 2\".t SET a = 'later'; INSERT INTO \"Tenant 2\"._skein_ledger VALUES ('two'); CREATE TABLE \"Tenant 2\".later (a int)").await;

    let other = restore(&archive, &destination, &live.schema("tenant_1"), Mode::Replace).await;
    assert!(matches!(other, Err(BackupError::Unsupported { .. })), "{other:?}");
    restore(&archive, &destination, &one, Mode::Replace).await.unwrap();
    assert_eq!(live.text("SELECT a FROM \"Tenant 2\".t").await, "Tenant 2");
    assert_eq!(live.text("SELECT a FROM tenant_1.t").await, "later");
    assert_eq!(live.text("SELECT count(*)::text FROM \"Tenant 2\"._skein_ledger").await, "2");
    assert_eq!(
        live.text("SELECT coalesce(to_regclass('\"Tenant 2\".later')::text, 'gone')").await,
        "gone"
    );

    restore(&archive, &destination, &scratch.schema("Tenant 2"), Mode::EmptyWithoutLedger)
        .await
        .unwrap();
    assert_eq!(scratch.text("SELECT a FROM \"Tenant 2\".t").await, "Tenant 2");
    let ledger = "SELECT coalesce(to_regclass('\"Tenant 2\"._skein_ledger')::text, 'none')";
    assert_eq!(scratch.text(ledger).await, "none");

    let nobody = Request {
        source: &live.schema("tenant_%"),
        scope: &Scope::Database,
        destination: &destination,
        name: "nobody.zst",
        fingerprint: [0; 32],
    };
    let failed = take(&nobody, &Progress::none()).await;
    assert!(matches!(failed, Err(BackupError::ToolFailed { .. })), "{failed:?}");
}

/// A dump that waits for a lock is looked at, then dropped.
#[tokio::test]
async fn a_running_dump_shows_no_password_and_dies_with_its_future() {
    let test = "a_running_dump_shows_no_password_and_dies_with_its_future";
    let Some(live) = Database::postgres(test).await else { return };
    live.run("CREATE TABLE held (a int)").await;
    let role = format!("{}_role", live.name);
    let canary = "can:ary\\pass word";
    live.admin(&format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'can:ary\\pass word'")).await;
    let (dir, destination) = directory();
    let source = Source::from_url(&live.url_as(&role, canary), None).unwrap();

    let mut holder = sqlx::PgConnection::connect(&live.url()).await.unwrap();
    holder.execute("BEGIN; LOCK TABLE held IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let taking = tokio::spawn({
        let destination = destination.clone();
        async move {
            let request = Request {
                source: &source,
                scope: &Scope::Database,
                destination: &destination,
                name: "x.zst",
                fingerprint: [0; 32],
            };
            take(&request, &Progress::none()).await
        }
    });
    let running = || processes("pg_dump", &live.name);
    until("pg_dump", async || !running().is_empty()).await;
    until("its wait for the lock", async || {
        let waiting = "SELECT (count(*) > 0)::text FROM pg_stat_activity WHERE application_name = 'pg_dump' AND datname = current_database() AND wait_event_type = 'Lock'";
        let waiting_named = waiting.replace("application_name = 'pg_dump'", "application_name IN ('pg_dump', 'skein-backup')");
        live.text(&waiting_named).await == "true"
    })
    .await;
    let mut passfiles = Vec::new();
    for id in running() {
        for file in ["cmdline", "environ"] {
            let bytes = std::fs::read(format!("/proc/{id}/{file}")).unwrap();
            assert!(!contains(&bytes, "can:ary"), "{file} of the running dump has the password");
            let text = String::from_utf8_lossy(&bytes).into_owned();
            passfiles.extend(
                text.split('\0').filter_map(|it| it.strip_prefix("PGPASSFILE=").map(str::to_owned)),
            );
        }
    }
    assert_eq!(passfiles.len(), 1);
    let passfile = passfiles.pop().unwrap();
    {
        let mode = std::fs::metadata(&passfile).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(std::fs::read_to_string(&passfile).unwrap(), "*:*:*:*:can\\:ary\\\\pass word\n");
    }
    taking.abort();
    assert!(taking.await.unwrap_err().is_cancelled());
    until("the end of pg_dump", async || running().is_empty()).await;
    until("the end of the half archive", async || files(dir.path()).is_empty()).await;
    assert!(!std::path::Path::new(&passfile).exists(), "the password file stays");
    holder.close().await.unwrap();
    live.admin(&format!("DROP ROLE {role}")).await;
}

#[tokio::test]
async fn errors_name_the_database_and_no_password() {
    let Some(live) = Database::postgres("errors_name_the_database_and_no_password").await else {
        return;
    };
    let (dir, destination) = directory();
    let role = format!("{}_nobody", live.name);
    let source = Source::from_url(&live.url_as(&role, "canary-secret"), None).unwrap();
    let failed = taken_error(&source, &destination).await;
    let shown = format!("{failed} {failed:?}");
    assert!(shown.contains(&live.name), "{shown}");
    assert!(!shown.contains("canary"), "{shown}");
    assert_eq!(files(dir.path()), Vec::<std::path::PathBuf>::new());

    // A table that the role may not read: pg_dump's own words reach the error.
    live.run(&format!(
        "CREATE TABLE secret (a int); CREATE ROLE {role} LOGIN PASSWORD 'canary-secret'"
    ))
    .await;
    let failed = taken_error(&source, &destination).await;
    let shown = format!("{failed} {failed:?}");
    assert!(shown.contains("permission denied for table secret"), "{shown}");
    assert!(!shown.contains("canary"), "{shown}");
    assert_eq!(files(dir.path()), Vec::<std::path::PathBuf>::new());
    live.admin(&format!("DROP ROLE {role}")).await;
}

async fn taken_error(source: &Source, destination: &Destination) -> BackupError {
    let request = Request {
        source,
        scope: &Scope::Database,
        destination,
        name: "x.zst",
        fingerprint: [0; 32],
    };
    take(&request, &Progress::none()).await.unwrap_err()
}

#[tokio::test]
async fn an_archive_is_restored_by_the_tools_alone() {
    let test = "an_archive_is_restored_by_the_tools_alone";
    let Some(live) = Database::postgres(test).await else { return };
    let Some(scratch) = Database::postgres(test).await else { return };
    live.run(SETUP).await;
    let (dir, destination) = directory();
    let archive = taken(&live.source(), &Scope::Database, &destination).await;
    let by_hand = format!(
        "set -e; zstd -dc '{}' | pg_restore --no-owner --exit-on-error --single-transaction --dbname '{}'",
        dir.path().join(&archive.location).display(),
        scratch.url()
    );
    output(Command::new("sh").args(["-c", &by_hand]));
    same(&everything(&scratch), &everything(&live));
    assert!(unpacked(&archive, dir.path()).starts_with(b"PGDMP"));
    let (_, lying) = pretend(&archive, b"PGDMP");
    assert_ne!(lying.sha256, archive.sha256);
}
