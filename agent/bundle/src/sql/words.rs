//! A statement's tokens as words to be asked for by number.

use super::lex::{Kind, Token};

/// Tokens that are code, from a statement's first on. Asking past the end finds nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) text: &'a str,
    pub(super) tokens: &'a [Token],
}

impl Words<'_> {
    /// The word at `at` in capitals; empty where something else stands.
    pub(super) fn upper(&self, at: usize) -> String {
        match self.tokens.get(at) {
            Some(token) if token.kind == Kind::Word => token.of(self.text).to_ascii_uppercase(),
            _ => String::new(),
        }
    }

    pub(super) fn is(&self, at: usize, word: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| {
            token.kind == Kind::Word && token.of(self.text).eq_ignore_ascii_case(word)
        })
    }

    pub(super) fn any(&self, at: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(at, word))
    }

    /// Whether `words` stand one behind the other from `at` on.
    pub(super) fn all(&self, at: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(offset, word)| self.is(at + offset, word))
    }

    pub(super) fn symbol(&self, at: usize, symbol: &str) -> bool {
        self.tokens
            .get(at)
            .is_some_and(|token| token.kind == Kind::Symbol && token.of(self.text) == symbol)
    }

    pub(super) fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The number of tokens before the first delimiter.
    pub(super) fn delimiter(&self) -> usize {
        let delimiter = self.tokens.iter().position(|token| token.kind == Kind::Delimiter);
        delimiter.unwrap_or(self.tokens.len())
    }

    /// Past `words`, where they stand at `at`; else `at`.
    pub(super) fn skip(&self, at: usize, words: &[&str]) -> usize {
        if self.all(at, words) { at + words.len() } else { at }
    }

    /// The first of `words` at or behind `at` and outside of parentheses.
    pub(super) fn find(&self, at: usize, words: &[&str]) -> Option<usize> {
        let mut depth = 0_usize;
        for (offset, token) in self.tokens.iter().enumerate().skip(at) {
            match token.kind {
                Kind::Symbol if token.of(self.text) == "(" => depth += 1,
                Kind::Symbol if token.of(self.text) == ")" => depth = depth.saturating_sub(1),
                Kind::Word if depth == 0 && self.any(offset, words) => return Some(offset),
                _ => {}
            }
        }
        None
    }

    /// Whether `word` stands anywhere, in parentheses or not.
    pub(super) fn contains(&self, word: &str) -> bool {
        (0..self.len()).any(|at| self.is(at, word))
    }

    /// Cuts what stands from `at` on at the commas outside of parentheses.
    pub(super) fn clauses(&self, at: usize) -> Vec<Self> {
        let tokens = self.tokens.get(at..).unwrap_or_default();
        let mut depth = 0_usize;
        tokens
            .split(|token| {
                if token.kind != Kind::Symbol {
                    return false;
                }
                match token.of(self.text) {
                    "(" => depth += 1,
                    ")" => depth = depth.saturating_sub(1),
                    "," => return depth == 0,
                    _ => {}
                }
                false
            })
            .map(|tokens| Self { text: self.text, tokens })
            .collect()
    }

    /// A possibly qualified name at `at` as it is written, and what follows it.
    pub(super) fn name(&self, at: usize) -> (Option<String>, usize) {
        let mut next = at;
        let mut name = String::new();
        loop {
            match self.tokens.get(next) {
                Some(token)
                    if matches!(token.kind, Kind::Word | Kind::Quoted)
                        || (token.kind == Kind::Number && !name.is_empty()) =>
                {
                    name.push_str(token.of(self.text));
                    next += 1;
                }
                _ => break,
            }
            if !self.symbol(next, ".") {
                break;
            }
            name.push('.');
            next += 1;
        }
        (if name.is_empty() { None } else { Some(name) }, next)
    }

    /// The tokens from `at` on.
    pub(super) fn from(&self, at: usize) -> Self {
        Self { text: self.text, tokens: self.tokens.get(at..).unwrap_or_default() }
    }
}
