//! What a command prints: objects in JSON, one after another, or in one array.
//!
//! ```json
//! {"id": "orders-017", "url": "postgres://…", "group": "rack-1", "labels": {"region": "eu"}}
//! ```

use serde_json::{Map, Value};

use super::{ROWS_MAX, Rows};
use crate::config::{Row, Secret};

pub(super) fn parse(text: &[u8]) -> Rows {
    let mut rows = Vec::new();
    let values = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    for value in values {
        // What is cut off must not look like a shorter list. The message may quote what is printed.
        let value = value.map_err(|error| {
            let what = if error.is_eof() { "is cut off in" } else { "is no JSON at" };
            format!("what it prints {what} line {}, column {}", error.line(), error.column())
        })?;
        match value {
            Value::Array(all) => {
                for one in all {
                    rows.push((format!("element {}", rows.len() + 1), row(one)));
                }
            }
            other => rows.push((format!("row {}", rows.len() + 1), row(other))),
        }
        if rows.len() > ROWS_MAX {
            return Err(format!("it names more than {ROWS_MAX} targets"));
        }
    }
    Ok(rows)
}

fn row(value: Value) -> Result<Row, String> {
    let Value::Object(object) = value else {
        return Err("it is no object with an id".to_owned());
    };
    let mut row = Row::default();
    for (name, value) in object {
        match (name.as_str(), value) {
            (_, Value::Null) => {}
            ("labels", Value::Object(labels)) => row.labels.extend(texts(labels)?),
            ("labels", _) => return Err("its labels are no object".to_owned()),
            (_, value) => {
                let text = text(&name, value)?;
                row.set(&name, text)?;
            }
        }
    }
    row.complete()
}

fn texts(labels: Map<String, Value>) -> Result<Vec<(String, String)>, String> {
    let some = labels.into_iter().filter(|(_, value)| !value.is_null());
    some.map(|(name, value)| Ok((name.clone(), text(&name, value)?))).collect()
}

fn text(name: &str, value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(format!("its {} is no text", shown(name)))
        }
    }
}

/// A name of a column as it is told.
fn shown(name: &str) -> String {
    name.chars().take(40).collect()
}

impl Row {
    /// One value by its name: what has no meaning of its own is a label.
    pub(super) fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        match name {
            "id" => self.id = value,
            "url" => self.url = Some(Secret::new(value)),
            "group" => self.group = Some(value),
            "engine" => self.engine = Some(value),
            "password" | "secret" | "token" => {
                return Err(format!("`{name}` is no label: everybody could read it"));
            }
            other => {
                let label = other.strip_prefix("label.").unwrap_or(other);
                self.labels.insert(label.to_owned(), value);
            }
        }
        Ok(())
    }

    pub(super) fn complete(self) -> Result<Self, String> {
        if self.id.is_empty() { Err("it has no id".to_owned()) } else { Ok(self) }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn lines_and_arrays_are_read_alike() {
        let lines = b"{\"id\":\"a\",\"labels\":{\"region\":\"eu\",\"n\":3},\"tier\":\"gold\"}\n\n{\"id\":\"b\",\"url\":null}";
        let rows = parse(lines).expect("JSON");
        let first = rows[0].1.as_ref().expect("a row");
        assert_eq!(first.labels.len(), 3);
        assert_eq!((first.labels["n"].as_str(), first.labels["tier"].as_str()), ("3", "gold"));
        let array =
            b"[{\"id\":\"a\",\"group\":\"g\"}, 7, {\"id\":\"b\",\"labels\":{\"x\":[1]}}, {}]";
        let rows = parse(array).expect("JSON");
        let wrong: Vec<_> =
            rows.iter().filter_map(|(at, row)| Some((at, row.as_ref().err()?))).collect();
        assert_eq!(
            format!("{wrong:?}"),
            "[(\"element 2\", \"it is no object with an id\"), (\"element 3\", \"its x is no text\"), \
             (\"element 4\", \"it has no id\")]"
        );
        assert_eq!(parse(b"").expect("nothing"), []);
        assert_eq!(parse(b" \n").expect("nothing"), []);
    }

    #[test]
    fn what_is_cut_off_does_not_count_and_is_not_quoted() {
        for text in [
            "{\"id\":\"a\"}\n{\"id\":\"hunter2",
            "[{\"id\":\"a\"},",
            "{\"id\":\"a\"}\nhunter2: command not found",
        ] {
            let error = parse(text.as_bytes()).expect_err(text);
            assert!(!error.contains("hunter2") && error.contains("line"), "{error}");
        }
        let error = parse(b"{\"id\":\"a\"}\n{\"id\":\"b\"}\noops").expect_err("no JSON");
        assert!(error.contains("line 3"), "{error}");
    }

    #[test]
    fn a_secret_is_no_label() {
        let rows = parse(b"{\"id\":\"a\",\"password\":\"hunter2\"}").expect("JSON");
        let error = rows[0].1.as_ref().expect_err("refused");
        assert!(error.contains("password") && !error.contains("hunter2"), "{error}");
    }
}
