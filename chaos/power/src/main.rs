//! `skein-chaos-power --nodes 3 --rounds 200 --seed 1`: plays rounds, and says what was lost.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use skein_chaos::place;
use skein_chaos_power::machine::Programs;
use skein_chaos_power::round::Arena;

const USAGE: &str = "skein-chaos-power [--nodes 1|3] [--rounds N] [--seed S] [--skein PROGRAM]";

struct Asked {
    nodes: u16,
    rounds: u64,
    seed: u64,
    skein: PathBuf,
}

fn read(words: &[String]) -> Result<Asked> {
    let beside = std::env::current_exe()?.with_file_name("skein");
    let mut asked = Asked { nodes: 3, rounds: 10, seed: 1, skein: beside };
    for pair in words.chunks(2) {
        let [name, value] = pair else { bail!("usage: {USAGE}") };
        match name.as_str() {
            "--nodes" => asked.nodes = value.parse()?,
            "--rounds" => asked.rounds = value.parse()?,
            "--seed" => asked.seed = value.parse()?,
            "--skein" => asked.skein = Path::new(value).canonicalize()?,
            _ => bail!("usage: {USAGE}"),
        }
    }
    Ok(asked)
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let asked = read(&words)?;
    let programs = Programs { skein: asked.skein, preload: place::preload()? };
    let mut out = std::io::stdout();
    let mut arena = Arena::start(programs, asked.nodes).await.context("failed to start")?;
    for seed in asked.seed..asked.seed + asked.rounds {
        if let Err(lost) = arena.round(seed).await {
            writeln!(out, "seed {seed}: {lost:#}")?;
            writeln!(
                out,
                "    again: skein-chaos-power --nodes {} --rounds 1 --seed {seed}",
                asked.nodes
            )?;
            writeln!(out, "    kept in {}", arena.keep().display())?;
            return Ok(ExitCode::FAILURE);
        }
    }
    writeln!(out, "{} nodes: {:?}, no violation", asked.nodes, arena.sum)?;
    Ok(ExitCode::SUCCESS)
}
