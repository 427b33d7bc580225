//! Two schemas, object by object: what only one of them has, and where both have another.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use skein_proto::v1;

use super::look::{Look, Sign, Tone};
use super::table::{escaped, shown};
use super::{View, typed, words};

/// Lines of one object that are shown; `wide` shows all.
const LINES: usize = 24;

/// What is different in `right`, seen from `left`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    pub left: String,
    pub right: String,
    /// SHA-256 of the canonical schemas, hexadecimal.
    pub left_schema: String,
    pub right_schema: String,
    pub objects: Vec<Object>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Object {
    pub change: Change,
    pub kind: String,
    pub name: String,
    /// The table that it hangs on; empty: none.
    pub on: String,
    /// With `-` those that only the left one has, with `+` those that only the right one has.
    pub lines: Vec<String>,
    /// What lines cannot tell.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub note: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The right one has it, and the left one has not.
    Added,
    /// The left one has it, and the right one has not.
    Missing,
    Different,
}

type Key<'a> = (&'a str, &'a str, &'a str);

impl Diff {
    pub fn new((left, before): (&str, &v1::Schema), (right, after): (&str, &v1::Schema)) -> Self {
        let (was, is) = (by_key(before), by_key(after));
        let mut objects = Vec::new();
        for (key, object) in &was {
            match is.get(key) {
                None => objects.push(whole(*key, Change::Missing, object)),
                Some(other) if other.digest == object.digest => {}
                Some(other) => objects.push(different(*key, object, other)),
            }
        }
        let new = is.iter().filter(|(key, _)| !was.contains_key(*key));
        objects.extend(new.map(|(key, object)| whole(*key, Change::Added, object)));
        objects.sort_by(|a, b| place(a).cmp(&place(b)));
        number_hidden(&mut objects);
        Self {
            left: left.to_owned(),
            right: right.to_owned(),
            left_schema: words::hex(&before.fingerprint),
            right_schema: words::hex(&after.fingerprint),
            objects,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.left_schema == self.right_schema
    }

    /// The objects, each line behind `indent`.
    pub fn told(&self, look: &Look, indent: &str, out: &mut dyn Write) -> io::Result<()> {
        if self.objects.is_empty() {
            let told = if self.is_empty() { "the schemas are the same" } else { UNTOLD };
            return writeln!(out, "{indent}{told}");
        }
        for object in &self.objects {
            let (sign, tone, word) = object.change.told();
            let text = format!("{sign} {}{word}", object.title());
            writeln!(out, "{indent}{}", look.paint(tone, &shown(&text)))?;
            let most = if look.wide { usize::MAX } else { LINES };
            for line in object.lines.iter().take(most) {
                let tone = if line.starts_with('-') { Tone::Bad } else { Tone::Good };
                writeln!(out, "{indent}    {}", look.paint(tone, &shown(line)))?;
            }
            if object.lines.len() > most {
                let more = object.lines.len() - most;
                writeln!(out, "{indent}    and {more} more lines: -o wide shows them")?;
            }
            if !object.note.is_empty() {
                writeln!(out, "{indent}    {}", object.note)?;
            }
        }
        Ok(())
    }
}

/// Agents hide strings and comments behind tags, `'#1f00a37c'` and `/*#1f00a37c*/`, which are other ones each time.
/// Told are their numbers, in the order in which they come: the same question gets the same bytes.
fn number_hidden(objects: &mut [Object]) {
    const TAG: usize = 8;
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    for line in objects.iter_mut().flat_map(|object| &mut object.lines) {
        let mut told = String::with_capacity(line.len());
        let mut rest = line.as_str();
        while let Some((before, after)) = rest.split_once('#') {
            told.push_str(before);
            told.push('#');
            rest = after;
            let tag = after.get(..TAG).filter(|tag| tag.bytes().all(|b| b.is_ascii_hexdigit()));
            let quoted = before.ends_with('\'') || before.ends_with("/*");
            if let Some(tag) = tag.filter(|_| quoted) {
                let next = numbers.len() + 1;
                told.push_str(&numbers.entry(tag.to_owned()).or_insert(next).to_string());
                rest = after.get(TAG..).unwrap_or_default();
            }
        }
        told.push_str(rest);
        *line = told;
    }
}

const UNTOLD: &str = "the schemas differ in what is not compared object by object";

fn by_key(schema: &v1::Schema) -> BTreeMap<Key<'_>, &v1::SchemaObject> {
    schema
        .objects
        .iter()
        .map(|object| {
            ((object.kind.as_str(), object.name.as_str(), object.hangs_on.as_str()), object)
        })
        .collect()
}

/// Tables first, and behind each what hangs on it.
fn place(object: &Object) -> (&str, bool, &str, &str) {
    let on = if object.on.is_empty() { object.name.as_str() } else { object.on.as_str() };
    (on, object.kind != "table", &object.kind, &object.name)
}

fn object(
    (kind, name, on): Key<'_>,
    change: Change,
    lines: Vec<String>,
    note: &'static str,
) -> Object {
    let on = if on == name { String::new() } else { on.to_owned() };
    Object { change, kind: kind.to_owned(), name: name.to_owned(), on, lines, note }
}

fn whole(key: Key<'_>, change: Change, of: &v1::SchemaObject) -> Object {
    let sign = if change == Change::Missing { '-' } else { '+' };
    let lines = of.lines.iter().filter(|line| !line.is_empty());
    let lines = lines.map(|line| format!("{sign} {line}")).collect();
    object(key, change, lines, if of.lines_left_out { TOO_LARGE } else { "" })
}

