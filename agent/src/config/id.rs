//! Names of targets and agents.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// A name that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} cannot be an id: an id begins with a letter or digit and goes on with letters, \
     digits, '.', '_', '/' and '-', 128 characters at most"
)]
pub struct BadId {
    pub text: String,
}

fn checked(text: &str) -> Result<String, BadId> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-');
    let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins_well && text.len() <= 128 && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(BadId { text: text.chars().take(160).collect() })
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Letters, digits, `.`, `_`, `/` and `-`, beginning with a letter or digit; 128
            /// characters at most.
            pub fn parse(text: &str) -> Result<Self, BadId> {
                checked(text).map(Self)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

id! {
    /// Names a target across the fleet: `eu/orders-017`.
    TargetId
}

id! {
    /// Names an agent across the fleet.
    AgentId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain() {
        for good in ["a", "eu/orders-017", "1", "A.b_c/d-e", &"x".repeat(128)] {
            assert!(TargetId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".a", "/a", "-a", "a b", "a\n", "ä", "a:b", &"x".repeat(129)] {
            assert!(TargetId::parse(bad).is_err(), "{bad}");
        }
    }
}
