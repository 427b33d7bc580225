//! A few rounds of what `skein-chaos-power` plays for longer.

use std::path::{Path, PathBuf};

use skein_chaos::place;
use skein_chaos_power::machine::Programs;
use skein_chaos_power::round::Arena;

fn programs() -> Programs {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/debug/skein");
    let skein = std::env::var_os("SKEIN_BIN").map_or(built, PathBuf::from);
    assert!(skein.is_file(), "{}: `cargo build -p skein-cli` makes it", skein.display());
    Programs { skein, preload: place::preload().expect("it is built along with this test") }
}

async fn rounds(nodes: u16, rounds: u64) {
    let mut arena = Arena::start(programs(), nodes).await.expect("it starts");
    for seed in 1..=rounds {
        if let Err(lost) = arena.round(seed).await {
            let kept = arena.keep();
            panic!("{nodes} nodes, seed {seed}: {lost:#}\nkept in {}", kept.display());
        }
    }
    let sum = arena.sum;
    assert!(sum.rounds == rounds && sum.acknowledged > 10 && sum.machines >= rounds, "{sum:?}");
    assert!(sum.archives > 0 && sum.restored == rounds && sum.power.writes > 0, "{sum:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_of_one_node_without_power_lose_nothing() {
    rounds(1, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_of_three_nodes_without_power_lose_nothing() {
    rounds(3, 2).await;
}
