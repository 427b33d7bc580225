//! Exit codes and their paragraphs.

use std::io::{self, Write};

use serde_json::Value;

use super::look::{Look, Tone};
use super::table::Table;
use super::{View, typed};
use crate::exit::ExitCode;

/// One code, or all of them.
#[derive(Debug, Clone)]
pub struct Exits(pub Vec<ExitCode>);

impl Exits {
    fn table(&self) -> Table {
        let mut table = Table::new(&["code", "meaning"]);
        for code in &self.0 {
            table.plain([code.number().to_string(), code.meaning().to_owned()]);
        }
        table
    }
}

impl View for Exits {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if let [code] = self.0.as_slice() {
            let title = format!("exit {}: {}", code.number(), code.meaning());
            writeln!(out, "{}", look.paint(Tone::Strong, &title))?;
            writeln!(out)?;
            return writeln!(out, "{}", folded(code.paragraph(), 92));
        }
        self.table().text(look, "", out)?;
        writeln!(out)?;
        writeln!(out, "skein explain exit CODE tells what to do.")
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        self.table().markdown(out)
    }

    fn json(&self) -> serde_json::Result<Value> {
        Ok(serde_json::json!({ "type": "exit_codes", "codes": self.lines()? }))
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        #[derive(serde::Serialize)]
        struct Line {
            code: u8,
            meaning: &'static str,
            paragraph: &'static str,
        }
        let line = |code: &ExitCode| Line {
            code: code.number(),
            meaning: code.meaning(),
            paragraph: code.paragraph(),
        };
        self.0.iter().map(|code| typed("exit_code", &line(code))).collect()
    }
}

/// Lines of at most `width` characters, broken between words.
fn folded(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::folded;

    #[test]
    fn folding_loses_no_word() {
        let text = "one two three  four\nfive";
        let lines = folded(text, 9);
        assert_eq!(lines, "one two\nthree\nfour five");
        assert_eq!(folded("incomprehensibilities", 4), "incomprehensibilities");
    }
}
