//! How far replicas are behind. PostgreSQL's primary knows; of MariaDB and MySQL each replica is asked itself.
//!
//! A PostgreSQL replica says how far it is whenever it gets or has applied something, and at rest every ten
//! seconds. What it has not answered yet counts from its last word; where that is too long, it is asked once more,
//! since something may have been written this very moment.

use std::time::Duration;

use super::{Asked, Held, figure, over, unread, value};
use crate::db::{Engine, Location, Named};
use crate::text::chain;

/// Behind by no more than one segment, for a time that nobody knows, is not far behind.
const BYTES_MAX: i64 = 16 << 20;
/// Between two looks at a primary.
const AGAIN: Duration = Duration::from_millis(200);

const POSTGRES: &str = "SELECT COALESCE(NULLIF(application_name, ''), pid::text) || COALESCE(' at ' || pg_catalog.host(client_addr), '') AS replica, \
     state, \
     pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn() \
     ELSE pg_catalog.pg_current_wal_lsn() END, replay_lsn)::bigint AS behind, \
     (EXTRACT(epoch FROM replay_lag) * 1000)::bigint AS lag_ms, \
     (EXTRACT(epoch FROM pg_catalog.clock_timestamp() - reply_time) * 1000)::bigint AS silent_ms \
     FROM pg_catalog.pg_stat_replication WHERE state IS DISTINCT FROM 'backup';";

/// The replica that is furthest behind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Lag {
    ms: u64,
    replica: String,
}

pub(super) async fn measure(asked: &Asked<'_>, (limit, replicas): (u64, u32)) -> Result<(), Held> {
    let location = asked.location().await?;
    let furthest = match location.engine() {
        Engine::Postgres => {
            let first = of_primary(&asked.rows(&location, POSTGRES).await?, replicas);
            match first {
                Ok(Some(lag)) if lag.ms >= limit => {
                    tokio::time::sleep(AGAIN).await;
                    of_primary(&asked.rows(&location, POSTGRES).await?, replicas)?
                }
                first => first?,
            }
        }
        Engine::Mysql => of_replicas(asked, replicas).await?,
        Engine::Sqlite if replicas == 0 => None,
        Engine::Sqlite => return unread("an SQLite file has no replicas"),
    };
    match furthest {
        Some(Lag { ms, replica }) if ms >= limit => {
            let (lag, limit) = (figure::seconds(ms), figure::seconds(limit));
            over(format!("replica lag {lag} >= {limit} on replica {replica}"))
        }
        Some(_) | None => Ok(()),
    }
}

fn of_primary(rows: &[Named], least: u32) -> Result<Option<Lag>, Held> {
    let (mut count, mut furthest) = (0, None);
    for row in rows {
        let column = |wanted: &str| value(row, |name| name == wanted);
        let number = |wanted: &str| column(wanted).and_then(|text| text.parse::<i64>().ok());
        let replica = column("replica").unwrap_or_default();
        let Some(state) = column("state") else {
            return unread("replicas are hidden from this user; GRANT pg_monitor TO it");
        };
        let Some(behind) = number("behind") else {
            // What keeps the log and applies nothing is no replica.
            if state == "streaming" {
                continue;
            }
            return unread(format!(
                "replica {replica} has just come and does not say how far it is"
            ));
        };
        count += 1;
        let silent = number("silent_ms").unwrap_or_default();
        let ms = match number("lag_ms") {
            _ if behind <= 0 => 0,
            Some(lag) => lag.max(silent),
            None if behind > BYTES_MAX => {
                let mib = behind >> 20;
                return unread(format!(
                    "replica {replica} is {mib} MiB behind, and for how long is not known"
                ));
            }
            None => silent,
        };
        let ms = u64::try_from(ms).unwrap_or_default();
        furthest = furthest.max(Some(Lag { ms, replica: replica.to_owned() }));
    }
    enough(count, least)?;
    Ok(furthest)
}

fn enough(count: u32, least: u32) -> Result<(), Held> {
    if count >= least {
        return Ok(());
    }
    let is = if count == 1 { "is" } else { "are" };
    unread(format!("{count} of {least} replicas {is} connected"))
}

