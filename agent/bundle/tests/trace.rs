//! What each definition is said to leave in the schema.

use skein_bundle::sql::trace::leaves_home;
use skein_bundle::sql::{Class, Dialect, Trace, View, facts, trace};

fn check(dialect: Dialect, home: Option<&str>, rows: &[(Trace, &[&str])]) {
    for (expected, statements) in rows {
        for statement in *statements {
            let found = trace(dialect, statement, View { home, left: false });
            assert_eq!(found, *expected, "{statement}");
            // The executor asks of nothing else.
            let class = facts(dialect, statement).class;
            assert!(class == Class::Ddl || *expected == Trace::Upkeep, "{statement}: {class:?}");
        }
    }
}

#[test]
fn mysql() {
    check(
        Dialect::Mysql,
        Some("shop"),
        &[
            (
                Trace::Whole,
                &[
                    "CREATE TABLE t (a int)",
                    "CREATE TABLE IF NOT EXISTS `shop`.`t` (a int)",
                    "CREATE TABLE t AS SELECT * FROM archive.t",
                    "CREATE TABLE t (a int REFERENCES archive.u (a))",
                    "CREATE UNIQUE INDEX i ON t (a)",
                    "CREATE OR REPLACE VIEW v AS SELECT u.a FROM u",
                    "CREATE DEFINER=`a`@`%` PROCEDURE p() SELECT 1",
                    "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1",
                    "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM t",
                    "ALTER TABLE t ADD c int",
                    "ALTER TABLE t WAIT 5 ADD c int, ALGORITHM=INPLACE, LOCK=NONE",
                    "ALTER TABLE t ADD c int, AUTO_INCREMENT=5",
                    "ALTER TABLE t DROP INDEX i, ADD INDEX i (a)",
                    "ALTER TABLE t DROP COLUMN a, ADD COLUMN b int",
                    "ALTER TABLE t MODIFY id bigint AUTO_INCREMENT",
                    "ALTER TABLE t CHANGE a a bigint, CHANGE b b bigint",
                    "ALTER TABLE t ENGINE=InnoDB ROW_FORMAT=DYNAMIC",
                    "ALTER TABLE t DROP PARTITION p",
                    "ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4",
                    "SET STATEMENT lock_wait_timeout=1 FOR ALTER TABLE t ADD c int",
                    "DROP TABLE IF EXISTS t, shop.u",
                    "DROP INDEX i ON t",
                    "RENAME TABLE t TO u",
                ],
            ),
            (
                Trace::Part,
                &[
                    "CREATE OR REPLACE TABLE t (a int)",
                    "CREATE OR REPLACE SEQUENCE s",
                    "ALTER SEQUENCE s INCREMENT 5 RESTART",
                    "CREATE EVENT e ON SCHEDULE AT CURRENT_TIMESTAMP DO DELETE FROM t",
                    "ALTER TABLE t ENGINE=InnoDB, AUTO_INCREMENT=5",
                    "ALTER TABLE t DROP COLUMN a, ADD COLUMN `A` int",
                    "ALTER TABLE t CHANGE a b int, CHANGE b a int FIRST",
                ],
            ),
            (
                Trace::None,
                &[
                    "TRUNCATE TABLE t",
                    "ALTER TABLE t TRUNCATE PARTITION p",
                    "ALTER TABLE t DISCARD TABLESPACE",
                    "ALTER TABLE t AUTO_INCREMENT=5",
                    "GRANT SELECT ON t TO app",
                    "REVOKE SELECT ON t FROM app",
                    "CREATE USER app",
                    "CREATE DATABASE other",
                    "CREATE FUNCTION f RETURNS INTEGER SONAME 'f.so'",
                    "SET PASSWORD FOR app = ''",
                    "RENAME USER a TO b",
                    "ALTER TABLE archive.t ADD c int",
                    "ALTER TABLE `archive` . `t` ADD c int",
                    "CREATE INDEX i ON archive.t (a)",
                    "DROP TABLE t, archive.t",
                ],
            ),
            (
                Trace::Upkeep,
                &["OPTIMIZE TABLE t", "ANALYZE LOCAL TABLE t", "CHECK TABLE t", "REPAIR TABLE t"],
            ),
        ],
    );
}

