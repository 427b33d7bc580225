//! The schema as one canonical text, and its digest.
//!
//! Rule `v1`. What counts: tables, columns in their declared order with type, default, nullability
//! and generation, constraints, indexes with their validity, views, routines, triggers, events,
//! types, sequences, extensions, policies. What does not: data, the next value of a counter, owners
//! and definers, privileges, comments (but for those inside of MariaDB's table definitions), the
//! spacing of SQL, and Skein's own tables. Equal fingerprints are promised within one version of
//! one engine only: catalogues word the same thing differently across major versions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sha2::{Digest, Sha256};

use super::sql::{hex, mentions};

/// The rule by which fingerprints are made. Another rule gives other fingerprints.
pub const RULE: &str = "skein.fingerprint.v1";

/// SHA-256 of a schema's canonical text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// One object of a schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// `table`, `index`, `view`, `trigger`, …
    pub(crate) kind: String,
    pub(crate) name: String,
    /// The table that it hangs on; its own name where it hangs on none.
    pub(crate) on: String,
}

/// A schema, object by object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    objects: BTreeMap<Key, Vec<String>>,
}

impl Schema {
    pub(crate) fn push(&mut self, key: Key, lines: impl IntoIterator<Item = String>) {
        self.objects.entry(key).or_default().extend(lines);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &[String])> {
        self.objects.iter().map(|(key, lines)| (key, lines.as_slice()))
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&[String]> {
        self.objects.get(key).map(Vec::as_slice)
    }

    /// The schema less some objects of one kind.
    pub(crate) fn without(mut self, kind: &str, names: &[String]) -> Self {
        self.objects.retain(|key, _| key.kind != kind || !names.contains(&key.name));
        self
    }

    /// The canonical text: one line an object, its parts indented below. Fit for a diff.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (key, lines) in &self.objects {
            text.push_str(&key.kind);
            text.push(' ');
            text.push_str(&key.name);
            if key.on != key.name {
                text.push_str(" on ");
                text.push_str(&key.on);
            }
            text.push('\n');
            for line in lines {
                text.push_str("  ");
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }

    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        hash.update(RULE);
        hash.update(b"\n");
        hash.update(self.text());
        Fingerprint(hash.finalize().into())
    }

    /// The objects as evidence: a short digest of each, and the lines of those that `statement`
    /// names.
    pub(crate) fn objects(&self, statement: &str) -> Objects {
        // The text form puts one object on a line, its parts between tabs.
        let clean = |part: &str| part.replace(['\t', '\n', '\r'], " ");
        let entry = |(key, lines): (&Key, &Vec<String>)| {
            let (kind, name, on) = (clean(&key.kind), clean(&key.name), clean(&key.on));
            let kept = if key.is_named_in(statement) {
                lines.iter().map(|line| clean(line)).collect()
            } else {
                Vec::new()
            };
            (Key { kind, name, on }, Object { digest: digest(lines), lines: kept })
        };
        Objects(self.objects.iter().map(entry).collect())
    }
}

fn digest(lines: &[String]) -> String {
    let mut hash = Sha256::new();
    for line in lines {
        hash.update(line);
        hash.update(b"\n");
    }
    let whole: [u8; 32] = hash.finalize().into();
    hex(whole.split_at(8).0)
}

impl Key {
    /// Whether a statement names the object or what it hangs on. `schema.table` and `"table"` are
    /// named by their last part.
    pub(crate) fn is_named_in(&self, statement: &str) -> bool {
        let named = |name: &str| {
            let bare = name.split('(').next().unwrap_or_default();
            let last = bare.rsplit('.').next().unwrap_or_default().trim_matches('"');
            mentions(statement, last)
        };
        named(&self.name) || named(&self.on)
    }
}

/// The objects of a schema before a statement: enough to say which of them changed, and of those
/// that the statement names, how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Objects(BTreeMap<Key, Object>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Object {
    digest: String,
    lines: Vec<String>,
}

impl Objects {
    /// One line an object; its lines below, each behind a tab.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        for (key, object) in &self.0 {
            let Key { kind, name, on } = key;
            for part in [object.digest.as_str(), "\t", kind, "\t", name, "\t", on, "\n"] {
                text.push_str(part);
            }
            for line in &object.lines {
                text.push('\t');
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut objects: BTreeMap<Key, Object> = BTreeMap::new();
        let mut last = Key { kind: String::new(), name: String::new(), on: String::new() };
        for line in text.lines() {
            if let Some(line) = line.strip_prefix('\t') {
                objects.get_mut(&last)?.lines.push(line.to_owned());
                continue;
            }
            let mut parts = line.split('\t').map(str::to_owned);
            let digest = parts.next()?;
            last = Key { kind: parts.next()?, name: parts.next()?, on: parts.next()? };
            objects.insert(last.clone(), Object { digest, lines: Vec::new() });
        }
        Some(Self(objects))
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.0.contains_key(key)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.keys()
    }

    /// What was added, taken away or altered between the two.
    pub(crate) fn changed(&self, now: &Self) -> BTreeSet<Key> {
        let keys: BTreeSet<&Key> = self.0.keys().chain(now.0.keys()).collect();
        let digest = |objects: &Self, key: &Key| objects.0.get(key).map(|o| o.digest.clone());
        keys.into_iter().filter(|key| digest(self, key) != digest(now, key)).cloned().collect()
    }

    /// The lines of an object that is there before and after, which are in one of the two only.
    pub(crate) fn altered_lines<'a>(&'a self, now: &'a Self, key: &Key) -> Vec<&'a str> {
        let (Some(before), Some(after)) = (self.0.get(key), now.0.get(key)) else {
            return Vec::new();
        };
        let only = |one: &'a Object, other: &Object| {
            let other = other.lines.clone();
            one.lines.iter().filter(move |line| !other.contains(line)).map(String::as_str)
        };
        only(before, after).chain(only(after, before)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &str, name: &str, on: &str) -> Key {
        Key { kind: kind.to_owned(), name: name.to_owned(), on: on.to_owned() }
    }

    #[test]
    fn changes_are_named_by_object() {
        let mut before = Schema::default();
        before.push(key("table", "t", "t"), ["a int".to_owned()]);
        before.push(key("table", "u", "u"), ["a int".to_owned()]);
        let mut after = before.clone();
        after.push(key("table", "t", "t"), ["b int".to_owned()]);
        after.push(key("index", "i", "u"), ["a".to_owned()]);
        let old = Objects::parse(&before.objects("ALTER TABLE t").to_text()).unwrap();
        let changed = old.changed(&after.objects("ALTER TABLE t"));
        let names: Vec<_> = changed.iter().map(|key| key.name.as_str()).collect();
        assert_eq!(names, ["i", "t"]);
        assert!(old.changed(&before.objects("ALTER TABLE t")).is_empty());
        let altered = key("table", "t", "t");
        assert_eq!(old.altered_lines(&after.objects("ALTER TABLE t"), &altered), ["b int"]);
        assert_ne!(before.fingerprint(), after.fingerprint());
    }
}
