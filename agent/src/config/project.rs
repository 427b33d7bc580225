//! `[project]`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use skein_bundle::Format;

/// What is carried out, and under which rules.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Project {
    /// The directory of migrations. Default `migrations`.
    pub migrations: PathBuf,
    /// Its on-disk format; `None`: found out from the directory.
    #[serde(deserialize_with = "format")]
    pub format: Option<Format>,
    /// The charter's file.
    pub charter: Option<PathBuf>,
    /// In whose name requests are made; `None`: the account that runs the command.
    pub actor: Option<String>,
}

impl Default for Project {
    fn default() -> Self {
        Self { migrations: "migrations".into(), format: None, charter: None, actor: None }
    }
}

impl Project {
    pub(super) fn relative_to(self, directory: &Path) -> Self {
        Self {
            migrations: directory.join(self.migrations),
            charter: self.charter.map(|charter| directory.join(charter)),
            ..self
        }
    }
}

fn format<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Format>, D::Error> {
    const WORDS: [&str; 5] = ["golang-migrate", "sqlx", "dbmate", "diesel", "goose"];
    let text = String::deserialize(from)?;
    match Format::parse(&text) {
        Some(format) => Ok(Some(format)),
        None => Err(serde::de::Error::unknown_variant(&text, &WORDS)),
    }
}

#[cfg(test)]
mod tests {
    use skein_bundle::Format;

    #[test]
    fn every_format_can_be_written() {
        for format in Format::ALL {
            let text = format!("format = \"{format}\"");
            let project: super::Project = toml::from_str(&text).unwrap();
            assert_eq!(project.format, Some(format));
        }
        let error = toml::from_str::<super::Project>("format = \"sqx\"").unwrap_err();
        for format in Format::ALL {
            assert!(error.message().contains(format.as_str()), "{error}");
        }
    }
}
