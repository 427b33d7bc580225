//! Bundles of migrations, made of the versions that a line names.

use std::sync::Arc;

use skein_core::bundle::{Facts, Manifest, Migration, Script};
use skein_core::command::Command;
use skein_core::ids::Version;
use skein_core::spec::{Engine, TransactionMode};

use super::fleet::table;
use super::read::Words;
use crate::support::world::{World, digest};

/// `names=1:orders,2:orders+items,3:`: what the scripts of a version name. Others nobody has read.
fn named(words: &Words<'_>, version: &str) -> Option<Box<[u32]>> {
    let all = words.key("names")?.split(',').filter_map(|one| one.split_once(':'));
    let (_, names) = all.into_iter().find(|(of, _)| *of == version)?;
    let mut names: Vec<u32> = names.split('+').filter(|name| !name.is_empty()).map(table).collect();
    names.sort_unstable();
    Some(names.into())
}

/// A script on all engines; on MySQL statement by statement.
fn script(file: String, text: &str, normalised: &str) -> Script {
    let facts = [Engine::Postgres, Engine::Mysql, Engine::Sqlite].map(|engine| Facts {
        engine,
        mode: if engine == Engine::Mysql {
            TransactionMode::Statements
        } else {
            TransactionMode::OneTransaction
        },
        why: String::new(),
        locks: Vec::new(),
        destructive: false,
        refusal: String::new(),
        statements: 1,
        defines: None,
        words: None,
    });
    Script { file, raw: digest(text), normalised: digest(normalised), facts: facts.to_vec() }
}

pub(super) fn bundle(world: &mut World, words: &Words<'_>) {
    let migrations = words.bare.iter().skip(2).map(|word| {
        let version = word.trim_end_matches(['-', '~', '*', '?', '#']);
        let edit = if word.contains('~') { " edited" } else { "" };
        let change = if word.contains('*') { " changed" } else { "" };
        let probe = word.contains('?');
        let mut up = script(
            format!("{version}.up.sql"),
            &format!("{version}.up{edit}{change}"),
            &format!("{version}.up normalised{change}"),
        );
        let named = named(words, version);
        for facts in &mut up.facts {
            facts.defines = Some(!word.contains('#'));
            facts.words.clone_from(&named);
        }
        let down = (!word.contains('-')).then(|| {
            let text = format!("{version}.down");
            let mut down = script(format!("{version}.down.sql"), &text, &text);
            down.facts.iter_mut().for_each(|facts| facts.words.clone_from(&named));
            down
        });
        let name = format!("change {version}");
        Migration { version: Version::from(version), name, up, down, verify: false, probe }
    });
    let manifest = Manifest {
        digest: digest(&words.bare.join(" ")),
        format: "test".to_owned(),
        migrations: migrations.collect(),
    };
    world.bundles.insert(words.at(1).to_owned(), manifest.clone());
    world.ask("ann", Command::StoreBundle { manifest: Arc::new(manifest) });
}
