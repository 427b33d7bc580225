//! Figures as people read them.

/// A number that is kept in thousandths.
pub(super) fn thousandths(value: u64) -> String {
    let (whole, part) = (value / 1_000, value % 1_000);
    if part == 0 {
        return whole.to_string();
    }
    format!("{whole}.{}", format!("{part:03}").trim_end_matches('0'))
}

/// A time that is kept in milliseconds; above a second, tenths are enough.
pub(super) fn seconds(ms: u64) -> String {
    let ms = if ms > 1_000 { ms / 100 * 100 } else { ms };
    format!("{} s", thousandths(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        for (value, text) in
            [(0, "0"), (50, "0.05"), (800, "0.8"), (25_000, "25"), (1_234, "1.234")]
        {
            assert_eq!(thousandths(value), text);
        }
        for (ms, text) in [(0, "0 s"), (950, "0.95 s"), (2_437, "2.4 s"), (2_000, "2 s")] {
            assert_eq!(seconds(ms), text);
        }
    }
}
