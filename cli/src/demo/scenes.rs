//! What happens, in order. Each scene says what it shows, shows it, and checks it.

use std::process::Stdio;
use std::time::Duration;

use prost::Message as _;
use skein_proto::log::v1 as log;
use skein_proto::log::v1::event::Body;
use skein_proto::v1;
use tokio::time::Instant;

use super::processes::{PATIENCE, Processes, skein};
use super::shards::{self, BROKEN, SHARDS};
use super::{Stage, project};
use crate::connect::{self, Link};
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::render::look::{Sign, Tone};
use crate::render::words;
use crate::screen::Screen;

/// Plays the whole demo.
pub(crate) async fn play(stage: &Stage, screen: &mut Screen) -> Result<(), Failure> {
    let begun = Instant::now();
    let before = prepare(stage).await?;
    let mut processes = Processes::start(stage)?;
    let played = act(stage, &mut processes, &before, screen).await;
    processes.stop().await;
    played?;
    say(
        screen,
        &format!(
            "\nThat took {:.0} s. Every line with a ✔ was checked.",
            begun.elapsed().as_secs_f64()
        ),
    )
}

async fn act(
    stage: &Stage,
    processes: &mut Processes,
    before: &[String],
    screen: &mut Screen,
) -> Result<(), Failure> {
    let addresses: Vec<String> =
        processes.addresses.iter().map(|address| format!("http://{address}")).collect();
    project::write_config(stage, &processes.addresses).map_err(|error| unwritten(&error))?;
    let link = Link::remote(&addresses, PATIENCE)?;

    gather(&link, screen).await?;
    pause(stage).await;

    title(screen, "A plan: what would run where, and how it is undone")?;
    command(stage, screen, &["plan"], ExitCode::Done).await?;
    pause(stage).await;

    title(screen, "The rollout; the leader will be killed on the way")?;
    let crash = crash_on_the_way(stage, processes, &link, screen).await?;
    pause(stage).await;

    title(screen, "What the crash and the failure left behind")?;
    aftermath(stage, &link, before, &crash, screen).await?;
    pause(stage).await;

    title(screen, "The fix: duplicates are set aside before the index is made")?;
    project::write_fix(stage.dir.as_path()).map_err(|error| unwritten(&error))?;
    command(stage, screen, &["apply", "--yes"], ExitCode::Done).await?;
    completed(stage, &link, screen).await?;
    pause(stage).await;

    title(screen, "The killed node comes back, and the log is checked on all three disks")?;
    processes.start_coordinator(stage, crash.killed)?;
    caught_up(&addresses).await?;
    command(stage, screen, &["history", "verify"], ExitCode::Done).await?;
    command(stage, screen, &["status"], ExitCode::Done).await
}

/// The shards and the migrations. What the shards look like as they are.
async fn prepare(stage: &Stage) -> Result<Vec<String>, Failure> {
    let shards_dir = stage.dir.join("shards");
    std::fs::create_dir_all(&shards_dir).map_err(|error| unwritten(&error))?;
    project::write_migrations(&stage.dir).map_err(|error| unwritten(&error))?;
    shards::create(&stage.dir, stage.rows).await.map_err(|error| unreadable(&error))?;
    shards::checksums(&stage.dir).await.map_err(|error| unreadable(&error))
}

