//! `skein-chaos-process --rounds N --seed S`: real `skein` processes, real databases, real faults.
//!
//! ```text
//! provide    what the system lacks
//! enclose    namespaces of our own: whatever is made goes with this program
//! world      three coordinators, agents in three regions, two database servers, wires between them
//! workload   users of the command line: rollouts forward and back
//! owner      who owns a part of the fleet: strategies, words     speaker   who says them, and gets in the way
//! hand       who migrates by hand, and repairs the ledger        comer     targets that come late, and go
//! stumble    a step that fails, and is tried again               editor    a file that is edited after it ran
//! bringer    a database that has its schema, and no ledger       condition what people choose targets by
//! strategy   what strategies may ask for here (the rest is shared: chaos/src/people)
//! fault      what goes wrong       round   for how long, and how it is put right       back   to the first step
//! weather    what changes by itself: a shop, a signal, a replica
//! register   linearizability: histories of clients, and their checker
//! check      what must hold afterwards
//! regions    another play: three regions far apart, one after another cut off
//! report     what was seen, in Markdown
//! ```

mod back;
mod bringer;
mod check;
mod comer;
mod condition;
mod editor;
mod enclose;
mod fault;
mod hand;
mod owner;
mod provide;
mod regions;
mod register;
mod report;
mod round;
mod speaker;
mod strategy;
mod stumble;
mod weather;
mod workload;
mod world;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

use report::Report;
use round::Campaign;
use world::{Ground, Timing, World};

/// Faults in a round, where nothing else is said.
const FAULTS: usize = 7;

/// Bugs that are planted to see whether they are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Planted {
    /// A signal that should hold steps back says go on, and every rollout is to heed it.
    NoThrottle,
    /// The replica is said to be far behind, is not, and every rollout is to heed it.
    NoLag,
    /// Prometheus counts errors and says that there are none, and every rollout is to ask it.
    HiddenErrors,
    /// Somebody says that an edited file comes to the same, and the checker is not told.
    UntoldEdit,
    /// Somebody adds a row to a ledger, and no repair.
    ForgedRow,
}

/// Real `skein` processes on make-believe machines, under faults that come from a seed.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// How many rounds
    #[arg(long, default_value_t = 3)]
    rounds: u64,
    /// Faults in a round
    #[arg(long, default_value_t = FAULTS)]
    faults: usize,
    /// From which everything is drawn; without one it is drawn, and said
    #[arg(long)]
    seed: Option<u64>,
    /// The first round's number: `--seed S --from N --rounds 1` plays one round of a longer run
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Begin no further round after so many seconds
    #[arg(long, value_name = "SECONDS")]
    within: Option<u64>,
    /// Only faults whose name contains this
    #[arg(long, value_name = "WORDS", default_value = "")]
    only: String,
    /// Where the report goes besides standard output
    #[arg(long)]
    report: Option<PathBuf>,
    /// Plant a bug: the run has to fail
    #[arg(long, value_enum)]
    mutation: Option<Planted>,
    /// Three regions far apart instead of rounds: rollouts while regions are cut off
    #[arg(long, conflicts_with_all = ["loopback", "only", "from", "mutation"])]
    regions: bool,
    /// Keep everything on loopback, as for an ordinary user
    #[arg(long)]
    loopback: bool,
    /// Said by this program to itself
    #[arg(long, hide = true)]
    inside: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if !args.inside
        && let Err(error) = provide::provide(&mut say)
    {
        return end(Err(error));
    }
    let (ground, why) = match (args.inside, args.loopback) {
        (true, _) => (Ground::Spaces, None),
        (false, true) => (Ground::Loopback, Some("it was asked for".to_owned())),
        (false, false) => {
            let Some(why) = enclose::refused() else {
                let words: Vec<String> = std::env::args().skip(1).collect();
                return end(enclose::enter(&words).map(|()| true));
            };
            (Ground::Loopback, Some(why))
        }
    };
    end(run(&args, ground, why))
}

fn end(result: Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Progress, and what is left out: to standard error. Standard output is for the report.
pub(crate) fn say(line: &str) {
    // Where nobody can be told, there is nobody to tell that.
    drop(writeln!(std::io::stderr().lock(), "{line}"));
}

/// Whether everything held.
fn run(args: &Args, ground: Ground, why: Option<String>) -> Result<bool> {
    if ground == Ground::Spaces {
        enclose::furnish()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // Children are started by this thread, which lives as long as the program: they die with it.
    let held = runtime.block_on(Box::pin(async {
        tokio::select! {
            held = campaign(args, ground, why) => held,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.context("failed to listen for Ctrl-C")?;
                Err(anyhow::anyhow!("interrupted"))
            }
        }
    }));
    runtime.shutdown_background();
    held
}

async fn campaign(args: &Args, ground: Ground, why: Option<String>) -> Result<bool> {
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let dir = tempfile::Builder::new().prefix("skein-chaos-").tempdir()?;
    let mut report = Report::new(seed, ground);
    if let Some(why) = why {
        report.leave_out(&format!("machines of their own, and what needs them: {why}"));
    }
    if args.regions {
        if ground == Ground::Loopback {
            for what in report.left_out() {
                say(&format!("LEFT OUT: {what}"));
            }
            return Ok(true);
        }
        return regions::play(dir, seed).await;
    }
    let world = World::make(dir.path(), ground, Timing::Near).await?;
    for what in &world.left_out {
        report.leave_out(what);
    }
    for what in report.left_out() {
        say(&format!("LEFT OUT: {what}"));
    }
    say(&format!("seed {seed}; everything is below {}", dir.path().display()));
    let mut campaign = Campaign::new(world, seed, &args.only)?.planted(args.mutation);
    let mut violation = None;
    match campaign.found().await {
        Ok(()) => {}
        Err(error) => violation = Some((0, format!("{error:#}"))),
    }
    let begun = tokio::time::Instant::now();
    for number in args.from..args.from.saturating_add(args.rounds) {
        let late = args.within.is_some_and(|seconds| begun.elapsed().as_secs() >= seconds);
        if violation.is_some() || late {
            break;
        }
        match campaign.round(number, args.faults, &mut say).await {
            Ok(outcome) => {
                say(&report.add(number, &outcome));
            }
            Err(error) => violation = Some((number, format!("{error:#}"))),
        }
    }
    report.tally(&campaign.tally, campaign.checker.played(), campaign.world.web.counts());
    if let Some((number, what)) = &violation {
        say(&format!("round {number}: {what}"));
        say(&format!("    again: {}", report::again(seed, *number, args)));
        report.violation(*number, what, report::again(seed, *number, args));
    }
    let never = report.never();
    if !never.is_empty() {
        say(&format!("NEVER PLAYED: {}", never.join(", ")));
    }
    let text = report.markdown();
    std::io::stdout().write_all(text.as_bytes())?;
    if let Some(path) = &args.report {
        std::fs::write(path, &text)
            .with_context(|| format!("failed to write {}", path.display()))?;
    }
    if violation.is_some()
        && let Err(error) = campaign.world.keep()
    {
        say(&format!("{error:#}"));
    }
    drop(campaign);
    if violation.is_some() || std::env::var_os("SKEIN_KEEP").is_some() {
        say(&format!("what the run left behind: {}", dir.keep().display()));
    }
    Ok(violation.is_none())
}
