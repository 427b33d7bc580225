//! Where statements end: tables of text and what it is cut into.

use skein_bundle::sql::{Class, Dialect, Split, split};

#[track_caller]
fn check(dialect: Dialect, text: &str, expected: &[(u32, &str)]) {
    match split(dialect, text, 1) {
        Split::Statements(statements) => {
            let found: Vec<(u32, &str)> =
                statements.iter().map(|one| (one.line, one.text.as_str())).collect();
            assert_eq!(found, expected);
        }
        Split::Whole { why, line } => panic!("unsure at line {line}: {why}\n{text}"),
    }
}

#[track_caller]
fn unsure(dialect: Dialect, text: &str, line: u32, reason: &str) {
    match split(dialect, text, 1) {
        Split::Statements(statements) => panic!("cut into {statements:#?}"),
        Split::Whole { why, line: found } => {
            assert!(why.contains(reason), "{why}");
            assert_eq!(found, line, "{why}");
        }
    }
}

const ALL: [Dialect; 3] = [Dialect::Postgres, Dialect::Mysql, Dialect::Sqlite];

#[test]
fn plain_statements_of_every_dialect() {
    for dialect in ALL {
        check(dialect, "", &[]);
        check(dialect, "  \n-- only a comment\n/* and another; */\n;;\n", &[]);
        check(dialect, "SELECT 1", &[(1, "SELECT 1")]);
        check(dialect, "\nSELECT 1;\n\n  SELECT 2 ; ", &[(2, "SELECT 1"), (4, "SELECT 2")]);
        check(
            dialect,
            "SELECT ';', \"a;b\"; SELECT 2",
            &[(1, "SELECT ';', \"a;b\""), (1, "SELECT 2")],
        );
        check(dialect, "-- a;b\nSELECT /* c;d */ 1 -- e;f\n; -- g", &[(2, "SELECT /* c;d */ 1")]);
        check(
            dialect,
            "SELECT 'it''s;'; SELECT 'ä;ö'",
            &[(1, "SELECT 'it''s;'"), (1, "SELECT 'ä;ö'")],
        );
        check(dialect, "a;\r\nb;\r\n", &[(1, "a"), (2, "b")]);
    }
}

#[test]
fn lines_count_from_the_first_line_given() {
    let Split::Statements(statements) = split(Dialect::Sqlite, "\nSELECT 1;\nSELECT 2", 40) else {
        panic!("must be sure");
    };
    assert_eq!(statements.iter().map(|one| one.line).collect::<Vec<_>>(), [41, 42]);
}

#[test]
fn quotes_of_postgresql() {
    let pg = Dialect::Postgres;
    check(pg, r"SELECT E'a\';b'; SELECT 2", &[(1, r"SELECT E'a\';b'"), (1, "SELECT 2")]);
    // Without E a backslash is an ordinary character.
    check(pg, r"SELECT 'a\'; SELECT 2", &[(1, r"SELECT 'a\'"), (1, "SELECT 2")]);
    check(pg, "DO $$ BEGIN; END $$; SELECT 1", &[(1, "DO $$ BEGIN; END $$"), (1, "SELECT 1")]);
    check(pg, "DO $a$ $b$;$$ $a$; x", &[(1, "DO $a$ $b$;$$ $a$"), (1, "x")]);
    check(pg, "SELECT a$b$c; SELECT $1; x", &[(1, "SELECT a$b$c"), (1, "SELECT $1"), (1, "x")]);
    check(pg, "/* a /* b; */ c; */ SELECT 1; x", &[(1, "SELECT 1"), (1, "x")]);
    check(pg, "SELECT 5 # 3; --x;\nx", &[(1, "SELECT 5 # 3"), (2, "x")]);
    unsure(pg, "SELECT 1;\nSELECT 'abc;", 2, "by ' is never closed");
    unsure(pg, "SELECT $q$ ; ", 1, "by $ is never closed");
    unsure(pg, "SELECT 1 /* /* */", 1, "comment opened here is never closed");
    unsure(pg, "SELECT (1;\nSELECT 2", 1, "parenthesis");
}

#[test]
fn compound_statements_of_postgresql() {
    let pg = Dialect::Postgres;
    let function = "CREATE OR REPLACE FUNCTION f(a int) RETURNS int LANGUAGE sql\nBEGIN ATOMIC\n  \
                    SELECT CASE WHEN a > 1 THEN 2 END;\n  SELECT 3;\nEND";
    check(pg, &format!("{function};\nSELECT 1;"), &[(1, function), (6, "SELECT 1")]);
    let rule = "CREATE RULE r AS ON INSERT TO t DO (INSERT INTO a VALUES (1); DELETE FROM b)";
    check(pg, &format!("{rule}; x"), &[(1, rule), (1, "x")]);
    // A column of that name is no block.
    check(
        pg,
        "CREATE FUNCTION f() RETURNS x.begin AS 'y' LANGUAGE c; x",
        &[(1, "CREATE FUNCTION f() RETURNS x.begin AS 'y' LANGUAGE c"), (1, "x")],
    );
    check(pg, "BEGIN; SELECT 1; END; x", &[(1, "BEGIN"), (1, "SELECT 1"), (1, "END"), (1, "x")]);
    unsure(pg, "CREATE FUNCTION f() RETURNS int\nBEGIN ATOMIC SELECT 1;", 2, "no END");
}

