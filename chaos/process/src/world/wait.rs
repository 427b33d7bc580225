//! Waiting for a condition of other processes, which nothing announces.

use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::{Instant, sleep, timeout};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(25);

/// Asks until there is an answer, and gives it with the time that it took. Fails when `limit` has passed,
/// naming what was waited for.
pub(crate) async fn until_some<T, F: Future<Output = Option<T>>>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> F,
) -> Result<(T, Duration)> {
    let begun = Instant::now();
    let wait = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            sleep(PAUSE).await;
        }
    };
    match timeout(limit, wait).await {
        Ok(answer) => Ok((answer, begun.elapsed())),
        Err(_elapsed) => Err(anyhow!("waited {} s in vain until {what}", limit.as_secs())),
    }
}
