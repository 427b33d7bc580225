//! What the directory says: `skein.toml`, the charter beside it, the migrations.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use skein_agent::config::{ConfigError, File, Strategy};
use skein_agent::wire;
use skein_coordinator::charter;
use skein_proto::v1;

use crate::args::Global;
use crate::exit::ExitCode;
use crate::failure::{Failure, chain};
use crate::render::words;
use crate::screen::Screen;

const NAME: &str = "skein.toml";

/// Everything that is known before anybody is asked.
#[derive(Debug)]
pub(crate) struct Project {
    /// `None`: there is no skein.toml here or above.
    pub(crate) file: Option<File>,
    coordinators: Vec<String>,
    actor: Option<String>,
    charter_hash: Option<[u8; 32]>,
    data: Option<PathBuf>,
}

/// A directory of migrations, read and encoded.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) digest: [u8; 32],
    pub(crate) bytes: Vec<u8>,
    /// In the order in which they are applied.
    pub(crate) versions: Vec<String>,
}

impl Bundle {
    /// A version as the migrations have it: `0042`, as the file's name begins, means the 42 that it is.
    pub(crate) fn version(&self, said: &str) -> String {
        let known = |version: &str| self.versions.iter().any(|one| one == version);
        let bare = said.trim_start_matches('0');
        if !known(said) && known(bare) { bare.to_owned() } else { said.to_owned() }
    }
}

impl Project {
    pub(crate) fn find(global: &Global) -> Result<Self, Failure> {
        let path = match &global.config {
            Some(path) => Some(path.clone()),
            None => upwards()?,
        };
        let file = path.as_deref().map(File::read).transpose().map_err(|error| unread(&error))?;
        let charter_hash = global.charter_hash.as_deref().map(hash_of).transpose()?;
        Ok(Self {
            file,
            coordinators: global.coordinator.clone(),
            actor: global.actor.clone(),
            charter_hash,
            data: global.data_dir.clone(),
        })
    }

    /// The file, where the verb cannot do without.
    pub(crate) fn file(&self) -> Result<&File, Failure> {
        self.file.as_ref().ok_or_else(|| {
            Failure::usage(format!("there is no {NAME} here or in any directory above"))
                .next("`skein init` writes one; --config FILE names one elsewhere")
        })
    }

    /// Where the coordinators are. Empty: in this process.
    pub(crate) fn coordinators(&self) -> &[String] {
        if !self.coordinators.is_empty() {
            return &self.coordinators;
        }
        match self.file.as_ref().and_then(|file| file.coordinator.as_ref()) {
            Some(coordinator) => &coordinator.addresses,
            None => &[],
        }
    }

    /// Where embedded mode keeps its log.
    pub(crate) fn data(&self) -> Result<PathBuf, Failure> {
        match &self.data {
            Some(data) => Ok(data.clone()),
            None => Ok(self.file()?.data()),
        }
    }

    pub(crate) fn actor(&self) -> String {
        let configured = || self.file.as_ref().and_then(|file| file.project.actor.clone());
        self.actor.clone().or_else(configured).unwrap_or_else(account)
    }

    /// The charter's text: the configured file's, else the built-in one.
    pub(crate) fn charter(&self) -> Result<Vec<u8>, Failure> {
        let configured = self.file.as_ref().and_then(|file| file.project.charter.as_deref());
        let Some(path) = configured else { return Ok(charter::DEFAULT.as_bytes().to_vec()) };
        std::fs::read(path).map_err(|error| {
            Failure::usage(format!("the charter {} cannot be read: {error}", path.display())).next(
                "put the file there, or take `charter` out of [project] to go by the built-in one",
            )
        })
    }

    /// The charter that requests are made under.
    pub(crate) fn charter_hash(&self) -> Result<[u8; 32], Failure> {
        match self.charter_hash {
            Some(hash) => Ok(hash),
            None => Ok(Sha256::digest(self.charter()?).into()),
        }
    }

