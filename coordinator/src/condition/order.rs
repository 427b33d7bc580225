//! Versions, compared as people read them: by their numbers.

use std::cmp::Ordering;

use cel::ExecutionError;
use cel::common::types::{CelBool, CelString};
use cel::common::value::CowVal;

/// The function behind `version.at_least("0042")`. No version at all is at least nothing.
#[expect(clippy::needless_pass_by_value, reason = "the library's type for a function")]
pub(super) fn at_least<'b, 'v>(
    values: Vec<CowVal<'b, 'v>>,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = |at: usize| values.get(at).and_then(|value| value.downcast_ref::<CelString<'_>>());
    let (Some(version), Some(least)) = (text(0), text(1)) else {
        return Err(ExecutionError::function_error("at_least", "it compares two strings"));
    };
    let holds = !version.is_empty() && compare(version, least) != Ordering::Less;
    Ok(CowVal::owned(CelBool::from(holds)))
}

/// Piece by piece: numbers as numbers, of whatever length, and what stands between them as text. What is left
/// over when one has ended makes the other the greater.
fn compare(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (pieces(left), pieces(right));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (left, right) => left.cmp(&right),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// A number is less than text in its place, as `1.2` is before `1.rc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Piece<'a> {
    /// By its length without leading zeros, and then digit by digit.
    Number(usize, &'a str),
    Text(&'a str),
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    // What only divides is no piece: `1.2` and `1-2` say the same.
    let divides = |c: char| matches!(c, '.' | '-' | '_' | ' ' | '+');
    text.split(divides).filter(|part| !part.is_empty()).flat_map(|part| {
        let mut rest = part;
        std::iter::from_fn(move || {
            let first = rest.chars().next()?;
            let digits = first.is_ascii_digit();
            let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
            let (piece, after) = rest.split_at(end);
            rest = after;
            let plain = piece.trim_start_matches('0');
            Some(if digits { Piece::Number(plain.len(), plain) } else { Piece::Text(piece) })
        })
    })
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::compare;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (left, right, expect) in [
            ("0042", "42", Ordering::Equal),
            ("9", "10", Ordering::Less),
            ("9.6.24", "15", Ordering::Less),
            ("15.4 (Debian 15.4-1.pgdg120+1)", "15.4", Ordering::Greater),
            ("10.11.6-MariaDB", "10.11", Ordering::Greater),
            ("10.4.34-MariaDB", "10.11", Ordering::Less),
            ("20260131235959", "20260201000000", Ordering::Less),
            ("123456789012345678901234567890", "99", Ordering::Greater),
            ("", "0", Ordering::Less),
            ("v2", "v10", Ordering::Less),
            ("1.2", "1-2", Ordering::Equal),
            ("ä1", "ä2", Ordering::Less),
        ] {
            assert_eq!(compare(left, right), expect, "{left} and {right}");
            assert_eq!(compare(right, left), expect.reverse(), "{right} and {left}");
        }
    }
}
