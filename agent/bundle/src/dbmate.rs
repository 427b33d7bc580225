//! dbmate: one file a version, cut by `-- migrate:up` and `-- migrate:down`, with
//! `transaction:false` for either.

use std::collections::BTreeMap;

use crate::directory::{Directory, File, is_sql};
use crate::finding::Report;
use crate::model::{Format, MarkedStatement, Migration, Order, Script, Transaction};
use crate::pairs::{self, Direction};
use crate::script::{self, Section};
use crate::sidecar::{Sidecars, is_sidecar};

/// `^--\s*migrate:(up|down)(\s*$|\s+\S+)`: the direction, and the options behind it.
pub(crate) fn directive(line: &str) -> Option<(Direction, &str)> {
    let rest = line.strip_prefix("--")?.trim_start().strip_prefix("migrate:")?;
    let (direction, options) = match (rest.strip_prefix("up"), rest.strip_prefix("down")) {
        (Some(options), _) => (Direction::Up, options),
        (None, Some(options)) => (Direction::Down, options),
        (None, None) => return None,
    };
    let ends = options.is_empty() || options.starts_with(char::is_whitespace);
    ends.then(|| (direction, options.trim()))
}

/// What stands between two directives.
struct Block {
    direction: Direction,
    /// Of the directive.
    line: u32,
    transaction: Transaction,
    text: String,
}

pub(crate) fn read(
    directory: &Directory,
    sidecars: &mut Sidecars,
    report: &mut Report,
) -> Vec<Migration> {
    let mut migrations = Vec::new();
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for file in directory.files.iter().filter(|file| !is_sidecar(&file.name)) {
        let digits = file.name.bytes().take_while(u8::is_ascii_digit).count();
        let (version, rest) = file.name.split_at_checked(digits).unwrap_or_default();
        if version.is_empty() || !is_sql(rest) {
            if is_sql(&file.name) {
                report.warn(
                    &file.path,
                    (1, 1),
                    "the file is not read: its name does not begin with a version".to_owned(),
                    "put a number in front of its name if it is a migration",
                );
            }
            continue;
        }
        if let Some(first) = taken.insert(version, &file.path) {
            pairs::duplicate(report, version, first, &file.path);
            continue;
        }
        let Some(blocks) = blocks(file, report) else { continue };
        let (up, down) = scripts(file, blocks, report);
        let (verify, probe) = sidecars.take(file.stem(".sql"));
        let name = rest.strip_suffix(".sql").unwrap_or(rest).trim_start_matches(['_', '-']);
        migrations.push(Migration {
            version: version.to_owned(),
            // dbmate sorts its files, not their versions.
            order: Order::Text(file.name.clone()),
            name: name.to_owned(),
            up,
            down: Some(down),
            verify,
            probe,
        });
    }
    migrations
}

/// The blocks of a file: up and down by turns. `None`: the report says what is wrong.
fn blocks(file: &File, report: &mut Report) -> Option<Vec<Block>> {
    let before = report.findings.len();
    let mut blocks: Vec<Block> = Vec::new();
    for (line, number) in file.text.split_inclusive('\n').zip(1_u32..) {
        let content = line.trim_end();
        if let Some((direction, options)) = directive(content) {
            let expected = match blocks.last().map(|block| block.direction) {
                None | Some(Direction::Down) => Direction::Up,
                Some(Direction::Up) => Direction::Down,
            };
            if direction != expected {
                let (here, missing) = match direction {
                    Direction::Up => ("up", "down"),
                    Direction::Down => ("down", "up"),
                };
                report.error(
                    &file.path,
                    (number, 1),
                    format!(
                        "`-- migrate:{here}` stands here without a `-- migrate:{missing}` before it"
                    ),
                    "write each `-- migrate:up` with its `-- migrate:down` below it",
                );
            }
            let transaction = options_of(file, options, number, report);
            blocks.push(Block { direction, line: number, transaction, text: String::new() });
            continue;
        }
        if directive(content.trim_start()).is_some() {
            report.error(
                &file.path,
                (number, 1),
                "the directive is indented, and dbmate reads it at the start of a line only"
                    .to_owned(),
                "take away the white space in front of it",
            );
        }
        match blocks.last_mut() {
            Some(block) => block.text.push_str(line),
            None if content.is_empty() || content.starts_with("--") => {}
            None => {
                report.error(
                    &file.path,
                    (number, 1),
                    "SQL before the first `-- migrate:up` would never run".to_owned(),
                    "move it below `-- migrate:up`",
                );
                return None;
            }
        }
    }
    let missing = match blocks.last() {
        None => Some((1, "up")),
        Some(Block { direction: Direction::Up, line, .. }) => Some((*line, "down")),
        Some(_) => None,
    };
    if let Some((line, missing)) = missing {
        report.error(
            &file.path,
            (line, 1),
            format!("there is no `-- migrate:{missing}`, and dbmate wants both directions"),
            "add the line, with nothing below it where there is nothing to do",
        );
    }
    (report.findings.len() == before).then_some(blocks)
}

fn options_of(file: &File, options: &str, line: u32, report: &mut Report) -> Transaction {
    let mut transaction = Transaction::Wrapped;
    for option in options.split_whitespace() {
        match option {
            "transaction:false" => transaction = Transaction::Outside,
            "transaction:true" => transaction = Transaction::Wrapped,
            other => report.warn(
                &file.path,
                (line, 1),
                format!("dbmate does not know the option `{other}` and passes over it"),
                "the one option is transaction:false",
            ),
        }
    }
    transaction
}

/// Several pairs are one version: ups run in the order of the file, downs in the reverse of it.
fn scripts(file: &File, blocks: Vec<Block>, report: &mut Report) -> (Script, Script) {
    let (ups, mut downs): (Vec<Block>, Vec<Block>) =
        blocks.into_iter().partition(|block| block.direction == Direction::Up);
    downs.reverse();
    (script_of(file, &ups, report), script_of(file, &downs, report))
}

fn script_of(file: &File, blocks: &[Block], report: &mut Report) -> Script {
    let first = blocks.first();
    let transaction = first.map_or(Transaction::Wrapped, |block| block.transaction);
    if let Some(other) = blocks.iter().find(|block| block.transaction != transaction) {
        report.error(
            &file.path,
            (other.line, 1),
            "this section and the one before it in the same version differ in transaction:false, \
             and a version runs one way"
                .to_owned(),
            "give both the same option, or split the file in two",
        );
    }
    let marked = if blocks.len() > 1 {
        blocks
            .iter()
            .map(|block| MarkedStatement { line: block.line + 1, text: block.text.clone() })
            .collect()
    } else {
        Vec::new()
    };
    let text = blocks.iter().map(|block| block.text.as_str()).collect();
    let line = first.map_or(1, |block| block.line + 1);
    script::of_section(Format::Dbmate, file, Section { line, text, transaction, marked }, report)
}