async fn of_replicas(asked: &Asked<'_>, least: u32) -> Result<Option<Lag>, Held> {
    let replicas = &asked.target.replicas;
    let count = u32::try_from(replicas.len()).unwrap_or(u32::MAX);
    if count < least {
        return unread(format!(
            "the agent's skein.toml names {count} `replicas` of this target, and {least} must be there"
        ));
    }
    let each = replicas.iter().zip(1_usize..).map(async |(url, number)| {
        let read = url.read(&asked.target.directory).await;
        let read = read.map_err(|error| {
            let why = chain(&error).replace("the target's URL", "its URL");
            Held::Unread(format!("replica {number}: {why}"))
        })?;
        let location = Location::parse(read.expose(), None)
            .map_err(|error| Held::Unread(format!("replica {number}: {}", chain(&error))))?;
        if location.engine() != Engine::Mysql {
            return unread(format!("the URL of replica {number} is for another engine"));
        }
        let rows = match asked.rows(&location, "SHOW REPLICA STATUS").await {
            // MySQL before 8.0.22.
            Err(Held::Unread(why)) if why.contains("syntax") => {
                asked.rows(&location, "SHOW SLAVE STATUS").await
            }
            told => told,
        };
        let replica = location.server();
        of_replica(&replica, &rows?)
    });
    let mut furthest = None;
    for lag in futures::future::join_all(each).await {
        furthest = furthest.max(Some(lag?));
    }
    Ok(furthest)
}

/// One with several sources has a row for each.
fn of_replica(replica: &str, rows: &[Named]) -> Result<Lag, Held> {
    let mut ms = None;
    for row in rows {
        for thread in ["_IO_Running", "_SQL_Running"] {
            let runs = row.iter().find(|(name, _)| name.ends_with(thread));
            if let Some((name, told)) = runs
                && told.as_deref() != Some("Yes")
            {
                let told = told.as_deref().unwrap_or("NULL");
                return unread(format!("replica {replica} does not replicate ({name}: {told})"));
            }
        }
        let seconds = value(row, |name| name.starts_with("Seconds_Behind_"));
        let Some(seconds) = seconds.and_then(|text| text.parse::<u64>().ok()) else {
            return unread(format!("replica {replica} does not say how far it is behind"));
        };
        ms = ms.max(Some(seconds.saturating_mul(1_000)));
    }
    match ms {
        Some(ms) => Ok(Lag { ms, replica: replica.to_owned() }),
        None => unread(format!("{replica} is no replica, or this user may not see that it is one")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: &[(&str, &str)]) -> Named {
        let value = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        columns.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect()
    }

    fn told(lag: Result<Option<Lag>, Held>) -> String {
        match lag {
            Ok(Some(lag)) => format!("{} ms {}", lag.ms, lag.replica),
            Ok(None) => "none".to_owned(),
            Err(Held::Over(why) | Held::Unread(why)) => why,
        }
    }

    #[test]
    fn what_a_primary_says_of_its_replicas() {
        let of = |replica, state, behind, lag, silent| {
            row(&[
                ("replica", replica),
                ("state", state),
                ("behind", behind),
                ("lag_ms", lag),
                ("silent_ms", silent),
            ])
        };
        let idle = of("a", "streaming", "0", "3000", "9000");
        let slow = of("b", "streaming", "400", "2400", "100");
        let mute = of("b", "streaming", "400", "5", "7000");
        let new = of("c", "catchup", "40000000", "", "5");
        let keeps = of("d", "streaming", "", "", "5");
        let hidden = of("e", "", "", "", "");
        for (rows, least, expect) in [
            (vec![idle.clone()], 1, "0 ms a"),
            (vec![idle.clone(), slow], 2, "2400 ms b"),
            (vec![idle.clone(), mute], 1, "7000 ms b"),
            (
                vec![idle.clone(), new],
                1,
                "replica c is 38 MiB behind, and for how long is not known",
            ),
            (vec![keeps], 1, "0 of 1 replicas are connected"),
            (vec![hidden], 0, "replicas are hidden from this user; GRANT pg_monitor TO it"),
            (vec![idle], 2, "1 of 2 replicas is connected"),
            (vec![], 0, "none"),
        ] {
            assert_eq!(told(of_primary(&rows, least)), expect);
        }
    }

    #[test]
    fn what_a_replica_says_of_itself() {
        let of = |io, sql, behind| {
            row(&[
                ("Slave_IO_Running", io),
                ("Slave_SQL_Running", sql),
                ("Slave_SQL_Running_State", "reading"),
                ("Seconds_Behind_Master", behind),
            ])
        };
        let new = row(&[
            ("Replica_IO_Running", "Yes"),
            ("Replica_SQL_Running", "Yes"),
            ("Seconds_Behind_Source", "7"),
        ]);
        for (rows, expect) in [
            (vec![of("Yes", "Yes", "0")], "0 ms r"),
            (vec![of("Yes", "Yes", "3"), new], "7000 ms r"),
            (vec![of("Yes", "No", "")], "replica r does not replicate (Slave_SQL_Running: No)"),
            (vec![of("Connecting", "Yes", "0")], "(Slave_IO_Running: Connecting)"),
            (vec![of("Yes", "Yes", "")], "does not say how far"),
            (vec![], "r is no replica"),
        ] {
            let told = told(of_replica("r", &rows).map(Some));
            assert!(told.contains(expect), "{told}");
        }
    }
}
