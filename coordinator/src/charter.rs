//! The charter: the policy set in force, and its hash. Nothing runs outside of it.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use skein_core::ids::Digest;
use skein_core::policy::Policy;
use skein_core::spec::Backup;

/// What holds where nobody wrote a charter.
pub const DEFAULT: &str = "\
# The charter: what this fleet's migrations have to keep to. Its SHA-256 is fixed when the cluster is
# formed, stands in every request and event, and a request made under another one is refused.

[backup]
# What a plan has to back up at least before a target's first step: database, tables, schema or none.
# With none, a plan may ask for no backup; the exemption is recorded.
least = \"none\"

[undo]
# A step that nothing undoes: waiver (with a recorded reason) or refuse.
irreversible = \"waiver\"
";

/// The constitutional hash: SHA-256 of the charter's bytes.
pub fn hash(text: &[u8]) -> Digest {
    Digest(Sha256::digest(text).into())
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Charter {
    backup: BackupRule,
    undo: UndoRule,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BackupRule {
    least: Least,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Least {
    #[default]
    None,
    Schema,
    Tables,
    Database,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct UndoRule {
    irreversible: Irreversible,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Irreversible {
    #[default]
    Waiver,
    Refuse,
}

/// A charter that cannot be understood: nobody may work under rules that nobody can read.
#[derive(Debug, thiserror::Error)]
#[error("the charter cannot be read: {0}")]
pub struct CharterError(String);

/// The rules in a charter's text.
///
/// # Errors
/// Not UTF-8, not TOML, or a key that is not known: with its line.
pub fn policy(text: &[u8]) -> Result<Policy, CharterError> {
    let text = std::str::from_utf8(text).map_err(|error| CharterError(error.to_string()))?;
    let charter: Charter = toml::from_str(text).map_err(|error| CharterError(error.to_string()))?;
    Ok(Policy {
        least_backup: match charter.backup.least {
            Least::None => Backup::Exempt,
            Least::Schema => Backup::Schema,
            Least::Tables => Backup::Tables,
            Least::Database => Backup::Database,
        },
        refuse_irreversible: charter.undo.irreversible == Irreversible::Refuse,
    })
}

#[cfg(test)]
mod tests {
    use super::{DEFAULT, policy};
    use skein_core::policy::Policy;
    use skein_core::spec::Backup;

    #[test]
    fn the_default_asks_for_nothing_more() {
        assert_eq!(policy(DEFAULT.as_bytes()).unwrap(), Policy::default());
        assert_eq!(policy(b"").unwrap(), Policy::default());
    }

    #[test]
    fn rules_are_read() {
        let text = b"[backup]\nleast = \"tables\"\n[undo]\nirreversible = \"refuse\"\n";
        let wanted = Policy { least_backup: Backup::Tables, refuse_irreversible: true };
        assert_eq!(policy(text).unwrap(), wanted);
    }

    #[test]
    fn an_unknown_rule_is_an_error_with_its_line() {
        let error = policy(b"[backup]\nleest = \"none\"\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("leest"), "{error}");
    }
}
