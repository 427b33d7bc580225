//! What is killed, and when.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::arena::{Arena, Kind, Round, Seen};
use crate::chance::{self, Chance};
use crate::support::{Client, Database, until, within};

/// How long a rollout may take with a fault in it: leases run out, elections are held, servers
/// recover.
const LIMIT: Duration = Duration::from_mins(1);

/// How long an agent that is not heard may take for its next effect: a lease.
const UNHEARD: Duration = Duration::from_secs(1);

/// How long after the beginning of a file an agent lives, at most.
const AMID: Duration = Duration::from_millis(150);

/// With so many rounds, chance has come before the end at least once.
const SOME: u64 = 5;
/// And with so many it has met what it was sent for.
const ENOUGH: u64 = 10;

/// What dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The coordinator that leads, at any moment.
    Leader,
    /// An agent, after the server was given a step and before the log knows of it.
    BeforeReport,
    /// An agent, with a file half-way that has no transaction around it.
    AmidStatements,
    /// The database server, at any moment.
    Server,
    /// An agent or the leader, while a rollout is undone.
    AmidRollback,
}

/// All rounds of one fault on one engine.
#[expect(clippy::print_stdout, reason = "a failed round is repeated by its seed")]
pub(crate) async fn rounds(test: &str, fault: Fault, kind: Kind) {
    let (own, back) = (fault == Fault::Server, fault == Fault::AmidRollback);
    let Some(mut arena) = Arena::start_for(test, kind, own, back).await else { return };
    // A rollback takes a rollout first, which is time.
    let count = if back { chance::rounds().div_ceil(4) } else { chance::rounds() };
    let seed = chance::seed();
    println!("{test}: SKEIN_SEED={seed}, undisturbed {:.2} s", arena.span.as_secs_f64());
    let begun = Instant::now();
    let mut seen = Seen::default();
    for number in 1..=count {
        println!("{test}: round {number}");
        seen += round(&mut arena, fault, number, Chance::of(seed, number)).await;
    }
    println!("{test}: {count} rounds in {:.0} s, {seen:?}", begun.elapsed().as_secs_f64());
    assert_eq!(seen.stuck, 0, "every step here leaves evidence: none is stuck");
    assert!(count < SOME || seen.struck > 0, "no fault came before the end");
    if count >= ENOUGH {
        assert!(fault != Fault::BeforeReport || seen.already > 0, "no effect was unreported");
        assert!(fault != Fault::AmidStatements || seen.amid > 0, "no file was half-way");
    }
}

