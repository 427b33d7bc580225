//! MariaDB and MySQL: data definition commits by itself, so files run statement by statement.

mod connect;
mod failure;
mod observe;
mod schema;

pub(super) use connect::MysqlConnection;
