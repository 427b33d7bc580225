//! Reads the script that `mariadb-dump` writes, as it streams by: which tables it makes, whether
//! it is complete, and, where asked, without the sections of tables named `_skein_…`.
//!
//! Strings in the script have no raw line breaks (the dump escapes them), so a line that begins
//! with `CREATE TABLE` or `-- Table structure` is what it looks like, except inside the bodies of
//! programs, which stand between `DELIMITER ;;` and `DELIMITER ;`.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::super::archive::Listing;

/// A line is judged by its beginning: the longest is `CREATE TABLE` and a name of 64 characters,
/// each of up to four bytes and perhaps doubled.
const JUDGED_MAX: usize = 640;
const TRAILER: &[u8] = b"-- Dump completed";

/// Passes a script on to `to`, judging every line.
#[derive(Debug)]
pub(super) struct Script<W> {
    to: W,
    without_ledger: bool,
    /// The beginning of the line that is being read, while it is not judged.
    beginning: Vec<u8>,
    judged: Option<Judged>,
    in_program: bool,
    in_ledger: bool,
    complete: bool,
    tables: BTreeSet<String>,
    views: u64,
    programs: u64,
    left_out: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judged {
    Passes,
    LeftOut,
}

/// What a whole script was.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) complete: bool,
    pub(super) tables: Vec<String>,
    pub(super) entries: u64,
    pub(super) left_out: Vec<String>,
}

impl Seen {
    pub(super) fn listing(&self, bytes_dumped: u64) -> Listing {
        Listing { tables: self.tables.clone(), entries: self.entries, bytes_dumped }
    }
}

impl<W: Write> Script<W> {
    pub(super) fn new(to: W, without_ledger: bool) -> Self {
        Self {
            to,
            without_ledger,
            beginning: Vec::with_capacity(JUDGED_MAX),
            judged: None,
            in_program: false,
            in_ledger: false,
            complete: false,
            tables: BTreeSet::new(),
            views: 0,
            programs: 0,
            left_out: BTreeSet::new(),
        }
    }

    /// Judges what is left and says what the script was.
    pub(super) fn finish(mut self) -> io::Result<Seen> {
        self.judge()?;
        self.to.flush()?;
        let tables: Vec<String> = self.tables.into_iter().collect();
        let entries = u64::try_from(tables.len()).unwrap_or(u64::MAX) + self.views + self.programs;
        Ok(Seen {
            complete: self.complete,
            entries,
            tables,
            left_out: self.left_out.into_iter().collect(),
        })
    }

    fn judge(&mut self) -> io::Result<()> {
        if self.beginning.is_empty() || self.judged.is_some() {
            return Ok(());
        }
        let line = std::mem::take(&mut self.beginning);
        let judged = self.look(&line);
        self.judged = Some(judged);
        if judged == Judged::Passes {
            self.to.write_all(&line)?;
        }
        Ok(())
    }

    fn look(&mut self, line: &[u8]) -> Judged {
        let text = line.trim_ascii_end();
        if !text.is_empty() {
            // Only the last line that says anything counts.
            self.complete = text.starts_with(TRAILER);
        }
        if text.starts_with(b"DELIMITER ") {
            self.in_program = text != b"DELIMITER ;";
            if self.in_program {
                self.programs += 1;
            }
        } else if !self.in_program {
            if text.starts_with(b"-- ") {
                let named = section(text);
                let ledger = named.is_some_and(is_ledger);
                self.in_ledger = ledger && self.without_ledger;
                if self.in_ledger
                    && let Some(name) = named
                {
                    self.left_out.insert(String::from_utf8_lossy(name).into_owned());
                }
            } else if let Some(name) = text.strip_prefix(b"CREATE TABLE `").map(until_backtick) {
                self.tables.insert(name);
            } else if text.starts_with(b"/*!50001 VIEW `") {
                self.views += 1;
            }
        }
        if self.in_ledger { Judged::LeftOut } else { Judged::Passes }
    }
}

