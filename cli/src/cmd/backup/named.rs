//! The archive that somebody means, and the way to it and to its target from this machine.

use skein_agent::backup::{Archive, Destination, Scope, Sha256, Source};
use skein_agent::config::{File, Secret, Target};
use skein_agent::db::Location;
use skein_agent::find_target;

use super::list::recorded;
use super::unusable;
use crate::exit::ExitCode;
use crate::failure::{Failure, chain};
use crate::render::backups::Backup;
use crate::render::words;
use crate::session::Session;

/// An archive that the log knows, of a target that this machine reaches.
pub(super) struct Named {
    pub(super) backup: Backup,
    pub(super) archive: Archive,
    pub(super) destination: Destination,
    pub(super) target: Target,
    pub(super) url: Secret,
    pub(super) location: Location,
    pub(super) source: Source,
}

impl Named {
    /// By the archive's name, or the newest of a target.
    pub(super) async fn find(session: &Session, what: &str) -> Result<Self, Failure> {
        let backup = chosen(recorded(session, "", "").await?, what)?;
        let file = session.project.file()?;
        let target = named_in(file, &backup.target).await?;
        let (location, url) = target.locate().await.map_err(|error| {
            Failure::usage(chain(&error)).next("repair the target's `url` in skein.toml")
        })?;
        let source = Source::from_url(url.expose(), target.schema.as_deref()).map_err(|error| {
            Failure::usage(chain(&error)).next("repair the target's `url` in skein.toml")
        })?;
        let destination = Destination::parse(&file.backups()).map_err(|error| {
            Failure::usage(chain(&error)).next("repair `backups` in [agent] of skein.toml")
        })?;
        let archive = archive(&backup, &source, &target)?;
        Ok(Self { backup, archive, destination, target, url, location, source })
    }

    /// Whether it holds the whole schema, so that fingerprints can be compared.
    pub(super) fn is_whole(&self) -> bool {
        match self.archive.scope {
            Scope::Database | Scope::SchemaOnly => true,
            Scope::Tables(_) => false,
        }
    }
}

/// The target as the file lists it, or as a source of the file names it now.
async fn named_in(file: &File, id: &str) -> Result<Target, Failure> {
    if let Some(target) = file.targets.iter().find(|target| target.id.to_string() == id) {
        return Ok(target.clone());
    }
    find_target(&file.discoveries, id).await.map_err(|why| {
        let what = format!("target {id} is not in {}", file.path.display());
        let what = [&[what], &why[..]].concat().join("; ");
        Failure::usage(what).next(
            "run this where the target's agent runs, with that agent's skein.toml; one that its source does not \
             name any more is listed there for it",
        )
    })
}

fn chosen(backups: Vec<Backup>, what: &str) -> Result<Backup, Failure> {
    let taken = backups.into_iter().filter(|backup| backup.exemption.is_empty());
    let mut newest = None;
    for backup in taken {
        if backup.archive == what {
            return Ok(backup);
        }
        if backup.target == what {
            newest = Some(backup);
        }
    }
    newest.ok_or_else(|| {
        Failure::new(
            ExitCode::BackupUnusable,
            format!("the log knows no archive `{what}` and no backup of a target of that name"),
        )
        .next("skein backup list")
    })
}

fn archive(backup: &Backup, source: &Source, target: &Target) -> Result<Archive, Failure> {
    let digest = |hex: &str| words::unhex(hex).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let (Some(sha256), Some(fingerprint)) = (digest(&backup.sha256), digest(&backup.fingerprint))
    else {
        return Err(unusable(&Failure::new(
            ExitCode::BackupUnusable,
            format!("the log has no digest of archive {}", backup.archive),
        )));
    };
    Ok(Archive {
        location: backup.archive.clone(),
        sha256: Sha256(sha256),
        bytes: backup.bytes,
        // Only whoever takes a backup knows it; a check finds it out.
        bytes_dumped: 0,
        engine: source.engine(),
        schema: target.schema.clone(),
        scope: match backup.scope {
            "schema" => Scope::SchemaOnly,
            "tables" => Scope::Tables(Vec::new()),
            _ => Scope::Database,
        },
        tool: backup.tool.clone(),
        fingerprint,
        ms: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::chosen;
    use crate::render::backups::Backup;

    fn backup(archive: &str, target: &str, exemption: &str) -> Backup {
        Backup {
            seq: 0,
            at_ms: 0,
            rollout: String::new(),
            target: target.to_owned(),
            archive: archive.to_owned(),
            sha256: String::new(),
            bytes: 0,
            tool: String::new(),
            scope: "database",
            steps: Vec::new(),
            fingerprint: String::new(),
            exemption: exemption.to_owned(),
        }
    }

    #[test]
    fn a_target_means_its_newest_archive() {
        let all = || {
            vec![
                backup("a1", "a", ""),
                backup("b1", "b", ""),
                backup("a2", "a", ""),
                backup("", "a", "exempt"),
            ]
        };
        assert_eq!(chosen(all(), "a").unwrap().archive, "a2");
        assert_eq!(chosen(all(), "a1").unwrap().archive, "a1");
        assert!(chosen(all(), "c").is_err());
    }
}
