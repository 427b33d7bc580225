//! What a target is, row by row.

use std::collections::BTreeMap;

use tokio::sync::Semaphore;

use crate::support::Database;

/// Databases that are looked into at one time.
const AT_ONCE: usize = 16;

/// A target as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    pub(crate) in_force: Vec<String>,
    schema: String,
    customers: Vec<String>,
    /// One count for each customer.
    pub(crate) visits: Vec<i64>,
    /// Empty where the table is not there.
    pub(crate) emails: Vec<String>,
}

/// Every target, by its id.
pub(crate) async fn rows(databases: &[Database]) -> BTreeMap<String, Rows> {
    let free = Semaphore::new(AT_ONCE);
    let all = databases.iter().map(async |database| {
        let _turn = free.acquire().await.expect("it is not closed");
        (database.id.clone(), of(database).await)
    });
    futures::future::join_all(all).await.into_iter().collect()
}

async fn of(database: &Database) -> Rows {
    let column = async |sql: &str| {
        let rows = database.column(sql).await;
        rows.unwrap_or_else(|error| panic!("{}: {sql}: {error}", database.id))
    };
    let text = "coalesce(email, '')";
    let customers = column(&format!("SELECT {text} FROM customers ORDER BY id")).await;
    let visits = column("SELECT cast(visits AS char(9)) FROM customers ORDER BY id").await;
    let schema = database.schema().await;
    let emails = if schema.contains("emails") {
        column("SELECT email FROM emails ORDER BY email").await
    } else {
        Vec::new()
    };
    Rows {
        in_force: database.in_force().await,
        schema,
        customers,
        visits: visits.iter().map(|one| one.trim().parse().expect("a count")).collect(),
        emails,
    }
}
