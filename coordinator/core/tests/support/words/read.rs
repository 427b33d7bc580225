//! What a line of a script is made of.

use std::collections::BTreeMap;

/// A line's words: bare ones, and `key=value`.
pub(super) struct Words<'a> {
    pub(super) bare: Vec<&'a str>,
    pub(super) keys: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    pub(super) fn read(line: &'a str) -> Self {
        let (mut bare, mut keys) = (Vec::new(), BTreeMap::new());
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some((key, value)) => drop(keys.insert(key, value)),
                None => bare.push(word),
            }
        }
        Self { bare, keys }
    }

    pub(super) fn at(&self, place: usize) -> &'a str {
        self.bare
            .get(place)
            .copied()
            .unwrap_or_else(|| panic!("a word is missing: {:?}", self.bare))
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.bare.contains(&word)
    }

    pub(super) fn key(&self, key: &str) -> Option<&'a str> {
        self.keys.get(key).copied()
    }

    pub(super) fn number(&self, key: &str, otherwise: u32) -> u32 {
        self.key(key).map_or(otherwise, number)
    }

    pub(super) fn rest(&self, from: usize) -> String {
        self.bare.get(from..).unwrap_or_default().join(" ")
    }
}

pub(super) fn number(text: &str) -> u32 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}
