//! The schema of a PostgreSQL database out of its catalogue, in one query.
//!
//! Left out beside what the rule leaves out: whatever an extension owns (the extension and its
//! version count instead), collations, casts, operators, text search, foreign servers, publications.

use crate::db::answer::{Answer, text};
use crate::db::batch::At;
use crate::db::fingerprint::{Key, Schema};
use crate::db::location::Engine;
use crate::db::sql::{literal, name};

/// Where in the answers to [`query`] the rows stand.
pub(super) const AT: At = At(3);

/// For a whole database names are written with their schema; for a target that is one schema
/// without, so that a thousand tenants with one schema have one fingerprint.
pub(super) fn query(one_schema: Option<&str>) -> String {
    let (path, spaces, shown, whole) = match one_schema {
        Some(schema) => (
            name(Engine::Postgres, schema),
            format!("n.nspname = {}", literal(Engine::Postgres, schema)),
            "''",
            "false",
        ),
        None => (
            "pg_catalog".to_owned(),
            "n.nspname <> 'information_schema' AND left(n.nspname, 3) <> 'pg_'".to_owned(),
            "quote_ident(n.nspname) || '.'",
            "true",
        ),
    };
    let sql = ROWS.replace("@SPACES@", &spaces).replace("@SHOWN@", shown).replace("@WHOLE@", whole);
    format!(
        "BEGIN READ ONLY; SET LOCAL search_path TO {path}; SET LOCAL jit = off;\n{sql};\nCOMMIT;"
    )
}

pub(super) fn read(answer: &Answer) -> Schema {
    let mut schema = Schema::default();
    for row in &answer.rows {
        let part = |at| text(row, at).unwrap_or_default().to_owned();
        let key = Key { kind: part(0), name: part(1), on: part(2) };
        // Bodies of routines keep their lines.
        schema.push(key, part(3).lines().map(str::to_owned));
    }
    schema
}

const ROWS: &str = r"
WITH ns AS MATERIALIZED (
  SELECT n.oid, @SHOWN@ AS shown, quote_ident(n.nspname) || '.' AS qualifier
  FROM pg_catalog.pg_namespace n WHERE @SPACES@
), owned AS MATERIALIZED (
  SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'
), rel AS MATERIALIZED (
  SELECT c.*, ns.shown || quote_ident(c.relname) AS name, ns.qualifier, ns.shown
  FROM pg_catalog.pg_class c JOIN ns ON ns.oid = c.relnamespace
  WHERE left(c.relname, 7) <> '_skein_' AND c.relpersistence <> 't'
  AND NOT EXISTS (SELECT 1 FROM owned
    WHERE owned.classid = 'pg_catalog.pg_class'::regclass AND owned.objid = c.oid)
), line(kind, name, hangs_on, place, body) AS (
  SELECT 'table', rel.name, rel.name, 0,
    'kind ' || rel.relkind::text || ' ' || rel.relpersistence::text
    || COALESCE(' with ' || array_to_string(rel.reloptions, ', '), '')
    || CASE WHEN rel.relrowsecurity THEN ' row security' ELSE '' END
    || CASE WHEN rel.relforcerowsecurity THEN ' forced' ELSE '' END
    || COALESCE(' partitioned by ' || pg_get_partkeydef(rel.oid), '')
    || COALESCE(' bound ' || pg_get_expr(rel.relpartbound, rel.oid), '')
    || COALESCE((SELECT ' inherits ' || string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno)
         FROM pg_catalog.pg_inherits i WHERE i.inhrelid = rel.oid), '')
  FROM rel WHERE rel.relkind IN ('r', 'p', 'f')
