//! Connecting with a bound and with further tries.

use std::future::Future;

use super::error::DbError;
use super::failure::Failure;
use super::location::Location;
use super::timeouts::Timeouts;

/// Calls `connect` until it succeeds, fails for good, or the tries are used up.
pub(crate) async fn connect<C, F>(
    location: &Location,
    timeouts: &Timeouts,
    connect: impl Fn() -> F,
    judge: fn(&sqlx::Error) -> Failure,
) -> Result<C, DbError>
where
    F: Future<Output = Result<C, sqlx::Error>>,
{
    let mut pauses = timeouts.pauses();
    loop {
        let (message, retryable) = match tokio::time::timeout(timeouts.connect(), connect()).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => {
                let failure = judge(&error);
                if failure.message.contains("RSA auth backend disabled") {
                    return Err(DbError::NeedsTls { location: location.redacted() });
                }
                (failure.message, failure.transient)
            }
            Err(_) => (format!("no answer within {} ms", timeouts.connect_ms), true),
        };
        match pauses.next() {
            Some(pause) if retryable => tokio::time::sleep(pause).await,
            _ => {
                let location = location.redacted();
                return Err(DbError::Connect { location, message, retryable });
            }
        }
    }
}