const TOO_LARGE: &str = "(its schema is too large to be shown whole)";

fn different(key: Key<'_>, before: &v1::SchemaObject, after: &v1::SchemaObject) -> Object {
    if before.lines_left_out || after.lines_left_out {
        return object(key, Change::Different, Vec::new(), TOO_LARGE);
    }
    let mut lines = only('-', &before.lines, &after.lines);
    lines.extend(only('+', &after.lines, &before.lines));
    let note = if lines.is_empty() { "(the same parts in another order)" } else { "" };
    object(key, Change::Different, lines, note)
}

/// Lines that stand more often in one than in the other, in their order.
fn only(sign: char, one: &[String], other: &[String]) -> Vec<String> {
    let mut there: BTreeMap<&str, usize> = BTreeMap::new();
    for line in other {
        *there.entry(line.as_str()).or_default() += 1;
    }
    let mut lines = Vec::new();
    for line in one {
        match there.get_mut(line.as_str()) {
            Some(left) if *left > 0 => *left -= 1,
            _ => lines.push(format!("{sign} {line}")),
        }
    }
    lines
}

impl Change {
    fn told(self) -> (&'static str, Tone, &'static str) {
        match self {
            Self::Added => ("+", Tone::Good, " is there"),
            Self::Missing => ("-", Tone::Bad, " is missing"),
            Self::Different => ("~", Tone::Warning, " is different"),
        }
    }
}

impl Object {
    fn title(&self) -> String {
        if self.on.is_empty() {
            format!("{} {}", self.kind, self.name)
        } else {
            format!("{} {} on {}", self.kind, self.name, self.on)
        }
    }
}

/// `skein targets diff A B`.
impl View for Diff {
    fn text(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        if self.is_empty() {
            let same = format!(
                "{} {} and {} have the same schema",
                look.sign(Sign::Good),
                self.left,
                self.right
            );
            return writeln!(out, "{}", look.paint(Tone::Good, &shown(&same)));
        }
        let title = format!("{}, seen from {}", self.right, self.left);
        writeln!(out, "{}", look.paint(Tone::Strong, &shown(&title)))?;
        self.told(look, "  ", out)
    }

    fn markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "### {}, seen from {}\n", escaped(&self.right), escaped(&self.left))?;
        writeln!(out, "```diff")?;
        self.told(&Look { wide: true, ..Look::default() }, "", out)?;
        writeln!(out, "```")
    }

    fn json(&self) -> serde_json::Result<Value> {
        typed("schema_diff", self)
    }

    fn lines(&self) -> serde_json::Result<Vec<Value>> {
        let mut lines: Vec<Value> = Vec::new();
        for object in &self.objects {
            lines.push(typed("object", object)?);
        }
        let mut whole = self.json()?;
        if let Value::Object(fields) = &mut whole {
            fields.remove("objects");
        }
        lines.push(whole);
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(objects: &[(&str, &str, &str, &[&str])]) -> v1::Schema {
        let object = |(kind, name, on, lines): &(&str, &str, &str, &[&str])| v1::SchemaObject {
            kind: (*kind).to_owned(),
            name: (*name).to_owned(),
            hangs_on: (*on).to_owned(),
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            digest: lines.join("\n").into_bytes().into(),
            lines_left_out: false,
        };
        let text = format!("{objects:?}");
        v1::Schema {
            fingerprint: text.into_bytes().into(),
            objects: objects.iter().map(object).collect(),
        }
    }

    #[test]
    fn every_difference_is_told_once() {
        let left = schema(&[
            ("table", "t", "t", &["a int", "b text"]),
            ("index", "i", "t", &["CREATE INDEX i ON t (b)"]),
            ("table", "u", "u", &["a int", "b int"]),
            ("view", "v", "v", &["SELECT 1"]),
        ]);
        let right = schema(&[
            ("table", "t", "t", &["a int", "b varchar(80)"]),
            ("trigger", "g", "t", &["BEFORE INSERT"]),
            ("table", "u", "u", &["b int", "a int"]),
            ("view", "v", "v", &["SELECT 1"]),
        ]);
        let diff = Diff::new(("a", &left), ("b", &right));
        let mut out = Vec::new();
        diff.text(&Look::default(), &mut out).unwrap();
        let told = String::from_utf8(out).unwrap();
        assert_eq!(
            told,
            "b, seen from a\n  ~ table t is different\n      - b text\n      + b varchar(80)\n  \
             - index i on t is missing\n      - CREATE INDEX i ON t (b)\n  \
             + trigger g on t is there\n      + BEFORE INSERT\n  \
             ~ table u is different\n      (the same parts in another order)\n"
        );
        assert!(Diff::new(("a", &left), ("b", &left)).is_empty());
    }

    #[test]
    fn hidden_texts_have_numbers() {
        let lines = |line: &'static [&'static str]| schema(&[("table", "t", "t", line)]);
        let left = lines(&["a default '#00000001' /*#0a0b0c0d*/", "b default '#00000002'"]);
        let right = lines(&["a default '#00000003'", "b default '#00000001' # 12345678"]);
        let diff = Diff::new(("a", &left), ("b", &right));
        assert_eq!(
            diff.objects[0].lines,
            [
                "- a default '#1' /*#2*/",
                "- b default '#3'",
                "+ a default '#4'",
                "+ b default '#1' # 12345678"
            ]
        );
    }
}
