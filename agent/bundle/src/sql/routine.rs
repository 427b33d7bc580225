//! Where a statement of MySQL or MariaDB ends: stored programs and compound statements are followed
//! block by block, without the help of `DELIMITER`.

use super::lex::{Kind, Token};
use super::split::Unsure;
use super::words::Words;

/// What an `END` may close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Begin,
    If,
    /// `CASE … END CASE`, a statement.
    CaseStatement,
    /// `CASE … END`, a value.
    CaseValue,
    Loop,
    While,
    Repeat,
    For,
}

impl Block {
    /// The word behind the `END` that closes it.
    fn closing(self) -> Option<&'static str> {
        match self {
            Self::Begin | Self::CaseValue => None,
            Self::If => Some("IF"),
            Self::CaseStatement => Some("CASE"),
            Self::Loop => Some("LOOP"),
            Self::While => Some("WHILE"),
            Self::Repeat => Some("REPEAT"),
            Self::For => Some("FOR"),
        }
    }
}

/// Where in a compound statement the walk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before the body of a procedure or function.
    RoutineHeader,
    /// Before `FOR EACH ROW`.
    TriggerHeader,
    /// Before `DO`.
    EventHeader,
    /// Where a statement of a body may begin.
    Statement,
    /// After `DECLARE … HANDLER`, among its conditions.
    Handler,
    /// Inside a simple statement of a body, or a condition.
    Inside,
}

/// How many of `tokens` (code only) belong to the statement that the first of them begins.
pub(super) fn statement_length(text: &str, tokens: &[Token]) -> Result<usize, Unsure> {
    let start = tokens.first().map_or(0, |token| token.start);
    let head = Words { text, tokens };
    let first = head.upper(0);
    let place = match first.as_str() {
        "END" | "ELSE" | "ELSEIF" | "UNTIL" | "THEN" | "WHEN" | "LEAVE" | "ITERATE" => {
            let why = "the statement begins with a word that only closes or continues a block";
            return Err(Unsure::new(why, start));
        }
        "CREATE" | "ALTER" => stored_program(head),
        "BEGIN" if head.is(1, "NOT") && head.is(2, "ATOMIC") => Some(Place::Statement),
        "IF" | "CASE" | "LOOP" | "WHILE" | "REPEAT" | "FOR" => Some(Place::Statement),
        _ if head.symbol(1, ":") && !head.symbol(2, "=") => Some(Place::Statement),
        _ => None,
    };
    let length = match place {
        Some(place) => Walk { words: head, place, blocks: Vec::new(), parentheses: 0 }.run()?,
        None => head.delimiter(),
    };
    if first == "SET" && changes_quoting(text, tokens.get(..length).unwrap_or(tokens)) {
        return Err(Unsure::new("this sql_mode changes how the text after it reads", start));
    }
    Ok(length)
}

/// `NO_BACKSLASH_ESCAPES` moves the ends of strings, `ORACLE` those of routines.
fn changes_quoting(text: &str, statement: &[Token]) -> bool {
    statement.iter().any(|token| {
        let text = token.of(text).to_ascii_uppercase();
        text.contains("NO_BACKSLASH_ESCAPES") || text.trim_matches(['\'', '"']) == "ORACLE"
    })
}

/// `CREATE [OR REPLACE] [DEFINER = …] [AGGREGATE] PROCEDURE …` and its kin.
fn stored_program(words: Words<'_>) -> Option<Place> {
    // The longest prefix: CREATE OR REPLACE DEFINER = `a` @ `b` AGGREGATE FUNCTION.
    for at in 1..12 {
        match words.upper(at).as_str() {
            "PROCEDURE" | "FUNCTION" => return Some(Place::RoutineHeader),
            "TRIGGER" => return Some(Place::TriggerHeader),
            "EVENT" => return Some(Place::EventHeader),
            "OR" | "REPLACE" | "DEFINER" | "AGGREGATE" | "CURRENT_USER" | "CURRENT_ROLE" => {}
            // The account behind DEFINER.
            _ if at > 1 && (words.is(1, "DEFINER") || words.is(3, "DEFINER")) => {}
            _ => return None,
        }
    }
    None
}