#[test]
fn quotes_of_mysql() {
    let my = Dialect::Mysql;
    check(my, r"SELECT 'a\';b', `c;``d`; x", &[(1, r"SELECT 'a\';b', `c;``d`"), (1, "x")]);
    check(my, r#"SELECT "a\";b"; x"#, &[(1, r#"SELECT "a\";b""#), (1, "x")]);
    check(my, "SELECT 1 # a;b\n; x", &[(1, "SELECT 1"), (2, "x")]);
    // Two dashes without a space are two signs.
    check(my, "SELECT 1--1; x", &[(1, "SELECT 1--1"), (1, "x")]);
    check(my, "SELECT 1 --\t;\n; x", &[(1, "SELECT 1"), (2, "x")]);
    check(my, "/*!40101 SET NAMES utf8 */; x", &[(1, "/*!40101 SET NAMES utf8 */"), (1, "x")]);
    check(my, "/*M!100100 SET a=';*/' */; x", &[(1, "/*M!100100 SET a=';*/' */"), (1, "x")]);
    unsure(my, "x;\n/*!40101 SET a=1; SET b=2 */;", 2, "conditional comment");
    unsure(my, "SET sql_mode = 'NO_BACKSLASH_ESCAPES'; x", 1, "sql_mode");
    unsure(my, "SET sql_mode=ORACLE; x", 1, "sql_mode");
}

#[test]
fn stored_programs_of_mysql_without_delimiter() {
    let my = Dialect::Mysql;
    for program in [
        "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END",
        "CREATE DEFINER=`a`@`%` PROCEDURE d.p(IN x INT) COMMENT 'c' BEGIN SELECT 1; END",
        "CREATE OR REPLACE DEFINER = CURRENT_USER() FUNCTION f() RETURNS INT DETERMINISTIC BEGIN RETURN 1; END",
        "CREATE PROCEDURE IF NOT EXISTS p() BEGIN IF EXISTS(SELECT 1) THEN SELECT 1; END IF; END",
        "CREATE PROCEDURE p() IF NOT EXISTS (SELECT 1) THEN SELECT 1; ELSEIF 2 THEN SELECT 2; ELSE SELECT 3; END IF",
        "CREATE FUNCTION f() RETURNS INT RETURN IF(1, 2, CASE WHEN 3 THEN 4 END)",
        "CREATE FUNCTION f() RETURNS SET('a','b') CHARACTER SET utf8 RETURN 'a'",
        "CREATE TRIGGER t BEFORE UPDATE ON x FOR EACH ROW SET NEW.a = CASE WHEN OLD.a THEN 1 ELSE 2 END",
        "CREATE TRIGGER t AFTER INSERT ON x FOR EACH ROW FOLLOWS u BEGIN INSERT INTO y VALUES (NEW.end); END",
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS NOW() DO BEGIN DELETE FROM t; DELETE FROM u; END",
        "ALTER EVENT e DO BEGIN SELECT 1; END",
        "CREATE PROCEDURE p() main: BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION, SQLSTATE '23000' BEGIN ROLLBACK; END; SELECT 1; END main",
        "CREATE PROCEDURE p() BEGIN DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = TRUE; \
         l: LOOP FETCH c INTO a; IF done THEN LEAVE l; END IF; END LOOP l; END",
        "CREATE PROCEDURE p() BEGIN WHILE i < 3 DO SET i = i + 1; END WHILE; REPEAT SET i = 1; UNTIL i END REPEAT; END",
        "CREATE PROCEDURE p() BEGIN CASE x WHEN 1 THEN SELECT 1; WHEN 2 THEN BEGIN END; ELSE SELECT CASE 1 WHEN 1 THEN 2 END; END CASE; END",
        "CREATE PROCEDURE p() BEGIN FOR i IN 1..3 DO SELECT i; END FOR; END",
        "BEGIN NOT ATOMIC IF 1 THEN SELECT 1; END IF; END",
        "IF 1 THEN SELECT 1; END IF",
        "CREATE PROCEDURE p() BEGIN START TRANSACTION; XA END 'a'; COMMIT; END",
        "CREATE FUNCTION f RETURNS STRING SONAME 'f.so'",
        "CREATE SQL SECURITY DEFINER VIEW v AS SELECT CASE 1 WHEN 1 THEN 2 END",
        "DROP PROCEDURE IF EXISTS p",
        "SHOW CREATE PROCEDURE p",
    ] {
        check(my, &format!("{program};\nSELECT 7;"), &[(1, program), (2, "SELECT 7")]);
    }
    // A transaction is no compound statement.
    check(my, "BEGIN; SELECT 1; COMMIT;", &[(1, "BEGIN"), (1, "SELECT 1"), (1, "COMMIT")]);
    check(
        my,
        "CREATE TABLE t (a INT, end INT); x",
        &[(1, "CREATE TABLE t (a INT, end INT)"), (1, "x")],
    );
}

#[test]
fn mysql_says_where_it_is_not_sure() {
    let my = Dialect::Mysql;
    unsure(my, "SELECT 1;\nCREATE PROCEDURE p()\nBEGIN SELECT 1;", 3, "no END");
    unsure(my, "CREATE PROCEDURE p() BEGIN IF 1 THEN\nSELECT 1; END; END;", 2, "does not fit");
    unsure(my, "SELECT 1;\nEND;", 2, "only closes");
    unsure(my, "CREATE PROCEDURE p() BEGIN SELECT end FROM t; END; x", 1, "does not fit");
}

#[test]
fn delimiter_commands_of_the_mysql_client() {
    let my = Dialect::Mysql;
    check(
        my,
        "DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; END//\nSELECT 2//\ndelimiter ;\nSELECT 3;",
        &[(2, "CREATE PROCEDURE p() BEGIN SELECT 1; END"), (3, "SELECT 2"), (5, "SELECT 3")],
    );
    // A dollar is part of a name, and a delimiter all the same.
    check(
        my,
        "DELIMITER $$\nCREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW BEGIN SET NEW.a=1; END$$\nDELIMITER ;",
        &[(2, "CREATE TRIGGER t BEFORE INSERT ON x FOR EACH ROW BEGIN SET NEW.a=1; END")],
    );
    check(
        my,
        "DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 TRIGGER t BEFORE INSERT ON x \
         FOR EACH ROW BEGIN SET NEW.a=1; END */;;\nDELIMITER ;\nx;",
        &[
            (
                2,
                "/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`b`*/ /*!50003 TRIGGER t BEFORE INSERT ON x \
                 FOR EACH ROW BEGIN SET NEW.a=1; END */",
            ),
            (4, "x"),
        ],
    );
    // Where the blocks are beyond the splitter, the author's word counts.
    check(
        my,
        "DELIMITER |\nCREATE PROCEDURE p() BEGIN SELECT end FROM t; END|\nDROP TABLE a; DROP TABLE b|",
        &[
            (2, "CREATE PROCEDURE p() BEGIN SELECT end FROM t; END"),
            (3, "DROP TABLE a"),
            (3, "DROP TABLE b"),
        ],
    );
    unsure(my, "DELIMITER //\nSELECT 'a//\n", 2, "never closed");
}

#[test]
fn triggers_of_sqlite() {
    let lite = Dialect::Sqlite;
    for trigger in [
        "CREATE TRIGGER t AFTER INSERT ON x BEGIN UPDATE y SET a = 1; DELETE FROM z; END",
        "CREATE TEMP TRIGGER IF NOT EXISTS t AFTER INSERT ON x BEGIN SELECT CASE WHEN 1 THEN 2 END; END",
    ] {
        check(lite, &format!("{trigger};\nSELECT 1;"), &[(1, trigger), (2, "SELECT 1")]);
        check(lite, trigger, &[(1, trigger)]);
    }
    check(lite, "SELECT [a;b], `c;d`; x", &[(1, "SELECT [a;b], `c;d`"), (1, "x")]);
    check(lite, "SELECT 1; /* open", &[(1, "SELECT 1")]);
    check(lite, "BEGIN; END; x", &[(1, "BEGIN"), (1, "END"), (1, "x")]);
    unsure(lite, "SELECT 1;\nCREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1;", 2, "trigger");
    unsure(lite, "SELECT [a", 1, "never closed");
}

#[test]
fn classes_travel_with_the_statements() {
    let text = "CREATE TABLE t (a INT); INSERT INTO t VALUES (1); SET @a = 1; SELECT a FROM t; CALL p(); COMMIT";
    let Split::Statements(statements) = split(Dialect::Mysql, text, 1) else {
        panic!("must be sure")
    };
    let classes: Vec<Class> = statements.iter().map(|one| one.class).collect();
    assert_eq!(
        classes,
        [
            Class::Ddl,
            Class::Dml,
            Class::Session,
            Class::Query,
            Class::Opaque,
            Class::TransactionControl
        ]
    );
}
