//! Exactly once, whatever is killed: five faults on two engines, in rounds at random moments.
//!
//! ```text
//! chance   the seed, the number of rounds, random moments
//! arena    one cluster and one server for all rounds; new databases and agents for each
//! truth    after a round: effects, schema, ledger and log say the same
//! faults   what is killed, and when
//! plain    without a fault, and without evidence
//! ```
//!
//! `SKEIN_ROUNDS` says how many rounds (20), `SKEIN_SEED` repeats the moments of an earlier run as far
//! as the machine's own timing allows.

#[path = "../support/mod.rs"]
mod support;

mod arena;
mod chance;
mod faults;
mod plain;
mod truth;

use arena::Kind;
use faults::Fault;

macro_rules! rounds {
    ($($name:ident: $fault:expr, $kind:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            faults::rounds(stringify!($name), $fault, $kind).await;
        }
    )*};
}

rounds! {
    kill9_rounds_of_the_leader_on_postgres: Fault::Leader, Kind::Postgres;
    kill9_rounds_of_the_leader_on_mariadb: Fault::Leader, Kind::Mariadb;
    kill9_rounds_of_an_agent_before_its_report_on_postgres: Fault::BeforeReport, Kind::Postgres;
    kill9_rounds_of_an_agent_before_its_report_on_mariadb: Fault::BeforeReport, Kind::Mariadb;
    kill9_rounds_of_an_agent_amid_statements_on_postgres: Fault::AmidStatements, Kind::Postgres;
    kill9_rounds_of_an_agent_amid_statements_on_mariadb: Fault::AmidStatements, Kind::Mariadb;
    kill9_rounds_of_the_server_on_postgres: Fault::Server, Kind::Postgres;
    kill9_rounds_of_the_server_on_mariadb: Fault::Server, Kind::Mariadb;
    kill9_rounds_amid_a_rollback_on_postgres: Fault::AmidRollback, Kind::Postgres;
    kill9_rounds_amid_a_rollback_on_mariadb: Fault::AmidRollback, Kind::Mariadb;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_without_a_fault_on_postgres() {
    plain::both_ways("both_ways_without_a_fault_on_postgres", Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_without_a_fault_on_mariadb() {
    plain::both_ways("both_ways_without_a_fault_on_mariadb", Kind::Mariadb).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill9_amid_an_opaque_call_is_stuck_on_postgres() {
    plain::opaque("kill9_amid_an_opaque_call_is_stuck_on_postgres", Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill9_amid_an_opaque_call_is_stuck_on_mariadb() {
    plain::opaque("kill9_amid_an_opaque_call_is_stuck_on_mariadb", Kind::Mariadb).await;
}
