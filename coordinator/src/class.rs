//! What a class of targets is called: those of one engine with the same migrations in force, which get
//! the same steps.

use sha2::{Digest as _, Sha256};
use skein_core::Fleet;
use skein_core::ids::Digest;
use skein_core::spec::Engine;
use skein_core::state::target;

/// The name of the class that a target is in now; `None` before anybody has looked at it.
pub(crate) fn of(fleet: &Fleet, target: &target::State) -> Option<Digest> {
    target.observed_at?;
    let mut hash = Sha256::new();
    hash.update(match target.description.engine {
        Engine::Postgres => b"p",
        Engine::Mysql => b"m",
        Engine::Sqlite => b"s",
    });
    for entry in fleet.entries.spell(target.in_force()) {
        let version = entry.version.as_str().as_bytes();
        hash.update((version.len() as u64).to_be_bytes());
        hash.update(version);
        hash.update(entry.digest.0);
    }
    Some(Digest(hash.finalize().into()))
}
