//! How often a log gets a line: often while somebody is looking, seldom through the night.

use std::time::Duration;

/// The least time between two lines, after so much time of watching.
pub fn interval(watched: Duration) -> Duration {
    const EAGER: Duration = Duration::from_mins(1);
    const STEADY: Duration = Duration::from_mins(10);
    if watched < EAGER {
        Duration::from_secs(1)
    } else if watched < STEADY {
        Duration::from_secs(5)
    } else {
        Duration::from_secs(30)
    }
}

/// Whether a line that differs from the last one is due.
pub fn due(watched: Duration, since_last: Option<Duration>) -> bool {
    since_last.is_none_or(|since| since >= interval(watched))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::due;

    #[test]
    fn lines_grow_rarer() {
        let s = Duration::from_secs;
        assert!(due(s(0), None));
        assert!(!due(s(10), Some(Duration::from_millis(900))));
        assert!(due(s(10), Some(s(1))));
        assert!(!due(s(60), Some(s(4))));
        assert!(due(s(60), Some(s(5))));
        assert!(!due(s(600), Some(s(29))));
        assert!(due(s(3_600), Some(s(30))));
    }
}
