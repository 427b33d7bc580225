//! PostgreSQL: transactional, but for the statements that refuse a transaction.

mod connect;
mod failure;
mod observe;
mod schema;

pub(super) use connect::PostgresConnection;
