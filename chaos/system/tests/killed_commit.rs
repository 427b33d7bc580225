//! A SQLite step whose executor is killed in its commit: what the next one finds in the ledger, and tells of, outlasts
//! a power cut.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::Path;

use skein_agent::db::{
    Direction, Engine, Location, Order, Outcome, Session, StepError, Timeouts, Token,
};
use skein_bundle::sql::plan_script;
use skein_bundle::{Format, Script, Transaction};
use skein_chaos_interpose::disk::{Behaviour, Left};
use skein_chaos_interpose::{Chance, Owner, Simulation, disk};

const MS: u64 = 1_000_000;

fn order() -> Order {
    let script = Script {
        format: Format::Sqlx,
        file: "0001.up.sql".to_owned(),
        line: 1,
        text: "CREATE TABLE made (id INTEGER);".to_owned(),
        transaction: Transaction::Wrapped,
        raw_digest: [1; 32],
        normalised_digest: [1; 32],
        marked: Vec::new(),
    };
    let plan = plan_script(Engine::Sqlite.dialect(), &script).unwrap().into();
    Order {
        step: "1".to_owned(),
        direction: Direction::Up,
        digest: script.raw_digest,
        script,
        plan,
        verify: None,
        probe: None,
        token: Token(1),
    }
}

/// A process that runs the step and ends in order.
fn execute() -> Result<Outcome, StepError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let location = Location::parse("sqlite:targets/t.db", None).unwrap();
    runtime.block_on(async {
        let mut session = Session::open(&location, &Timeouts::default()).await.unwrap();
        let outcome = Box::pin(session.apply(&order())).await;
        session.close().await;
        outcome
    })
}

/// Runs it in a process of its own, which is killed while the removal of a journal, the last of so many,
/// is being forced to the disk. How many there were, and what came of it.
fn process(
    os: &Simulation,
    owner: Owner,
    kill_at: u32,
    now: &mut u64,
) -> (u32, Result<Outcome, StepError>) {
    disk::behave(
        owner,
        Behaviour { sync_least: 5 * MS, sync_most: 5 * MS, ..Behaviour::default() },
    );
    let executor = os.on_behalf(owner, || std::thread::spawn(execute));
    let journal = Path::new("targets/t.db-journal");
    let (mut was_there, mut removed) = (false, 0);
    while !executor.is_finished() {
        *now += MS;
        os.advance(*now);
        let is_there = journal.exists();
        removed += u32::from(was_there && !is_there);
        was_there = is_there;
        if removed == kill_at {
            break;
        }
    }
    os.kill(owner);
    assert!(os.buried(owner));
    (removed, executor.join().unwrap())
}

/// Plays in a simulation, in a thread and a directory of its own.
fn simulated<T: Send>(play: impl FnOnce(&Simulation) -> T + Send) -> T {
    let root = tempfile::tempdir().unwrap();
    std::env::set_current_dir(root.path()).unwrap();
    let played = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let os = Simulation::begin(1, root.path());
            std::fs::create_dir("targets").unwrap();
            std::fs::File::create("targets/t.db").unwrap().sync_all().unwrap();
            for directory in ["targets", "."] {
                std::fs::File::open(directory).unwrap().sync_all().unwrap();
            }
            play(&os)
        });
        thread.join().unwrap()
    });
    std::env::set_current_dir("/").unwrap();
    played
}

#[test]
fn what_is_found_in_the_ledger_outlasts_a_power_cut() {
    let (commits, ended) = simulated(|os| process(os, Owner(1), u32::MAX, &mut 0));
    assert!(commits > 0 && matches!(ended, Ok(Outcome::Applied { .. })), "{ended:?}");
    simulated(|os| {
        let mut now = 0;
        let (_, killed) = process(os, Owner(1), commits, &mut now);
        assert!(killed.is_err(), "{killed:?}");
        let (_, found) = process(os, Owner(2), u32::MAX, &mut now);
        assert!(matches!(found, Ok(Outcome::Already(_))), "{found:?}");
        disk::power_cut(Path::new("targets"), Left::Nothing, &mut Chance::new(1));
        let (_, still) = process(os, Owner(3), u32::MAX, &mut now);
        assert!(matches!(still, Ok(Outcome::Already(_))), "it was told of, and is gone: {still:?}");
    });
}