async fn round(arena: &mut Arena, fault: Fault, number: u64, mut chance: Chance) -> Seen {
    // With a twin the leases go over to it; alone, the agent is started again.
    let twin = !matches!(fault, Fault::Leader | Fault::Server) && chance.coin();
    let valves = fault == Fault::BeforeReport;
    let mut round = arena.round(number, 1 + usize::from(twin), valves).await;
    let rollout = if fault == Fault::AmidRollback {
        let done = arena.migrate(&round).await.exits(0).json();
        tokio::spawn(arena.roll_back(&done))
    } else {
        tokio::spawn(arena.migrate(&round))
    };
    let moment = chance.moment(arena.span);
    let mut struck;
    match fault {
        Fault::Leader => {
            sleep(moment).await;
            struck = kill_leader(arena, &round).await;
        }
        Fault::AmidRollback => {
            sleep(moment).await;
            if chance.coin() {
                struck = kill_leader(arena, &round).await;
            } else {
                let (agent, _) = busy(arena, &round, &mut chance).await;
                round.agents[agent].kill9();
                struck = arena.struck(&round).await;
                after(&mut round, agent, twin);
            }
        }
        Fault::BeforeReport => {
            sleep(moment).await;
            let (agent, target) = busy(arena, &round, &mut chance).await;
            // Nothing that it says is heard any more, and it works on while its lease lasts.
            round.valves[agent].shut();
            let database = &round.databases[target];
            let before = database.observe().await.ledger.len();
            let all = arena.truth.steps();
            within(UNHEARD, async || {
                let now = database.observe().await.ledger.len();
                now > before || now == all
            })
            .await;
            round.agents[agent].kill9();
            struck = arena.struck(&round).await;
            round.valves[agent].open();
            after(&mut round, agent, twin);
        }
        Fault::AmidStatements => {
            let steps = arena.kind.amid();
            let step = steps[chance.below(steps.len())];
            let target = chance.below(round.databases.len());
            let database = &round.databases[target];
            until("the step is begun, or over", LIMIT, async || begun(database, step).await).await;
            sleep(chance.moment(AMID)).await;
            let (agent, _) = busy(arena, &round, &mut chance).await;
            round.agents[agent].kill9();
            struck = arena.struck(&round).await;
            after(&mut round, agent, twin);
        }
        Fault::Server => {
            // A server that is away while targets are looked at is a plan refused, and no fault.
            let client = arena.cluster.client(arena.cluster.leader().await);
            let under_way =
                || async { rollout.is_finished() || !held(&client, &round).await.is_empty() };
            until("a lease is given", LIMIT, under_way).await;
            sleep(moment).await;
            let instance = arena.instance.as_mut().expect("it has a server of its own");
            tokio::task::block_in_place(|| instance.crash());
            struck = arena.struck(&round).await;
        }
    }
    let ran = timeout(LIMIT, rollout).await;
    let ran = ran.unwrap_or_else(|_| panic!("round {number} does not end"));
    let ran = ran.expect("the command ran");
    let state = ran.exits(0).json();
    let end = if fault == Fault::AmidRollback { "rolled back" } else { "completed" };
    assert_eq!(state["state"], end, "round {number}: {state}");
    struck += arena.check(&round).await;
    arena.close(round).await;
    struck
}

/// The leader dies, another takes over, and the dead one comes back.
async fn kill_leader(arena: &mut Arena, round: &Round) -> Seen {
    let leader = arena.cluster.leader().await;
    arena.cluster.kill9(leader);
    let struck = arena.struck(round).await;
    arena.cluster.leader().await;
    arena.cluster.start_node(leader);
    struck
}

/// The agent that dies is started again where nobody else serves its targets.
fn after(round: &mut Round, agent: usize, twin: bool) {
    if !twin {
        round.agents[agent].restart();
    }
}

/// An agent that holds a lease now, and the target: the first of them if none does any more.
async fn busy(arena: &Arena, round: &Round, chance: &mut Chance) -> (usize, usize) {
    let client = arena.cluster.client(arena.cluster.leader().await);
    let mut held = held(&client, round).await;
    if held.is_empty() {
        return (0, 0);
    }
    held.swap_remove(chance.below(held.len()))
}

/// Who holds which target of the round.
async fn held(client: &Client, round: &Round) -> Vec<(usize, usize)> {
    let Ok(targets) = client.targets().await else { return Vec::new() };
    let of_round =
        |id: &str| targets.iter().find(|one| one.description.as_ref().is_some_and(|d| d.id == id));
    let Some(rollout) = of_round(&round.databases[0].id).map(|target| target.rollout.clone())
    else {
        return Vec::new();
    };
    let Ok(status) = client.rollout(&rollout).await else { return Vec::new() };
    let mut held = Vec::new();
    for (target, database) in round.databases.iter().enumerate() {
        let lane = status.lanes.iter().find(|lane| lane.target == database.id);
        let agent = lane.and_then(|lane| round.agents.iter().position(|one| one.id == lane.agent));
        held.extend(agent.map(|agent| (agent, target)));
    }
    held
}

/// Whether a step was begun in a target, and maybe finished since. A short question, for a close look.
async fn begun(database: &Database, step: &str) -> bool {
    for table in ["_skein_intent", "_skein_ledger"] {
        // Neither table is there before it is needed.
        let steps = database.column(&format!("SELECT step FROM {table}")).await;
        if steps.is_ok_and(|steps| steps.iter().any(|one| one == step)) {
            return true;
        }
    }
    false
}
