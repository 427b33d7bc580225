//! Beside the rounds: the two histories without a fault, both ways, and the one kind of step that
//! leaves no evidence.

use std::time::Duration;

use tokio::time::timeout;

use crate::arena::{Arena, Kind};
use crate::support::until;

/// How long a rollout may take.
const LIMIT: Duration = Duration::from_mins(1);

/// The histories of the rounds can be undone and done again.
pub(crate) async fn both_ways(test: &str, kind: Kind) {
    let Some(arena) = Arena::start(test, kind, false).await else { return };
    let round = arena.round(1, 1, false).await;
    let empty = round.databases[0].schema().await;
    arena.migrate(&round).await.exits(0);
    assert_ne!(round.databases[0].schema().await, empty);
    let fixture = kind.fixture().display().to_string();
    let down = ["migrate", &fixture, "--on", "r1/*", "--direction", "down", "--target", "none"];
    arena.run_words(&down).await.exits(0);
    for database in &round.databases {
        assert_eq!(database.schema().await, empty, "{}: everything is undone", database.id);
        assert_eq!(database.in_force().await, Vec::<String>::new(), "{}", database.id);
    }
    arena.migrate(&round).await.exits(0);
    for database in &round.databases {
        arena.truth.check_effects(database).await;
    }
    arena.close(round).await;
}

/// A call whose body commits as it goes, killed in its middle, with no probe beside it: nobody can
/// know how far it came. It is not run again, and not called done.
pub(crate) async fn opaque(test: &str, kind: Kind) {
    let Some(arena) = Arena::start(test, kind, false).await else { return };
    let mut round = arena.round(1, 1, false).await;
    let (before, call) = match kind {
        Kind::Postgres => (
            "CREATE TABLE steps (n integer);\nCREATE PROCEDURE walk() LANGUAGE plpgsql AS $$\nBEGIN\n\
             FOR n IN 1..5000 LOOP\nINSERT INTO steps VALUES (n);\nCOMMIT;\nPERFORM pg_sleep(0.01);\n\
             END LOOP;\nEND;\n$$;\n",
            "-- no-transaction\nCALL walk();\n",
        ),
        Kind::Mariadb => (
            "CREATE TABLE steps (n integer);\nCREATE PROCEDURE walk()\nBEGIN\n\
             FOR n IN 1..5000 DO\nINSERT INTO steps VALUES (n);\nCOMMIT;\nDO SLEEP(0.01);\n\
             END FOR;\nEND;\n",
            "CALL walk();\n",
        ),
    };
    let project = &arena.project;
    project.write("opaque/1_walk.up.sql", before);
    project.write("opaque/1_walk.down.sql", "DROP PROCEDURE walk;\nDROP TABLE steps;\n");
    project.write("opaque/2_call.up.sql", call);
    project.write("opaque/2_call.down.sql", "DELETE FROM steps;\n");
    let words = ["migrate", "opaque", "--on", "r1/1", "-o", "json"];
    let rollout = tokio::spawn(arena.run_words_later(&words));
    let database = &round.databases[0];
    let walked = "SELECT CAST(count(*) AS char(9)) FROM steps";
    let under_way = || async {
        let count = database.column(walked).await.ok().and_then(|mut rows| rows.pop());
        count.is_some_and(|count| count.trim() != "0")
    };
    until("the procedure has committed something", LIMIT, under_way).await;
    round.agents[0].kill9();
    // The server goes on with a call although its client has gone; a person ends it.
    arena.end_calls(database).await;
    let count = database.column(walked).await.expect("it is there");
    round.agents[0].restart();

    let ran = timeout(LIMIT, rollout).await.expect("the rollout ends").expect("the command ran");
    let state = ran.exits(31).json();
    assert_eq!(state["state"], "halted", "{state}");
    let lane = &state["residual"][0];
    assert_eq!(lane["state"], "stuck", "{state}");
    assert_eq!((&lane["target"], &lane["applied"]), (&"r1/1".into(), &1.into()), "{state}");
    let note = lane["note"].as_str().unwrap_or_default();
    assert!(note.contains("walk") && note.contains("probe"), "{note}");
    assert_eq!(database.column(walked).await.expect("it is there"), count, "it was run again");
    assert_eq!(database.in_force().await, ["1"]);
    arena.run("history verify").await.exits(0);
    arena.close(round).await;
}
