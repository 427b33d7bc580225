//! Which way imports flow: the picture in ARCHITECTURE.md, compared with what cargo knows.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Who imports whom among the crates of this workspace. A crate that is not here may import all.
const PICTURE: [(&str, &[&str]); 7] = [
    ("skein-core", &[]),
    ("skein-store", &[]),
    ("skein-proto", &[]),
    ("skein-coordinator", &["skein-bundle", "skein-core", "skein-proto", "skein-store"]),
    ("skein-bundle", &[]),
    ("skein-agent", &["skein-bundle", "skein-proto"]),
    ("skein-cli", &["skein-agent", "skein-bundle", "skein-coordinator", "skein-proto"]),
];

/// The crates that import all of them, and that nobody else imports.
const OUTER: [&str; 10] = [
    "skein-benches",
    "skein-chaos",
    "skein-chaos-disk",
    "skein-chaos-fuzz",
    "skein-chaos-interpose",
    "skein-chaos-power",
    "skein-chaos-preload",
    "skein-chaos-process",
    "skein-chaos-system",
    "skein-tests",
];

/// What a crate depends on, apart from what only its own tests need.
#[derive(Debug, Default)]
struct Imports {
    /// In the product, build scripts included.
    all: BTreeSet<String>,
    /// In its tests alone.
    tests: BTreeSet<String>,
}

fn workspace() -> BTreeMap<String, Imports> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .output()
        .expect("cargo runs: it has built this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let mut crates = BTreeMap::new();
    for package in packages {
        let name = package["name"].as_str().expect("a package has a name");
        let imports: &mut Imports = crates.entry(name.to_owned()).or_default();
        for dependency in package["dependencies"].as_array().expect("a list of dependencies") {
            let on = dependency["name"].as_str().expect("a dependency has a name").to_owned();
            if dependency["kind"].as_str() == Some("dev") {
                imports.tests.insert(on);
            } else {
                imports.all.insert(on);
            }
        }
    }
    crates
}

/// Those of `names` that are crates of this workspace.
fn ours(names: &BTreeSet<String>) -> BTreeSet<&str> {
    names.iter().map(String::as_str).filter(|name| name.starts_with("skein-")).collect()
}

#[test]
fn every_crate_is_in_the_picture() {
    let crates = workspace();
    let drawn: BTreeSet<&str> = PICTURE.iter().map(|(name, _)| *name).chain(OUTER).collect();
    assert_eq!(crates.keys().map(String::as_str).collect::<BTreeSet<_>>(), drawn);
}

#[test]
fn each_crate_imports_only_what_the_picture_says() {
    let crates = workspace();
    for (name, may) in PICTURE {
        let may: BTreeSet<&str> = may.iter().copied().collect();
        let does = ours(&crates[name].all);
        let beyond: Vec<_> = does.difference(&may).collect();
        assert!(
            beyond.is_empty(),
            "{name} imports {beyond:?}, which the picture does not draw; find the layer that the \
             code belongs to, or change ARCHITECTURE.md and this picture in the same commit"
        );
    }
}

#[test]
fn the_core_depends_on_nothing_at_all() {
    let crates = workspace();
    assert_eq!(crates["skein-core"].all, BTreeSet::new());
}

/// The program is excepted for its demo, which makes the databases it then migrates and looks at
/// them with its own eyes: what the agent says of itself would prove nothing.
#[test]
fn databases_are_spoken_to_by_the_agent_alone() {
    let crates = workspace();
    for (name, _) in PICTURE {
        let may = ["skein-agent", "skein-cli"].contains(&name);
        assert!(may || !crates[name].all.contains("sqlx"), "{name} imports sqlx");
    }
}

#[test]
fn raft_is_known_to_the_coordinator_and_its_store_alone() {
    let crates = workspace();
    for (name, _) in PICTURE {
        let may = ["skein-coordinator", "skein-store"].contains(&name);
        assert!(may || !crates[name].all.contains("openraft"), "{name} imports openraft");
    }
}

#[test]
fn nobody_imports_the_outer_crates() {
    let crates = workspace();
    for (name, _) in PICTURE {
        for outer in OUTER {
            let Imports { all, tests } = &crates[name];
            assert!(!all.contains(outer), "{name} imports {outer}");
            // The servers that tests stand on serve the tests of every crate.
            let may = outer == "skein-tests";
            assert!(may || !tests.contains(outer), "the tests of {name} import {outer}");
        }
    }
}

/// Were it otherwise, the tests of a crate could not use the servers without building the crate a
/// second time, and `cargo xtask` would take minutes to say its first word.
#[test]
fn the_servers_for_tests_stand_on_no_crate_of_ours() {
    let crates = workspace();
    assert_eq!(ours(&crates["skein-tests"].all), BTreeSet::new());
}