/// Waits until every shard was looked at.
async fn gather(link: &Link, screen: &mut Screen) -> Result<(), Failure> {
    let wait = async {
        loop {
            let reply = link
                .ask(|channel| async move {
                    connect::fleet(channel).list_targets(v1::ListTargetsRequest::default()).await
                })
                .await;
            let seen = reply.map_or(0, |reply| {
                reply.targets.iter().filter(|target| target.observation.is_some()).count()
            });
            if seen == SHARDS.len() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        return Err(untrue("not every shard was looked at in time"));
    }
    say(
        screen,
        &format!(
            "skein {} · 3 coordinators · 3 agents · {} SQLite shards",
            env!("CARGO_PKG_VERSION"),
            SHARDS.len()
        ),
    )
}

/// What was done to the cluster, and how it took it.
struct Crash {
    killed: u64,
    next: u64,
    after: Duration,
}

/// Starts the rollout, and kills the leader as soon as the second wave is under way.
async fn crash_on_the_way(
    stage: &Stage,
    processes: &mut Processes,
    link: &Link,
    screen: &mut Screen,
) -> Result<Crash, Failure> {
    let plan = newest_plan(link).await?;
    say(screen, &format!("$ skein apply --plan {plan}"))?;
    let mut apply = skein(&stage.dir)?
        .args(["apply", "--plan", &plan])
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| unwritten(&error))?;
    wait_for_wave(link, 2).await?;
    let killed = leader(link).await?;
    processes.kill_coordinator(killed).await?;
    let at = Instant::now();
    let next = tokio::time::timeout(PATIENCE, async {
        loop {
            match leader(link).await {
                Ok(next) if next != killed => return next,
                Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    })
    .await
    .map_err(|_elapsed| untrue("no other coordinator took the lead"))?;
    let after = at.elapsed();
    let ended = tokio::time::timeout(PATIENCE * 4, apply.wait())
        .await
        .map_err(|_elapsed| untrue("the rollout did not end in time"))?
        .map_err(|error| unwritten(&error))?;
    let code = ended.code();
    if code != Some(i32::from(ExitCode::RolledBack.number())) {
        return Err(untrue(&format!("the rollout ended with {code:?} and should have with 30")));
    }
    Ok(Crash { killed, next, after })
}

/// The first digits of the plan that was made last.
async fn newest_plan(link: &Link) -> Result<String, Failure> {
    let status = status(link).await?;
    let Some(newest) = status.rollouts.last() else {
        return Err(untrue("the plan was not recorded"));
    };
    Ok(words::id(&words::hex(&newest.plan), false).to_owned())
}

async fn wait_for_wave(link: &Link, wave: u32) -> Result<(), Failure> {
    let wait = async {
        loop {
            let status = status(link).await?;
            let under_way = status.rollouts.iter().any(|rollout| {
                rollout.state() == v1::RolloutState::Running && rollout.wave + 1 >= wave
            });
            if under_way {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .map_err(|_elapsed| untrue("the second wave has not begun in time"))?
}

async fn status(link: &Link) -> Result<v1::StatusReply, Failure> {
    link.ask(|channel| async move {
        connect::rollouts(channel).status(v1::StatusRequest::default()).await
    })
    .await
}

async fn leader(link: &Link) -> Result<u64, Failure> {
    status(link).await.map(|status| status.leader)
}

/// Counts, in the log and in the shards, what the crash lost or doubled; proves the undo.
async fn aftermath(
    stage: &Stage,
    link: &Link,
    before: &[String],
    crash: &Crash,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let events = events(link).await?;
    let applied = applications(&events);
    let twice = applied.iter().filter(|(_, count)| *count > 1).count();
    if twice > 0 {
        return Err(untrue(&format!("{twice} steps were applied twice by the log")));
    }
    let undone =
        events.iter().filter(|event| matches!(event.body, Some(Body::StepRolledBack(_)))).count();
    if applied.len() != undone {
        return Err(untrue(&format!("{} steps were applied and {undone} undone", applied.len())));
    }
    told(
        screen,
        &format!(
            "coordinator {} was killed (kill -9) in wave 2; coordinator {} led {:.1} s later",
            crash.killed,
            crash.next,
            crash.after.as_secs_f64()
        ),
    )?;
    told(screen, &format!("{} steps were applied: 0 lost, 0 run twice", applied.len()))?;
    let failure = events.iter().find_map(|event| match &event.body {
        Some(Body::StepFailed(failed)) => Some(failed),
        _ => None,
    });
    let Some(failure) = failure.filter(|failure| failure.target == BROKEN) else {
        return Err(untrue("the shard with the duplicate did not fail"));
    };
    let message = failure.failed.as_ref().map(|failed| failed.message.as_str()).unwrap_or_default();
    told(screen, &format!("{BROKEN} failed at version {}: {message}", failure.version))?;
    told(screen, "policy: a broken budget takes back the whole rollout, the last wave first")?;
    let after = shards::checksums(&stage.dir).await.map_err(|error| unreadable(&error))?;
    let equal = before.iter().zip(&after).filter(|(before, after)| before == after).count();
    if equal != SHARDS.len() {
        return Err(untrue(&format!(
            "{} of {} shards are not what they were",
            SHARDS.len() - equal,
            SHARDS.len()
        )));
    }
    told(
        screen,
        &format!(
            "{equal}/{} shards have the schema and the rows of before, by checksum (exit 30)",
            SHARDS.len()
        ),
    )
}

/// How often each step of each target was applied, by the log.
fn applications(events: &[log::Event]) -> Vec<((String, String), usize)> {
    let mut counts: std::collections::BTreeMap<(String, String), usize> =
        std::collections::BTreeMap::new();
    for event in events {
        if let Some(Body::StepApplied(applied)) = &event.body {
            *counts.entry((applied.target.clone(), applied.version.clone())).or_default() += 1;
        }
    }
    counts.into_iter().collect()
}

async fn events(link: &Link) -> Result<Vec<log::Event>, Failure> {
    let mut stream =
        link.ask(|channel| async move {
            connect::audit(channel).events(v1::EventsRequest::default()).await
        })
        .await?;
    let mut events = Vec::new();
    while let Some(reply) = stream.message().await? {
        let event = log::Event::decode(reply.event).map_err(|error| {
            Failure::caused(ExitCode::Internal, "an event is unreadable", &error)
        })?;
        events.push(event);
    }
    Ok(events)
}

/// Every step has had its effect exactly once on every shard.
async fn completed(stage: &Stage, link: &Link, screen: &mut Screen) -> Result<(), Failure> {
    let wanted: Vec<(String, i64)> = (1..=4).map(|step| (step.to_string(), 1)).collect();
    for shard in SHARDS {
        let effects =
            shards::effects(&stage.dir, shard).await.map_err(|error| unreadable(&error))?;
        if effects != wanted {
            return Err(untrue(&format!("the steps on {shard} had these effects: {effects:?}")));
        }
    }
    let status = status(link).await?;
    let under = status.compliance.unwrap_or_default();
    if under.events == 0 || under.events != under.under_charter {
        return Err(untrue("not every event is under the charter"));
    }
    told(
        screen,
        &format!("{0}/{0} shards migrated and verified, each step exactly once", SHARDS.len()),
    )?;
    told(screen, &format!("{} events, all of them under the charter", under.events))
}

/// All nodes have the same history.
async fn caught_up(addresses: &[String]) -> Result<(), Failure> {
    let mut links = Vec::new();
    for address in addresses {
        links.push(Link::remote(std::slice::from_ref(address), PATIENCE)?);
    }
    let wait = async {
        loop {
            let mut heads = Vec::new();
            for link in &links {
                let head = link
                    .ask(|channel| async move {
                        connect::audit(channel).head(v1::HeadRequest { size: 0 }).await
                    })
                    .await;
                heads.push(head.map(|head| (head.size, head.root)).ok());
            }
            if heads.iter().all(Option::is_some)
                && heads.windows(2).all(|pair| pair.first() == pair.last())
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .map_err(|_elapsed| untrue("the three histories did not become equal"))
}

/// A command as a user would type it, with its own output.
async fn command(
    stage: &Stage,
    screen: &mut Screen,
    words: &[&str],
    wanted: ExitCode,
) -> Result<(), Failure> {
    say(screen, &format!("$ skein {}", words.join(" ")))?;
    let ended = skein(&stage.dir)?.args(words).stdin(Stdio::null()).status();
    let ended = tokio::time::timeout(PATIENCE * 4, ended)
        .await
        .map_err(|_elapsed| untrue("a command did not end in time"))?
        .map_err(|error| unwritten(&error))?;
    if ended.code() != Some(i32::from(wanted.number())) {
        return Err(untrue(&format!(
            "`skein {}` ended with {:?} and should have with {}",
            words.join(" "),
            ended.code(),
            wanted.number()
        )));
    }
    Ok(())
}

async fn pause(stage: &Stage) {
    tokio::time::sleep(stage.breath).await;
}

fn title(screen: &mut Screen, text: &str) -> Result<(), Failure> {
    let painted = screen.look().paint(Tone::Strong, &format!("── {text}"));
    say(screen, &format!("\n{painted}"))
}

fn told(screen: &mut Screen, text: &str) -> Result<(), Failure> {
    let look = screen.look();
    let sign = look.paint(Tone::Good, look.sign(Sign::Good));
    say(screen, &format!("{sign} {text}"))
}

fn say(screen: &mut Screen, text: &str) -> Result<(), Failure> {
    let out = screen.out();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| unwritten(&error))
}

fn untrue(what: &str) -> Failure {
    Failure::new(ExitCode::Internal, format!("the demo found something wrong: {what}"))
        .next("run it again with --keep DIR and look at the logs there; it should never fail")
}

fn unwritten(error: &dyn std::error::Error) -> Failure {
    Failure::caused(ExitCode::Internal, "the demo cannot go on", error)
}

fn unreadable(error: &dyn std::error::Error) -> Failure {
    Failure::caused(ExitCode::Internal, "a shard cannot be used", error)
}
