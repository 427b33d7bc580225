//! Waiting for a condition of another process, which nothing announces.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks until the answer is yes.
///
/// # Panics
///
/// When `limit` has passed, naming what was waited for.
pub(crate) async fn until<F: Future<Output = bool>>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> F,
) {
    until_some(what, limit, || {
        let answer = ask();
        async move { answer.await.then_some(()) }
    })
    .await;
}

/// Asks until the answer is yes; whether it was, before `limit` had passed.
pub(crate) async fn within<F: Future<Output = bool>>(
    limit: Duration,
    mut ask: impl FnMut() -> F,
) -> bool {
    let wait = async {
        while !ask().await {
            sleep(PAUSE).await;
        }
    };
    timeout(limit, wait).await.is_ok()
}

/// Asks until there is an answer, and gives it.
pub(crate) async fn until_some<T, F: Future<Output = Option<T>>>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> F,
) -> T {
    let wait = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            sleep(PAUSE).await;
        }
    };
    timeout(limit, wait)
        .await
        .unwrap_or_else(|_| panic!("waited {} s in vain until {what}", limit.as_secs()))
}
