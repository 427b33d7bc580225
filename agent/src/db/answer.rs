//! What a server answered: rows as text, one answer a statement, whichever the engine.

use futures::StreamExt;
use futures::stream::BoxStream;
use sqlx::{Database, Either};

/// The answer to one statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Values as the engine writes them in text; `None` is NULL.
    pub(crate) rows: Vec<Vec<Option<String>>>,
    /// Rows changed, as the server counts them.
    pub(crate) affected: u64,
}

impl Answer {
    /// The first value of the first row, unless NULL or absent.
    pub(crate) fn scalar(&self) -> Option<&str> {
        self.rows.first()?.first()?.as_deref()
    }

    pub(crate) fn number(&self) -> Option<u64> {
        self.scalar()?.parse().ok()
    }

    pub(crate) fn is_true(&self) -> bool {
        is_true(self.scalar())
    }
}

/// Takes a value out of a row, in order.
pub(crate) fn text(row: &[Option<String>], column: usize) -> Option<&str> {
    row.get(column)?.as_deref()
}

/// Whether a value counts as true: not NULL, not empty, not false in words, not zero.
pub(crate) fn is_true(value: Option<&str>) -> bool {
    let Some(value) = value.map(str::trim) else { return false };
    let no = ["", "f", "false", "n", "no", "off"];
    // A bit value arrives as a byte.
    !no.iter().any(|word| value.eq_ignore_ascii_case(word))
        && value != "\0"
        && !value.parse::<f64>().is_ok_and(|number| number == 0.0)
}

/// Which of a script's rows are worth memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Every value of every row: for our own queries, which are bounded.
    All,
    /// Nothing: for scripts, whose `SELECT`s may return anything.
    Nothing,
    /// Every value of every row, behind a row with the names of the columns. More is an error.
    Named { rows_max: usize, bytes_max: usize },
    /// Of each statement the first value of the first row, or of the first row whose first value
    /// is not true.
    Verdicts,
}

/// How one driver's types become text and counts.
pub(crate) struct Reading<DB: Database> {
    pub(crate) text: fn(&DB::Row, usize) -> Option<String>,
    pub(crate) columns: fn(&DB::Row) -> usize,
    pub(crate) name: fn(&DB::Row, usize) -> String,
    pub(crate) affected: fn(&DB::QueryResult) -> u64,
}

type Item<DB> = Result<Either<<DB as Database>::QueryResult, <DB as Database>::Row>, sqlx::Error>;

/// Reads a stream of results to its end. An error comes with the answers before it.
pub(crate) async fn drain<DB: Database>(
    mut stream: BoxStream<'_, Item<DB>>,
    keep: Keep,
    reading: Reading<DB>,
) -> Result<Vec<Answer>, (sqlx::Error, Vec<Answer>)> {
    let mut answers = Vec::new();
    let mut rows: Vec<Vec<Option<String>>> = Vec::new();
    let mut bytes = 0_usize;
    while let Some(item) = stream.next().await {
        match item {
            Ok(Either::Left(result)) => answers.push(Answer {
                rows: std::mem::take(&mut rows),
                affected: (reading.affected)(&result),
            }),
            Ok(Either::Right(row)) => match keep {
                Keep::All => rows.push(
                    (0..(reading.columns)(&row)).map(|at| (reading.text)(&row, at)).collect(),
                ),
                Keep::Named { rows_max, bytes_max } => {
                    let columns = 0..(reading.columns)(&row);
                    if rows.is_empty() {
                        rows.push(
                            columns.clone().map(|at| Some((reading.name)(&row, at))).collect(),
                        );
                    }
                    let values: Vec<_> = columns.map(|at| (reading.text)(&row, at)).collect();
                    bytes += values.iter().flatten().map(String::len).sum::<usize>();
                    rows.push(values);
                    if rows.len() > rows_max + 1 || bytes > bytes_max {
                        let much =
                            format!("it answers more than {rows_max} rows or {bytes_max} bytes");
                        return Err((sqlx::Error::Protocol(much), answers));
                    }
                }
                Keep::Verdicts => {
                    let kept_passes = rows.first().is_none_or(|kept| is_true(text(kept, 0)));
                    if kept_passes {
                        let value = (reading.text)(&row, 0);
                        if rows.is_empty() || !is_true(value.as_deref()) {
                            rows = vec![vec![value]];
                        }
                    }
                }
                Keep::Nothing => {}
            },
            Err(error) => return Err((error, answers)),
        }
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::is_true;

    #[test]
    fn truth_is_read_the_same_from_every_engine() {
        for yes in ["t", "true", "1", "yes", "-1", "0.5", "anything", "\u{1}"] {
            assert!(is_true(Some(yes)), "{yes:?}");
        }
        for no in ["f", "false", "FALSE", "0", "0.0", "00", "-0", "", " ", "\0", "off"] {
            assert!(!is_true(Some(no)), "{no:?}");
        }
        assert!(!is_true(None));
    }
}
