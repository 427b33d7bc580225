//! Files that were edited after they were applied, and accepted so.

use super::draft::{manifest, selected};
use crate::command::Ask;
use crate::event::Body;
use crate::ids::{Digest, TargetId, Version, count_of_targets};
use crate::plan;
use crate::refusal::{Kind, Refusal};
use crate::state::Fleet;

/// An edit of a file after it was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Which migration.
    pub version: Version,
    /// Its file.
    pub file: String,
    /// Texts that ran.
    pub ran: Vec<Digest>,
    /// The text of the file now.
    pub now: Digest,
    /// What runs of it.
    pub normalised: Digest,
    /// Where another text ran.
    pub targets: Vec<TargetId>,
}

/// What there is to accept of the versions that are asked about: edits that change what runs, and that nobody
/// has accepted yet.
///
/// # Errors
/// The bundle or a version is not there, or no target is selected.
pub fn edits(fleet: &Fleet, ask: &Ask) -> Result<Vec<Edit>, Refusal> {
    let manifest = manifest(fleet, ask)?;
    let targets = selected(fleet, ask)?;
    let mut edits = Vec::new();
    for version in &ask.versions {
        let Some(migration) = manifest.position(version).and_then(|at| manifest.migrations.get(at))
        else {
            return Err(Refusal::new(
                Kind::Missing,
                format!(
                    "the migrations have no version {version}, so that nothing can be accepted"
                ),
                "versions are written as their files have them; `skein plan` shows them",
            ));
        };
        let mut edit = Edit {
            version: version.clone(),
            file: migration.up.file.clone(),
            ran: Vec::new(),
            now: migration.up.raw,
            normalised: migration.up.normalised,
            targets: Vec::new(),
        };
        for (_, target) in &targets {
            let other = fleet
                .entries
                .spell(target.in_force())
                .find(|entry| entry.version == *version && !plan::is_same(fleet, entry, migration));
            let Some(other) = other else { continue };
            edit.targets.push(target.id.clone());
            if !edit.ran.contains(&other.digest) {
                edit.ran.push(other.digest);
            }
        }
        if !edit.ran.is_empty() {
            edits.push(edit);
        }
    }
    Ok(edits)
}

pub(super) fn accept(fleet: &Fleet, ask: &Ask) -> Result<Vec<Body>, Refusal> {
    let edits = edits(fleet, ask)?;
    if let Some(edit) = edits.first().filter(|_| ask.waiver.is_empty()) {
        let ran = edit.ran.first().map(Digest::short).unwrap_or_default();
        return Err(Refusal::new(
            Kind::Unfit,
            format!(
                "{} was changed after version {} was applied to {} (digest then {ran}, now {}), \
                 and not in comments or white space alone",
                edit.file,
                edit.version,
                count_of_targets(edit.targets.len()),
                edit.now.short()
            ),
            "put the old text back and write the change as a new migration; where both texts come \
             to the same, say why: --waive \"why\"",
        ));
    }
    Ok(edits
        .into_iter()
        .map(|edit| Body::EditAccepted {
            version: edit.version,
            file: edit.file,
            ran: edit.ran,
            now: edit.now,
            normalised: edit.normalised,
            reason: ask.waiver.clone(),
        })
        .collect())
}
