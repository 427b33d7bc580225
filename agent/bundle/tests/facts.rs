//! What each statement is said to do.

use skein_bundle::sql::Class::{Ddl, Dml, Opaque, Query, Session, TransactionControl};
use skein_bundle::sql::{Class, Dialect, Facts, facts};

/// `(statement, class, transactional, lock, table, destructive)`
type Row = (&'static str, Class, bool, &'static str, &'static str, bool);

fn check(dialect: Dialect, rows: &[Row]) {
    for (statement, class, transactional, lock, table, destructive) in rows {
        let found = facts(dialect, statement);
        let Facts { lock: found_lock, table: found_table, .. } = &found;
        let seen = (
            found.class,
            found.transactional,
            found_lock.map_or("", |lock| lock.name),
            found_table.as_deref().unwrap_or(""),
            found.destructive,
        );
        assert_eq!(seen, (*class, *transactional, *lock, *table, *destructive), "{statement}");
        assert_eq!(found.transactional, found.why_not.is_none(), "{statement}");
        // The executor runs these two inside of a transaction without asking.
        assert!(found.transactional || !matches!(class, Dml | Query), "{statement}");
        assert!(found_lock.is_none_or(|lock| !lock.meaning.is_empty()), "{statement}");
    }
}

#[test]
fn postgresql_definitions() {
    const AE: &str = "ACCESS EXCLUSIVE";
    const SUE: &str = "SHARE UPDATE EXCLUSIVE";
    const SRE: &str = "SHARE ROW EXCLUSIVE";
    check(
        Dialect::Postgres,
        &[
            ("CREATE TABLE IF NOT EXISTS s.t (a INT)", Ddl, true, "", "s.t", false),
            ("create table t (a int references u (b))", Ddl, true, SRE, "t", false),
            ("CREATE TABLE t PARTITION OF u FOR VALUES IN (1)", Ddl, true, AE, "t", false),
            ("CREATE TEMP TABLE t (a INT)", Session, true, "", "t", false),
            ("CREATE INDEX i ON ONLY t (a)", Ddl, true, "SHARE", "t", false),
            (
                "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (a)",
                Ddl,
                false,
                SUE,
                "t",
                false,
            ),
            ("CREATE OR REPLACE VIEW v AS SELECT 1", Ddl, true, AE, "v", false),
            (
                "CREATE OR REPLACE FUNCTION f() RETURNS int AS $$ x $$ LANGUAGE sql",
                Ddl,
                true,
                "",
                "f",
                false,
            ),
            (
                "CREATE CONSTRAINT TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION f()",
                Ddl,
                true,
                SRE,
                "t",
                false,
            ),
            ("CREATE POLICY p ON t USING (true)", Ddl, true, AE, "t", false),
            ("CREATE DATABASE d", Ddl, false, "", "d", false),
            ("CREATE TABLESPACE s LOCATION 'x'", Ddl, false, "", "s", false),
            ("DROP TABLE IF EXISTS t", Ddl, true, AE, "t", true),
            ("DROP INDEX i", Ddl, true, AE, "i", false),
            ("DROP INDEX CONCURRENTLY IF EXISTS i", Ddl, false, SUE, "i", false),
            ("DROP TRIGGER g ON t", Ddl, true, AE, "t", false),
            ("DROP SCHEMA s CASCADE", Ddl, true, AE, "s", true),
            ("DROP DATABASE d", Ddl, false, "", "d", true),
            ("DROP TYPE y", Ddl, true, "", "y", false),
            ("TRUNCATE TABLE ONLY t", Ddl, true, AE, "t", true),
            ("COMMENT ON TABLE t IS 'x'", Ddl, true, SUE, "t", false),
            ("GRANT SELECT ON t TO u", Ddl, true, "", "", false),
        ],
    );
}

#[test]
fn postgresql_alter_takes_the_strongest_lock_of_its_clauses() {
    const AE: &str = "ACCESS EXCLUSIVE";
    const SUE: &str = "SHARE UPDATE EXCLUSIVE";
    const SRE: &str = "SHARE ROW EXCLUSIVE";
    check(
        Dialect::Postgres,
        &[
            ("ALTER TABLE IF EXISTS ONLY t ADD COLUMN a INT", Ddl, true, AE, "t", false),
            ("ALTER TABLE t DROP COLUMN a", Ddl, true, AE, "t", true),
            ("ALTER TABLE t DROP a", Ddl, true, AE, "t", true),
            ("ALTER TABLE t DROP CONSTRAINT c", Ddl, true, AE, "t", false),
            ("ALTER TABLE t ALTER a DROP DEFAULT", Ddl, true, AE, "t", false),
            (
                "ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES u (b)",
                Ddl,
                true,
                SRE,
                "t",
                false,
            ),
            (
                "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u (b) NOT VALID",
                Ddl,
                true,
                SRE,
                "t",
                false,
            ),
            ("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 1)", Ddl, true, AE, "t", false),
            ("ALTER TABLE t VALIDATE CONSTRAINT c", Ddl, true, SUE, "t", false),
            (
                "ALTER TABLE t VALIDATE CONSTRAINT c, ADD FOREIGN KEY (a) REFERENCES u",
                Ddl,
                true,
                SRE,
                "t",
                false,
            ),
            ("ALTER TABLE t VALIDATE CONSTRAINT c, DROP a", Ddl, true, AE, "t", true),
            ("ALTER TABLE t ALTER COLUMN a SET STATISTICS 100", Ddl, true, SUE, "t", false),
            ("ALTER TABLE t ALTER COLUMN a SET NOT NULL", Ddl, true, AE, "t", false),
            (
                "ALTER TABLE t SET (fillfactor = 70, autovacuum_enabled = off)",
                Ddl,
                true,
                SUE,
                "t",
                false,
            ),
            ("ALTER TABLE t SET (user_catalog_table = on)", Ddl, true, AE, "t", false),
            ("ALTER TABLE t DISABLE TRIGGER ALL", Ddl, true, SRE, "t", false),
            ("ALTER TABLE t ENABLE REPLICA TRIGGER g", Ddl, true, SRE, "t", false),
            ("ALTER TABLE t ENABLE ROW LEVEL SECURITY", Ddl, true, AE, "t", false),
            ("ALTER TABLE t ATTACH PARTITION p DEFAULT", Ddl, true, SUE, "t", false),
            ("ALTER TABLE t DETACH PARTITION p", Ddl, true, AE, "t", false),
            ("ALTER TABLE t DETACH PARTITION p CONCURRENTLY", Ddl, false, SUE, "t", false),
            ("ALTER TABLE t RENAME TO u", Ddl, true, AE, "t", false),
            ("ALTER INDEX i RENAME TO j", Ddl, true, SUE, "i", false),
            ("ALTER SEQUENCE s RESTART", Ddl, true, SRE, "s", false),
            ("ALTER TYPE y ADD VALUE 'z'", Ddl, true, "", "y", false),
            ("ALTER SYSTEM SET x = 1", Ddl, false, "", "", false),
        ],
    );
}

#[test]
fn postgresql_the_rest() {
    const RE: &str = "ROW EXCLUSIVE";
    check(
        Dialect::Postgres,
        &[
            ("INSERT INTO t VALUES (1)", Dml, true, RE, "t", false),
            ("UPDATE ONLY \"T\" SET a = 1", Dml, true, RE, "\"T\"", false),
            ("DELETE FROM t", Dml, true, RE, "t", true),
            ("WITH x AS (DELETE FROM t RETURNING a) SELECT * FROM x", Dml, true, RE, "", true),
            ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", Dml, true, RE, "t", false),
            ("WITH x AS (SELECT 1) SELECT * FROM x", Query, true, "ACCESS SHARE", "x", false),
            ("SELECT count(*) FROM t", Query, true, "ACCESS SHARE", "t", false),
            ("SELECT a FROM t FOR UPDATE", Query, true, "ROW SHARE", "t", false),
            ("SELECT f()", Opaque, true, "", "", false),
            ("SELECT setval('s', 1)", Dml, true, "", "", false),
            (
                "SELECT pg_catalog.set_config('search_path', '', false)",
                Session,
                true,
                "",
                "",
                false,
            ),
            ("SELECT 1 INTO t", Ddl, true, "", "t", false),
            ("COPY t FROM '/x'", Dml, true, RE, "t", false),
            ("SET lock_timeout = '1s'", Session, true, "", "", false),
            ("DO $$ BEGIN END $$", Opaque, true, "", "", false),
            ("CALL p()", Opaque, true, "", "", false),
            ("VACUUM FULL t", Ddl, false, "ACCESS EXCLUSIVE", "t", false),
            ("VACUUM ANALYZE t", Ddl, false, "SHARE UPDATE EXCLUSIVE", "t", false),
            ("ANALYZE t", Query, true, "SHARE UPDATE EXCLUSIVE", "t", false),
            ("REINDEX TABLE CONCURRENTLY t", Ddl, false, "SHARE UPDATE EXCLUSIVE", "t", false),
            ("REINDEX INDEX i", Query, true, "ACCESS EXCLUSIVE", "i", false),
            ("REINDEX SCHEMA s", Ddl, false, "ACCESS EXCLUSIVE", "s", false),
            ("CLUSTER", Ddl, false, "ACCESS EXCLUSIVE", "", false),
            ("CLUSTER t USING i", Query, true, "ACCESS EXCLUSIVE", "t", false),
            ("REFRESH MATERIALIZED VIEW v", Dml, true, "ACCESS EXCLUSIVE", "v", false),
            ("REFRESH MATERIALIZED VIEW CONCURRENTLY v", Dml, true, "EXCLUSIVE", "v", false),
            (
                "LOCK TABLE t IN SHARE ROW EXCLUSIVE MODE",
                Session,
                true,
                "SHARE ROW EXCLUSIVE",
                "t",
                false,
            ),
            ("LOCK t", Session, true, "ACCESS EXCLUSIVE", "t", false),
            ("EXPLAIN ANALYZE DELETE FROM t", Dml, true, RE, "t", true),
            ("BEGIN", TransactionControl, true, "", "", false),
            ("PREPARE TRANSACTION 'x'", TransactionControl, true, "", "", false),
            ("PREPARE x AS SELECT 1", Session, true, "", "", false),
            ("", Opaque, true, "", "", false),
        ],
    );
}

#[test]
fn mysql() {
    const ML: &str = "metadata lock";
    check(
        Dialect::Mysql,
        &[
            ("CREATE TABLE IF NOT EXISTS t (a INT)", Ddl, false, "", "t", false),
            ("CREATE TABLE t (a INT REFERENCES u (b))", Ddl, false, ML, "t", false),
            ("CREATE OR REPLACE TABLE t (a INT)", Ddl, false, ML, "t", true),
            ("CREATE TEMPORARY TABLE t (a INT)", Session, true, "", "t", false),
            ("DROP TEMPORARY TABLE IF EXISTS t", Session, true, "", "t", false),
            ("ANALYZE TABLE t", Ddl, false, "", "t", false),
            ("ANALYZE UPDATE t SET a = 1", Dml, true, "row locks", "t", false),
            ("ANALYZE FORMAT=JSON DELETE FROM t", Dml, true, "row locks", "t", true),
            ("CREATE UNIQUE INDEX i ON t (a)", Ddl, false, ML, "t", false),
            (
                "CREATE DEFINER=`a`@`b` TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.a=1",
                Ddl,
                false,
                ML,
                "g",
                false,
            ),
            ("CREATE PROCEDURE p() BEGIN END", Ddl, false, "", "p", false),
            ("CREATE SQL SECURITY INVOKER VIEW v AS SELECT 1", Ddl, false, "", "v", false),
            ("ALTER TABLE t ADD COLUMN a INT, ADD INDEX (a)", Ddl, false, ML, "t", false),
            ("ALTER TABLE t DROP COLUMN a", Ddl, false, ML, "t", true),
            ("ALTER TABLE `d`.`t` ADD b INT, DROP a", Ddl, false, ML, "`d`.`t`", true),
            (
                "ALTER TABLE t DROP FOREIGN KEY a, DROP INDEX b, DROP PRIMARY KEY",
                Ddl,
                false,
                ML,
                "t",
                false,
            ),
            ("ALTER TABLE t DROP PARTITION p", Ddl, false, ML, "t", true),
            ("DROP TABLE t, u", Ddl, false, ML, "t", true),
            ("DROP INDEX i ON t", Ddl, false, ML, "t", false),
            ("DROP PROCEDURE IF EXISTS p", Ddl, false, "", "p", false),
            ("RENAME TABLE t TO u", Ddl, false, ML, "t", false),
            ("TRUNCATE t", Ddl, false, ML, "t", true),
            ("GRANT SELECT ON d.* TO u", Ddl, false, "", "", false),
            ("INSERT IGNORE INTO t VALUES (1)", Dml, true, "row locks", "t", false),
            ("DELETE FROM t", Dml, true, "row locks", "t", true),
            ("SELECT 1", Query, true, "", "", false),
            ("SELECT f(1)", Opaque, true, "", "", false),
            ("SELECT 1 INTO @a", Session, true, "", "", false),
            ("SELECT @a := 1", Session, true, "", "", false),
            ("SET @a = 1", Session, true, "", "", false),
            ("SET autocommit = 0", TransactionControl, false, "", "", false),
            (
                "SET STATEMENT max_statement_time=1 FOR DELETE FROM t",
                Dml,
                true,
                "row locks",
                "t",
                true,
            ),
            ("PREPARE s FROM @q", Session, true, "", "", false),
            ("EXECUTE s", Opaque, true, "", "", false),
            ("CALL p()", Opaque, true, "", "", false),
            ("LOCK TABLES t WRITE", Session, false, "table locks", "", false),
            ("OPTIMIZE TABLE t", Ddl, false, "", "t", false),
            ("START TRANSACTION", TransactionControl, true, "", "", false),
            ("/*!40101 SET NAMES utf8 */", Session, true, "", "", false),
        ],
    );
}

#[test]
fn sqlite() {
    const WD: &str = "whole database";
    check(
        Dialect::Sqlite,
        &[
            ("CREATE TABLE t (a)", Ddl, true, WD, "t", false),
            ("CREATE TEMP TABLE t (a)", Session, true, "", "t", false),
            ("CREATE VIRTUAL TABLE t USING fts5(a)", Ddl, true, WD, "t", false),
            ("CREATE UNIQUE INDEX IF NOT EXISTS i ON t (a)", Ddl, true, WD, "i", false),
            ("ALTER TABLE t DROP COLUMN a", Ddl, true, WD, "t", true),
            ("ALTER TABLE t RENAME TO u", Ddl, true, WD, "t", false),
            ("DROP TABLE IF EXISTS t", Ddl, true, WD, "t", true),
            ("DROP VIEW v", Ddl, true, WD, "v", false),
            ("INSERT OR REPLACE INTO t VALUES (1)", Dml, true, WD, "t", false),
            ("UPDATE OR IGNORE t SET a = 1", Dml, true, WD, "t", false),
            ("DELETE FROM [a b]", Dml, true, WD, "[a b]", true),
            ("WITH x AS (SELECT 1) DELETE FROM t", Dml, true, WD, "t", true),
            ("SELECT f()", Query, true, "", "", false),
            ("VACUUM", Ddl, false, WD, "", false),
            ("ATTACH 'x' AS y", Session, false, "", "", false),
            ("DETACH y", Session, false, "", "", false),
            ("PRAGMA journal_mode = WAL", Session, false, "", "", false),
            ("PRAGMA main.foreign_keys(1)", Session, false, "", "", false),
            ("PRAGMA foreign_keys", Session, true, "", "", false),
            ("PRAGMA user_version = 3", Session, true, "", "", false),
            ("END", TransactionControl, true, "", "", false),
        ],
    );
}
