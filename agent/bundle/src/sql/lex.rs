//! Cuts SQL text into tokens that cover it without a gap, by the quoting and comment rules of one
//! dialect. It judges nothing: text that no server would take still becomes tokens, and what is never
//! closed is one last [`Kind::Unterminated`].
//!
//! Every decision falls on an ASCII byte, so that tokens begin and end between characters.

use super::model::Dialect;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Space,
    Comment,
    /// `/*!50003` or `/*M!` of MySQL and MariaDB: what follows is code.
    ConditionalOpen,
    /// The `*/` that belongs to it.
    ConditionalClose,
    /// A keyword or an identifier without quotes.
    Word,
    /// An identifier in quotes.
    Quoted,
    /// A string, in whatever quotes.
    Literal,
    Number,
    /// One byte of anything else.
    Symbol,
    /// The end of a statement: `;`, or what `DELIMITER` has put in its place.
    Delimiter,
    /// A whole `DELIMITER …` line, which the client keeps to itself.
    DelimiterCommand,
    /// A quote or comment that the text never closes: it reaches to the end.
    Unterminated,
}

/// A half-open range of bytes of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

impl Token {
    /// The token's text; `text` is what was lexed.
    pub fn of<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.start..self.end).unwrap_or_default()
    }

    /// Neither white space nor a comment.
    pub fn is_significant(&self) -> bool {
        !matches!(self.kind, Kind::Space | Kind::Comment)
    }
}

/// All of `text`. `DELIMITER` lines are understood for MySQL, where the client obeys them.
pub fn lex(dialect: Dialect, text: &str) -> Lexer<'_> {
    Lexer::new(dialect, text, dialect == Dialect::Mysql)
}

/// Like [`lex`], for text that a client has already cut: `DELIMITER` is a word like any other.
pub(super) fn lex_piece(dialect: Dialect, text: &str) -> Lexer<'_> {
    Lexer::new(dialect, text, false)
}

/// The tokens of a text, one after the other.
#[derive(Debug)]
pub struct Lexer<'a> {
    dialect: Dialect,
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    delimiter: &'a str,
    client: bool,
    /// No significant token since the last delimiter.
    fresh: bool,
    conditional: bool,
    last: Option<Token>,
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let start = self.at;
        let kind = self.token();
        debug_assert!(self.at > start, "every token takes at least one byte");
        match kind {
            Kind::Space | Kind::Comment => {}
            Kind::Delimiter | Kind::DelimiterCommand => self.fresh = true,
            _ => self.fresh = false,
        }
        let token = Token { kind, start, end: self.at };
        self.last = Some(token);
        Some(token)
    }
}

impl<'a> Lexer<'a> {
    fn new(dialect: Dialect, text: &'a str, client: bool) -> Self {
        Self {
            dialect,
            text,
            bytes: text.as_bytes(),
            at: 0,
            delimiter: ";",
            client,
            fresh: true,
            conditional: false,
            last: None,
        }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn at_delimiter(&self) -> bool {
        self.rest().starts_with(self.delimiter.as_bytes())
    }

    fn token(&mut self) -> Kind {
        if self.at_delimiter() {
            self.at += self.delimiter.len();
            return Kind::Delimiter;
        }
        let byte = self.peek(0);
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => self.space(),
            b'-' if self.peek(1) == b'-' && self.dash_comment() => self.line_comment(),
            b'#' if self.dialect == Dialect::Mysql => self.line_comment(),
            b'/' if self.peek(1) == b'*' => self.block_comment(),
            b'*' if self.conditional && self.peek(1) == b'/' => {
                self.at += 2;
                self.conditional = false;
                Kind::ConditionalClose
            }
            b'\'' => {
                let escapes = self.dialect == Dialect::Mysql || self.escape_prefix();
                self.quoted(b'\'', escapes, Kind::Literal)
            }
            b'"' if self.dialect == Dialect::Mysql => self.quoted(b'"', true, Kind::Literal),
            b'"' => self.quoted(b'"', false, Kind::Quoted),
            b'`' if self.dialect != Dialect::Postgres => self.quoted(b'`', false, Kind::Quoted),
            b'[' if self.dialect == Dialect::Sqlite => self.bracket(),
            b'$' if self.dialect == Dialect::Postgres => self.dollar(),
            b'0'..=b'9' => self.number(),
            _ if self.word_byte(byte) => self.word(),
            _ => {
                self.at += 1;
                Kind::Symbol
            }
        }
    }