impl<W: Write> Write for Script<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let mut rest = piece;
            if self.judged.is_none() {
                let room = (JUDGED_MAX - self.beginning.len()).min(piece.len());
                let (begun, more) = piece.split_at(room);
                self.beginning.extend_from_slice(begun);
                rest = more;
                if self.beginning.len() == JUDGED_MAX || piece.ends_with(b"\n") {
                    self.judge()?;
                }
            }
            if self.judged == Some(Judged::Passes) {
                self.to.write_all(rest)?;
            }
            if piece.ends_with(b"\n") {
                self.judged = None;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The table that a section of the script is about.
fn section(line: &[u8]) -> Option<&[u8]> {
    [&b"-- Table structure for table `"[..], b"-- Dumping data for table `"]
        .iter()
        .find_map(|header| line.strip_prefix(*header))
        .map(|rest| rest.strip_suffix(b"`").unwrap_or(rest))
}

fn is_ledger(name: &[u8]) -> bool {
    name.starts_with(b"_skein_")
}

/// A quoted name whose opening backtick is gone; a doubled one stands for itself.
fn until_backtick(text: &[u8]) -> String {
    let mut name = Vec::new();
    let mut bytes = text.iter().peekable();
    while let Some(byte) = bytes.next() {
        if *byte == b'`' && bytes.next_if(|next| **next == b'`').is_none() {
            break;
        }
        name.push(*byte);
    }
    String::from_utf8_lossy(&name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "\
/*M!999999\\- enable the sandbox mode */ \n\
--\n-- Table structure for table `_skein_ledger`\n--\n\n\
DROP TABLE IF EXISTS `_skein_ledger`;\nCREATE TABLE `_skein_ledger` (\n  `a` int\n) ENGINE=InnoDB;\n\n\
--\n-- Dumping data for table `_skein_ledger`\n--\n\nINSERT INTO `_skein_ledger` VALUES (1);\n\n\
--\n-- Table structure for table `od``d`\n--\n\n\
CREATE TABLE `od``d` (\n  `a` int\n);\n\
INSERT INTO `od``d` VALUES ('-- Table structure for table `_skein_x`\\nCREATE TABLE `y`');\n\
DELIMITER ;;\nCREATE PROCEDURE p()\nBEGIN\n\
-- Table structure for table `_skein_trap`\nCREATE TABLE `in_body` (a int);\nEND ;;\nDELIMITER ;\n\
--\n-- Dumping routines for database 'x'\n--\n\n-- Dump completed\n";

    fn through(step: usize, without_ledger: bool) -> (String, Seen) {
        let mut to = Vec::new();
        let mut script = Script::new(&mut to, without_ledger);
        DUMP.as_bytes().chunks(step).for_each(|chunk| script.write_all(chunk).unwrap());
        let seen = script.finish().unwrap();
        (String::from_utf8(to).unwrap(), seen)
    }

    #[test]
    fn everything_passes_unchanged_and_is_listed() {
        for step in [1, 7, 4096] {
            let (to, seen) = through(step, false);
            assert_eq!(to, DUMP);
            assert!(seen.complete);
            assert_eq!(seen.tables, ["_skein_ledger", "od`d"]);
            assert_eq!(seen.entries, 3);
        }
    }

    #[test]
    fn the_ledger_is_left_out_and_bodies_are_not_read() {
        for step in [1, 7, 4096] {
            let (to, seen) = through(step, true);
            assert_eq!(seen.left_out, ["_skein_ledger"]);
            assert!(!to.contains("TABLE `_skein_ledger`") && !to.contains("INTO `_skein_ledger`"));
            assert!(
                to.contains("-- Table structure for table `_skein_trap`\nCREATE TABLE `in_body`")
            );
            assert!(to.contains("INSERT INTO `od``d`") && to.ends_with("-- Dump completed\n"));
        }
    }

    #[test]
    fn a_script_that_stops_early_is_not_complete() {
        let mut script = Script::new(io::sink(), false);
        script.write_all(&DUMP.as_bytes()[..DUMP.len() - 20]).unwrap();
        assert!(!script.finish().unwrap().complete);
        let mut script = Script::new(io::sink(), false);
        script.write_all(b"-- Dump completed\nINSERT INTO `x` VALUES (1);\n").unwrap();
        assert!(!script.finish().unwrap().complete);
    }
}
