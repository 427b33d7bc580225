//! One value or several, as the file may have either.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

#[derive(Deserialize)]
#[serde(untagged, expecting = "a label's value is a string or a list of strings")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// For `#[serde(deserialize_with)]`.
pub(super) fn matches<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, Vec<String>>, D::Error> {
    let map = BTreeMap::<String, OneOrMany>::deserialize(from)?;
    let values = |value| match value {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    };
    Ok(map.into_iter().map(|(name, value)| (name, values(value))).collect())
}
