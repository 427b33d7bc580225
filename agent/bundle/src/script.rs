//! Makes a [`Script`] of a file or of a part of one.

use crate::directory::File;
use crate::finding::Report;
use crate::model::{Format, MarkedStatement, Script, Transaction};
use crate::sql::client;
use crate::sql::normalise;
use crate::sql::split::Places;

/// A file that is one script.
pub(crate) fn of_file(
    format: Format,
    file: &File,
    transaction: Transaction,
    report: &mut Report,
) -> Script {
    let section = Section { line: 1, text: file.text.clone(), transaction, marked: Vec::new() };
    of_section(format, file, section, report)
}

/// A part of a file, without its directives.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) line: u32,
    pub(crate) text: String,
    pub(crate) transaction: Transaction,
    pub(crate) marked: Vec<MarkedStatement>,
}

pub(crate) fn of_section(
    format: Format,
    file: &File,
    section: Section,
    report: &mut Report,
) -> Script {
    let whole = [(section.line, section.text.as_str())];
    let marked: Vec<(u32, &str)> =
        section.marked.iter().map(|piece| (piece.line, piece.text.as_str())).collect();
    let pieces = if marked.is_empty() { whole.as_slice() } else { marked.as_slice() };
    for (line, text) in pieces {
        if let Some(at) = client::backslash_line(text) {
            let place = Places::new(text, *line).of(at);
            report.findings.push(client::finding(
                &file.path,
                place,
                "a line begins with a backslash command of psql or mysql, which no server knows",
            ));
        }
    }
    Script {
        format,
        file: file.path.clone(),
        line: section.line,
        raw_digest: file.digest,
        normalised_digest: normalise::digest(&section.text),
        text: section.text,
        transaction: section.transaction,
        marked: section.marked,
    }
}
