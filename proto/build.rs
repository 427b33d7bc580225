//! Compiles the protocol definitions with a compiler written in Rust: no `protoc` is needed.

use std::path::PathBuf;

use prost::Message as _;

const FILES: [&str; 13] = [
    "skein/v1/fleet.proto",
    "skein/v1/forecast.proto",
    "skein/v1/pace.proto",
    "skein/v1/throttle.proto",
    "skein/v1/batch.proto",
    "skein/v1/plan.proto",
    "skein/v1/rollout.proto",
    "skein/v1/repair.proto",
    "skein/v1/audit.proto",
    "skein/v1/cluster.proto",
    "skein/agent/v1/session.proto",
    "skein/raft/v1/raft.proto",
    "skein/log/v1/record.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=skein");
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    // The reflection service answers from these bytes.
    std::fs::write(out.join("skein.fds"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        // Most of what a coordinator says are legs.
        .enum_attribute(
            "skein.agent.v1.FromCoordinator.message",
            "#[expect(clippy::large_enum_variant, reason = \"most of them are the large one\")]",
        )
        .build_client(true)
        .build_server(true)
        .compile_fds(descriptors)?;
    Ok(())
}
