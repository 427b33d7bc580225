//! goose: one file a version, cut by `-- +goose Up` and `-- +goose Down`, with statements that end at
//! a line's last semicolon or stand between `StatementBegin` and `StatementEnd`.

use crate::directory::{Directory, File, is_sql};
use crate::finding::Report;
use crate::model::{Digits, Format, MarkedStatement, Migration, Order, Transaction};
use crate::pairs::{self, Direction};
use crate::script::{self, Section};
use crate::sidecar::{Sidecars, is_sidecar};

/// A word behind `+goose`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Annotation<'a> {
    Up,
    Down,
    StatementBegin,
    StatementEnd,
    NoTransaction,
    EnvsubOn,
    EnvsubOff,
    Unknown(&'a str),
}

/// What a line says to goose, wherever it begins.
fn annotation(line: &str) -> Option<Annotation<'_>> {
    let rest = line.trim().strip_prefix("--")?.trim_start();
    let (mark, words) = rest.split_at_checked("+goose".len())?;
    let separate = words.is_empty() || words.starts_with(char::is_whitespace);
    if !mark.eq_ignore_ascii_case("+goose") || !separate {
        return None;
    }
    let words = words.trim();
    let folded = words.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_uppercase();
    Some(match folded.as_str() {
        "UP" => Annotation::Up,
        "DOWN" => Annotation::Down,
        "STATEMENTBEGIN" => Annotation::StatementBegin,
        "STATEMENTEND" => Annotation::StatementEnd,
        "NO TRANSACTION" => Annotation::NoTransaction,
        "ENVSUB ON" => Annotation::EnvsubOn,
        "ENVSUB OFF" => Annotation::EnvsubOff,
        _ => Annotation::Unknown(words),
    })
}

pub(crate) fn is_annotation(line: &str) -> bool {
    annotation(line).is_some()
}

/// `00001_name.go`, tests left out.
pub(crate) fn is_go_migration(name: &str) -> bool {
    let numbered = name.split_once('_').is_some_and(|(digits, _)| Digits::parse(digits).is_some());
    numbered && name.strip_suffix(".go").is_some_and(|stem| !stem.ends_with("_test"))
}

pub(crate) fn read(
    directory: &Directory,
    sidecars: &mut Sidecars,
    report: &mut Report,
) -> Vec<Migration> {
    let mut migrations: Vec<Migration> = Vec::new();
    for name in directory.others.iter().filter(|name| is_go_migration(name)) {
        report.error(
            name,
            (1, 1),
            "a migration written in Go can only be run by the program that it is compiled into"
                .to_owned(),
            "write its statements as SQL, or apply it with goose first and import what follows",
        );
    }
    let mut files: Vec<(&File, Digits, &str)> = Vec::new();
    for file in directory.files.iter().filter(|file| is_sql(&file.name)) {
        if is_sidecar(&file.name) {
            continue;
        }
        let (digits, name) = file.name.split_once('_').unwrap_or((&file.name, ""));
        let Some(version) = Digits::parse(digits) else {
            report.warn(
                &file.path,
                (1, 1),
                "the file is not read: its name does not begin with a version and an underscore"
                    .to_owned(),
                "call it `00001_name.sql` if it is a migration",
            );
            continue;
        };
        if version.as_str() == "0" {
            report.error(
                &file.path,
                (1, 1),
                "version 0 stands for an empty database in goose's table".to_owned(),
                "begin with version 1",
            );
            continue;
        }
        files.push((file, version, name));
    }
    files.sort_by(|one, other| one.1.cmp(&other.1));
    for pair in files.windows(2) {
        if let [(first, version, _), (second, same, _)] = pair
            && version == same
        {
            pairs::duplicate(report, version.as_str(), &first.path, &second.path);
        }
    }
    for (file, version, name) in files {
        let Some((up, down)) = sections(file, report) else { continue };
        let up = script::of_section(Format::Goose, file, up, report);
        let down = down.map(|down| script::of_section(Format::Goose, file, down, report));
        let (verify, probe) = sidecars.take(file.stem(".sql"));
        migrations.push(Migration {
            version: version.as_str().to_owned(),
            order: Order::Number(version),
            name: name.strip_suffix(".sql").unwrap_or(name).to_owned(),
            up,
            down,
            verify,
            probe,
        });
    }
    migrations
}

/// Where goose's own reader stands.
struct Reading<'a> {
    file: &'a File,
    direction: Option<Direction>,
    /// The line of an open `StatementBegin`.
    begun: Option<u32>,
    /// The statement so far, and the line at which it began.
    statement: Option<MarkedStatement>,
    up: Section,
    down: Option<Section>,
}

fn section(line: u32) -> Section {
    Section { line, text: String::new(), transaction: Transaction::Wrapped, marked: Vec::new() }
}

fn sections(file: &File, report: &mut Report) -> Option<(Section, Option<Section>)> {
    let before = report.findings.len();
    let mut outside = false;
    let mut reading =
        Reading { file, direction: None, begun: None, statement: None, up: section(1), down: None };
    for (line, number) in file.text.split_inclusive('\n').zip(1_u32..) {
        let Some(annotation) = annotation(line) else {
            reading.line(line, number, report);
            continue;
        };
        if line.starts_with(char::is_whitespace) {
            reading.refuse(
                number,
                "the annotation is indented, and goose stops at it",
                "take away the white space in front of it",
                report,
            );
        }
        outside |= annotation == Annotation::NoTransaction;
        reading.annotation(annotation, number, report);
        // An empty line in its place keeps the numbers of the lines below.
        if !matches!(annotation, Annotation::Up | Annotation::Down)
            && let Some(section) = reading.section()
        {
            section.text.push('\n');
        }
    }
    reading.finish(report);
    let Reading { mut up, mut down, .. } = reading;
    if outside {
        up.transaction = Transaction::Outside;
        if let Some(down) = &mut down {
            down.transaction = Transaction::Outside;
        }
    }
    (report.findings.len() == before).then_some((up, down))
}