    fn space(&mut self) -> Kind {
        while matches!(self.peek(0), b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
            && !self.at_delimiter()
        {
            self.at += 1;
        }
        Kind::Space
    }

    /// MySQL wants white space or a control character behind the dashes; the others do not.
    fn dash_comment(&self) -> bool {
        self.dialect != Dialect::Mysql || self.peek(2) <= b' '
    }

    fn line_comment(&mut self) -> Kind {
        let rest = self.rest();
        self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        Kind::Comment
    }

    fn block_comment(&mut self) -> Kind {
        if self.dialect == Dialect::Mysql {
            let marker = match (self.peek(2), self.peek(3)) {
                (b'!', _) => 3,
                (b'M', b'!') => 4,
                _ => 0,
            };
            if marker > 0 && !self.conditional {
                self.at += marker;
                let mut digits = 0;
                while digits < 6 && self.peek(0).is_ascii_digit() {
                    self.at += 1;
                    digits += 1;
                }
                self.conditional = true;
                return Kind::ConditionalOpen;
            }
        }
        self.at += 2;
        let mut depth = 1_usize;
        while self.at < self.bytes.len() {
            match (self.peek(0), self.peek(1)) {
                (b'*', b'/') => {
                    self.at += 2;
                    depth -= 1;
                    if depth == 0 {
                        return Kind::Comment;
                    }
                }
                (b'/', b'*') if self.dialect == Dialect::Postgres => {
                    self.at += 2;
                    depth += 1;
                }
                _ => self.at += 1,
            }
        }
        // SQLite takes the end of the text for the end of the comment.
        if self.dialect == Dialect::Sqlite { Kind::Comment } else { Kind::Unterminated }
    }

    /// Whether the quote here opens one of PostgreSQL's `E'…'` strings.
    fn escape_prefix(&self) -> bool {
        self.dialect == Dialect::Postgres
            && self.last.is_some_and(|token| {
                token.kind == Kind::Word && token.of(self.text).eq_ignore_ascii_case("e")
            })
    }

    fn quoted(&mut self, quote: u8, escapes: bool, kind: Kind) -> Kind {
        self.at += 1;
        while self.at < self.bytes.len() {
            let byte = self.peek(0);
            if byte == b'\\' && escapes {
                self.at = (self.at + 2).min(self.bytes.len());
                self.reach_boundary();
            } else if byte == quote && self.peek(1) == quote {
                self.at += 2;
            } else if byte == quote {
                self.at += 1;
                return kind;
            } else {
                self.at += 1;
            }
        }
        Kind::Unterminated
    }

    /// A backslash may stand before a character of several bytes.
    fn reach_boundary(&mut self) {
        while !self.text.is_char_boundary(self.at) {
            self.at += 1;
        }
    }

    fn bracket(&mut self) -> Kind {
        let rest = self.rest();
        if let Some(length) = rest.iter().position(|byte| *byte == b']') {
            self.at += length + 1;
            Kind::Quoted
        } else {
            self.at = self.bytes.len();
            Kind::Unterminated
        }
    }

    /// `$tag$ … $tag$`, or a dollar that stands for itself.
    fn dollar(&mut self) -> Kind {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let tag_length = rest
            .bytes()
            .skip(1)
            .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80)
            .count();
        let opens = self.peek(1 + tag_length) == b'$' && !self.peek(1).is_ascii_digit();
        if !opens {
            self.at += 1;
            return Kind::Symbol;
        }
        let (tag, body) = rest.split_at_checked(tag_length + 2).unwrap_or((rest, ""));
        if let Some(length) = body.find(tag) {
            self.at += 2 * tag.len() + length;
            Kind::Literal
        } else {
            self.at = self.bytes.len();
            Kind::Unterminated
        }
    }

    fn word_byte(&self, byte: u8) -> bool {
        byte.is_ascii_alphanumeric()
            || byte == b'_'
            || byte >= 0x80
            || (byte == b'$' && self.dialect != Dialect::Postgres)
    }

    fn number(&mut self) -> Kind {
        while (self.peek(0).is_ascii_alphanumeric() || matches!(self.peek(0), b'_' | b'.'))
            && !self.at_delimiter()
        {
            self.at += 1;
        }
        Kind::Number
    }

    fn word(&mut self) -> Kind {
        let start = self.at;
        // PostgreSQL takes a dollar inside a name, though not in front of one.
        while (self.word_byte(self.peek(0)) || self.peek(0) == b'$') && !self.at_delimiter() {
            self.at += 1;
        }
        let word = self.text.get(start..self.at).unwrap_or_default();
        if self.client && self.fresh && word.eq_ignore_ascii_case("delimiter") {
            return self.delimiter_command();
        }
        Kind::Word
    }

    fn delimiter_command(&mut self) -> Kind {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default();
        let Some(delimiter) = line.split_ascii_whitespace().next() else {
            return Kind::Word;
        };
        self.delimiter = delimiter;
        self.at += line.len();
        Kind::DelimiterCommand
    }
}