#[test]
fn postgres() {
    check(
        Dialect::Postgres,
        None,
        &[
            (
                Trace::Whole,
                &[
                    "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON other.t (a)",
                    "DROP INDEX CONCURRENTLY i",
                    "CREATE SCHEMA s",
                    "CREATE EXTENSION e",
                    "CREATE TYPE c AS ENUM ('a')",
                    "ALTER TYPE c ADD VALUE IF NOT EXISTS 'b'",
                    "ALTER TABLE t ADD COLUMN owner text",
                    "ALTER TABLE t ALTER COLUMN a TYPE bigint, ALTER a SET NOT NULL",
                    "ALTER TABLE t VALIDATE CONSTRAINT c",
                    "ALTER TABLE ONLY t SET (fillfactor = 70)",
                    "ALTER INDEX i RENAME TO j",
                    "ALTER SEQUENCE s OWNED BY t.a",
                    "SELECT a INTO u FROM t",
                    "CREATE MATERIALIZED VIEW v AS SELECT 1",
                ],
            ),
            (
                Trace::Part,
                &[
                    "ALTER SEQUENCE s INCREMENT 5 RESTART",
                    "ALTER FUNCTION f(int) OWNER TO app",
                    "ALTER TABLE t ALTER a SET NOT NULL, OWNER TO app",
                    "DROP OWNED BY app",
                ],
            ),
            (
                Trace::None,
                &[
                    "TRUNCATE t",
                    "ALTER TABLE t OWNER TO app",
                    "ALTER TABLE t ALTER a TYPE int USING a * 100",
                    "ALTER TABLE t ALTER a RESTART WITH 5",
                    "ALTER TABLE t SET TABLESPACE fast",
                    "REASSIGN OWNED BY a TO b",
                    "COMMENT ON TABLE t IS 'x'",
                    "GRANT SELECT ON t TO app",
                    "CREATE DATABASE other",
                    "ALTER SYSTEM SET work_mem = '8MB'",
                    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app",
                    "CREATE PUBLICATION p FOR TABLE t",
                    "CREATE TYPE c",
                ],
            ),
            (
                Trace::Upkeep,
                &["VACUUM t", "REINDEX TABLE CONCURRENTLY t", "CLUSTER", "ANALYZE", "CHECKPOINT"],
            ),
        ],
    );
    // A target that is one schema.
    check(
        Dialect::Postgres,
        Some("tenant"),
        &[
            (Trace::Whole, &["ALTER TABLE t ADD c int", "ALTER TABLE Tenant.t ADD c int"]),
            (
                Trace::None,
                &[
                    "ALTER TABLE public.t ADD c int",
                    "CREATE INDEX CONCURRENTLY i ON \"Tenant\".t (a)",
                    "DROP INDEX CONCURRENTLY public.i",
                    "CREATE SCHEMA s",
                    "CREATE EXTENSION e",
                ],
            ),
        ],
    );
}

#[test]
fn sqlite() {
    check(
        Dialect::Sqlite,
        Some("main"),
        &[
            (Trace::Whole, &["CREATE TABLE t (a)", "ALTER TABLE Main.t ADD c", "DROP TABLE t"]),
            (Trace::None, &["ALTER TABLE other.t ADD c", "VACUUM INTO 'x'"]),
            (Trace::Upkeep, &["VACUUM", "REINDEX t"]),
        ],
    );
}

#[test]
fn a_session_that_went_elsewhere() {
    use Dialect::{Mysql, Postgres, Sqlite};
    let all = "SET STATEMENT_TIMEOUT = 0";
    for (dialect, statement, left) in [
        (Mysql, "USE archive", true),
        (Mysql, "SET sql_mode = ''", false),
        (Sqlite, "ATTACH 'o.db' AS o", true),
        (Postgres, "SET search_path TO other", true),
        (Postgres, "SELECT set_config('search_path', 'other', false)", true),
        (Postgres, "SET SCHEMA 'other'", true),
        (Postgres, "RESET ALL", true),
        (Postgres, all, false),
    ] {
        assert_eq!(leaves_home(dialect, statement), left, "{statement}");
        let (home, alter) = (Some("main"), "ALTER TABLE t ADD c int");
        let found = trace(dialect, alter, View { home, left });
        assert_eq!(found == Trace::None, left, "{statement}");
    }
    let named = "ALTER TABLE main.t ADD c int";
    let view = View { home: Some("main"), left: true };
    assert_eq!(trace(Mysql, named, view), Trace::Whole);
}