impl Reading<'_> {
    fn refuse(&self, line: u32, message: &str, help: &str, report: &mut Report) {
        report.error(&self.file.path, (line, 1), message.to_owned(), help);
    }

    fn section(&mut self) -> Option<&mut Section> {
        match self.direction? {
            Direction::Up => Some(&mut self.up),
            Direction::Down => self.down.as_mut(),
        }
    }

    fn annotation(&mut self, annotation: Annotation<'_>, line: u32, report: &mut Report) {
        match annotation {
            Annotation::Up => {
                self.finish_statement(report);
                if self.direction.is_some() {
                    self.refuse(
                        line,
                        "a second `-- +goose Up`: goose takes one, before Down",
                        "keep one `-- +goose Up` and one `-- +goose Down` in the file",
                        report,
                    );
                }
                self.direction = Some(Direction::Up);
                self.up.line = line + 1;
            }
            Annotation::Down => {
                self.finish_statement(report);
                if self.direction != Some(Direction::Up) {
                    self.refuse(
                        line,
                        "`-- +goose Down` stands here without a `-- +goose Up` before it",
                        "begin the file with `-- +goose Up`",
                        report,
                    );
                }
                self.direction = Some(Direction::Down);
                self.down = Some(section(line + 1));
            }
            Annotation::StatementBegin => {
                self.finish_statement(report);
                if self.direction.is_none() || self.begun.is_some() {
                    self.refuse(
                        line,
                        "`-- +goose StatementBegin` stands outside of Up and Down, or inside \
                         another one",
                        "close each StatementBegin by a StatementEnd, below Up or Down",
                        report,
                    );
                } else {
                    self.begun = Some(line);
                }
            }
            Annotation::StatementEnd => {
                if self.begun.take().is_none() {
                    self.refuse(
                        line,
                        "`-- +goose StatementEnd` without its `-- +goose StatementBegin`",
                        "add StatementBegin above the statement, or remove this line",
                        report,
                    );
                }
                self.push_statement();
            }
            Annotation::EnvsubOn => self.refuse(
                line,
                "`-- +goose ENVSUB ON` puts variables of the environment into the SQL, so that the \
                 same file would run differently on each machine",
                "write the values out, and remove the annotation",
                report,
            ),
            Annotation::Unknown(words) => {
                report.error(
                    &self.file.path,
                    (line, 1),
                    format!("goose does not know the annotation `+goose {words}` and stops at it"),
                    "the annotations are Up, Down, StatementBegin, StatementEnd, NO TRANSACTION, \
                     ENVSUB ON and ENVSUB OFF",
                );
            }
            Annotation::NoTransaction | Annotation::EnvsubOff => {}
        }
    }

    fn line(&mut self, line: &str, number: u32, report: &mut Report) {
        let content = line.trim();
        if self.direction.is_none() {
            if !content.is_empty() && !content.starts_with("--") {
                self.refuse(
                    number,
                    "SQL before `-- +goose Up`, and goose stops at it",
                    "move it below a line `-- +goose Up`",
                    report,
                );
                // Said once, for the whole file.
                self.direction = Some(Direction::Up);
            }
            return;
        }
        if let Some(section) = self.section() {
            section.text.push_str(line);
        }
        // Comments and blank lines before a statement are dropped, inside one they are kept.
        if self.statement.is_none() && (content.is_empty() || content.starts_with("--")) {
            return;
        }
        let statement = self
            .statement
            .get_or_insert_with(|| MarkedStatement { line: number, text: String::new() });
        statement.text.push_str(line);
        if self.begun.is_none() && ends_with_semicolon(line) {
            self.push_statement();
        }
    }

    fn push_statement(&mut self) {
        if let Some(mut statement) = self.statement.take() {
            statement.text.truncate(statement.text.trim_end().len());
            if let Some(section) = self.section() {
                section.marked.push(statement);
            }
        }
    }

    /// Where a statement must have ended.
    fn finish_statement(&mut self, report: &mut Report) {
        if let Some(line) = self.begun.take() {
            self.refuse(
                line,
                "`-- +goose StatementBegin` without its `-- +goose StatementEnd`",
                "add a line `-- +goose StatementEnd` below the statement",
                report,
            );
            self.statement = None;
        }
        if let Some(statement) = self.statement.take() {
            self.refuse(
                statement.line,
                "the statement that begins here has no semicolon at the end of a line, and goose \
                 stops at it",
                "end it with `;`, or put it between StatementBegin and StatementEnd",
                report,
            );
        }
    }

    fn finish(&mut self, report: &mut Report) {
        self.finish_statement(report);
        if self.direction.is_none() {
            self.refuse(
                1,
                "there is no `-- +goose Up` in the file, and goose stops at it",
                "write `-- +goose Up` above the first statement",
                report,
            );
        }
    }
}

/// goose's rule: the last word of the line before any that begins with `--`.
fn ends_with_semicolon(line: &str) -> bool {
    let words = line.split_whitespace().take_while(|word| !word.starts_with("--"));
    words.last().is_some_and(|word| word.ends_with(';'))
}