struct Walk<'a> {
    words: Words<'a>,
    place: Place,
    blocks: Vec<(Block, usize)>,
    parentheses: usize,
}

impl Walk<'_> {
    fn run(mut self) -> Result<usize, Unsure> {
        let mut at = usize::from(self.place != Place::Statement);
        while let Some(token) = self.words.tokens.get(at) {
            at = match token.kind {
                Kind::Delimiter => {
                    match self.blocks.last() {
                        None => return Ok(at),
                        Some((Block::CaseValue, start)) => {
                            return Err(Unsure::new("this CASE has no END", *start));
                        }
                        Some(_) => self.place = Place::Statement,
                    }
                    at + 1
                }
                Kind::Symbol => {
                    match token.of(self.words.text) {
                        "(" => self.parentheses += 1,
                        ")" => self.parentheses = self.parentheses.saturating_sub(1),
                        _ => {}
                    }
                    if self.place == Place::Statement {
                        self.place = Place::Inside;
                    }
                    at + 1
                }
                Kind::Word if self.is_name(at) => at + 1,
                Kind::Word => self.word(at)?,
                _ => {
                    if self.place == Place::Statement && !self.words.symbol(at + 1, ":") {
                        self.place = Place::Inside;
                    }
                    at + 1
                }
            };
        }
        match self.blocks.last() {
            Some((_, start)) => Err(Unsure::new("the block that begins here has no END", *start)),
            None => Ok(self.words.tokens.len()),
        }
    }

    /// Part of a qualified name or a variable, whatever it spells.
    fn is_name(&self, at: usize) -> bool {
        at > 0 && (self.words.symbol(at - 1, ".") || self.words.symbol(at - 1, "@"))
    }

    fn word(&mut self, at: usize) -> Result<usize, Unsure> {
        match self.place {
            Place::Statement => self.statement(at),
            Place::Inside => self.inside(at),
            Place::Handler => self.handler(at),
            Place::RoutineHeader => self.routine_header(at),
            Place::TriggerHeader => {
                if self.words.is(at, "EACH") && self.words.is(at + 1, "ROW") {
                    self.place = Place::Statement;
                    let order =
                        self.words.is(at + 2, "FOLLOWS") || self.words.is(at + 2, "PRECEDES");
                    return Ok(if order { at + 4 } else { at + 2 });
                }
                Ok(at + 1)
            }
            Place::EventHeader => {
                if self.words.is(at, "DO") {
                    self.place = Place::Statement;
                }
                Ok(at + 1)
            }
        }
    }

    /// The body of a routine begins with its first statement: nothing else marks it.
    fn routine_header(&mut self, at: usize) -> Result<usize, Unsure> {
        if self.parentheses > 0 {
            return Ok(at + 1);
        }
        // `CREATE PROCEDURE IF NOT EXISTS name`, unlike a body that begins with IF.
        let if_exists = self.words.is(at - 1, "PROCEDURE") || self.words.is(at - 1, "FUNCTION");
        let label = self.words.symbol(at + 1, ":") && !self.words.symbol(at + 2, "=");
        match self.words.upper(at).as_str() {
            "IF" if if_exists => Ok(at + 1),
            _ if label => self.statement(at),
            "BEGIN" | "IF" | "CASE" | "LOOP" | "WHILE" | "REPEAT" => self.statement(at),
            "SET" if self.words.is(at - 1, "CHARACTER") || self.words.is(at - 1, "RETURNS") => {
                Ok(at + 1)
            }
            "RETURN" | "SELECT" | "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "CALL" | "WITH"
            | "SET" | "DO" | "TRUNCATE" | "DROP" | "CREATE" | "ALTER" | "SIGNAL" | "EXECUTE"
            | "PREPARE"
                if at > 2 =>
            {
                self.place = Place::Inside;
                Ok(at + 1)
            }
            _ => Ok(at + 1),
        }
    }

    fn push(&mut self, block: Block, at: usize, place: Place) -> usize {
        let start = self.words.tokens.get(at).map_or(0, |token| token.start);
        self.blocks.push((block, start));
        self.place = place;
        at + 1
    }

    fn statement(&mut self, at: usize) -> Result<usize, Unsure> {
        if self.words.symbol(at + 1, ":") && !self.words.symbol(at + 2, "=") {
            self.place = Place::Statement;
            return Ok(at + 2);
        }
        match self.words.upper(at).as_str() {
            "BEGIN" => {
                let atomic = self.words.is(at + 1, "NOT") && self.words.is(at + 2, "ATOMIC");
                self.push(Block::Begin, at, Place::Statement);
                Ok(if atomic { at + 3 } else { at + 1 })
            }
            "IF" => Ok(self.push(Block::If, at, Place::Inside)),
            "CASE" => Ok(self.push(Block::CaseStatement, at, Place::Inside)),
            "LOOP" => Ok(self.push(Block::Loop, at, Place::Statement)),
            "WHILE" => Ok(self.push(Block::While, at, Place::Inside)),
            "REPEAT" => Ok(self.push(Block::Repeat, at, Place::Statement)),
            "FOR" => Ok(self.push(Block::For, at, Place::Inside)),
            "END" => self.end(at),
            "ELSE" => self.part_of(&[Block::If, Block::CaseStatement], at, Place::Statement),
            "ELSEIF" => self.part_of(&[Block::If], at, Place::Inside),
            "WHEN" => self.part_of(&[Block::CaseStatement], at, Place::Inside),
            "UNTIL" => self.part_of(&[Block::Repeat], at, Place::Inside),
            "DECLARE" => {
                let handler = (self.words.is(at + 2, "HANDLER"))
                    && ["CONTINUE", "EXIT", "UNDO"].iter().any(|w| self.words.is(at + 1, w));
                self.place = if handler { Place::Handler } else { Place::Inside };
                Ok(if handler { at + 3 } else { at + 1 })
            }
            _ => {
                self.place = Place::Inside;
                Ok(at + 1)
            }
        }
    }

    fn part_of(&mut self, of: &[Block], at: usize, place: Place) -> Result<usize, Unsure> {
        match self.blocks.last() {
            Some((block, _)) if of.contains(block) => {
                self.place = place;
                Ok(at + 1)
            }
            _ => Err(self.mismatch(at)),
        }
    }

    /// Conditions run up to the statement that handles them.
    fn handler(&mut self, at: usize) -> Result<usize, Unsure> {
        match self.words.upper(at).as_str() {
            "FOR" | "SQLSTATE" | "VALUE" | "SQLWARNING" | "NOT" | "FOUND" | "SQLEXCEPTION" => {
                Ok(at + 1)
            }
            // The name of a condition: alone between FOR or a comma and what follows.
            _ if self.words.is(at - 1, "FOR") || self.words.symbol(at - 1, ",") => Ok(at + 1),
            _ => self.statement(at),
        }
    }

    fn inside(&mut self, at: usize) -> Result<usize, Unsure> {
        let top = self.blocks.last().map(|(block, _)| *block);
        match (self.words.upper(at).as_str(), top) {
            ("CASE", _) => Ok(self.push(Block::CaseValue, at, Place::Inside)),
            ("END", Some(Block::CaseValue | Block::Repeat)) => self.end(at),
            ("END", _) if self.words.is(at - 1, "XA") => Ok(at + 1),
            ("END", Some(_)) if !self.words.symbol(at + 1, ",") => Err(self.mismatch(at)),
            ("THEN", Some(Block::If | Block::CaseStatement))
            | ("DO", Some(Block::While | Block::For)) => {
                self.place = Place::Statement;
                Ok(at + 1)
            }
            _ => Ok(at + 1),
        }
    }

    fn end(&mut self, at: usize) -> Result<usize, Unsure> {
        let Some((block, _)) = self.blocks.pop() else {
            return Err(self.mismatch(at));
        };
        self.place = Place::Inside;
        match block.closing() {
            None => Ok(at + 1),
            Some(word) if self.words.is(at + 1, word) => Ok(at + 2),
            Some(_) => Err(self.mismatch(at)),
        }
    }

    fn mismatch(&self, at: usize) -> Unsure {
        let token = self.words.tokens.get(at);
        let word = token.map_or("", |token| token.of(self.words.text));
        let start = token.map_or(0, |token| token.start);
        Unsure::new(&format!("this {word} does not fit the block around it"), start)
    }
}
