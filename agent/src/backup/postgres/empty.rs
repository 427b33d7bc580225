//! What a PostgreSQL database holds, and the script that empties it for a restore.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;

use super::super::error::BackupError;
use super::super::source::Postgres;
use super::failed;

/// Schemas and extensions that are there already.
#[derive(Debug, Default)]
pub(super) struct There {
    pub(super) schemas: BTreeSet<String>,
    pub(super) extensions: BTreeSet<String>,
    /// Relations and routines that neither the system nor an extension brought.
    pub(super) objects: i64,
    /// The tables of the target's fence, quoted. Several targets may be schemas of one database.
    pub(super) fences: Vec<String>,
}

pub(super) async fn look(
    connection: &mut PgConnection,
    place: &Postgres,
) -> Result<There, BackupError> {
    let failed = |error| failed("looking at what is there", place, error);
    let schemas: Vec<String> = sqlx::query_scalar("SELECT nspname::text FROM pg_namespace")
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    let extensions: Vec<String> = sqlx::query_scalar("SELECT extname::text FROM pg_extension")
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    let objects: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                                   AND d.objid = c.oid AND d.deptype = 'e'))
              + (SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                 WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
                                   AND d.objid = p.oid AND d.deptype = 'e'))",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    let fences = sqlx::query_scalar(
        "SELECT format('%I.%I', n.nspname, c.relname)
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relname = '_skein_fence' AND c.relkind IN ('r', 'p')
            AND ($1 IS NULL OR n.nspname = $1)
          ORDER BY 1",
    )
    .bind(place.schema.as_deref())
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    Ok(There {
        schemas: schemas.into_iter().collect(),
        extensions: extensions.into_iter().collect(),
        objects,
        fences,
    })
}

/// Removes tables, views, sequences, routines and types, but nothing named `_skein_…` and nothing
/// that an extension brought; schemas that the archive does not know go too. Runs inside the
/// restore's own transaction. What it does not know (operators, text search, …) makes the restore
/// fail as a whole and leaves the database as it was.
pub(super) fn script(schema: Option<&str>, kept: &BTreeSet<String>) -> String {
    let only = match schema {
        Some(schema) => format!("AND nspname = {}", literal(schema)),
        None => String::new(),
    };
    let kept: Vec<String> = kept.iter().map(|schema| literal(schema)).collect();
    let kept = format!("ARRAY[{}]::text[]", kept.join(", "));
    let whole = schema.is_none();
    format!(
        r"DO $skein$
DECLARE
  item record;
  spaces oid[] := ARRAY(SELECT oid FROM pg_namespace
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' {only});
BEGIN
  FOR item IN
    SELECT format('%s IF EXISTS %I.%I', CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
                    WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                  n.nspname, c.relname) AS called
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relnamespace = ANY (spaces) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      AND c.relname !~ '^_skein_'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                      AND d.objid = c.oid AND d.deptype IN ('e', 'i')
                      AND (d.deptype = 'e' OR c.relkind = 'S'))
    ORDER BY c.relkind = 'S', c.oid
  LOOP
    -- An earlier one may have taken it along.
    EXECUTE 'DROP ' || item.called || ' CASCADE';
  END LOOP;
  FOR item IN
    SELECT p.oid::regprocedure::text AS called FROM pg_proc p
    WHERE p.pronamespace = ANY (spaces) AND p.proname !~ '^_skein_'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
                      AND d.objid = p.oid AND d.deptype = 'e')
  LOOP
    EXECUTE 'DROP ROUTINE IF EXISTS ' || item.called || ' CASCADE';
  END LOOP;
  FOR item IN
    SELECT format('%I.%I', n.nspname, t.typname) AS called
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE t.typnamespace = ANY (spaces)
      AND (t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND c.relkind = 'c'))
      AND t.typname !~ '^_skein_'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass
                      AND d.objid = t.oid AND d.deptype = 'e')
  LOOP
    EXECUTE 'DROP TYPE IF EXISTS ' || item.called || ' CASCADE';
  END LOOP;
  FOR item IN
    SELECT n.nspname AS called FROM pg_namespace n
    WHERE {whole} AND n.oid = ANY (spaces) AND n.nspname <> 'public' AND n.nspname <> ALL ({kept})
      AND NOT EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid)
      AND NOT EXISTS (SELECT FROM pg_extension e WHERE e.extnamespace = n.oid)
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass
                      AND d.objid = n.oid AND d.deptype = 'e')
  LOOP
    EXECUTE format('DROP SCHEMA %I CASCADE', item.called);
  END LOOP;
END
$skein$;
"
    )
}

/// A string constant whatever `standard_conforming_strings` says.
fn literal(text: &str) -> String {
    // A dollar sign could end the block that it is in.
    let text = text.replace('\\', "\\\\").replace('\'', "\\'").replace('$', "\\044");
    format!("E'{text}'")
}