    /// The configured one, or that of a file of its own.
    pub(crate) fn strategy(&self, given: Option<&Path>) -> Result<v1::Strategy, Failure> {
        let configured = || self.file.as_ref().map(|file| file.strategy.clone());
        let mut strategy = match given {
            Some(path) => Strategy::read(path).map_err(|error| unread(&error))?,
            None => configured().unwrap_or_default(),
        };
        // The project's hours hold whichever strategy is taken.
        if let Some(file) = &self.file {
            strategy.windows.extend(file.windows.iter().cloned());
            strategy.blackouts.extend(file.blackouts.iter().cloned());
        }
        Ok(strategy.to_wire())
    }

    /// Reads the migrations. What was read past is said on stderr.
    pub(crate) fn bundle(
        &self,
        given: Option<&Path>,
        screen: &mut Screen,
    ) -> Result<Bundle, Failure> {
        let (dir, format) = if let Some(dir) = given {
            (dir, self.file.as_ref().and_then(|file| file.project.format))
        } else {
            let project = &self.file()?.project;
            (project.migrations.as_path(), project.format)
        };
        let bundle = skein_bundle::read(dir, format).map_err(|error| {
            let what = chain(&error);
            // Its first finding has its own word for what it is.
            let what = what.strip_prefix("error: ").unwrap_or(&what);
            Failure::new(ExitCode::Refused, what).next(format!(
                "repair the files in {} and plan again; nothing was sent",
                dir.display()
            ))
        })?;
        for finding in &bundle.warnings {
            screen.warn(&format!(
                "{} ({}:{}:{}); {}",
                finding.message, finding.file, finding.line, finding.column, finding.help
            ));
        }
        let bytes = wire::encode(&bundle);
        let versions = bundle.migrations.iter().map(|one| one.version.clone()).collect();
        Ok(Bundle { digest: wire::digest(&bytes), bytes, versions })
    }
}

/// The nearest skein.toml, from here upwards.
fn upwards() -> Result<Option<PathBuf>, Failure> {
    let here = std::env::current_dir().map_err(|error| {
        Failure::usage(format!("the current directory cannot be found: {error}"))
    })?;
    Ok(here.ancestors().map(|dir| dir.join(NAME)).find(|path| path.is_file()))
}

fn unread(error: &ConfigError) -> Failure {
    let next = match error {
        ConfigError::Read { .. } => "`skein init` writes one; --config FILE names one elsewhere",
        ConfigError::Invalid { .. } | ConfigError::Incomplete { .. } => {
            "repair it there; nothing was sent"
        }
    };
    Failure::usage(chain(error)).next(next)
}

fn hash_of(text: &str) -> Result<[u8; 32], Failure> {
    words::unhex(text.trim()).and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        Failure::usage(format!("`{text}` is no charter hash: it has 64 hexadecimal digits"))
            .next("leave --charter-hash out to go by the configured charter")
    })
}

/// `user@host`, as far as the machine tells.
pub(crate) fn account() -> String {
    let said = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = said("USER").or_else(|| said("LOGNAME")).unwrap_or_else(|| {
        let uid = rustix::process::getuid().as_raw();
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        name_of(&passwd, uid).map_or_else(|| format!("uid-{uid}"), str::to_owned)
    });
    let host = ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .into_iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty());
    format!("{user}@{}", host.unwrap_or_else(|| "localhost".to_owned()))
}

/// An account's name in `/etc/passwd`: `name:password:uid:…`.
fn name_of(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::{hash_of, name_of};

    #[test]
    fn accounts() {
        let passwd = "root:x:0:0::/root:/bin/sh\n\nbroken\nkim:x:1000:1000::/:/bin/sh\n";
        assert_eq!(name_of(passwd, 0), Some("root"));
        assert_eq!(name_of(passwd, 1_000), Some("kim"));
        assert_eq!(name_of(passwd, 7), None);
    }

    #[test]
    fn charter_hashes() {
        assert_eq!(hash_of(&"ab".repeat(32)).ok(), Some([0xab; 32]));
        for text in ["", "ab", &"zz".repeat(32), &"ab".repeat(33)] {
            assert!(hash_of(text).is_err(), "{text}");
        }
    }
}
