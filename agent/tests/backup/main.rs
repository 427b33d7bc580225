//! Backups of real databases: taken, checked, damaged, restored.
//!
//! PostgreSQL and MariaDB are those that `SKEIN_TEST_POSTGRES` and `SKEIN_TEST_MARIADB` name; every
//! test makes databases of its own there and drops them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod destination;
mod mariadb;
mod postgres;
mod sqlite;
mod support;
