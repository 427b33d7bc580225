//! Golden scripts: one scenario a file, with a sentence on top that says why it is there.
//!
//! A file is made of blocks with an empty line between them: lines of [`support::words`], then
//! `----`, then what was told. `UPDATE_GOLDEN=1 cargo test -p skein-core --test golden` writes what
//! is told into the files; read the difference before you keep it.

mod support;

use std::path::{Path, PathBuf};

use support::world::World;
use support::{law, words};

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the scripts are there")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    files
}

/// What the file should be.
fn play(text: &str) -> String {
    let mut world = World::default();
    let mut told = String::new();
    let mut block: Vec<&str> = Vec::new();
    let mut expecting = false;
    for line in text.lines().chain([""]) {
        if line == "----" {
            expecting = true;
        } else if line.is_empty() {
            finish(&mut world, &mut block, &mut told);
            expecting = false;
        } else if !expecting {
            block.push(line);
        }
    }
    law::in_order(&world.log);
    world.replays();
    told
}

fn finish(world: &mut World, block: &mut Vec<&str>, told: &mut String) {
    if block.is_empty() {
        return;
    }
    if !told.is_empty() {
        told.push('\n');
    }
    let mut spoken = false;
    for line in block.drain(..) {
        told.push_str(line);
        told.push('\n');
        if !line.starts_with('#') {
            spoken = true;
            words::run(world, line);
            law::holds(&world.fleet);
        }
    }
    if spoken {
        told.push_str("----\n");
        told.push_str(&std::mem::take(&mut world.out));
    }
}

#[test]
fn scripts_tell_what_they_told() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let files = scripts();
    assert!(files.len() >= 30, "only {} scripts were found", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).expect("a script can be read");
        assert!(text.starts_with("# "), "{name} does not say why it is there");
        let Ok(told) = std::panic::catch_unwind(|| play(&text)) else {
            wrong.push(format!("{name} came to a stop"));
            continue;
        };
        if told == text {
            continue;
        }
        if update {
            std::fs::write(&file, &told).expect("a script can be written");
        } else {
            let place = told.lines().zip(text.lines()).position(|(new, old)| new != old);
            let place = place.unwrap_or_else(|| told.lines().count().min(text.lines().count()));
            wrong.push(format!(
                "{name}:{}: told {:?}, expected {:?}",
                place + 1,
                told.lines().nth(place).unwrap_or("nothing more"),
                text.lines().nth(place).unwrap_or("nothing more")
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\n(UPDATE_GOLDEN=1 writes what is told into the files)",
        wrong.join("\n")
    );
}
