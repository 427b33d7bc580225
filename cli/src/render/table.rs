//! Rows and columns, for people and for Markdown.

use std::io::{self, Write};

use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, presets};

use super::look::{Look, Tone};

/// A table without a frame.
#[derive(Debug, Default)]
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<(String, Tone)>>,
    right: Vec<usize>,
}

impl Table {
    pub fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), ..Self::default() }
    }

    /// Columns whose cells stand at the right.
    #[must_use]
    pub fn right(mut self, columns: &[usize]) -> Self {
        self.right = columns.to_vec();
        self
    }

    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = (T, Tone)>) {
        self.rows.push(cells.into_iter().map(|(text, tone)| (text.into(), tone)).collect());
    }

    pub fn plain<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.row(cells.into_iter().map(|text| (text, Tone::Plain)));
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Two blanks between columns, no blanks at the ends of lines, `indent` before each.
    pub fn text(&self, look: &Look, indent: &str, out: &mut dyn Write) -> io::Result<()> {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Disabled);
        if look.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        if self.head.iter().any(|name| !name.is_empty()) {
            table.set_header(self.head.iter().map(|name| cell(name, Tone::Faint, look)));
        }
        for row in &self.rows {
            table.add_row(row.iter().map(|(text, tone)| cell(text, *tone, look)));
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if self.right.contains(&index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for line in table.lines() {
            writeln!(out, "{indent}{}", line.trim_end())?;
        }
        Ok(())
    }

    pub fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "| {} |", self.head.join(" | "))?;
        writeln!(out, "|{}", "---|".repeat(self.head.len()))?;
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|(text, _)| escaped(text)).collect();
            writeln!(out, "| {} |", cells.join(" | "))?;
        }
        Ok(())
    }
}

/// Text that stays text inside a Markdown table, and steers no terminal that it is shown on.
pub fn escaped(text: &str) -> String {
    shown(text).replace('\\', "\\\\").replace('|', "\\|")
}

fn cell(text: &str, tone: Tone, look: &Look) -> Cell {
    // Control characters in names and messages must not steer a terminal.
    let cell = Cell::new(shown(text));
    if !look.colour {
        return cell;
    }
    match tone {
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::DarkGreen),
        Tone::Bad => cell.fg(Color::DarkRed),
        Tone::Warning => cell.fg(Color::DarkYellow),
        Tone::Busy => cell.fg(Color::DarkCyan),
        Tone::Faint => cell.add_attribute(Attribute::Dim),
        Tone::Strong => cell.add_attribute(Attribute::Bold),
    }
}

/// On one line, without control characters.
pub fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::{Look, Table, escaped};

    #[test]
    fn names_do_not_steer_the_terminal_in_markdown_either() {
        assert_eq!(escaped("a\u{1b}[31m|b\nc\u{7f}"), "a [31m\\|b c ");
    }

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        let mut table = Table::new(&["NAME", "N", "STATE"]).right(&[1]);
        table.plain(["a", "10", "ok"]);
        table.plain(["longer", "9", ""]);
        let mut out = Vec::new();
        table.text(&Look::default(), "  ", &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "  NAME     N  STATE\n  a       10  ok\n  longer   9\n");
    }

    #[test]
    fn a_name_cannot_steer_the_terminal_or_leave_its_cell() {
        let mut table = Table::new(&["A", "B"]);
        table.plain(["x\u{1b}[2Jy", "a|b\nc"]);
        let mut out = Vec::new();
        table.text(&Look::default(), "", &mut out).unwrap();
        table.markdown(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains('\u{1b}') || text.contains("| x\u{1b}[2Jy |"), "{text:?}");
        assert!(text.contains(r"a\|b c"), "{text:?}");
    }
}