UNION ALL
  SELECT CASE rel.relkind WHEN 'c' THEN 'type' WHEN 'v' THEN 'view' WHEN 'm' THEN 'view' ELSE 'table' END,
    rel.name, rel.name, 10 + row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum),
    'column ' || quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
    || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
    || CASE WHEN a.attidentity <> '' THEN ' identity ' || a.attidentity::text ELSE '' END
    || CASE WHEN a.attgenerated <> '' THEN ' generated ' || a.attgenerated::text ELSE '' END
    || COALESCE(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
    || CASE WHEN a.attcollation <> t.typcollation
         THEN ' collate ' || a.attcollation::regcollation::text ELSE '' END
  FROM rel JOIN pg_catalog.pg_attribute a ON a.attrelid = rel.oid
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE rel.relkind IN ('r', 'p', 'f', 'v', 'm', 'c') AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
  SELECT 'table', rel.name, rel.name, 100000,
    'constraint ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid, true)
  FROM rel JOIN pg_catalog.pg_constraint k ON k.conrelid = rel.oid
  WHERE k.contype IN ('c', 'f', 'p', 'u', 'x')
UNION ALL
  SELECT 'index', irel.name, rel.name, 0,
    pg_get_indexdef(i.indexrelid, 0, true)
    || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END
    || CASE WHEN i.indisready THEN '' ELSE ' NOT READY' END
    || CASE WHEN i.indimmediate THEN '' ELSE ' DEFERRED' END
    || CASE WHEN i.indisreplident THEN ' REPLICA IDENTITY' ELSE '' END
  FROM pg_catalog.pg_index i JOIN rel ON rel.oid = i.indrelid JOIN rel irel ON irel.oid = i.indexrelid
UNION ALL
  SELECT 'view', rel.name, rel.name, 200000,
    CASE WHEN rel.relkind = 'm' THEN 'materialized ' ELSE '' END
    || COALESCE('with ' || array_to_string(rel.reloptions, ', ') || ' ', '')
    || pg_get_viewdef(rel.oid, true)
  FROM rel WHERE rel.relkind IN ('v', 'm')
UNION ALL
  SELECT 'sequence', rel.name,
    COALESCE((SELECT owner.name FROM pg_catalog.pg_depend o JOIN rel owner ON owner.oid = o.refobjid
         WHERE o.objid = rel.oid AND o.classid = 'pg_catalog.pg_class'::regclass
         AND o.refclassid = 'pg_catalog.pg_class'::regclass AND o.deptype IN ('a', 'i') LIMIT 1),
       rel.name), 0,
    format_type(s.seqtypid, NULL) || ' start ' || s.seqstart || ' by ' || s.seqincrement
    || ' from ' || s.seqmin || ' to ' || s.seqmax || ' cache ' || s.seqcache
    || CASE WHEN s.seqcycle THEN ' cycle' ELSE '' END
    || COALESCE((SELECT ' owned by ' || o.refobjid::regclass::text || '.' || quote_ident(oa.attname)
         FROM pg_catalog.pg_depend o
         JOIN pg_catalog.pg_attribute oa ON oa.attrelid = o.refobjid AND oa.attnum = o.refobjsubid
         WHERE o.objid = rel.oid AND o.classid = 'pg_catalog.pg_class'::regclass
         AND o.refclassid = 'pg_catalog.pg_class'::regclass AND o.deptype IN ('a', 'i') LIMIT 1), '')
  FROM rel JOIN pg_catalog.pg_sequence s ON s.seqrelid = rel.oid
UNION ALL
  SELECT 'trigger', quote_ident(g.tgname), rel.name, 0,
    replace(pg_get_triggerdef(g.oid, true), CASE WHEN rel.shown = '' THEN rel.qualifier ELSE '' END, '')
    || ' enabled ' || g.tgenabled::text
  FROM rel JOIN pg_catalog.pg_trigger g ON g.tgrelid = rel.oid
  WHERE NOT g.tgisinternal
UNION ALL
  SELECT 'rule', quote_ident(w.rulename), rel.name, 0, pg_get_ruledef(w.oid, true) || ' enabled ' || w.ev_enabled::text
  FROM rel JOIN pg_catalog.pg_rewrite w ON w.ev_class = rel.oid
  WHERE w.rulename <> '_RETURN'
UNION ALL
  SELECT 'policy', quote_ident(p.polname), rel.name, 0,
    p.polcmd::text || CASE WHEN p.polpermissive THEN ' permissive' ELSE ' restrictive' END
    || ' to ' || COALESCE((SELECT string_agg(r.rolname, ', ' ORDER BY r.rolname)
         FROM pg_catalog.pg_roles r WHERE r.oid = ANY (p.polroles)), 'public')
    || COALESCE(' using ' || pg_get_expr(p.polqual, p.polrelid), '')
    || COALESCE(' check ' || pg_get_expr(p.polwithcheck, p.polrelid), '')
  FROM rel JOIN pg_catalog.pg_policy p ON p.polrelid = rel.oid
UNION ALL
  SELECT 'statistics', ns.shown || quote_ident(e.stxname), rel.name, 0, pg_get_statisticsobjdef(e.oid)
  FROM pg_catalog.pg_statistic_ext e JOIN ns ON ns.oid = e.stxnamespace JOIN rel ON rel.oid = e.stxrelid
UNION ALL
  SELECT CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END,
    ns.shown || quote_ident(p.proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')',
    ns.shown || quote_ident(p.proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')', 0,
    CASE WHEN p.prokind = 'a' THEN (SELECT g.aggkind::text || ' over ' || g.aggtransfn::regproc::text || ' state '
           || format_type(g.aggtranstype, NULL) || ' final ' || g.aggfinalfn::regproc::text
           || COALESCE(' from ' || g.agginitval, '')
         FROM pg_catalog.pg_aggregate g WHERE g.aggfnoid = p.oid)
      ELSE replace(pg_get_functiondef(p.oid), CASE WHEN ns.shown = '' THEN ns.qualifier ELSE '' END, '') END
  FROM pg_catalog.pg_proc p JOIN ns ON ns.oid = p.pronamespace
  WHERE NOT EXISTS (SELECT 1 FROM owned
    WHERE owned.classid = 'pg_catalog.pg_proc'::regclass AND owned.objid = p.oid)
UNION ALL
  SELECT CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END,
    ns.shown || quote_ident(t.typname), ns.shown || quote_ident(t.typname), 0,
    CASE t.typtype
      WHEN 'e' THEN 'enum ' || COALESCE((SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
           FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid), '')
      WHEN 'd' THEN 'over ' || format_type(t.typbasetype, t.typtypmod)
           || CASE WHEN t.typnotnull THEN ' not null' ELSE '' END
           || COALESCE(' default ' || t.typdefault, '')
           || COALESCE((SELECT string_agg(' ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid, true), '' ORDER BY k.conname)
                FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'), '')
      WHEN 'r' THEN 'range over ' || (SELECT format_type(r.rngsubtype, NULL)
           FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid)
      ELSE 'composite' END
  FROM pg_catalog.pg_type t JOIN ns ON ns.oid = t.typnamespace
  LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
  WHERE (t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND c.relkind = 'c'))
  AND NOT EXISTS (SELECT 1 FROM owned
    WHERE owned.classid = 'pg_catalog.pg_type'::regclass AND owned.objid = t.oid)
UNION ALL
  SELECT 'extension', quote_ident(x.extname), quote_ident(x.extname), 0, 'version ' || x.extversion
  FROM pg_catalog.pg_extension x WHERE @WHOLE@
UNION ALL
  SELECT 'schema', quote_ident(n.nspname), quote_ident(n.nspname), 0, ''
  FROM pg_catalog.pg_namespace n WHERE @WHOLE@ AND @SPACES@
UNION ALL
  SELECT 'event trigger', quote_ident(v.evtname), quote_ident(v.evtname), 0,
    v.evtevent::text || ' call ' || v.evtfoid::regproc::text || ' enabled ' || v.evtenabled::text
    || COALESCE(' for ' || array_to_string(v.evttags, ', '), '')
  FROM pg_catalog.pg_event_trigger v WHERE @WHOLE@
)
SELECT kind, name, hangs_on, body FROM line
ORDER BY kind, name, hangs_on, place, body";
