//! What a command prints: objects in JSON, one after another, or in one array.
//!
//! ```json
//! {"id": "orders-017", "url": "postgres://…", "group": "rack-1", "labels": {"region": "eu"}}
//! ```

use serde_json::Value;

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
            ("labels", Value::Object(labels)) => {
                for (name, value) in labels.into_iter().filter(|(_, value)| !value.is_null()) {
                    let text = text(&name, value)?;
                    row.label(&name, text)?;
                }
            }
            ("labels", _) => return Err("its labels are no object".to_owned()),
            (_, value) => {
                let text = text(&name, value)?;
                row.set(&name, text)?;
            }
        }
    }
    row.complete()
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

/// The words of a name in small letters: `db_password`, `apiToken`, `PASSWORD`.
fn words(name: &str) -> Vec<String> {
    let mut parted = String::new();
    let mut last = ' ';
    for c in name.chars() {
        if c.is_uppercase() && last.is_lowercase() {
            parted.push(' ');
        }
        parted.extend(c.to_lowercase());
        last = c;
    }
    parted.split(|c: char| !c.is_alphanumeric()).map(str::to_owned).collect()
}

/// Whether a value may be an address with a password in it.
fn has_password(value: &str) -> bool {
    let behind = value.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    behind.is_some_and(|(user, _)| user.contains(':'))
        || value.to_ascii_lowercase().contains("password=")
}

/// A name of a column as it is told.
fn shown(name: &str) -> String {
    name.chars().take(40).collect()
}

/// Words that no label's name has: everybody can read a label, and the log keeps it for ever.
const SECRET: [&str; 5] = ["password", "passwd", "pwd", "secret", "token"];

impl Row {
    /// One value by its name: what has no meaning of its own is a label. A server may write names in capitals.
    pub(super) fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        match name.to_ascii_lowercase().as_str() {
            "id" => self.id = value,
            "url" => self.url = Some(Secret::new(value)),
            "group" => self.group = Some(value),
            "engine" => self.engine = Some(value),
            _ => self.label(name, value)?,
        }
        Ok(())
    }

    fn label(&mut self, name: &str, value: String) -> Result<(), String> {
        let prefix = "label.";
        let name = match name.split_at_checked(prefix.len()) {
            Some((first, rest)) if first.eq_ignore_ascii_case(prefix) => rest,
            _ => name,
        };
        let secret = words(name).iter().any(|word| SECRET.contains(&word.as_str()));
        if secret || name.eq_ignore_ascii_case("url") || has_password(&value) {
            return Err(format!("`{}` is no label: everybody could read it", shown(name)));
        }
        self.labels.insert(name.to_owned(), value);
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
        for text in [
            r#"{"id":"a","password":"hunter2"}"#,
            r#"{"id":"a","PASSWORD":"hunter2"}"#,
            r#"{"id":"a","label.password":"hunter2"}"#,
            r#"{"id":"a","Label.Password":"hunter2"}"#,
            r#"{"id":"a","labels":{"password":"hunter2"}}"#,
            r#"{"id":"a","labels":{"label.Token":"hunter2"}}"#,
            r#"{"id":"a","db_password":"hunter2"}"#,
            r#"{"id":"a","labels":{"apiToken":"x","client-secret":"hunter2"}}"#,
            r#"{"id":"a","labels":{"url":"postgres://db/x"}}"#,
            r#"{"id":"a","dsn":"postgres://app:hunter2@db/x"}"#,
            r#"{"id":"a","labels":{"replica":"mysql://app:hunter2@db/x"}}"#,
            r#"{"id":"a","conn":"host=db user=app password=hunter2"}"#,
        ] {
            let rows = parse(text.as_bytes()).expect("JSON");
            let error = rows[0].1.as_ref().expect_err(text);
            assert!(error.contains("is no label") && !error.contains("hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn what_has_a_meaning_has_it_in_capitals_too() {
        let text = r#"{"ID":"a","URL":"postgres://app:hunter2@db/x","Group":"g","Region":"eu",
                       "site":"https://shop.example/a","tokens":"3","secretary":"b"}"#;
        let rows = parse(text.as_bytes()).expect("JSON");
        let row = rows[0].1.as_ref().expect("a row");
        assert_eq!((row.id.as_str(), row.group.as_deref()), ("a", Some("g")));
        assert!(row.url.is_some());
        let labels: Vec<&str> = row.labels.keys().map(String::as_str).collect();
        assert_eq!(labels, ["Region", "secretary", "site", "tokens"]);
    }
}
